"""A model with members decides by the mean of their probabilities, each in the plane of its own card."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.labels import mean_logits
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.models.card import Member
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation import engine
from napari_medseg.segmentation.inference import InferenceSettings, plan, segment_job
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "bright", "#ff0000"),)
SCAN = np.diag([-1.0, -1.0, 1.0, 1.0])  # rows towards the back, columns towards the left, slices towards the head


class Rows(torch.nn.Module):
    """Compares each pixel with the mean of it and those above and below: what that is depends on the plane."""

    def __init__(self, level, slope=8.0):
        super().__init__()
        self.level = level
        self.slope = slope

    def forward(self, x):
        return self.slope * (rows(x[:, 1:2], 2) - self.level)


def rows(x, axis):
    """Mean over three neighbours along an axis; the outermost are repeated."""
    x = torch.as_tensor(x)
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
    wide = torch.cat([first, x, last], axis)
    length = x.shape[axis]
    return sum(wide.narrow(axis, start, length) for start in range(3)) / 3


def model(name, level, orientation="SPL", slope=8.0, **card):
    spec = Preprocess(percentiles=(0, 100), multiple=8, padding="edge")
    return TrainedModel(ModelCard(name, "litenext", spec, CLASSES, orientation=orientation, **card), Rows(level, slope))


def together(first, *others):
    card = replace(first.card, members=tuple(Member(other.card.name) for other in others))
    return replace(first, card=card, members=others)


def scan(shape=(5, 6, 8)):
    """An image of which every slice in any plane spans 0 to 1."""
    data = np.random.default_rng(0).random(shape, np.float32)
    data[..., 0], data[..., 1] = 0, 1
    data[:, 0, 2:4], data[:, 1, 4:6] = [0, 1], [1, 0]
    return Volume(data, "zyx", SCAN)


def logits(volume, level, axis, slope=8.0):
    return slope * (rows(volume.data, axis) - level)


@pytest.fixture(autouse=True)
def one_worker(monkeypatch):
    monkeypatch.setattr(engine, "workers_of", lambda device: 1)


@pytest.mark.parametrize(("plane", "axis"), [("SPL", 1), ("PSL", 0), ("PIR", 0)])
def test_members_are_averaged_each_in_its_own_plane(plane, axis):
    volume = scan()
    axial, other = model("a", 0.35), model("b", 0.62, plane, slope=20.0)
    expected = mean_logits(torch.stack([logits(volume, 0.35, 1), logits(volume, 0.62, axis, 20.0)])[:, None, None])
    found = run(segment_job(volume, together(axial, other), InferenceSettings(uncertainty=True)))
    np.testing.assert_array_equal(found.labels.data, (expected[0, 0] > 0).numpy())
    alone = run(segment_job(volume, axial, InferenceSettings()))
    assert (alone.labels.data != found.labels.data).mean() > 0.05
    doubt = 255 * (1 - (2 * expected[0, 0].sigmoid() - 1).abs())
    assert np.abs(found.uncertainty.data - doubt.numpy()).max() < 1.5
    assert found.record.place["members"] == "b"


def test_progress_counts_the_slices_of_the_image_and_never_falls():
    volume, pair = scan(), together(model("a", 0.4), model("b", 0.6, "PSL"))
    steps = list(segment_job(volume, pair, InferenceSettings(batch=2)))
    done = [step.done for step in steps]
    assert done == sorted(done) and {step.total for step in steps} == {5} and done[-1] == 5
    shown = [index for step in steps if step.partial for index in step.partial.indices]
    assert sorted(shown) == list(range(5))


def test_the_plan_counts_members_and_what_is_kept_of_other_planes(monkeypatch):
    monkeypatch.setattr(engine, "try_out", lambda model: (1e-3, 0.0))
    volume, first = scan(), model("a", 0.4)
    settings = InferenceSettings(device="cpu")
    single = plan(volume, first, settings)
    pair = plan(volume, together(first, model("b", 0.6, "PSL")), settings)
    assert single.seconds == pytest.approx(5 * 64e-3) and pair.seconds == pytest.approx((5 + 6) * 64e-3)
    assert pair.memory_mb - single.memory_mb == pytest.approx(2 * volume.data.size / 1e6)
    beside = plan(volume, together(first, model("b", 0.6)), settings)
    assert beside.seconds == pytest.approx(2 * single.seconds) and beside.memory_mb == single.memory_mb


def save(folder, name, **card):
    torch.manual_seed(0)
    network = models.build("litenext", num_classes=2, channels=4, width=8, dilation=2).eval()
    options = {"channels": 4, "width": 8, "dilation": 2}
    made = ModelCard(name, "litenext", Preprocess(), CLASSES, options, **card)
    return models.save(folder / f"{name}.safetensors", network, made)


def test_members_that_are_missing_or_others_are_named(own_home):
    folder = own_home / "models"
    folder.mkdir()
    other = save(folder, "coronal")
    save(folder, "dark")
    wanted = (Member("coronal", other.sha256), Member("gone"), Member("dark", "f00"))
    save(folder, "axial", members=wanted)
    loaded = models.load(models.find("axial"))
    assert [member.card.name for member in loaded.members] == ["coronal", "dark"]
    warnings = plan(scan(), loaded, InferenceSettings(), trial=False).warnings
    assert any("those of gone, which is not installed" in text for text in warnings)
    assert any("another version of dark" in text for text in warnings)
    assert not any("coronal" in text for text in warnings)


def test_slices_that_show_too_little_are_named_before_a_run():
    spec = Preprocess(spacing=2.0, assumed_spacing=1.0, smallest=(64, 64))
    small = replace(model("a", 0.4), card=replace(model("a", 0.4).card, preprocess=spec, orientation=""))

    def warned(size, known=True):
        volume = Volume(np.zeros((2, *size), np.float32), "zyx", metadata={"has_spacing": known})
        warnings = plan(volume, small, InferenceSettings(), trial=False).warnings
        return [text for text in warnings if "may find nothing in so small a part" in text]

    assert not warned((64, 64)) and not warned((200, 64))
    assert warned((62, 200)) == [
        "A slice shows 62 x 200 mm; a was trained on 128 x 128 mm and may find nothing in so small a part. Use an "
        "image that shows more around the object."
    ]
    assert warned((62, 200), known=False)
