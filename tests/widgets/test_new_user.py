"""From a file to its labels with three clicks, with the models that come with the package."""

from pathlib import Path

import napari
import numpy as np
import pydicom
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_medseg import io, samples
from napari_medseg.volume import Volume

MR = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests" / "98892003" / "MR1" / "15820"


@pytest.fixture
def segment(viewer, qtbot, own_home):
    """The Segment dock of somebody who has never used the package."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    settle(dock, qtbot)
    return dock


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.busy, timeout=120000)


def click(dock, button, qtbot):
    assert not button.isHidden() and button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(dock, qtbot)


def test_three_clicks_from_a_file_to_its_labels(segment, viewer, qtbot, tmp_path, monkeypatch):
    heart = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    slices = Volume(np.asarray(heart.data[5:7]), "zyx", heart.affine)
    path = io.write(slices, tmp_path / "mine.nii.gz")
    asked = []

    def choose_file(*_):
        asked.append("the file, in the dialog of the system")
        return [str(path)], ""

    monkeypatch.setattr(QFileDialog, "getOpenFileNames", choose_file)
    click(segment, segment.opener.button, qtbot)
    click(segment, segment.form.run, qtbot)
    assert len(asked) == 1
    assert set(np.unique(segment.labels.data)) == {0, 1, 2}
    assert np.allclose(segment.labels.scale, viewer.layers["mine"].scale)
    assert segment.form.by_hand.isHidden()


def write_series(folder, number, slices, affine):
    """Write slices (z, y, x), whose affine leads from (x, y, z) to mm in the patient."""
    placed = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    step = np.linalg.norm(placed[:3, :3], axis=0)
    for k, pixels in enumerate(slices):
        header = pydicom.dcmread(MR)
        header.SeriesInstanceUID += f".{number}"
        header.SeriesDescription = f"series {number}"
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"{header.SeriesInstanceUID}.{k + 1}"
        header.Rows, header.Columns = pixels.shape
        header.PixelSpacing = [float(f"{step[1]:.6f}"), float(f"{step[0]:.6f}")]
        header.ImageOrientationPatient = [float(f"{value:.8f}") for value in (placed[:3, :2] / step[:2]).T.ravel()]
        header.ImagePositionPatient = [float(f"{value:.6f}") for value in (placed[:3, 3] + k * placed[:3, 2])]
        header.PixelData = pixels.astype(np.uint16).tobytes()
        header.save_as(folder / f"{number}_{k}.dcm")


def test_three_clicks_from_a_folder_of_several_series_to_labels(segment, viewer, qtbot, tmp_path, monkeypatch):
    heart = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    write_series(tmp_path, 1, np.asarray(heart.data[5:7]), heart.affine)
    write_series(tmp_path, 2, np.asarray(heart.data[5:6, :64, :64]), heart.affine)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    click(segment, segment.opener.folder, qtbot)
    dialog = segment.opener.series_list
    assert [series.title for series in dialog.chosen()] == ["series 1"]
    dialog.table.selectAll()
    assert not dialog.run_button.isEnabled() and "Choose one series" in dialog.run_button.toolTip()
    dialog.table.selectRow(0)
    click(segment, dialog.run_button, qtbot)
    assert set(np.unique(segment.labels.data)) == {0, 1, 2} and segment.labels.data.shape == (2, 256, 256)
    before = list(viewer.layers)
    segment._want_suited()  # compared again, as after every run
    settle(segment, qtbot)
    assert list(viewer.layers) == before, "it runs once"


def test_where_no_model_fits_one_click_gives_empty_labels_and_the_brush(segment, viewer, qtbot, tmp_path):
    ct = np.random.default_rng(0).integers(-1000, 1000, (4, 40, 48)).astype(np.int16)
    path = io.write(Volume(ct, "zyx", np.diag([1.5, 1.5, 4.0, 1.0])), tmp_path / "ct.nii.gz")
    viewer.add_labels(np.ones((8, 8), np.uint8), name="of another image")  # is what would be saved
    segment.opener.open([path])
    settle(segment, qtbot)
    assert "None of your models" in segment.form.advice.text()
    click(segment, segment.form.by_hand, qtbot)
    labels = viewer.layers.selection.active
    assert isinstance(labels, napari.layers.Labels) and labels.mode == "paint"
    assert labels.data.shape == ct.shape and tuple(labels.scale) == (4.0, 1.5, 1.5) and not labels.data.any()
    review = viewer.window.dock_widgets["Review (napari-medseg)"]
    assert review.form.labels.currentData() is labels
    assert segment.form.by_hand.isHidden(), "there are labels now"
    labels.paint((1, 10, 10), 1)
    assert labels.data.any()
