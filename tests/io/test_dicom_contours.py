"""Contours of radiotherapy are not read: one sentence says what to do, everywhere."""

import shutil

import pydicom
import pytest
from pydicom.data import get_testdata_file

from napari_medseg import io
from napari_medseg.cli import main
from napari_medseg.errors import FileError
from napari_medseg.io.contributions import get_reader
from napari_medseg.io.dicom_list import list_job
from napari_medseg.progress import run

SENTENCE = r"'plan(.dcm)?' holds contours \(RTSTRUCT\), which are not read. In 3D Slicer"


@pytest.fixture(params=["plan.dcm", "plan"])
def plan(request, tmp_path):
    """A real file, as it is without a preamble, or with one and without an ending."""
    path = tmp_path / "case" / request.param
    path.parent.mkdir()
    dataset = pydicom.dcmread(get_testdata_file("rtstruct.dcm"), force=True)
    if path.suffix:
        shutil.copy(dataset.filename, path)
        return path
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def test_files_and_folders_of_contours_are_a_sentence(plan, tmp_path, capsys):
    for path in (plan, plan.parent):
        for read in (io.read, io.read_all, lambda path: get_reader(str(path))(str(path))):
            with pytest.raises(FileError, match=SENTENCE):
                read(path)
        for command in (
            ["convert", str(path), str(tmp_path / "out.nii.gz")],
            ["segment", str(path), "-o", str(tmp_path / "out.nii.gz"), "--model", "litenext-heart"],
        ):
            assert main(command) == 1
            assert "holds contours (RTSTRUCT)" in capsys.readouterr().err
    assert not (tmp_path / "out.nii.gz").exists()


def test_contours_do_not_keep_their_images_from_being_opened(plan, slice_file):
    for k in range(3):
        slice_file(f"case/{k}.dcm", position=(0, 0, 4 * k), value=k)
    assert io.read(plan.parent).data.shape == (3, 4, 5)
    found = run(list_job(plan.parent))
    assert len(found.series) == 1
    assert "In 3D Slicer" in found.unreadable[0].reason
