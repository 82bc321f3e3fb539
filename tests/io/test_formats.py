"""A file is what its first bytes say, and its name has to agree."""

from pathlib import Path

import numpy as np
import pytest

from napari_medseg import io
from napari_medseg.errors import FileError
from napari_medseg.io import formats
from napari_medseg.volume import Volume


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.nii.gz", "a"), ("A.NII.GZ", "A"), ("a.b.tif", "a.b"), ("IM0001", "IM0001"), ("1.2.840", "1.2.840")],
)
def test_stem_leaves_out_the_whole_ending(name, stem):
    assert formats.stem(Path("folder") / name) == stem


@pytest.mark.parametrize("claimed", [".nii", ".nii.gz", ".tif", ".npy", ".npz", ".png", ".jpg", ".dcm"])
@pytest.mark.parametrize("true", [".nii", ".nii.gz", ".tif", ".npy", ".npz"])
def test_a_file_that_is_not_what_its_name_says_is_told(tmp_path, true, claimed):
    path = io.write(Volume(np.ones((20, 30), np.uint8), "yx"), tmp_path / f"a{true}")
    path = path.rename(tmp_path / f"b{claimed}")
    if true == claimed:
        assert io.read(path).data.shape == (20, 30)
    else:
        with pytest.raises(FileError, match=rf"'b{claimed}' is not the .* its name says"):
            io.read(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.dcm", "a.tif", "a.png", "a.npy", "a.npz", "a", "a.txt"])
@pytest.mark.parametrize(("content", "sentence"), [(b"", "empty"), (b"hello" * 200, "is not the|cannot be read")])
def test_empty_files_and_text_are_told(tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError, match=sentence):
        io.read(path)


def test_a_gzip_file_of_something_else_is_told(tmp_path):
    import gzip

    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"hello" * 500))
    with pytest.raises(FileError, match="damaged"):
        io.read(path)


def test_missing_file_is_told(tmp_path):
    with pytest.raises(FileError, match="cannot be opened"):
        io.read(tmp_path / "a.nii")


@pytest.mark.parametrize("name", ["a.hdr", "a.img"])
def test_half_of_a_pair_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(400))
    with pytest.raises(FileError, match=r"a\.hdr and a\.img"):
        formats.recognise(tmp_path / name)


def test_names_that_are_too_long_are_told(tmp_path):
    with pytest.raises(FileError, match="shorter"):
        formats.writable(tmp_path / ("x" * 250 + ".nii.gz"))
