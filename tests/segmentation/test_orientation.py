"""Volumes that are stored with other axes: the model sees what it was trained on, and labels lie on the image."""

import itertools
from dataclasses import replace

import dask.array
import numpy as np
import pytest
import torch
from nibabel.orientations import apply_orientation, inv_ornt_aff

from napari_medseg import io
from napari_medseg.errors import SettingsError
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.models.card import DISPLAY
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation.consensus import consensus_job
from napari_medseg.segmentation.inference import InferenceSettings, plan, segment_job
from napari_medseg.segmentation.orientation import AS_IT_LIES, Turn, remark, turn_for
from napari_medseg.training.data.dataset import load
from napari_medseg.training.data.sources import Source
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "bright", "#ff0000"),)
STORED = [
    np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
OBLIQUE = np.array(  # of a short-axis stack: columns, rows and slices grow to P, R and I, and none along an axis
    [[0.143, 1.002, 6.719, -236.6], [-0.474, 0.903, -6.665, 37.7], [-1.275, -0.223, 3.23, 108.9], [0, 0, 0, 1]]
)


class Lopsided(torch.nn.Module):
    """Labels what is bright in this slice, dark in the one before, and in the upper left."""

    def forward(self, x):
        rows = torch.linspace(0.2, -0.2, x.shape[-2])[:, None]
        columns = torch.linspace(0.1, -0.1, x.shape[-1])
        return x[:, 1:2] - 0.7 * x[:, :1] + rows + columns - 0.3


def model(orientation, **card):
    spec = Preprocess(percentiles=(0, 100), neighbours="z")
    return TrainedModel(ModelCard("lopsided", "litenext", spec, CLASSES, orientation=orientation, **card), Lopsided())


def scan(affine, shape=(4, 32, 48), **metadata):
    data = np.random.default_rng(0).random(shape, np.float32)
    data[..., 0, 0], data[..., 0, 1] = 0, 1
    return Volume(data, "tzyx"[-len(shape) :], affine, metadata={"format": "NIfTI", **metadata})


def stored(volume, change):
    """The same volume with other axes, as nibabel turns it."""
    shape = volume.data.T.shape[:3]
    data = apply_orientation(volume.data.T, change).T
    return replace(volume, data=data, affine=volume.affine @ inv_ornt_aff(change, shape))


def segment(volume, trained, **settings):
    return run(segment_job(volume, trained, InferenceSettings(**settings)))


@pytest.mark.parametrize(
    ("orientation", "affine", "shape"),
    [
        ("SAR", np.diag([1.0, 1.0, 1.0, 1.0]), (4, 32, 48)),
        ("SAR", np.diag([1.0, 1.0, 1.0, 1.0]), (2, 3, 16, 20)),
        (DISPLAY, OBLIQUE, (3, 16, 20)),
    ],
)
def test_however_a_volume_is_stored_its_labels_are_the_same(orientation, affine, shape):
    volume, trained = scan(affine, shape), model(orientation)
    expected = segment(volume, trained, uncertainty=True)
    assert 0 < expected.labels.data.mean() < 0.5
    # a large step meets all orders of the axes and all directions
    for change in STORED[::5] if orientation == "SAR" else STORED:
        other = stored(volume, change)
        before = other.data.copy()
        found = segment(other, trained, uncertainty=True)
        np.testing.assert_array_equal(found.labels.data, stored(expected.labels, change).data)
        np.testing.assert_array_equal(found.uncertainty.data, stored(expected.uncertainty, change).data)
        np.testing.assert_array_equal(found.labels.affine, other.affine)
        np.testing.assert_array_equal(other.data, before)
        assert found.report["classes"][0]["voxels"] == np.count_nonzero(expected.labels.data)
        assert ("turned" in found.record.place) == (turn_for(other, trained.card.orientation) != AS_IT_LIES)


def test_nothing_is_turned_that_lies_as_in_training():
    volume = scan(np.diag([1.0, 1.0, 1.0, 1.0]))
    assert turn_for(volume, "SAR") == AS_IT_LIES and turn_for(volume, "SAR").volume(volume) is volume
    assert turn_for(scan(OBLIQUE), "") == AS_IT_LIES
    assert turn_for(volume.select("z", 0), "SAR") == AS_IT_LIES


@pytest.mark.parametrize(
    ("directions", "seen"),
    [
        ("LPS", ("z", "y", "x")),  # axial, columns, rows and slices as of DICOM
        ("RAS", ("z", "-y", "-x")),
        ("PIL", ("-z", "y", "x")),  # sagittal
        ("LIP", ("z", "y", "x")),  # coronal
        ("ILP", ("z", "x", "y")),
    ],
)
def test_slices_lie_as_a_workstation_shows_them(directions, seen):
    columns = [np.eye(3)["RLAPSI".index(code) // 2] * (1 if code in "RAS" else -1) for code in directions]
    affine = np.eye(4)
    affine[:3, :3] = np.stack(columns, 1) * [1.0, 1.0, 5.0]
    turn = turn_for(scan(affine), DISPLAY)
    assert turn.sources == tuple(axis.strip("-") for axis in seen)
    assert turn.reversed[1:] == tuple(axis.startswith("-") for axis in seen[1:])
    assert np.linalg.det(turn.volume(scan(affine)).affine[:3, :3]) > 0


def test_only_a_clearly_thicker_side_makes_slices():
    assert turn_for(scan(np.diag([1.0, 1.4, 1.0, 1.0])), DISPLAY).keeps_slices
    assert turn_for(scan(np.diag([1.0, 1.6, 1.0, 1.0])), DISPLAY).sources[0] == "y"
    sized = scan(np.diag([1.0, 1.6, 1.0, 1.0]), format="TIFF")  # sizes, and no directions
    assert turn_for(sized, DISPLAY).reversed == (False, False, False)
    said = plan(sized, model(DISPLAY), InferenceSettings(), trial=False).warnings
    assert any("thickest along y" in text for text in said)


@pytest.mark.parametrize("unknown", [{"has_spacing": False}, {"space_code": 0}, {"format": "TIFF"}])
def test_where_the_place_is_not_known_nothing_is_turned_and_that_is_said(unknown):
    volume = scan(np.diag([1.0, 1.0, 1.0, 1.0]), **unknown)
    trained = model("ASR")
    assert turn_for(volume, trained.card.orientation) == AS_IT_LIES
    said = " ".join(plan(volume, trained, InferenceSettings(), trial=False).warnings)
    assert "does not say where the axes" in said and "ASR" in said
    known = plan(scan(np.diag([1.0, 1.0, 1.0, 1.0])), trained, InferenceSettings(), trial=False).warnings
    assert "axes" not in " ".join(known)


class OnDisk:
    """An array that gives slices and nothing else, as those of zarr."""

    def __init__(self, data):
        self._data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim

    def __getitem__(self, key):
        return self._data[key]


@pytest.mark.parametrize("kind", [dask.array.from_array, OnDisk])
def test_arrays_that_are_read_when_asked_for_stay_so(kind):
    volume, trained = scan(np.diag([1.0, 1.0, 1.0, 1.0])), model("SAR")
    other = stored(volume, STORED[-1])
    lazy = replace(other, data=kind(other.data))
    assert isinstance(turn_for(lazy, trained.card.orientation).volume(lazy).data, dask.array.Array)
    assert np.shares_memory(turn_for(other, trained.card.orientation).volume(other).data, other.data)
    np.testing.assert_array_equal(segment(lazy, trained).labels.data, segment(other, trained).labels.data)


@pytest.mark.parametrize("change", [STORED[1], STORED[-1]])
def test_parts_are_slices_of_the_image(change):
    volume = stored(scan(np.diag([1.0, 1.0, 1.0, 1.0])), change)
    trained = model("SAR")
    keeps = turn_for(volume, trained.card.orientation).keeps_slices
    start = len(volume.data) - 2
    parts = [step.partial for step in segment_job(volume, trained, InferenceSettings(batch=1), start=start)]
    parts = [part for part in parts if part]
    indices = [index for part in parts for index in part.indices]
    assert sorted(indices) == list(range(len(volume.data)))
    assert len(parts) == (len(volume.data) if keeps else 1)
    assert indices[0] == (start if keeps else 0)


@pytest.mark.parametrize("change", [STORED[1], STORED[20], STORED[-1]])
def test_several_models_decide_on_slices_that_lie_as_in_training(change):
    volume = scan(np.diag([1.0, 1.0, 1.0, 1.0]))
    other = model("")
    two = [model("SAR", keep="largest"), replace(other, card=replace(other.card, name="other", keep="largest"))]
    expected = run(consensus_job(volume, two, InferenceSettings()))
    np.testing.assert_array_equal(expected.labels.data, segment(volume, two[0]).labels.data)
    found = run(consensus_job(stored(volume, change), two, InferenceSettings(), start=1))
    np.testing.assert_array_equal(found.labels.data, stored(expected.labels, change).data)
    across = replace(other, card=replace(other.card, name="across", orientation="ASR"))
    with pytest.raises(SettingsError, match="SAR volumes and across on ASR"):
        run(consensus_job(volume, [two[0], across], InferenceSettings()))


@pytest.mark.parametrize("made_in", ["NIfTI", "TIFF", ""])
@pytest.mark.parametrize("thick", ["z", "y", "x"])
@pytest.mark.parametrize("wanted", [DISPLAY, "SAR", "LPS"])
def test_what_is_turned_is_not_turned_again(made_in, thick, wanted):
    steps = [5.0 if axis == thick else 1.0 for axis in "xyz"]
    volume = Volume(np.zeros((4, 5, 6)), "zyx", np.diag([*steps, 1.0]), metadata={"format": made_in} if made_in else {})
    turned = turn_for(volume, wanted).volume(volume)
    assert turn_for(turned, wanted) == AS_IT_LIES


@pytest.mark.parametrize("made_in", ["NIfTI", "TIFF"])
@pytest.mark.parametrize("orientation", [DISPLAY, ""])
@pytest.mark.parametrize("vote", ["probability", "labels"])
def test_twins_decide_as_each_of_them_however_the_volume_is_stored(made_in, orientation, vote):
    volume = scan(np.diag([3.0, 1.0, 1.0, 1.0]), (16, 20, 4), format=made_in)
    first = model(DISPLAY)
    second = model(orientation)
    second = replace(second, card=replace(second.card, name="twin"))
    alone = segment(volume, first)
    both = run(consensus_job(volume, [first, second], InferenceSettings(vote=vote)))
    assert alone.labels.data.any()
    np.testing.assert_array_equal(both.labels.data, alone.labels.data)
    assert both.record.place["turned"] == alone.record.place["turned"]
    assert both.record.warnings == alone.record.warnings


class Corner(torch.nn.Module):
    """Labels what is bright in the upper left, which every turn moves."""

    def forward(self, x):
        rows = torch.linspace(0.3, -0.3, x.shape[-2])[:, None]
        columns = torch.linspace(0.2, -0.2, x.shape[-1])
        return x[:, 1:2] + rows + columns - 0.5


def cornered(orientation):
    card = ModelCard("corner", "litenext", Preprocess(percentiles=(0, 100)), CLASSES, orientation=orientation)
    return TrainedModel(card, Corner())


def in_plane(volume):
    """The same slices (..., y, x) in the eight ways in which they can be stored."""
    for swapped, *backwards in itertools.product((False, True), repeat=3):
        axes = ("x", "y") if swapped else ("y", "x")
        yield Turn(("z", *axes), (False, *backwards)).volume(volume)


@pytest.mark.parametrize("shape", [(16, 20), (3, 16, 20)])
@pytest.mark.parametrize(
    ("wanted", "affine"), [("SAR", np.eye(4)), ("ILP", np.diag([1, -1, 1, 1.0])), (DISPLAY, OBLIQUE)]
)
def test_single_slices_and_series_of_them_are_turned_however_they_are_stored(wanted, affine, shape):
    data = np.random.default_rng(1).random(shape, np.float32)
    whole = Volume(data, "tyx"[-len(shape) :], affine, metadata={"format": "NIfTI"})
    whole = turn_for(whole, wanted).volume(whole)
    whole = replace(whole, metadata={"format": "NIfTI"})
    expected = segment(whole, cornered(wanted)).labels.data
    assert 0.05 < expected.mean() < 0.95
    for other in in_plane(whole):
        other = replace(other, metadata={"format": "NIfTI"})
        turn = turn_for(other, wanted)
        found = segment(other, cornered(wanted))
        np.testing.assert_array_equal(turn.there(found.labels.data, other.axes), expected)
        assert found.labels.data.shape == other.data.shape and not remark(other, cornered(wanted).card)


@pytest.mark.parametrize(
    ("wanted", "metadata", "said"),
    [
        (DISPLAY, {}, "does not say which way it lies"),
        (DISPLAY, {"format": "PNG"}, "as a workstation shows them"),
        (DISPLAY, {"format": "DICOM", "has_place": False}, "does not say which way it lies"),
        ("SAR", {"format": "PNG"}, "slices of SAR volumes"),
        ("ASR", {"format": "NIfTI"}, "The slice lies in the plane AR; corner was trained on the slices of ASR volumes"),
        ("SAR", {"format": "NIfTI"}, ""),
        ("", {"format": "PNG"}, ""),
    ],
)
@pytest.mark.parametrize("axes", ["yx", "tyx", "yxc"])
def test_slices_that_cannot_be_turned_are_named(wanted, metadata, said, axes):
    shape = {"t": 2, "y": 16, "x": 20, "c": 3}
    volume = Volume(np.zeros([shape[axis] for axis in axes], np.float32), axes, metadata=metadata)
    assert turn_for(volume, wanted) == AS_IT_LIES
    text = remark(volume, cornered(wanted).card)
    assert said in text and bool(said) == bool(text)
    if text:
        assert text in plan(volume, cornered(wanted), InferenceSettings(), trial=False).warnings


def test_slices_of_a_data_set_are_turned_as_in_a_run(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    data = np.arange(320, dtype=np.float32).reshape(16, 20)
    affine = np.diag([-2.0, 3.0, 1.0, 1.0])
    for folder, values in (("images", data), ("labels", (data > 100).astype(np.uint8))):
        io.write(Volume(values, "yx", affine), tmp_path / folder / "a.nii.gz")
    (sample,) = load([Source(".", label="labels")], Preprocess((0, 100)), tmp_path, orientation="SRP")
    turn = Turn(("z", "x", "y"), (False, True, True))
    np.testing.assert_array_equal(sample.labels, turn.there((data > 100).astype(np.uint8), "yx"))
    assert torch.equal(sample.image[0].argmax(), torch.tensor(int(turn.there(data, "yx").argmax())))
    assert sample.spacing == (2.0, 3.0)
