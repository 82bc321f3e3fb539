"""NumPy files: which array is the image, and no pickles."""

import io as stdio
import json
import zipfile

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.errors import FileError, VolumeError
from napari_medseg.io import arrays


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5, 6), "yx"), ((4, 5, 6), "zyx"), ((2, 4, 5, 6), "tzyx"), ((5, 6, 3), "yxc"), ((4, 5, 6, 3), "zyxc")],
)
def test_axes_are_guessed(tmp_path, shape, axes):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    volume = io.read(tmp_path / "a.npy")
    assert volume.axes == axes and volume.data.shape == shape and not volume.has_spacing


def test_transparency_is_dropped(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 6, 4)))
    assert io.read(tmp_path / "a.npy").data.shape == (5, 6, 3)


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 5, 6)])
def test_axes_that_cannot_be_guessed_are_told(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(VolumeError, match="axes='tczyx'"):
        io.read(tmp_path / "a.npy")


def test_image_is_found_among_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", label=np.ones((5, 6), np.uint8), image=np.full((5, 6), 0.5), case=np.array("p1"))
    assert io.read(tmp_path / "a.npz").data[0, 0] == 0.5
    labels = arrays.read_labels(tmp_path / "a.npz")
    assert labels.data[0, 0] == 1 and labels.metadata["labels"]


def test_a_single_array_is_the_image_whatever_its_name(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", whatever=np.zeros((5, 6)))
    assert io.read(tmp_path / "a.npz").data.shape == (5, 6)
    assert arrays.read_labels(tmp_path / "a.npz") is None


def test_several_arrays_none_of_them_the_image_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", kspace=np.zeros((5, 6), np.complex64), mask=np.zeros((5, 6)))
    with pytest.raises(FileError, match="kspace, mask"):
        io.read(tmp_path / "a.npz")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    "array", [np.array([[{}, 1]], object), np.array([["a", "b"]]), np.zeros((2, 3), complex), np.zeros(3, "f4,i2")]
)
def test_arrays_that_are_no_images_are_told(tmp_path, suffix, array):
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, array, allow_pickle=True)
    else:
        np.savez(path, image=array)
    with pytest.raises(FileError, match="holds voxels of type"):
        io.read(path)


def header(shape, dtype="<f8"):
    file = stdio.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((10**5, 10**5, 10**5), "declares an image"),
        ((100, 100), "cut short"),
        ((0, 5), "every axis"),
        ((-3, 5), "every"),
    ],
)
def test_headers_that_lie_are_told(tmp_path, suffix, shape, sentence):
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        path.write_bytes(header(shape) + bytes(64))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("image.npy", header(shape) + bytes(64))
    with pytest.raises(FileError, match=sentence):
        io.read(path)


def test_an_archive_without_arrays_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(FileError, match="none"):
        io.read(tmp_path / "a.npz")


def test_geometry_of_a_bare_array_is_in_its_side_file(tmp_path, volume):
    path = io.write(volume, tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(path), volume.data)
    notes = json.loads((tmp_path / "a.npy.json").read_text())["napari_medseg"]
    assert notes["affine"] == volume.affine.tolist()
    np.testing.assert_array_equal(io.read(path).affine, volume.affine)
