"""What every architecture must hold, over the whole registry."""

import re
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.errors import ModelError
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.models.key_maps import Published
from napari_medseg.models.registry import Architecture, published_names
from napari_medseg.preprocess import Preprocess
from napari_medseg.volume import LabelClass

LIGHT = {  # options of a small network -> the step of its input size
    "litenext": ({}, 16),
    "unet": ({}, 32),  # MONAI's instance norm wants two pixels at the coarsest level
    "swin-unet": ({}, 64),
    "conditional-swin-iterative": ({}, 64),
    "conditional-swin-light": ({}, 64),
    "lstm-sa": ({"width": 8, "levels": 1}, 16),
    "sa-lstm": ({"width": 8, "levels": 1}, 16),
    "unet-lstm-sa": ({"width": 8}, 32),
    "mt-unet": ({"width": 8, "levels": 1}, 16),
}
PUBLISHED_COUNTS = {  # architecture -> classes, options and parameters as counted in the authors' code
    "litenext": (2, {}, 711_201),
    "swin-unet": (3, {}, 1_895_328),
    "conditional-swin-iterative": (3, {"levels": 2}, 16_314_360),
    "conditional-swin-light": (3, {}, 3_941_296),
    "lstm-sa": (4, {}, 80_743_352),
    "sa-lstm": (4, {}, 80_718_392),
}
ALL = pytest.mark.parametrize("name", models.ARCHITECTURES)


def build(name, num_classes=2):
    if "unet" in name and name not in ("swin-unet", "mt-unet"):
        pytest.importorskip("monai", reason="the U-Net needs the extra 'baseline'")
    torch.manual_seed(0)
    return models.build(name, num_classes=num_classes, **LIGHT[name][0])


def trained(name, num_classes=2, **preprocess):
    network = build(name, num_classes).eval()
    classes = tuple(LabelClass(i, f"class {i}", "#ffffff") for i in range(1, num_classes))
    return TrainedModel(ModelCard("t", name, Preprocess(multiple=LIGHT[name][1], **preprocess), classes), network)


def images(name, count=2, size=(64, 128), seed=0):
    channels = 9 if models.architecture(name).context else 3
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(seed))


@ALL
@pytest.mark.parametrize("size", [(1, 1), (37, 53), (16, 100)])
def test_slices_of_any_size_come_back_on_their_grid(name, size):
    model = trained(name, num_classes=3, spacing=0.8)
    slices = np.random.default_rng(0).random((2, *size))
    for spacing in (None, (1.0, 0.5)):
        tensor, undo = model.card.preprocess.apply(slices, spacing)
        tensor = tensor.repeat(1, 3, 1, 1) if model.context else tensor
        with torch.inference_mode():
            logits = undo(model.logits(tensor))
        assert logits.shape == (2, 2, *size)
        assert logits.isfinite().all()


@ALL
def test_every_parameter_that_takes_part_gets_a_gradient(name):
    model = trained(name)
    model.network.train()
    model.logits(images(name)).square().mean().backward()
    for key, parameter in model.network.named_parameters():
        used = not re.search(models.architecture(name).unused, key)
        assert (parameter.grad is not None) == parameter.requires_grad == used, key
        # biases before a norm have none, in theory
        if used and parameter.ndim > 1:
            assert parameter.grad.isfinite().all() and parameter.grad.any(), key


@ALL
def test_evaluation_is_repeatable_and_leaves_the_weights_alone(name):
    model = trained(name)
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    with torch.inference_mode():
        first, second = model.logits(images(name)), model.logits(images(name))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[key]) for key, value in model.network.state_dict().items())


@ALL
def test_batch_entries_do_not_interact(name):
    model = trained(name)
    with torch.inference_mode():
        together = model.logits(images(name, count=3))
        alone = torch.cat([model.logits(image[None]) for image in images(name, count=3)])
    # the iterative router magnifies rounding by 1 / eps, and other batch sizes round otherwise
    tolerance = 2e-3 if "iterative" in name else 1e-5
    torch.testing.assert_close(together, alone, rtol=0, atol=tolerance * together.abs().max().clamp(min=1).item())


