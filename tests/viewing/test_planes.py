"""A volume with a marked left side, stored in every order of its axes, against SimpleITK and nibabel."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.orientations import aff2axcodes, apply_orientation, inv_ornt_aff

from napari_medseg import samples
from napari_medseg.errors import VolumeError
from napari_medseg.io import read
from napari_medseg.viewing.anatomy import anatomy_of, edges, flat_directions, letters, plane_text, turned_directions
from napari_medseg.viewing.planes import PLANES, arrange, upright, why_not
from napari_medseg.volume import Volume

STORED = [
    np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
TILT = np.array([[0.94, 0, 0.342], [0, 1, 0], [-0.342, 0, 0.94]])  # 20 degrees about the front-back axis
SHAPE = (7, 6, 5)  # (x, y, z) of the RAS volume
NAMES = {"left": 1, "anterior": 2, "superior": 3}


def ras(turn=None):
    """A RAS volume (x, y, z) with marks on its left, front and upper side, and its affine."""
    data = np.zeros(SHAPE, np.int16)
    data[0, 3, 2] = NAMES["left"]
    data[3, -1, 1] = NAMES["anterior"]
    data[2, 2, -1] = NAMES["superior"]
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ np.diag([1.0, 2.0, 3.0])
    affine[:3, 3] = (-11, 5, 40)
    return data, affine


def stored(change, turn=None, lead=()):
    """The same volume with other axes, as nibabel turns it."""
    data, affine = ras(turn)
    turned = apply_orientation(data, change)
    array = np.ascontiguousarray(turned.T)
    array = np.broadcast_to(array, (*lead, *array.shape))
    axes = "tzyx"[-array.ndim :]
    return Volume(array, axes, affine @ inv_ornt_aff(change, data.shape), metadata={"format": "NIfTI"})


def on_canvas(array, arrangement):
    """What a canvas shows of an array, slice by slice; napari lets axes grow down and to the right unless asked."""
    shown = array.transpose(arrangement.order)
    _, vertical, horizontal = arrangement.orientation
    shown = shown[..., ::-1, :] if vertical == "up" else shown
    return shown[..., ::-1] if horizontal == "left" else shown


def as_itk(volume):
    """The volume as SimpleITK knows it, by its own LPS matrix."""
    image = sitk.GetImageFromArray(volume.data)
    lps = np.diag([-1, -1, 1]) @ volume.affine[:3, :3]
    spacing = np.linalg.norm(lps, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps / spacing).ravel().tolist())
    return image


@pytest.mark.parametrize("change", STORED, ids=str)
def test_letters_are_those_of_nibabel_and_simpleitk(change):
    volume = stored(change)
    anatomy = anatomy_of(volume)
    found = edges(*flat_directions(anatomy, (1, 2), 3, ("down", "right")))
    codes = aff2axcodes(volume.affine)
    assert (found.right, found.bottom) == codes[:2]
    assert found.left not in codes[:1] and found.top not in codes[:2]
    itk = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(as_itk(volume).GetDirection())
    assert found.right + found.bottom == itk[:2]
    turned = edges(*flat_directions(anatomy, (2, 1), 3, ("up", "left")))
    assert (turned.top, turned.left) == codes[:2], "transposed, and both axes reversed"


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("change", STORED, ids=str)
def test_every_plane_lies_as_simpleitk_turns_it(change, name):
    volume = stored(change)
    arrangement = arrange(anatomy_of(volume), 3, name)
    shown = on_canvas(volume.data, arrangement)
    lps = sitk.GetArrayFromImage(sitk.DICOMOrient(as_itk(volume), "LPS"))  # (z, y, x): up, back and left
    expected = {
        "axial": lps,
        "coronal": lps[::-1].transpose(1, 0, 2),
        "sagittal": lps[::-1].transpose(2, 0, 1),
    }[name]
    assert shown.shape == expected.shape
    assert np.array_equal(shown, expected) or np.array_equal(shown, expected[::-1]), "slices may come the other way"


@pytest.mark.parametrize("change", STORED[::7], ids=str)
@pytest.mark.parametrize(
    ("name", "expected"), [("axial", "RLAP"), ("coronal", "RLSI"), ("sagittal", "APSI")], ids=list(PLANES)
)
def test_letters_of_every_plane_over_time_in_a_viewer_with_more_axes(change, name, expected):
    anatomy = anatomy_of(stored(change, lead=(2,)))
    arrangement = arrange(anatomy, 5, name)
    assert arrangement.order[:2] == (0, 1), "time and what other layers have stay sliders"
    found = edges(*flat_directions(anatomy, arrangement.order[-2:], 5, arrangement.orientation[1:]))
    assert found.left + found.right + found.top + found.bottom == expected
    directions = flat_directions(anatomy, arrangement.order[-2:], 5, arrangement.orientation[1:])
    assert plane_text(*directions) == name


@pytest.mark.parametrize("change", STORED[::5], ids=str)
def test_a_rendering_is_not_mirrored_and_has_the_letters_of_the_slice(change):
    anatomy = anatomy_of(stored(change))
    for name in PLANES:
        arrangement = arrange(anatomy, 3, name)
        depth, vertical, horizontal = arrangement.orientation
        # napari's own definition of a camera that was not turned
        view = (-1 if depth == "towards" else 1, 0, 0)
        up = (0, -1 if vertical == "down" else 1, 0)
        left_handed = sum((depth == "away", vertical == "up", horizontal == "left")) % 2 == 1
        right, down = turned_directions(anatomy, arrangement.order, 3, view, up, left_handed)
        flat = flat_directions(anatomy, arrangement.order[-2:], 3, arrangement.orientation[1:])
        assert np.allclose(right, flat[0]) and np.allclose(down, flat[1])
        to_the_eye = -view[0] * anatomy.direction(arrangement.order[0], 3)
        assert np.allclose(np.cross(right, -down), to_the_eye), "right, up and towards the eye are right-handed"


def test_letters_of_oblique_directions():
    assert letters(np.array([-2.0, 0, 0])) == "L"
    assert letters(np.array([0, -1, 0.2])) == "P", "tilted by 11 degrees"
    assert letters(np.array([0.3, 0, -1.0])) == "IR"
    assert letters(np.array([1, 0.9, 0.8])) == "RAS"


def test_an_oblique_scan_is_named_by_its_main_plane():
    anatomy = anatomy_of(stored(STORED[0], TILT))
    arrangement = arrange(anatomy, 3, "axial")
    right, down = flat_directions(anatomy, arrangement.order[-2:], 3, arrangement.orientation[1:])
    assert plane_text(right, down) == "oblique, nearest to axial (20° off)"
    found = edges(right, down)
    assert (found.left, found.right, found.top, found.bottom) == ("RI", "LS", "A", "P")
    assert plane_text(np.array([1, 0, 0.14]), down) == "axial, tilted by 8°"
    assert plane_text(np.array([1, 0, 0.04]), down) == "axial"


def test_the_plane_of_very_oblique_slices_is_the_one_in_their_name():
    anatomy = anatomy_of(read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz")))
    assert "nearest to sagittal (48" in plane_text(anatomy.world[:, 0], anatomy.world[:, 1])
    assert set(arrange(anatomy, 3, "sagittal").order[-2:]) == {1, 2}


def test_what_does_not_say_where_the_patient_lies_has_no_letters():
    volume = stored(STORED[0])
    for metadata in (
        {},
        {"format": "TIFF"},
        {"format": "NIfTI", "space_code": 0},
        {"format": "DICOM", "has_place": False},
        {"format": "NIfTI", "has_spacing": False},
    ):
        with pytest.raises(VolumeError, match="does not say where right, front and head"):
            anatomy_of(Volume(volume.data, "zyx", metadata=metadata))


def test_a_slice_shows_its_own_plane_only():
    volume = stored(STORED[0])
    flat = anatomy_of(volume.select("z", 2))
    assert why_not(flat, "axial") == "" and "single slice of another plane" in why_not(flat, "coronal")
    assert arrange(flat, 2, "axial").order == (0, 1)
    with pytest.raises(VolumeError, match="There is no sagittal view"):
        arrange(flat, 2, "sagittal")
    one = anatomy_of(Volume(volume.data[:1], "zyx", volume.affine, metadata=volume.metadata))
    assert why_not(one, "axial") == "" and "one slice only" in why_not(one, "coronal")


def test_time_has_no_letters():
    anatomy = anatomy_of(stored(STORED[0], lead=(2,)))
    found = edges(*flat_directions(anatomy, (0, 3), 4, ("down", "right")))
    assert (found.top, found.bottom) == ("", "") and found.left + found.right == "LR"
    assert turned_directions(anatomy, (0, 2, 3), 4, (-1, 0, 0), (0, -1, 0), False) is None


@pytest.mark.parametrize("change", STORED, ids=str)
def test_the_slices_of_a_layer_stand_upright_if_no_axes_change_places(change):
    anatomy = anatomy_of(stored(change))
    orientation = upright(anatomy)
    if orientation is None:
        assert all(arrange(anatomy, 3, name).order != (0, 1, 2) for name in PLANES)
        return
    right, down = flat_directions(anatomy, (1, 2), 3, orientation[1:])
    found = edges(right, down)
    assert (found.left, found.top) in {("R", "A"), ("R", "S"), ("A", "S")}
