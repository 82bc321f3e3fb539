"""NIfTI: geometry, scaling and classes as others see them, and headers that lie."""

import gzip
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.cli import main
from napari_medseg.errors import FileError, VolumeError
from napari_medseg.io import nifti
from napari_medseg.io.notes import Notes
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "one", "#ff0000"),)


def quaternion_affine():
    """Turned about two axes, without shear, with an offset that 32 bits cannot hold."""
    a, b = np.deg2rad([17, -41])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag([-0.7, 1.3, 9.9])
    affine[:3, 3] = -214.123456789, 99.87654321, 512.3333333
    return affine


def save(path, data, affine=None, **header):
    image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def patched(path, name, value):
    """The file with one field of its header overwritten, unseen by nibabel."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        raw = bytearray(file.read())
    header = np.frombuffer(raw[:348], nib.nifti1.header_dtype).copy()
    header[name] = value
    raw[:348] = header.tobytes()
    with opened(path, "wb") as file:
        file.write(raw)
    return path


def test_array_is_the_transpose_of_nibabels(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = io.read(save(tmp_path / "a.nii.gz", data))
    np.testing.assert_array_equal(volume.data, data.T)
    assert volume.axes == "zyx" and volume.data.dtype == np.int16


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((6, 5), "yx"), ((6, 5, 1), "zyx"), ((6, 5, 3, 2), "tzyx"), ((6, 5, 3, 1, 2), "czyx"), ((6, 5, 3, 2, 2), "tczyx")],
)
def test_axes_follow_from_the_number_of_dimensions(tmp_path, shape, axes):
    data = np.random.default_rng(0).normal(size=shape)
    volume = io.read(save(tmp_path / "a.nii", data))
    assert volume.axes == axes
    letters = ("x", "y", "z", "t", "c")[: len(shape)]
    order = [letters.index(a) for a in axes]
    others = tuple(i for i in range(len(shape)) if i not in order)
    ranks = np.argsort(np.argsort(order))  # positions once the missing axis is gone
    np.testing.assert_array_equal(volume.data, data.squeeze(others).transpose(ranks))


def test_one_time_point_is_not_an_axis(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((6, 5, 3, 1), np.uint8))
    assert io.read(path).axes == "zyx"
    assert io.read(path, axes="tzyx").data.shape == (1, 3, 5, 6)
    series = Volume(np.zeros((1, 3, 5, 6), np.uint8), "tzyx")
    assert io.read(io.write(series, tmp_path / "b.nii")).axes == "tzyx"


def test_colours_are_read_as_a_last_axis(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 3), np.uint8)
    stored = data.view([(name, np.uint8) for name in "RGB"])[..., 0]
    volume = io.read(save(tmp_path / "a.nii", stored))
    assert volume.axes == "zyxc"
    np.testing.assert_array_equal(volume.data, data.transpose(2, 1, 0, 3))


def test_scaling_is_applied(tmp_path):
    path = save(tmp_path / "a.nii", np.array([[-2, 0], [1, 5]], np.int16))
    patched(patched(path, "scl_slope", 0.5), "scl_inter", -3)
    volume = io.read(path)
    np.testing.assert_allclose(volume.data, [[-4, -2.5], [-3, -0.5]])
    assert volume.data.dtype == np.float32


@pytest.mark.parametrize("offset", [0, np.nan])
def test_a_slope_of_nan_means_no_scaling(tmp_path, offset):
    data = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = save(tmp_path / "a.nii", data)
    patched(patched(path, "scl_slope", np.nan), "scl_inter", offset)
    volume = io.read(path)
    assert volume.data.dtype == np.uint8
    np.testing.assert_array_equal(volume.data, data.T)


@pytest.mark.parametrize(("code", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
def test_affine_is_in_millimetres(tmp_path, code, factor):
    path = save(tmp_path / "a.nii", np.zeros((2, 3, 4)), np.diag([2, 3, 4, 1]), xyzt_units=code)
    assert io.read(path).spacing == pytest.approx((4 * factor, 3 * factor, 2 * factor))


@pytest.mark.parametrize(
    ("sform", "shape", "sizes", "known"),
    [
        (0, (2, 3, 4), (0.5, 0.5, 0), False),
        (0, (2, 3, 4), (0, 0.5, 2), False),
        (0, (2, 3, 1), (0.5, 0.5, 0), True),
        (0, (2, 3), (0.5, 0.5, 0), True),
        (0, (2, 3, 4), (0.5, 0.5, 2), True),
        (1, (2, 3, 4), (0.5, 0.5, 0), True),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_size_of_nothing_is_not_known(tmp_path, sform, shape, sizes, known, suffix):
    path = save(tmp_path / f"a{suffix}", np.zeros(shape, np.uint8))
    pixdim = np.ones(8, np.float32)
    pixdim[1:4] = sizes
    patched(patched(path, "pixdim", pixdim), "sform_code", sform)
    assert io.read(path).has_spacing == known


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (0, 0), (2, 1)])
def test_affine_is_the_one_nibabel_picks(tmp_path, codes):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), quaternion_affine())
    image.set_sform(quaternion_affine(), codes[0])
    image.set_qform(np.diag([2, 3, 4, 1]), codes[1])
    nib.save(image, tmp_path / "a.nii")
    expected = nib.load(tmp_path / "a.nii").affine
    np.testing.assert_allclose(io.read(tmp_path / "a.nii").affine, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["sform", "qform", "sheared"])
def test_labels_have_the_affine_of_their_image_for_every_reader(tmp_path, kind):
    affine = quaternion_affine()
    if kind == "sheared":
        affine[0, 2] += 0.8
    image = nib.Nifti1Image(np.zeros((6, 5, 3), np.int16), affine)
    image.set_sform(affine, 0 if kind == "qform" else 3)
    image.set_qform(affine, 3 if kind == "qform" else 0)
    nib.save(image, tmp_path / "image.nii.gz")
    volume = io.read(tmp_path / "image.nii.gz")
    io.write(volume.like(np.ones((3, 5, 6), np.uint8)), tmp_path / "labels.nii.gz")
    written = nib.load(tmp_path / "labels.nii.gz")
    np.testing.assert_allclose(written.affine, nib.load(tmp_path / "image.nii.gz").affine, rtol=0, atol=1e-6)
    assert written.shape == image.shape
    for code in ("sform_code", "qform_code"):
        assert written.header[code] == image.header[code]
    if kind == "qform":
        np.testing.assert_allclose(written.get_qform(), written.affine, atol=1e-3)


@pytest.mark.parametrize(
    ("sform", "qform", "shear"),
    [(1, 1, 0), (2, 1, 0), (4, 1, 0), (2, 0, 0), (0, 1, 0), (0, 0, 0), (2, 1, 0.01), (2, 0, 0.01), (0, 2, 0.01)],
)
@pytest.mark.parametrize("unit", [2, 3])
def test_labels_carry_both_transforms_of_their_image(tmp_path, sform, qform, shear, unit):
    turned = quaternion_affine()
    turned[0, 2] += shear
    image = nib.Nifti1Image(np.zeros((6, 5, 3), np.int16), np.diag([2.0, 3.0, 4.0, 1.0]))
    image.set_qform(np.diag([2.0, 3.0, 4.0, 1.0]), qform)
    image.set_sform(turned, sform)
    image.header["xyzt_units"] = unit
    nib.save(image, tmp_path / "image.nii")
    volume = io.read(tmp_path / "image.nii")
    io.write(volume.like(np.ones((3, 5, 6), np.uint8), CLASSES), tmp_path / "labels.nii")
    expected = nib.load(tmp_path / "image.nii").header
    header = nib.load(tmp_path / "labels.nii").header
    for name in ("qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "pixdim", "xyzt_units"):
        np.testing.assert_array_equal(header[name], expected[name])
    np.testing.assert_array_equal(header.get_qform(), expected.get_qform())


@pytest.mark.parametrize(("shear", "said"), [(0, False), (0.2, True)])
def test_convert_says_what_itk_cannot_open(tmp_path, capsys, shear, said):
    affine = quaternion_affine()
    affine[0, 2] += shear
    source = io.write(Volume(np.zeros((3, 5, 6), np.uint8), "zyx", affine), tmp_path / "a.tif")
    assert main(["convert", str(source), str(tmp_path / "b.nii")]) == 0
    assert ("ITK cannot open" in capsys.readouterr().err) == said
    assert bool(nifti.notice(io.read(tmp_path / "b.nii"))) == said


def test_a_crop_has_a_transform_of_its_own(tmp_path):
    image = nib.Nifti1Image(np.zeros((6, 5, 3), np.int16), np.diag([2.0, 3.0, 4.0, 1.0]))
    image.set_sform(quaternion_affine(), 2)
    nib.save(image, tmp_path / "image.nii")
    volume = io.read(tmp_path / "image.nii")
    cropped = replace(volume, data=volume.data[1:])
    moved = replace(volume, affine=np.diag([2.0, 3.0, 5.0, 1.0]))
    for part in (cropped, moved):
        back = nib.load(io.write(part, tmp_path / "part.nii"))
        np.testing.assert_allclose(back.get_qform(), part.affine, atol=1e-3)
        np.testing.assert_allclose(back.get_sform(), part.affine, atol=1e-4)


def test_affine_keeps_64_bits_for_us_and_32_for_others(tmp_path, volume):
    affine = quaternion_affine()
    path = io.write(replace(volume, affine=affine), tmp_path / "a.nii")
    np.testing.assert_allclose(io.read(path).affine, affine, rtol=0, atol=1e-12)
    np.testing.assert_allclose(nib.load(path).affine, affine, rtol=2**-24)


def test_affine_that_another_program_changed_wins(tmp_path, volume):
    path = io.write(volume, tmp_path / "a.nii")
    image = nib.load(path)
    moved = image.affine.copy()
    moved[0, 3] += 0.001
    image.set_sform(moved, 1)
    nib.save(image, tmp_path / "b.nii")
    np.testing.assert_allclose(io.read(tmp_path / "b.nii").affine, moved, atol=1e-5)


def test_classes_are_in_the_header(tmp_path, labels):
    path = io.write(labels, tmp_path / "a.nii.gz")
    assert nib.load(path).header["intent_code"] == 1002
    assert io.read(path).classes == labels.classes
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_old_class_table_is_read_for_labels_that_lost_their_notes(tmp_path, labels):
    (tmp_path / "a.json").write_text(json.dumps({"RepetitionTime": 2.5, "napari_medseg": Notes.of(labels).to_json()}))
    path = save(tmp_path / "a.nii", labels.data.T, intent_code=1002)
    assert io.read(path).classes == labels.classes and io.read(path).metadata["labels"]
    scan = save(tmp_path / "a.nii.gz", labels.data.T)
    assert not io.read(scan).classes and "labels" not in io.read(scan).metadata


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("dim", [3, 30000, 30000, 30000, 1, 1, 1, 1], "declares an image of 30000|cut short"),
        ("dim", [3, 2000, 2000, 100, 1, 1, 1, 1], "cut short"),
        ("dim", [3, -5, 5, 5, 1, 1, 1, 1], "declares an image of"),
        ("dim", [3, 0, 5, 5, 1, 1, 1, 1], "every axis needs"),
        ("dim", [7, 2, 2, 2, 1, 1, 1, 2], "7 axes"),
        ("datatype", 1792, "complex128"),
        ("datatype", 77, "damaged"),
        ("scl_slope", np.inf, "not a number"),
        ("scl_inter", np.inf, "not a number"),
        ("vox_offset", 1e30, "at byte"),
        ("srow_x", 0, "not invertible"),
        ("srow_y", np.nan, "not finite"),
    ],
)
def test_headers_that_lie_are_told(tmp_path, suffix, name, value, sentence):
    path = save(tmp_path / f"a{suffix}", np.zeros((4, 5, 6), np.int16), quaternion_affine())
    with pytest.raises(FileError, match=sentence):
        io.read(patched(path, name, value))


def test_changed_voxels_in_a_compressed_file_are_told(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 9, (40, 40, 9), np.uint8))
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1  # in the check sum
    path.write_bytes(raw)
    with pytest.raises(FileError, match="damaged"):
        io.read(path)


def test_images_that_nifti_cannot_hold_are_refused(tmp_path):
    with pytest.raises(VolumeError, match="colours"):
        io.write(Volume(np.zeros((4, 5, 3), np.float32), "yxc"), tmp_path / "a.nii")
    with pytest.raises(VolumeError, match="32767"):
        io.write(Volume(np.zeros((1, 40000), np.uint8), "yx"), tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


def test_the_step_of_a_time_series_is_kept(tmp_path):
    image = nib.Nifti1Image(np.zeros((4, 5, 3, 6), np.int16), np.eye(4))
    image.header.set_zooms((1, 1, 1, 2.5))
    image.header.set_xyzt_units("mm", "sec")
    image.header["toffset"] = 7
    nib.save(image, tmp_path / "a.nii.gz")
    io.write(io.read(tmp_path / "a.nii.gz"), tmp_path / "b.nii.gz")
    header = nib.load(tmp_path / "b.nii.gz").header
    assert header.get_zooms() == (1, 1, 1, 2.5) and header.get_xyzt_units() == ("mm", "sec") and header["toffset"] == 7
    moved = replace(io.read(tmp_path / "a.nii.gz"), affine=np.diag([2.0, 2, 2, 1]))
    io.write(moved, tmp_path / "c.nii.gz")
    assert nib.load(tmp_path / "c.nii.gz").header.get_xyzt_units() == ("mm", "unknown")
