"""A volume: axes, geometry, and what follows from them."""

import numpy as np
import pytest

from napari_medseg.errors import VolumeError
from napari_medseg.record import Record
from napari_medseg.volume import LabelClass, Volume


def oblique():
    """Columns in the order x, y, z: pixels of 0.5 x 2 x 6 mm, turned about two axes."""
    a, b = np.deg2rad([20, 35])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag([0.5, 2.0, 6.0])
    affine[:3, 3] = 11, -7, 40
    return affine


def test_spacing_and_origin_follow_from_the_affine():
    volume = Volume(np.zeros((3, 4, 5)), "zyx", oblique())
    assert volume.spacing == pytest.approx((6, 2, 0.5))
    assert volume.origin == (11, -7, 40)
    assert Volume(np.zeros((4, 5, 3)), "yxc", oblique()).spacing == pytest.approx((2, 0.5))


def test_orientation_names_the_direction_of_every_array_axis():
    affine = np.diag([-1.0, 1.0, -2.0, 1.0])
    assert Volume(np.zeros((2, 3, 4)), "zyx", affine).orientation == "IAL"


@pytest.mark.parametrize("axes", ["yx", "yxc", "zyx", "tyx", "cyx", "tzyx", "czyx", "zyxc", "tczyx", "tzyxc"])
def test_axes_that_make_sense_are_taken(axes):
    volume = Volume(np.zeros((2,) * len(axes)), axes)
    assert volume.spatial_axes == ("zyx" if "z" in axes else "yx")
    assert volume.channel_axis == (axes.index("c") if "c" in axes else None)


@pytest.mark.parametrize(
    ("shape", "axes", "sentence"),
    [
        ((2, 3), "zyx", "has 2 axes"),
        ((2, 3), "xy", "named 'xy'"),
        ((2, 3, 4), "cyxc", "named 'cyxc'"),
        ((2, 2, 3, 4), "ctyx", "named"),
        ((2, 0, 4), "zyx", "empty"),
    ],
)
def test_axes_that_do_not_fit_are_refused(shape, axes, sentence):
    with pytest.raises(VolumeError, match=sentence):
        Volume(np.zeros(shape), axes)


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.eye(3), np.diag([1, 1, 0, 1])])
def test_affines_that_cannot_be_inverted_are_refused(affine):
    with pytest.raises(VolumeError, match="invertible"):
        Volume(np.zeros((2, 3)), "yx", affine)


def test_selected_slice_keeps_its_place():
    volume = Volume(np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5), "tzyx", oblique())
    plane = volume.select("t", 1).select("z", 2)
    np.testing.assert_array_equal(plane.data, volume.data[1, 2])
    assert plane.axes == "yx"
    corner = volume.affine @ (4, 3, 2, 1)  # x, y, z
    np.testing.assert_allclose(plane.affine @ (4, 3, 0, 1), corner, atol=1e-12)
    for axis, index in (("c", 0), ("z", 3), ("z", -1)):
        with pytest.raises(VolumeError):
            volume.select(axis, index)


def test_labels_take_the_grid_of_their_image():
    classes = (LabelClass(1, "a", "#ffffff"),)
    for axes, shape in (("yxc", (4, 5, 3)), ("czyx", (2, 3, 4, 5)), ("zyx", (3, 4, 5))):
        image = Volume(np.zeros(shape), axes, oblique(), metadata={"source": "scan"})
        plain = tuple(n for n, a in zip(shape, axes, strict=True) if a != "c")
        labels = image.like(np.ones(plain, np.uint8), classes)
        assert labels.axes == axes.replace("c", "") and labels.classes == classes
        np.testing.assert_array_equal(labels.affine, image.affine)
        assert labels.metadata == image.metadata


def test_spacing_is_known_unless_the_metadata_denies_it():
    assert Volume(np.zeros((2, 3)), "yx").has_spacing
    assert not Volume(np.zeros((2, 3)), "yx", metadata={"has_spacing": False}).has_spacing


def test_other_data_on_the_grid_of_a_volume_have_another_making():
    volume = Volume(np.zeros((3, 4, 5)), "zyx", metadata={"record": Record("segment"), "series_uid": "1.2"})
    other = volume.like(np.ones((3, 4, 5)))
    assert other.record is None and other.metadata == {"series_uid": "1.2"}
    assert other.made_by(Record("draw")).record == Record("draw") and volume.record == Record("segment")


@pytest.mark.parametrize(
    ("axes", "shape", "axis", "index", "reviewed"),
    [
        ("zyx", (6, 4, 5), "z", 5, (0,)),
        ("zyx", (6, 4, 5), "z", 1, ()),
        ("tzyx", (2, 3, 4, 5), "t", 1, (2,)),
        ("tzyx", (2, 3, 4, 5), "z", 2, (0, 1)),
        ("czyx", (1, 6, 4, 5), "c", 0, (2, 5)),
        ("zyx", (4, 4, 5), "z", 2, (0,)),
    ],
)
def test_reviewed_slices_follow_a_selection(axes, shape, axis, index, reviewed):
    record = Record("segment", reviewed=(2, 5))
    volume = Volume(np.zeros(shape), axes, metadata={"record": record})
    assert volume.select(axis, index).record.reviewed == reviewed


def test_size_of_a_voxel_on_tilted_and_turned_grids():
    tilted = np.diag([1.0, 1.5, 4.0, 1.0])
    tilted[1, 2] = 2.0  # each slice lies 2 mm further along y: a gantry tilt
    volume = Volume(np.zeros((3, 4, 5)), "zyx", tilted)
    assert volume.voxel_size == pytest.approx(6.0) and np.prod(volume.spacing) > 6.7
    np.testing.assert_allclose(volume.steps, [[0, 2, 4], [0, 1.5, 0], [1, 0, 0]])
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    turned = np.eye(4)
    turned[:3, :3] = turn @ np.diag([1.0, -1.5, 4.0])
    volume = Volume(np.zeros((3, 4, 5)), "zyx", turned)
    np.testing.assert_allclose(volume.steps, np.diag([4.0, 1.5, 1.0]))
    assert volume.voxel_size == pytest.approx(6.0)
    sheared = np.eye(4)
    sheared[0, 1] = 1.0
    assert Volume(np.zeros((4, 5)), "yx", sheared).voxel_size == pytest.approx(1.0)
    sheared[0, 1] = 0.04
    sheared[2, 2] = 50.0  # a long axis hides no shear of the others
    sheared[1, 1] = sheared[0, 0] = 0.05
    volume = Volume(np.zeros((2, 4, 5)), "zyx", sheared)
    assert volume.voxel_size == pytest.approx(0.05 * 0.05 * 50) and volume.steps.any(axis=0).all()
    assert np.count_nonzero(volume.steps) == 4


def test_states_of_slices_follow_a_selection_and_not_other_data():
    rows = ({"first": 3, "last": 5, "state": "approved", "crc": [3, 4, 5]},)
    volume = Volume(np.zeros((2, 3, 4, 5), np.uint8), "tzyx").with_slices(rows)
    assert volume.select("t", 1).metadata["slices"] == ({"first": 0, "last": 2, "state": "approved", "crc": [3, 4, 5]},)
    assert "slices" not in volume.select("t", 0).metadata
    assert volume.select("z", 2).metadata["slices"] == ({"first": 1, "last": 1, "state": "approved", "crc": [5]},)
    assert "slices" not in volume.like(volume.data).metadata
