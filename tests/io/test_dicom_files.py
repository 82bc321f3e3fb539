"""DICOM folders of real people: every file is a slice of the volume, or a sentence names it."""

import os
import shutil

import numpy as np
import pydicom
import pytest

from napari_medseg import io
from napari_medseg.errors import FileError
from napari_medseg.io.contributions import get_reader


def three(slice_file, **elements):
    for z in range(3):
        path = slice_file(f"IM{z}", (0, 0, 2.0 * z), z + 1, **elements)
    return path


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_a_slice_without_the_preamble_is_a_slice(slice_file, implicit, little):
    path = three(slice_file)
    dataset = pydicom.dcmread(path)
    if not little:
        dataset.PixelData = np.full((4, 5), 3, ">u2").tobytes()
    del dataset.file_meta
    dataset.preamble = None
    pydicom.dcmwrite(path, dataset, enforce_file_format=False, little_endian=little, implicit_vr=implicit)
    assert path.read_bytes()[128:132] != b"DICM"
    for chosen in (path, path.with_name("IM0"), path.parent):
        assert io.read(chosen).data[:, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("content", [b"", bytes(1000), b"\x08\0\x16\0cut"])
def test_what_may_be_a_lost_slice_is_named(slice_file, content):
    path = three(slice_file)
    path.with_name("IM3").write_bytes(content)
    for chosen in (path, path.parent):
        with pytest.raises(FileError, match="'IM3' lies among DICOM files"):
            io.read(chosen)


def test_other_files_are_not_slices(slice_file):
    path = three(slice_file)
    path.with_name("README").write_text("Größe\n", encoding="utf-8")
    path.with_name("viewer.exe").write_bytes(bytes(1000))
    assert io.read(path.parent).data.shape == io.read(path).data.shape == (3, 4, 5)


def test_a_damaged_neighbour_is_named(slice_file):
    path = three(slice_file)
    other = path.with_name("IM0")
    other.write_bytes(other.read_bytes()[:400])
    with pytest.raises(FileError, match=r"'IM0' is damaged.* may be a slice of it"):
        io.read(path)


def test_what_macos_and_windows_leave_is_ignored(slice_file):
    path = three(slice_file)
    for k in range(3):
        shutil.copy(path.with_name(f"IM{k}"), path.with_name(f"{k}.dcm"))
        path.with_name(f"IM{k}").unlink()
    for k in range(30):
        path.with_name(f"._{k}.dcm").write_bytes(b"\0\5\x16\7" + bytes(4000))
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        path.with_name(name).write_bytes(bytes(range(9)))
    assert io.read(path.parent).data.shape == (3, 4, 5)
    assert io.read(path.with_name("1.dcm")).data.shape == (3, 4, 5)
    assert get_reader(str(path.parent)) is not None


@pytest.mark.parametrize("name", ["IM0", "z.dcm", "z.0001", "zz.ima2"])
def test_other_files_do_not_hide_a_series_from_the_viewer(slice_file, name):
    path = slice_file(name)
    for k in range(1100):
        (path.parent / f"{k:04d}.json").touch()
    os.mkfifo(path.parent / "0000.pipe")
    assert get_reader(str(path.parent)) is not None
    path.unlink()
    assert get_reader(str(path.parent)) is None


def test_images_of_one_identifier_are_all_there(slice_file):
    path = three(slice_file, SOPInstanceUID="1.2.3")
    for chosen in (path, path.parent):
        assert io.read(chosen).data[:, 0, 0].tolist() == [1, 2, 3]


def test_other_pixels_of_one_identifier_and_place_are_named(slice_file):
    for name, value in (("a", 1), ("b", 2)):
        path = slice_file(name, (0, 0, 5), value, SOPInstanceUID="1.2.3")
    with pytest.raises(FileError, match="'a' and 'b' have the same identifier and place, but other pixels"):
        io.read(path.parent)


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ({"PixelSpacing": [2, 2]}, r"'IM3' has 4 x 5 pixels of 2 x 2 mm, 'IM\d' 4 x 5 pixels of 1.5 x 0.5 mm"),
        ({"Rows": 2, "Columns": 10}, "'IM3' has 2 x 10 pixels"),
        ({"ImagePositionPatient": None}, "'IM3' has no position in space"),
    ],
)
def test_slices_of_another_grid_are_not_left_out_without_a_word(slice_file, elements, sentence):
    path = three(slice_file)
    slice_file("IM3", (0, 0, 6.0), **elements)
    with pytest.raises(FileError, match=sentence):
        io.read(path)
    with pytest.raises(FileError, match="holds 2 series or orientations"):
        io.read(path.parent)