@ALL
def test_what_is_saved_is_what_loads(name, tmp_path):
    model = trained(name, num_classes=3)
    path = tmp_path / "t.safetensors"
    card = replace(model.card, options={} if name in published_names() else LIGHT[name][0])
    written = models.save(path, model.network, card)
    loaded = models.load(path)
    assert loaded.card == written == models.load_card(path)
    assert not loaded.network.training
    assert sorted(file.name for file in tmp_path.iterdir()) == ["t.json", "t.safetensors"]
    with torch.inference_mode():
        assert torch.equal(loaded.logits(images(name)), model.logits(images(name)))


@ALL
def test_labels_are_those_of_the_class_with_the_highest_score(name):
    model = trained(name, num_classes=3)
    with torch.inference_mode():
        maps = model.network(*images(name).chunk(3, 1)) if model.context else model.network(images(name))
        logits = model.logits(images(name))
    if maps.shape[1] == 2:  # every map on its own
        maps = torch.cat([torch.zeros_like(maps[:, :1]), maps], 1)
    decided = maps.topk(2, 1).values.diff(dim=1)[:, 0].abs() > 1e-5
    best, index = logits.max(1)
    assert torch.equal(torch.where(best > 0, index + 1, 0)[decided], maps.argmax(1)[decided])


@pytest.mark.parametrize("name", PUBLISHED_COUNTS)
def test_parameter_counts_are_the_published_ones(name):
    classes, options, count = PUBLISHED_COUNTS[name]
    with torch.device("meta"):
        network = models.build(name, num_classes=classes, **options)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ModelError, match="choose one of litenext"):
        models.build("alexnet")
    with pytest.raises(ModelError, match="depth"):
        models.build("litenext", depth=3)
    with pytest.raises(ModelError, match="at least 2"):
        models.build("litenext", num_classes=1)
    with pytest.raises(ModelError, match="cannot be built"):
        models.build("litenext", channels=-1)


def test_without_monai_the_unet_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(ModelError, match=r"napari-medseg\[baseline\]"):
        models.build("unet")


def test_a_new_network_is_a_module_and_a_row(tmp_path, monkeypatch):
    class Tiny(torch.nn.Module):
        def __init__(self, in_channels: int = 3, out_channels: int = 1, power: int = 1):
            super().__init__()
            self.layer = torch.nn.Conv2d(in_channels, out_channels, 1)
            self.untold = {"power": power}

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    def told(state: Mapping[str, torch.Tensor]) -> dict[str, int]:
        return {"in_channels": state["theirs.weight"].shape[1]}

    key_map = Published({"layer": "theirs"}, "theirs.bias", told, caution="nobody knows", note="Check it.")
    row = Architecture(Tiny, "Tiny", 10, published=key_map)
    monkeypatch.setitem(models.ARCHITECTURES, "tiny-net", row)
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(tmp_path))
    assert published_names()[-1] == "tiny-net"
    weights = {"theirs.weight": torch.rand(2, 3, 1, 1), "theirs.bias": torch.rand(2)}
    torch.save(weights, tmp_path / "theirs.pth")
    settings = models.ImportSettings("tiny-net", ("one", "other"))
    imported = models.import_checkpoint(tmp_path / "theirs.pth", "mine", settings)
    assert "Check it." in imported.notes and "nobody knows" in imported.model.card.limits
    loaded = models.load(models.install(imported.model))
    assert loaded.card.options == {"power": 1} and [row.name for row in loaded.card.classes] == ["one", "other"]
    assert torch.equal(loaded.network.layer.bias, weights["theirs.bias"])
    with pytest.raises(ModelError, match="looks like tiny-net"):
        models.import_checkpoint(tmp_path / "theirs.pth", "second", models.ImportSettings("litenext"))


@pytest.mark.parametrize("value", [10**400, 10**6, -(10**6), float("inf"), float("nan")])
def test_options_that_no_network_has_are_refused(value):
    with pytest.raises(ModelError, match="The option width of 'litenext'"):
        models.build("litenext", width=value)


@pytest.mark.parametrize("value", [True, 0.5, 0, "1"])
def test_a_dilation_is_a_whole_number(value):
    with pytest.raises(ModelError, match="dilation"):
        models.build("litenext", dilation=value)
