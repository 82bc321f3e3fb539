"""Networks in numbers of 16 bits: close to those of 32, only when asked for, and said."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.errors import SettingsError
from napari_medseg.models import ModelCard, TrainedModel, devices
from napari_medseg.models.devices import choose_precision
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation import inference
from napari_medseg.segmentation.consensus import consensus_job
from napari_medseg.segmentation.inference import InferenceSettings, plan, segment_job
from napari_medseg.volume import LabelClass, Volume

TWO = (LabelClass(1, "one", "#ff0000"), LabelClass(2, "two", "#00ff00"))
NETWORKS = {
    "litenext": {"channels": 4, "width": 8},
    "conditional-swin-light": {"levels": 1, "width": 64},
    "lstm-sa": {"width": 4, "levels": 1},
}


def small(name):
    torch.manual_seed(0)
    network = models.build(name, num_classes=3, **NETWORKS[name]).eval()
    return TrainedModel(ModelCard("small", name, Preprocess(), TWO), network)


@pytest.fixture
def model():
    return small("litenext")


def images(model):
    side = 64 if model.card.architecture.startswith("conditional") else 16
    return torch.rand(1, 9 if model.context else 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_logits_in_16_bits_are_close_and_come_back_as_float32(name):
    model = small(name)
    given = images(model)
    exact = model.logits(given)
    reduced = replace(model, precision="bfloat16")
    close = reduced.logits(given)
    if model.context:
        close = reduced.fuse(*map(reduced.encode, given.chunk(3, 1)))
    assert close.dtype == exact.dtype == torch.float32
    assert not torch.equal(close, exact)
    # eight bits of mantissa, a few layers: under a tenth of the spread
    assert (close - exact).abs().max() < 0.1 * exact.std()


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_logits_in_32_bits_are_those_of_the_network_itself(name):
    model = small(name)
    given = images(model)
    found = model.logits(given)
    maps = model.network(*given.chunk(3, 1)) if model.context else model.network(given)
    expected = maps if maps.shape[1] == 2 else maps[:, 1:] - maps[:, :1]
    assert torch.equal(found, expected)
    assert model.precision == model.on("cpu").precision == InferenceSettings().precision == "float32"


@pytest.mark.parametrize(
    ("wanted", "native", "used"),
    [
        ("float32", True, "float32"),
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),
        ("bfloat16", True, "bfloat16"),
        ("bfloat16", False, "bfloat16"),
    ],
)
def test_a_run_uses_says_and_warns(model, monkeypatch, wanted, native, used):
    for module in (devices, inference):
        monkeypatch.setattr(module, "computes_bfloat16", lambda device: native)
    seen = []

    def watch(network, given):
        seen.append(torch.is_autocast_enabled("cpu"))

    model.network.register_forward_pre_hook(watch)
    volume = Volume(np.random.default_rng(0).random((2, 32, 32), np.float32), "zyx")
    record = run(segment_job(volume, model, InferenceSettings(precision=wanted))).record
    assert record.place["precision"] == used and record.settings["precision"] == wanted
    assert set(seen) == {used == "bfloat16"}
    slow = any("does not compute bfloat16" in warning for warning in record.warnings)
    assert slow == (wanted == "bfloat16" and not native)


def test_several_models_say_it_once(model):
    other = replace(model, card=replace(model.card, name="other"))
    volume = Volume(np.random.default_rng(0).random((1, 32, 32), np.float32), "zyx")
    found = run(consensus_job(volume, [model, other], InferenceSettings(precision="bfloat16")))
    assert found.record.place["precision"] == "bfloat16"
    assert sum("does not compute bfloat16" in warning for warning in found.record.warnings) <= 1


def test_what_pytorch_cannot_do_is_a_sentence(monkeypatch):
    def fail(*given, **more):
        raise RuntimeError("unsupported")

    monkeypatch.setattr(torch, "autocast", fail)
    monkeypatch.setattr(devices, "computes_bfloat16", lambda device: False)
    with pytest.raises(SettingsError, match=r"not available on the device 'cpu'.*auto or float32"):
        choose_precision("bfloat16", "cpu")
    assert choose_precision("auto", "cpu") == "float32"
    monkeypatch.setattr(torch, "autocast", lambda *given: nullcontext())
    with pytest.raises(SettingsError, match="not available"):
        choose_precision("bfloat16", "cpu")


def test_a_precision_that_does_not_exist_is_a_sentence(model):
    with pytest.raises(SettingsError, match="choose one of auto, float32, bfloat16"):
        plan(Volume(np.zeros((1, 8, 8)), "zyx"), model, InferenceSettings(precision="half"))
