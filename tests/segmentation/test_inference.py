import itertools
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import io, models, samples
from napari_medseg.errors import JobError, ModelError, SettingsError, VolumeError
from napari_medseg.labels import from_logits
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.models.registry import ARCHITECTURES, Architecture
from napari_medseg.preprocess import Preprocess, neighbours
from napari_medseg.progress import run
from napari_medseg.segmentation import engine
from napari_medseg.segmentation.inference import InferenceSettings, plan, segment_job
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "bright", "#ff0000"),)
TWO = (*CLASSES, LabelClass(2, "dark", "#0000ff"))


class Threshold(torch.nn.Module):
    """Calls bright what is above one half: a network whose answer is known."""

    largest = 0

    def forward(self, x):
        assert x.shape[-1] % 16 == 0 and x.shape[-2] % 16 == 0
        self.largest = max(self.largest, x.shape[0] * x.shape[-1] * x.shape[-2])
        return 20 * (x.mean(1, keepdim=True) - 0.5)


class Hungry(Threshold):
    """Fails like an exhausted allocator above a number of pixels."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels = pixels

    def forward(self, x):
        if x.shape[0] * x.shape[-1] * x.shape[-2] > self.pixels:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")
        return super().forward(x)


def segment(volume, model, **settings):
    return run(segment_job(volume, model, InferenceSettings(**settings)))


def trained(network=None, **card):
    preprocess = Preprocess(**{"percentiles": (0, 100), **card.pop("preprocess", {})})
    return TrainedModel(ModelCard("threshold", "litenext", preprocess, CLASSES, **card), network or Threshold())


class Blur(torch.nn.Module):
    """Context network with a known answer: what lies before counts against this slice, what follows for it."""

    def __init__(self):
        super().__init__()
        self.encoded, self.limit = 0, math.inf

    def encode(self, images):
        if images.shape[-1] * images.shape[-2] > self.limit:
            raise MemoryError
        self.encoded += 1
        return [torch.nn.functional.avg_pool2d(images[:, :2], 3, 1, 1)]

    def fuse(self, previous, current, following):
        this = 3 * current[0][:, :1] - previous[0][:, 1:] + 0.5 * following[0][:, :1] - 1
        return torch.cat([-this, this, 0.5 - this], 1)

    def forward(self, *slices):
        return self.fuse(*map(self.encode, slices))


@pytest.fixture
def stub(monkeypatch):
    """A model with context whose softmax maps are background and two classes."""
    monkeypatch.setitem(ARCHITECTURES, "stub", Architecture(Blur, "Stub", 100, background=True, context=True))
    card = ModelCard("stub", "stub", Preprocess(percentiles=(0, 100)), TWO)
    return TrainedModel(card, Blur())


def image(shape, axes, seed=0, **options):
    data = np.random.default_rng(seed).random(shape, np.float32)
    # every slice spans 0 to 1, so that its percentile scaling is the identity
    planes = data.reshape(-1, shape[-2] * shape[-1]) if axes.endswith("x") else data.reshape(-1, 3 * shape[-2])
    planes[:, 0], planes[:, 1] = 0, 1
    return Volume(data, axes, **options)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((37, 50), "yx"), ((5, 37, 50), "zyx"), ((3, 17, 1), "tyx"), ((2, 3, 20, 33), "tzyx"), ((1, 3), "yx")],
)
def test_labels_lie_on_the_grid_of_the_image(shape, axes):
    affine = np.diag([2.0, 2.0, 7.0, 1.0])
    affine[:3, 3] = 5, -3, 11
    volume = image(shape, axes, affine=affine)
    result = segment(volume, trained())
    assert result.labels.axes == axes
    assert result.labels.classes == CLASSES
    np.testing.assert_array_equal(result.labels.affine, affine)
    np.testing.assert_array_equal(result.labels.data, volume.data > 0.5)
    json.dumps(result.report)


def test_colour_images_and_chosen_channels():
    rgb = image((20, 30, 3), "yxc")
    np.testing.assert_array_equal(segment(rgb, trained()).labels.data, rgb.data.mean(-1) > 0.5)
    stack = image((2, 4, 20, 30), "czyx")
    np.testing.assert_array_equal(segment(stack, trained(), channel=1).labels.data, stack.data[1] > 0.5)
    with pytest.raises(SettingsError, match="2 channels"):
        segment(stack, trained())
    with pytest.raises(SettingsError, match="no channels"):
        segment(image((20, 30), "yx"), trained(), channel=0)


def test_resampling_to_the_models_pixel_size_is_undone():
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    square = np.zeros((2, 40, 60), np.float32)
    square[:, 8:30, 12:50] = 1
    volume = Volume(square, "zyx", affine)
    model = trained(preprocess={"spacing": 0.5})
    result = segment(volume, model)
    assert model.network.largest >= 80 * 128
    np.testing.assert_array_equal(result.labels.data, square > 0.5)


@pytest.mark.parametrize(("shape", "axes"), [((4, 24, 20), "zyx"), ((2, 4, 24, 20), "tzyx"), ((4, 24, 20), "tyx")])
def test_stray_pieces_are_dropped_after_the_run_stack_by_stack(shape, axes):
    data = np.zeros(shape, np.float32)
    data[..., 5:9, 5:9] = 1
    kept = data > 0.5
    data[..., 20, 15] = 1
    stacked = "z" in axes
    if stacked:
        data[..., 1:, 20, 15] = 0  # in one slice of each stack
    result = segment(Volume(data, axes), trained(keep="largest"))
    np.testing.assert_array_equal(result.labels.data, kept if stacked else data > 0.5)
    assert result.report["classes"][0]["voxels"] == np.count_nonzero(result.labels.data)


def test_averaging_over_turns_treats_all_orientations_alike():
    class Lopsided(torch.nn.Module):
        def forward(self, x):
            return x[:, :1].roll(1, 3) * torch.linspace(0, 1, x.shape[-1])

    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    once, four = trained(Lopsided()), trained(Lopsided(), turns=True)
    assert not torch.allclose(once.logits(image.rot90(1, (2, 3))), once.logits(image).rot90(1, (2, 3)), atol=0.1)
    torch.testing.assert_close(four.logits(image.rot90(1, (2, 3))), four.logits(image).rot90(1, (2, 3)))
    assert four.logits(image[..., :16]).shape == (2, 1, 32, 16)


def test_a_run_begins_with_the_slice_in_view_and_covers_all():
    volume = image((7, 16, 16), "zyx")
    steps = segment_job(volume, trained(), InferenceSettings(batch=2), start=3)
    parts = [step.partial for step in steps if step.partial]
    finished = [part.indices for part in parts]
    assert finished[0] == [3, 4]
    assert sorted(itertools.chain(*finished)) == list(range(7))
    assert all(part.labels is parts[0].labels for part in parts)


def test_large_slices_are_tiled_without_seams(monkeypatch):
    monkeypatch.setattr(engine, "_WHOLE_PIXELS", 200 * 200)
    monkeypatch.setattr(engine, "workers_of", lambda device: 1)
    volume = image((517, 333), "yx")
    model = trained()
    steps = []
    job = segment_job(volume, model, InferenceSettings())
    with pytest.raises(StopIteration) as end:
        while True:
            steps.append(next(job))
    np.testing.assert_array_equal(end.value.value.labels.data, volume.data > 0.5)
    assert model.network.largest <= 200 * 200
    assert len(steps) > 6  # one cancel point per tile


def test_memory_ladder_gives_the_same_labels_or_one_sentence():
    volume = image((4, 700, 700), "zyx")
    small = segment(volume, trained(Hungry(330 * 330)), batch=4)
    np.testing.assert_array_equal(small.labels.data, volume.data > 0.5)
    with pytest.raises(JobError, match="memory does not suffice"):
        segment(volume, trained(Hungry(128 * 128)))


def test_uncertainty_is_highest_at_the_threshold():
    ramp = np.tile(np.linspace(0, 1, 101, dtype=np.float32), (20, 1))
    result = segment(Volume(ramp, "yx"), trained(), uncertainty=True)
    doubt = result.uncertainty.data
    assert doubt.dtype == np.uint8
    assert doubt[0, 50] == 255
    assert doubt[0, 0] < 2 and doubt[0, 100] < 2


def test_split_objects_numbers_every_object_once_over_all_slices():
    data = np.zeros((3, 60, 60), np.uint8)
    data[:, 5:20, 5:20] = data[:, 30:50, 30:50] = 255
    result = segment(Volume(data, "zyx"), trained(), split_objects=True)
    assert set(np.unique(result.labels.data)) == set(range(7))
    assert result.report["objects"] == 6 and result.report["pixels_per_object"] == (15 * 15 + 20 * 20) / 2


@pytest.mark.parametrize(("card", "asked", "numbered"), [(1, None, 1), (0, None, 0), (1, False, 0), (0, True, 1)])
def test_objects_are_numbered_where_the_card_says_so_unless_asked_otherwise(card, asked, numbered):
    volume = image((3, 32, 32), "zyx", affine=np.diag([0.5, 2.0, 3.0, 1.0]))
    model = trained()
    model = replace(model, card=replace(model.card, objects=bool(card)))
    report = segment(volume, model, split_objects=asked).report
    assert ("objects" in report) == bool(numbered) and report["settings"]["split_objects"] is bool(numbered)
    if numbered:
        assert report["area_mm2_per_object"] == pytest.approx(report["pixels_per_object"], abs=0.1), "2 mm x 0.5 mm"


def test_masks_are_images_too():
    mask = np.random.default_rng(0).random((2, 20, 20)) > 0.5
    np.testing.assert_array_equal(segment(Volume(mask, "zyx"), trained()).labels.data, mask)


def test_not_finite_values_and_constant_slices_are_background():
    volume = image((3, 32, 32), "zyx")
    volume.data[0] = np.nan
    volume.data[1] = 7
    volume.data[2, 5:9] = np.inf
    result = segment(volume, trained()).labels.data
    assert not result[0].any() and not result[1].any() and not result[2, 5:9].any()
    assert result[2].any()


def test_report_counts_voxels_and_millimetres():
    volume = image((4, 20, 20), "zyx", affine=np.diag([0.5, 2.0, 3.0, 1.0]))
    row = segment(volume, trained()).report["classes"][0]
    assert row["voxels"] == (volume.data > 0.5).sum()
    assert row["volume_mm3"] == pytest.approx(3 * row["voxels"])
    unknown = image((4, 20, 20), "zyx", metadata={"has_spacing": False})
    assert "volume_mm3" not in segment(unknown, trained()).report["classes"][0]


def test_plan_warns_outside_the_card():
    model = trained(spacing_mm=(0.5, 2.0), dicom_modality="MR", preprocess={"spacing": 1.0})
    assert plan(image((3, 32, 32), "zyx"), model, InferenceSettings()).warnings == ()
    coarse = image((3, 32, 32), "zyx", affine=np.diag([4, 4, 9, 1]), metadata={"modality": "CT"})
    far, ct = plan(coarse, model, InferenceSettings()).warnings
    assert "4 x 4 mm" in far and "CT" in ct


@pytest.mark.parametrize(
    ("data", "axes", "words"),
    [
        (np.full((3, 16, 16), 7), "zyx", "has the value 7"),
        (np.full((3, 16, 16), np.nan), "zyx", "No value .* finite"),
        (np.arange(3.0).repeat(256).reshape(3, 16, 16), "zyx", "Every slice of the image holds a single value"),
        (np.ones((1, 1)), "yx", "single pixel"),
        (np.tile([10, 20, 30], (16, 16, 1)).astype(np.uint8), "yxc", "has the value 10|single value"),
        (np.arange(256, dtype=np.uint8).reshape(16, 16) // 100, "yx", "values 0, 1, 2: it seems to be a label image"),
        (np.eye(16, dtype=np.uint8) * 255, "yx", "values 0, 255"),
    ],
)
def test_images_without_anything_to_see_are_named_before_a_run(data, axes, words):
    volume = Volume(data, axes)
    assert re.search(words, plan(volume, trained(), InferenceSettings()).warnings[0])
    warnings = segment(volume, trained()).report["warnings"]
    assert [bool(re.search(words, warning)) for warning in warnings].count(True) == 1


@pytest.mark.parametrize("marks", [{"classes": CLASSES}, {"metadata": {"labels": True}}])
def test_label_images_are_named_before_a_run(marks):
    (warning,) = plan(image((8, 8), "yx", **marks), trained(), InferenceSettings()).warnings
    assert "This is a label image" in warning


class Always(torch.nn.Module):
    """Finds its class everywhere, whatever it sees."""

    def forward(self, x):
        return torch.full_like(x[:, :1], 9.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_without_a_value_get_no_label(value, monkeypatch):
    monkeypatch.setattr(engine, "tile_side", lambda model: 160)
    volume = image((2, 200, 180), "zyx")
    volume.data[1, 50:60, 70:80] = value
    found = segment(volume, trained(Always(), preprocess={"multiple": 32}), uncertainty=True, batch=2)
    np.testing.assert_array_equal(found.labels.data == 0, ~np.isfinite(volume.data))
    assert (found.uncertainty.data[1, 50:60, 70:80] == 0).all()
    assert "100 voxels are not finite numbers" in found.report["warnings"][-1]
    assert found.report["classes"][0]["voxels"] == volume.data.size - 100


def test_colours_without_a_value_get_no_label():
    volume = image((16, 16, 3), "yxc")
    volume.data[3, 4, 1] = np.nan
    assert np.argwhere(segment(volume, trained(Always())).labels.data == 0).tolist() == [[3, 4]]


def test_impossible_input_gets_a_sentence():
    with pytest.raises(VolumeError, match="complex"):
        segment(Volume(np.zeros((8, 8), np.complex64), "yx"), trained())
    with pytest.raises(VolumeError, match="or crop the image"):
        coarse = Volume(np.zeros((900, 900), np.uint8), "yx", np.diag([100, 100, 1, 1]))
        segment(coarse, trained(preprocess={"spacing": 1.0}))
    with pytest.raises(SettingsError, match="not available"):
        segment(image((8, 8), "yx"), trained(), device="abacus")


def test_lazy_arrays_are_read_slice_by_slice(stub):
    class Lazy:
        shape, dtype, ndim = (6, 16, 16), np.dtype(np.float32), 3

        def __init__(self):
            self.read = []

        def __getitem__(self, index):
            self.read.append(index)
            return np.zeros(self.shape, np.float32)[index]

    for model in (trained(), stub):
        lazy = Lazy()
        found = segment(Volume(lazy, "zyx"), model)
        assert sorted(lazy.read) == [(k,) for k in range(6)]
        assert "has the value 0" in found.report["warnings"][-1]


def stacked(model, volume, along):
    """Labels of what `TrainedModel.logits` says to triples: three encodings for every slice."""
    data = np.moveaxis(volume.data, volume.axes.index(along), -3)
    expected = np.zeros(data.shape, np.uint8)
    for line in np.ndindex(data.shape[:-3]):
        tensor, undo = model.card.preprocess.apply(data[line], None)
        for k in range(len(tensor)):
            before, after = neighbours(k, len(tensor))
            triple = torch.cat([tensor[before], tensor[k], tensor[after]])[None]
            with torch.inference_mode():
                expected[line][k] = from_logits(undo(model.logits(triple)))[0]
    return np.moveaxis(expected, -3, volume.axes.index(along))


@pytest.mark.parametrize(
    ("shape", "axes", "context", "along"),
    [
        ((6, 20, 33), "zyx", "auto", "z"),
        ((2, 20, 33), "zyx", "z", "z"),
        ((5, 20, 33), "tyx", "auto", "t"),
        ((3, 4, 20, 33), "tzyx", "auto", "z"),
        ((3, 4, 20, 33), "tzyx", "t", "t"),
    ],
)
@pytest.mark.parametrize("turns", [False, True])
def test_context_equals_triples_and_encodes_each_slice_once(stub, shape, axes, context, along, turns, monkeypatch):
    model = replace(stub, card=replace(stub.card, turns=turns))
    volume = image(shape, axes)
    expected = stacked(model, volume, along)
    assert 0.1 < (expected == 1).mean() < 0.9
    for start, more, workers in ((0, 0, 1), (0, 0, 2), (math.prod(shape[:-2]) // 2, 2, 1), (1, 2, 3)):
        monkeypatch.setattr(engine, "workers_of", lambda device, count=workers: count)
        model.network.encoded = 0
        result = run(segment_job(volume, model, InferenceSettings(context=context), start=start))
        np.testing.assert_array_equal(result.labels.data, expected)
        assert model.network.encoded <= (4 if turns else 1) * (math.prod(shape[:-2]) + more)


class Middle(torch.nn.Module):
    """Bright in this slice, and in neither of the two in the other channels."""

    def forward(self, x):
        return 20 * (x[:, 1:2] - torch.maximum(x[:, :1], x[:, 2:]) - 0.25)


@pytest.mark.parametrize(
    ("shape", "axes", "card", "context", "along"),
    [
        ((6, 20, 33), "zyx", "z", "auto", "z"),
        ((3, 4, 20, 33), "tzyx", "z", "auto", "z"),
        ((3, 4, 20, 33), "tzyx", "t", "auto", "t"),
        ((3, 4, 20, 33), "tzyx", "t", "z", "z"),
    ],
)
def test_neighbours_are_channels_of_a_network_without_context(shape, axes, card, context, along, monkeypatch):
    monkeypatch.setattr(engine, "workers_of", lambda device: 1)
    model = trained(Middle(), preprocess={"neighbours": card})
    volume = image(shape, axes)
    data = np.moveaxis(volume.data, axes.index(along), 0)
    around = [neighbours(k, len(data)) for k in range(len(data))]
    other = np.stack([np.maximum(data[before], data[after]) for before, after in around])
    expected = np.moveaxis(data - other > 0.25, 0, axes.index(along))
    for start in (0, 4):
        found = run(segment_job(volume, model, InferenceSettings(context=context, batch=3), start=start))
        np.testing.assert_array_equal(found.labels.data, expected)
    alone = segment(volume, model, context="none")
    assert not alone.labels.data.any() and "slices before and after" in alone.report["warnings"][0]


def test_a_network_that_looks_around_by_itself_takes_no_neighbours_as_channels(stub):
    with pytest.raises(ModelError, match="sees the slices before and after by itself"):
        replace(stub, card=replace(stub.card, preprocess=Preprocess(neighbours="z")))


def test_temperature_changes_doubt_and_certainty_but_not_which_class_leads():
    volume = Volume(np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 16, 16), "zyx")
    sharp, soft = (segment(volume, trained(temperature=t), uncertainty=True) for t in (1.0, 4.0))
    np.testing.assert_array_equal(sharp.labels.data, soft.labels.data)
    assert (soft.uncertainty.data >= sharp.uncertainty.data).all()
    assert soft.uncertainty.data.sum() > 2 * sharp.uncertainty.data.sum()
    certain = 1 / (1 + math.exp(-9))  # reached by logits up to 10, and by no quarter of them
    assert segment(volume, trained(certainty=certain)).labels.data.any()
    assert not segment(volume, trained(certainty=certain, temperature=4.0)).labels.data.any()


def test_context_begins_with_the_slice_in_view_and_goes_along_its_axis(stub):
    job = segment_job(image((3, 2, 16, 16), "tzyx"), stub, InferenceSettings(context="t"), start=3)
    assert list(itertools.chain(*(step.partial.indices for step in job if step.partial))) == [3, 5, 0, 2, 4, 1]


def test_context_in_tiles_and_through_the_memory_ladder(stub, monkeypatch):
    monkeypatch.setattr(engine, "_WHOLE_PIXELS", 320 * 320)
    monkeypatch.setattr(engine, "workers_of", lambda device: 1)
    volume = image((4, 500, 333), "zyx")
    expected = stacked(stub, volume, "z")
    steps = []
    tiled = run(segment_job(volume, stub, InferenceSettings()), steps.append)
    np.testing.assert_array_equal(tiled.labels.data, expected)
    assert len(steps) == 4 * (4 + 4)  # a cancel point per tile, encoded and fused
    monkeypatch.setattr(engine, "workers_of", lambda device: 3)
    np.testing.assert_array_equal(segment(volume, stub).labels.data, expected)
    stub.network.limit = 200 * 200
    np.testing.assert_array_equal(segment(volume, stub).labels.data, expected)
    stub.network.limit = 100 * 100
    with pytest.raises(JobError, match="memory does not suffice"):
        segment(volume, stub)


def test_voxels_without_a_value_get_no_label_between_neighbours(stub):
    volume = image((4, 16, 16), "zyx")
    volume.data[2, 3, 5] = np.nan
    for start in (0, 3):
        found = run(segment_job(volume, stub, InferenceSettings(), start=start))
        assert found.labels.data[2, 3, 5] == 0
        assert "1 voxel is not a finite number" in found.report["warnings"][-1]


def test_context_needs_an_axis_and_warns_without_neighbours(stub):
    with pytest.raises(SettingsError, match="along 't', but the image has the axes 'zyx'"):
        segment(image((3, 16, 16), "zyx"), stub, context="t")
    with pytest.raises(SettingsError, match="choose one of auto, z, t, none"):
        segment(image((16, 16), "yx"), trained(), context="x")
    assert plan(image((3, 16, 16), "zyx"), stub, InferenceSettings()).warnings == ()
    for volume, context in ((image((16, 16), "yx"), "auto"), (image((3, 16, 16), "zyx"), "none")):
        result = segment(volume, stub, context=context)
        assert ["here it does without them" in warning for warning in result.report["warnings"]] == [True]
    alone = [segment(Volume(plane, "yx"), stub).labels.data for plane in volume.data]
    np.testing.assert_array_equal(result.labels.data, alone)


def test_plan_of_a_context_model_counts_encoding_and_fusing(stub, monkeypatch):
    monkeypatch.setattr(engine, "workers_of", lambda device: 1)
    what = plan(image((10, 64, 64), "zyx"), stub, InferenceSettings(batch=8))
    assert what.batch == 1 and what.seconds > 0
    assert what.memory_mb == pytest.approx((100 * 64**2 + 10 * 64**2) / 1e6)
    large = plan(image((1, 2048, 2048), "zyx"), stub, InferenceSettings())
    assert large.memory_mb > 3 * 2 * 4 * 2048**2 / 1e6  # three encodings of two maps


def test_slices_with_context_are_resized_and_logits_resized_back(stub):
    model = replace(stub, card=replace(stub.card, preprocess=Preprocess(percentiles=(0, 100), size=(48, 32))))
    volume = image((4, 61, 45), "zyx")
    np.testing.assert_array_equal(segment(volume, model).labels.data, stacked(model, volume, "z"))


def test_a_small_field_of_view_is_segmented_like_the_whole_slice():
    heart = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    model = models.load(models.find("litenext-heart"))
    middle = heart.like(heart.data[4:6])
    whole = run(segment_job(middle, model, InferenceSettings())).labels.data
    y, x = (int(centre) - 64 for centre in np.argwhere(whole).mean(0)[1:])
    window = (slice(None), slice(y, y + 128), slice(x, x + 128))
    crop = replace(middle, data=np.ascontiguousarray(middle.data[window]))
    found = run(segment_job(crop, model, InferenceSettings())).labels.data
    overlap = np.count_nonzero(found & whole[window])
    assert 2 * overlap > 0.95 * (np.count_nonzero(found) + np.count_nonzero(whole))
