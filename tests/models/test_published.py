"""The loader: every way the authors' tensors may come, and what must be refused."""

import logging
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_medseg import models
from napari_medseg.errors import ModelError

WRAPPINGS = {
    "bare": lambda state: state,
    "wrapped": lambda state: {"state_dict": state, "epoch": 3},
    "wrapped twice": lambda state: {"model": {"model_state_dict": state}},
    "several GPUs": lambda state: {f"module.{key}": value for key, value in state.items()},
    "lightning": lambda state: {"state_dict": {f"model.net.{key}": value for key, value in state.items()}},
    "student and teacher": lambda state: {
        **{f"student.{key}": value for key, value in state.items()},
        **{f"teacher.{key}": -value for key, value in state.items()},
        "projector_s.0.weight": torch.zeros(2, 2),
        "predictor.bias": torch.zeros(2),
    },
}


def training_dictionary(state):
    """What the authors' script saves: numpy numbers beside the tensors."""
    return {
        "epoch": 42,
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]},
        "scheduler": {"last_epoch": 42},
        "loss": np.float64(0.25),
        "test_measure_mean": np.float64(0.95),
        "test_measure_std": np.float64(0.05),
    }


def same(network, state):
    return all(torch.equal(value, state[key]) for key, value in models.to_published("litenext", network).items())


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_wrappers_and_prefixes_are_taken_off(litenext_state, wrap, caplog):
    state = litenext_state(7)
    with caplog.at_level(logging.INFO):
        network = models.from_published("litenext", wrap(state))
    assert same(network, state) and not network.training
    assert ("Left out" in caplog.text) == ("teacher" in str(wrap(state).keys()))
    assert "5 published entries are ignored: attention.mlp.bias" in caplog.text


def test_files_go_both_ways(litenext_state, tmp_path):
    state = litenext_state(3)
    save_file(state, tmp_path / "a.safetensors")
    torch.save(training_dictionary(state), tmp_path / "b.pt")
    torch.save(state, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "misnamed.pt").write_bytes((tmp_path / "a.safetensors").read_bytes())
    for path in tmp_path.iterdir():
        network = models.from_published("litenext", models.read_checkpoint(path))
        assert same(network, state), path.name
        again = models.from_published("litenext", models.to_published("litenext", network))
        assert same(again, state)


def test_training_dictionary_written_under_numpy_1_loads(litenext_state, tmp_path):
    state, new, old = litenext_state(7), tmp_path / "new.pt", tmp_path / "old.pt"
    torch.save(training_dictionary(state), new)
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in old.read_bytes() and b"numpy._core" not in old.read_bytes()
    content = models.read_checkpoint(old)
    assert content["test_measure_mean"] == 0.95
    assert same(models.from_published("litenext", content), state)


def test_sizes_are_read_from_the_tensors():
    made = models.build("litenext", num_classes=4, in_channels=1, channels=8, width=24, kernels=(3, 5, 7, 9))
    network = models.from_published("litenext", models.to_published("litenext", made))
    assert [mixer.far.conv.kernel_size[0] for mixer in network.mixers] == [3, 5, 7, 9]
    assert (network.stem.conv.in_channels, network.head.out_channels, network.gate.out_features) == (1, 3, 24)
    dilated = models.from_published("litenext", models.to_published("litenext", made), dilation=2)
    assert dilated.mixers[0].far.conv.dilation == (2, 2)


def changed(change):
    def apply(state):
        change(state)
        return state

    return apply


MISFITS = {
    "third party": (lambda s: {**s, "bottle.conv.weight": torch.zeros(1)}, "third-party"),
    "first version": (lambda s: {**s, "attention.axial_conv.weight": torch.zeros(1)}, "first version"),
    "missing": (changed(lambda s: s.pop("stage2.1.ln1.layernorm.bias")), r"stage2\.1\.ln1\.layernorm\.bias"),
    "unknown": (lambda s: {**s, "extra.weight": torch.zeros(1)}, r"extra\.weight"),
    "shape": (lambda s: {**s, "rb4.conv1x1.bias": torch.zeros(5)}, "reduce.conv.bias"),
    "no tensor": (lambda s: {**s, "head.weight": 3}, "not a tensor"),
    "not this network": (lambda s: {"encoder.weight": torch.zeros(1)}, "encoder.weight"),
    "empty": (lambda s: {}, "no weights"),
    "two networks": (lambda s: {**s, "module.head.bias": torch.zeros(1)}, "two networks"),
    "kernel": (lambda s: {**s, "stage1.0.conv.weight": torch.zeros(16, 1, 4, 4)}, "odd sizes"),
    "pretended size": (lambda s: {**s, "head.weight": torch.zeros(1).expand(1, 10**9, 1, 1)}, "fewer values"),
}


@pytest.mark.parametrize(("change", "sentence"), MISFITS.values(), ids=MISFITS)
def test_other_networks_are_refused_with_the_reason(litenext_state, change, sentence):
    with pytest.raises(ModelError, match=sentence):
        models.from_published("litenext", change(litenext_state(7)))


def test_unknown_architecture_and_option_are_refused(litenext_state):
    with pytest.raises(ModelError, match="choose one of litenext"):
        models.from_published("resnet", {})
    with pytest.raises(ModelError, match="depth"):
        models.from_published("litenext", litenext_state(7), depth=3)


class Program:
    """Runs code when unpickled."""

    def __reduce__(self):
        return print, ("this must never run",)


def test_files_that_are_no_checkpoint_get_a_sentence(litenext_state, tmp_path, capsys):
    good, path = tmp_path / "good.pt", tmp_path / "bad.pt"
    torch.save(litenext_state(7), good)
    whole = good.read_bytes()
    for content in (b"", b"hello, no weights", whole[: len(whole) // 2], bytes(8) + b"{" + bytes(9)):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"'bad\.pt' is damaged"):
            models.read_checkpoint(path)
    torch.save({"model": Program()}, path)
    with pytest.raises(ModelError, match="more than tensors"):
        models.read_checkpoint(path)
    assert "must never run" not in capsys.readouterr().out
    torch.save(torch.zeros(3), path)
    with pytest.raises(ModelError, match="holds a Tensor"):
        models.read_checkpoint(path)
    with pytest.raises(ModelError, match="cannot be read"):
        models.read_checkpoint(tmp_path / "absent.pt")


def test_files_that_would_unpack_to_more_than_their_size_are_refused(litenext_state, tmp_path):
    good, packed = tmp_path / "good.pt", tmp_path / "packed.pt"
    torch.save({key: torch.zeros_like(value) for key, value in litenext_state(7).items()}, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(ModelError, match=r"'packed\.pt' is damaged"):
        models.read_checkpoint(packed)


def test_a_dictionary_that_wraps_itself_is_refused():
    state: dict = {}
    state["state_dict"] = state
    with pytest.raises(ModelError):
        models.from_published("litenext", state)
