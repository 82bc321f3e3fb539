"""A file is what its first bytes say, and its name has to agree."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from napari_medseg import io
from napari_medseg.errors import FileError
from napari_medseg.io import formats
from napari_medseg.runs.inputs import find_inputs
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


# ---- one table ----

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "napari_medseg"


def manifest():
    return yaml.safe_load((SOURCE / "napari.yaml").read_text("utf-8"))["contributions"]


def contributions(kind):
    """The entries of the manifest that belong to this room, by the last part of their command."""
    found = {entry["command"].removeprefix("napari-medseg."): entry for entry in manifest()[kind]}
    return {name: entry for name, entry in found.items() if name != "read_kspace"}


@pytest.mark.parametrize("row", formats.FORMATS, ids=lambda row: row.name)
def test_functions_of_a_row_exist(row):
    for text in filter(None, (row.read, row.save, row.read_all, row.notice, row.fitted)):
        assert callable(formats.function(text))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in row.suffixes)


def test_no_ending_stands_twice():
    endings = formats.suffixes()
    assert len(endings) == len(set(endings))
    assert len({row.name for row in formats.FORMATS}) == len(formats.FORMATS)


def test_longest_ending_counts():
    assert formats.named(Path("a.OME.tif")).name == "OME-TIFF"
    assert formats.named(Path("a.tif")).name == "TIFF"
    assert formats.named(Path("a.nii.gz")).name == "compressed NIfTI"
    assert formats.named(Path("a.gz")) is None


def test_napari_offers_what_the_table_says():
    (reader,) = contributions("readers").values()
    marks = sorted(mark for row in formats.FORMATS for mark in row.markers)
    assert reader["filename_patterns"] == [*(f"*{suffix}" for suffix in formats.suffixes(offered=True)), *marks]
    assert reader["accepts_directories"] is any(row.folder for row in formats.FORMATS)
    rows = [row for row in formats.FORMATS if row.writes and row.offered]
    for name, writer in contributions("writers").items():
        kept = [row for row in rows if name == "write_labels" or not row.labels_only]
        if name == "write_on_image":
            kept = [formats.DICOM_SEG]
        assert writer["filename_extensions"] == [suffix for row in kept for suffix in row.suffixes]


def test_dialogs_and_pages_name_every_ending():
    for writing in (False, True):
        filters = " ".join(formats.file_filters(writing=writing))
        assert all(f"*{suffix}" in filters for suffix in formats.suffixes(writing=writing))
    assert formats.file_filters(writing=True)[0] == "NIfTI (*.nii.gz *.nii)"
    page = (ROOT / "docs" / "formats.md").read_text("utf-8")
    table = page[page.index("| format |") :].split("\n\n")[0]
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", table, re.MULTILINE))
    for family, endings in formats.families().items():
        assert set(re.findall(r"`(\.[\w.]+)`", rows[family])) == set(endings)


def test_the_page_says_what_each_format_keeps():
    page = (ROOT / "docs" / "formats.md").read_text("utf-8")
    said = {}
    table = page[page.index("| saved as |") :].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        names, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        said |= dict.fromkeys(names.split(", "), cells)
    words = ("voxel size", "position", "shear", "classes", "codes")
    for row in formats.FORMATS:
        if row.writes:
            assert said.pop(row.name) == ["yes" if word in row.keeps else "no" for word in words]
            assert row.keeps <= {*words, "notes"}
    assert not said


def test_no_other_module_decides_by_the_names_of_modules():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text("utf-8")
        assert not re.search(r"\.module [=!]= ", text), path


def test_a_folder_is_what_it_holds(tmp_path, monkeypatch, slice_file):
    assert formats.recognise(tmp_path) is formats.DICOM, "reading it says what is missing"
    assert formats.held(tmp_path) is None
    series = slice_file("series/a.dcm").parent
    assert formats.held(series) is formats.DICOM
    store = formats.Format("store", "store", (".store",), lambda head: False, "a:b", folder=True, markers={"it.json"})
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, store))
    (series / "it.json").write_text("{}")
    assert formats.held(series) is formats.recognise(series) is store
    found, failures = find_inputs([str(series)])
    assert found == [series] and not failures
