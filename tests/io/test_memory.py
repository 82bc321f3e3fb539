"""The memory check counts what reading takes."""

import gzip
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from napari_medseg.errors import FileError
from napari_medseg.io import read

NUMBER = 32 * 32 * 32


def save(path, dtype, slope=1.0):
    data = np.zeros((32, 32, 32), dtype)
    if ".nii" in path.name:
        order = "<" if data.dtype.isnative else ">"
        image = nib.Nifti1Image(data, np.eye(4), nib.Nifti1Header(endianness=order), dtype=data.dtype)
        image.header["scl_slope"], image.header["scl_inter"] = slope, 0
        plain = image.to_bytes()
        path.write_bytes(gzip.compress(plain) if path.suffix == ".gz" else plain)
    elif path.suffix == ".npy":
        np.save(path, data)
    elif path.suffix == ".npz":
        np.savez_compressed(path, data=data)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, data, photometric="minisblack")
    else:
        Image.fromarray(data.reshape(32, -1)).save(path)


# name, type, slope, bytes per voxel that reading takes
FILES = [
    ("a.nii", "i2", 1.0, 2),
    ("a.nii.gz", "i2", 1.0, 4),
    ("a.nii.gz", "f4", 1.0, 8),
    ("a.nii", "i2", 2.5, 6),
    ("a.nii.gz", "f8", 1.0, 16),
    ("a.nii", ">f4", 1.0, 8),
    ("a.npy", "f4", 1.0, 4),
    ("b.npy", ">f4", 1.0, 8),
    ("c.npy", "?", 1.0, 2),
    ("a.npz", "i2", 1.0, 2),
    ("a.tif", "u2", 1.0, 2),
    ("a.png", "u1", 1.0, 5),
]


@pytest.mark.parametrize(("name", "dtype", "slope", "taken"), FILES)
def test_copies_count(tmp_path, monkeypatch, name, dtype, slope, taken):
    save(tmp_path / name, dtype, slope)
    free = taken * NUMBER
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    assert read(tmp_path / name).data.size == NUMBER
    free -= 1
    with pytest.raises(FileError, match="reading takes"):
        read(tmp_path / name)
