"""`read` and `write`: every format gives back what was written."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.errors import FileError, VolumeError
from napari_medseg.volume import Volume

SUFFIXES = [".nii", ".nii.gz", ".tif", ".ome.tif", ".npy", ".npz"]
SHAPES = {
    "yx": (5, 6),
    "zyx": (1, 5, 6),
    "tyx": (2, 5, 6),
    "cyx": (2, 5, 6),
    "tzyx": (2, 3, 5, 6),
    "czyx": (2, 3, 5, 6),
    "tczyx": (2, 2, 3, 5, 6),
    "yxc": (5, 6, 3),
    "zyxc": (4, 5, 6, 3),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("axes", SHAPES)
def test_voxels_axes_and_affine_come_back(tmp_path, volume, axes, suffix):
    data = np.random.default_rng(0).integers(0, 255, SHAPES[axes], np.uint8)
    written = Volume(data, axes, volume.affine)
    back = io.read(io.write(written, tmp_path / f"a{suffix}"))
    assert back.axes == axes and back.data.dtype == data.dtype and back.data.flags.c_contiguous
    np.testing.assert_array_equal(back.data, data)
    np.testing.assert_allclose(back.affine, volume.affine, rtol=0, atol=1e-9)
    assert back.has_spacing


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "uint32", "float16", "float32", "float64", ">i2", ">f4"])
def test_values_of_every_type_come_back(tmp_path, volume, dtype, suffix):
    data = (volume.data * 10 if dtype != "bool" else volume.data > 0).astype(dtype)
    back = io.read(io.write(replace(volume, data=data), tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(back.data, data)
    assert back.data.dtype.isnative


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_classes_and_an_unknown_voxel_size_come_back(tmp_path, labels, suffix):
    written = replace(labels, affine=np.eye(4), metadata={"has_spacing": False})
    back = io.read(io.write(written, tmp_path / f"a{suffix}"))
    assert back.classes == labels.classes and not back.has_spacing


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_are_stored_as_small_unsigned_integers(tmp_path, labels, suffix):
    written = replace(labels, data=labels.data.astype(np.int64) * 40)
    back = io.read(io.write(written, tmp_path / f"a{suffix}"))
    assert back.data.dtype == np.uint16
    np.testing.assert_array_equal(back.data, written.data)


def test_object_numbers_without_classes_stay_labels(tmp_path, labels):
    written = replace(labels, classes=(), metadata={"labels": True})
    for suffix in SUFFIXES:
        assert io.read(io.write(written, tmp_path / f"a{suffix}")).metadata["labels"]


def test_not_a_number_comes_back(tmp_path, volume):
    volume.data[0, 0, 0] = np.nan
    np.testing.assert_array_equal(io.read(io.write(volume, tmp_path / "a.nii.gz")).data, volume.data)


@pytest.mark.parametrize("data", [np.full((2, 3), -1), np.full((2, 3), 0.5)])
def test_labels_that_are_no_class_numbers_are_refused(tmp_path, data):
    with pytest.raises(VolumeError, match="whole numbers"):
        io.write(Volume(data, "yx", metadata={"labels": True}), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_complex_images_are_refused(tmp_path):
    with pytest.raises(VolumeError, match="complex64"):
        io.write(Volume(np.zeros((2, 3), np.complex64), "yx"), tmp_path / "a.npy")


def test_axes_can_be_named_by_the_reader(tmp_path, volume):
    for suffix in SUFFIXES:
        assert io.read(io.write(volume, tmp_path / f"a{suffix}"), axes="tyx").axes == "tyx"
        with pytest.raises(VolumeError, match="3 axes"):
            io.read(tmp_path / f"a{suffix}", axes="yx")


def test_metadata_tell_where_an_image_comes_from(tmp_path, volume):
    path = io.write(volume, tmp_path / "a.nii")
    assert io.read(str(path)).metadata["source"] == str(path)
    assert io.read(path).metadata["format"] == "NIfTI"


@pytest.mark.parametrize("name", ["a.png", "a.dicom", "a.xyz", "a"])
def test_endings_that_cannot_be_written_are_told(tmp_path, volume, name):
    with pytest.raises(FileError, match=r"\.nii\.gz"):
        io.write(volume, tmp_path / name)


def test_missing_folder_is_told(tmp_path, volume):
    with pytest.raises(FileError, match="does not exist"):
        io.write(volume, tmp_path / "there" / "a.nii")


def test_import_is_light():
    code = "import sys, napari_medseg.io; print({'nibabel', 'pydicom', 'tifffile', 'PIL', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
