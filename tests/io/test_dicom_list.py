"""The list of series in a folder: against SimpleITK, and with files that are damaged, missing or of another kind."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from napari_medseg import cli, io
from napari_medseg.errors import FileError
from napari_medseg.io import dicom_frames, dicom_list
from napari_medseg.io.contributions import layers_of
from napari_medseg.io.dicom_list import list_job, picture, read_listed, read_with_labels
from napari_medseg.progress import run
from napari_medseg.volume import LabelClass


@pytest.fixture
def three(slice_file, tmp_path):
    """A folder with three series whose files are mixed."""
    for number, (name, slices) in enumerate((("T1", 3), ("T2", 4), ("scout", 1)), 1):
        uid = generate_uid()
        for k in range(slices):
            said = {"SeriesInstanceUID": uid, "SeriesDescription": name, "SeriesNumber": 10 - number}
            slice_file(f"{k}_{number}.dcm", position=(0, 0, 2.5 * k), value=100 * number + k, **said)
    return tmp_path


def test_series_of_one_folder_are_those_of_simpleitk(three):
    import SimpleITK as sitk

    found = run(list_job(three))
    uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(three))
    assert {entry.series.uid for entry in found.series} == set(uids)
    for entry in found.series:
        theirs = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(three), entry.series.uid)
        assert sorted(map(str, entry.files)) == sorted(theirs)
        assert np.array_equal(read_listed(entry).data, np.squeeze(sitk.GetArrayFromImage(sitk.ReadImage(theirs))))
    assert [entry.title for entry in found.series] == ["scout", "T2", "T1"], "in the order of their numbers"
    assert found.series[1].size == "4 slices of 4 x 5" and found.series[1].voxel == "2.5 x 1.5 x 0.5 mm"
    assert found.only is None


def test_real_series_in_folders_of_a_folder(three):
    root = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests" / "98892001"
    found = run(list_job(root))
    titles = {(entry.title, entry.series.modality, entry.shape) for entry in found.series}
    assert ("SmartScore - Gated 0.5 sec", "CT", (1, 5, 16, 16)) in titles
    assert not found.unreadable


def test_only_headers_are_read(three, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pixels were read")

    monkeypatch.setattr(dicom_frames, "_unpacked", refuse)
    assert len(run(list_job(three)).series) == 3


def test_one_series_is_read_as_from_its_folder(slice_file, tmp_path):
    for k in range(3):
        slice_file(f"{k}.dcm", position=(0, 0, 4 * k), value=k)
    only = run(list_job(tmp_path)).only
    listed, whole = read_listed(only), io.read(tmp_path)
    assert np.array_equal(listed.data, whole.data) and np.array_equal(listed.affine, whole.affine)
    assert listed.metadata["source"] == str(only.files[0]) and listed.metadata["format"] == "DICOM"


def test_a_damaged_file_is_listed_with_its_reason_and_the_others_can_be_opened(three):
    (three / "0_9.dcm").write_bytes(b"\0" * 200)
    (three / "77").write_bytes(b"\0\1\2")
    found = run(list_job(three))
    assert [entry.path.name for entry in found.unreadable] == ["0_9.dcm", "77"]
    assert "is not the DICOM file" in found.unreadable[0].reason and "other content" in found.unreadable[1].reason
    assert read_listed(found.series[2]).data.shape == (3, 4, 5)


def test_a_series_with_a_gap_is_listed_with_its_reason(slice_file, tmp_path):
    for k in (0, 1, 3):
        slice_file(f"{k}.dcm", position=(0, 0, 2 * k))
    found = run(list_job(tmp_path))
    assert found.only is None and "uneven gaps" in found.series[0].problem
    with pytest.raises(FileError, match="uneven gaps"):
        read_listed(found.series[0])


def test_images_of_one_identifier_and_other_pixels_spare_other_series(three, slice_file):
    twice = {"SOPInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    slice_file("a.dcm", value=1, **twice)
    slice_file("b.dcm", value=2, **twice)
    found = run(list_job(three))
    assert len(found.series) == 3
    assert [entry.path.name for entry in found.unreadable] == ["a.dcm"] and "other pixels" in found.unreadable[0].reason


def test_images_without_a_position_are_opened_one_by_one(slice_file, tmp_path):
    for name in "ab":
        slice_file(f"{name}.dcm", ImagePositionPatient=None, SeriesDescription="")
    found = run(list_job(tmp_path))
    assert [(entry.title, entry.shape) for entry in found.series] == [("a", (1, 1, 4, 5)), ("b", (1, 1, 4, 5))]


def test_kinds_of_one_series_are_told_apart(slice_file, tmp_path):
    for name in "MP":
        for k in range(2):
            slice_file(f"{name}{k}.dcm", position=(0, 0, k), ImageType=["ORIGINAL", "PRIMARY", name])
    found = run(list_job(tmp_path))
    assert len({entry.title for entry in found.series}) == 2 and all("image type" in e.title for e in found.series)


def test_picture_is_the_middle_slice_small_and_bright_where_it_should_be(slice_file, tmp_path):
    low = np.zeros((4, 5), "<u2")
    low[0] = 1000
    for k in range(3):
        pixels = low if k == 1 else low * 0
        path = slice_file(f"{k}.dcm", position=(0, 0, k), PhotometricInterpretation="MONOCHROME1")
        dataset = pydicom.dcmread(path)
        dataset.PixelData = pixels.tobytes()
        dataset.save_as(path)
    shown = picture(run(list_job(tmp_path)).only)
    assert shown.dtype == np.uint8 and shown.shape == (4, 5)
    assert shown[0].max() == 0 and shown[1:].min() == 255


def test_a_large_picture_has_at_most_192_pixels_a_side(slice_file, tmp_path):
    pixels = np.arange(500 * 400, dtype="<u2").reshape(500, 400)
    slice_file("a.dcm", Rows=500, Columns=400, PixelData=pixels.tobytes())
    assert picture(run(list_job(tmp_path)).only).shape == (167, 134)


def test_a_folder_with_other_files_has_no_series(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    np.save(tmp_path / "a.npy", np.zeros(3))
    found = run(list_job(tmp_path))
    assert not found.series and not found.unreadable


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_list, "_MOST_FILES", 2)
    for name in "abc":
        (tmp_path / name).write_text("")
    with pytest.raises(FileError, match="more than 2 files"):
        run(list_job(tmp_path))


def test_a_missing_folder_is_a_sentence(tmp_path):
    with pytest.raises(FileError, match="cannot be opened"):
        run(list_job(tmp_path / "nowhere"))


def segmented(path, title, number):
    """Write a segmentation of one of the `three`, with one voxel of a class of this number."""
    image = read_listed(next(entry for entry in run(list_job(path.parent)).series if entry.title == title))
    data = np.zeros(image.data.shape, np.uint8)
    data[1, 2, 3] = number
    io.write(image.like(data, (LabelClass(number, f"class of {title}", "#e64b35"),)), path)


def test_segmentations_are_labels_of_their_series(three):
    segmented(three / "a.seg.dcm", "T2", 3)
    segmented(three / "0_b.dcm", "T1", 5)
    found = run(list_job(three))
    assert not found.unreadable
    assert [(entry.title, len(entry.segmentations)) for entry in found.series] == [("scout", 0), ("T2", 1), ("T1", 1)]
    assert found.series[1].size == "4 slices of 4 x 5, 1 segmentation"
    for entry, number in zip(found.series[1:], (3, 5), strict=True):
        image, labels = read_with_labels(entry)
        assert np.array_equal(image.data, read_listed(entry).data)
        assert np.argwhere(labels.data == number).tolist() == [[1, 2, 3]]
        assert np.abs(labels.affine - image.affine).max() < 1e-6
        assert labels.metadata["reference"].series_uid == entry.series.uid
    assert len(read_with_labels(found.series[0])) == 1


def test_info_lists_segmentations_with_their_series(three, capsys):
    segmented(three / "a.seg.dcm", "T2", 3)
    segmented(three / "b.seg.dcm", "T1", 5)
    assert cli.main(["info", str(three)]) == 0
    told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "segmentation 1 a.seg.dcm; made on series 2" in told and "segmentation 2 b.seg.dcm; made on series 3" in told
    assert cli.main(["info", str(three), "--json"]) == 0
    series = json.loads(capsys.readouterr().out)["series"]
    assert [entry["segmentations"] for entry in series] == [[], [str(three / "a.seg.dcm")], [str(three / "b.seg.dcm")]]
    for file in (*three.glob("*_1.dcm"), *three.glob("*_3.dcm"), three / "b.seg.dcm"):
        file.unlink()
    assert cli.main(["info", str(three)]) == 0
    told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "segmentations a.seg.dcm" in told
    assert cli.main(["info", str(three), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["segmentations"] == [str(three / "a.seg.dcm")]


def test_segmentations_in_a_folder_of_their_own(three, tmp_path):
    (three / "seg").mkdir()
    segmented(three / "a.seg.dcm", "T2", 3)
    segmented(three / "b.seg.dcm", "T2", 4)
    for name in "ab":
        dataset = pydicom.dcmread(three / f"{name}.seg.dcm")
        dataset.remove_private_tags()  # as another program writes it
        dataset.save_as(three / "seg" / f"{name}.dcm")
        (three / f"{name}.seg.dcm").unlink()
    found = run(list_job(three))
    assert [len(entry.segmentations) for entry in found.series] == [0, 2, 0]
    volumes = read_with_labels(found.series[1])
    assert [volume.data.shape for volume in volumes] == [(4, 4, 5)] * 3
    assert [options["name"] for _, options, _ in layers_of(volumes, "T2")] == ["T2", "T2 a", "T2 b"]


def test_segmentations_that_stand_alone_or_are_damaged_are_listed_with_their_reason(three):
    segmented(three / "a.seg.dcm", "T2", 3)
    segmented(three / "b.seg.dcm", "T1", 3)
    (three / "b.seg.dcm").write_bytes((three / "b.seg.dcm").read_bytes()[:400])
    for file in three.glob("*_2.dcm"):
        file.unlink()
    found = run(list_job(three))
    assert [entry.title for entry in found.series] == ["scout", "T1"]
    reasons = {entry.path.name: entry.reason for entry in found.unreadable}
    assert "a segmentation of images that are not in this folder" in reasons["a.seg.dcm"]
    assert "b.seg.dcm" in reasons
    assert found.only is None


def test_a_series_with_a_segmentation_need_not_be_chosen(slice_file, tmp_path):
    for k in range(3):
        slice_file(f"{k}.dcm", position=(0, 0, 4 * k), value=k)
    image = io.read(tmp_path)
    labels = image.like(np.full(image.data.shape, 1, np.uint8), (LabelClass(1, "all", "#e64b35"),))
    io.write(labels, tmp_path / "a.seg.dcm")
    only = run(list_job(tmp_path)).only
    assert [np.unique(volume.data).tolist() for volume in read_with_labels(only)] == [[0, 1, 2], [1]]
