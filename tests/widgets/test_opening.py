"""Open scan… in every dock: files, folders, drops, series to choose from, recent scans; the window never waits."""

import shutil
from pathlib import Path
from threading import Event

import numpy as np
import pydicom
import pytest
from napari.layers import Image, Labels
from napari.settings import get_settings
from qtpy.QtCore import QItemSelectionModel, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_medseg import io, samples
from napari_medseg.progress import run
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.kit import opening_job, recent

DOCKS = ("Segment", "Reconstruct", "Acceleration study", "Fine-tune", "Review", "Measure", "View")
SPACING = (4.0, 1.5, 1.5)
AFFINE = np.diag([*SPACING[::-1], 1.0])
CLASSES = (LabelClass(1, "cavity", "#e64b35"),)
DISC = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests" / "98892003"


@pytest.fixture
def scan(tmp_path):
    data = np.random.default_rng(0).normal(size=(3, 20, 24)).astype(np.float32)
    return io.write(Volume(data, "zyx", AFFINE), tmp_path / "scan.nii.gz")


@pytest.fixture
def drawn(tmp_path):
    data = np.zeros((3, 20, 24), np.uint8)
    data[1, 5:9, 5:9] = 1
    return io.write(Volume(data, "zyx", AFFINE, CLASSES), tmp_path / "drawn.nii.gz")


@pytest.fixture
def opened(viewer, qtbot, model):
    """A function that opens a dock by its name."""

    def make(name="Segment"):
        _, widget = viewer.window.add_plugin_dock_widget("napari-medseg", name)
        qtbot.waitUntil(lambda: not widget.busy, timeout=120000)
        return widget

    return make


def settle(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.busy, timeout=120000)


def stack(folder, slices):
    """Write a series of axial slices 5 mm apart; returns their files."""
    paths = []
    for k in range(slices):
        dataset = pydicom.dcmread(DISC / "MR1" / "15820")
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, 5 * k]
        dataset.SOPInstanceUID += str(k)
        paths.append(folder / f"{k}.dcm")
        dataset.save_as(paths[-1])
    return paths


def drop(widget, *paths):
    """What Qt sends when files are dropped."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, left, none)
    QApplication.sendEvent(widget, enter)
    if not enter.isAccepted():
        return False
    event = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, left, none)
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


@pytest.mark.smoke
@pytest.mark.parametrize("name", DOCKS)
def test_every_dock_opens_a_scan_with_its_voxel_size_and_chooses_it(opened, viewer, scan, drawn, qtbot, name):
    widget = opened(name)
    viewer.add_image(np.zeros((4, 5)), name="another")
    widget.opener.open([drawn, scan])
    settle(widget, qtbot)
    image, labels = viewer.layers["scan"], viewer.layers["drawn"]
    assert tuple(image.scale) == SPACING and isinstance(labels, Labels)
    form = widget.form
    if name != "View":
        assert getattr(form, "source" if name == "Reconstruct" else "image").currentData() is image
    if name in ("Review", "Measure", "Fine-tune"):
        assert form.labels.currentData() is labels
    assert not widget.opener.status.text()


def test_files_that_are_dropped_on_a_dock_are_opened(opened, viewer, scan, qtbot):
    widget = opened()
    assert drop(widget, scan) and widget.busy, "reading has not begun when the drop ends"
    settle(widget, qtbot)
    assert widget.form.image.currentData() is viewer.layers["scan"]
    assert not drop(widget), "text and the like is left to others"


def test_scans_that_are_dropped_on_the_canvas_are_opened_with_this_reader(opened, viewer, scan, qtbot, monkeypatch):
    widget = opened()
    widget._settle()  # as the event loop does once the dock is in the window
    canvas = viewer.window._qt_viewer
    left = []
    monkeypatch.setattr(type(canvas), "dropEvent", lambda _, event: left.append(event.mimeData().urls()))
    monkeypatch.setattr(widget, "isVisible", lambda: True)  # the window of the tests is not shown
    QTest.keyClick(widget, Qt.Key.Key_Tab, Qt.KeyboardModifier.AltModifier)  # Qt remembers the key
    assert QApplication.keyboardModifiers() == Qt.KeyboardModifier.AltModifier
    drop(canvas, scan)
    settle(widget, qtbot)
    assert tuple(viewer.layers["scan"].scale) == SPACING and not left
    drop(canvas, DISC)
    settle(widget, qtbot)
    drop(canvas, Path("picture.png"))
    get_settings().plugins.extension2reader = {"*.nii.gz": "another"}
    drop(canvas, scan)
    assert len(left) == 3, "napari's own: folders of folders, pictures, and what has another reader"
    viewer.window.remove_dock_widget(widget)
    get_settings().plugins.extension2reader = {}
    drop(canvas, scan)
    assert len(left) == 4 and len(viewer.layers) == 1


def test_two_drops_in_a_row_are_both_opened(opened, viewer, scan, drawn, qtbot):
    widget = opened()
    drop(widget, scan)
    drop(widget, drawn)
    settle(widget, qtbot)
    assert {layer.name for layer in viewer.layers} == {"scan", "drawn"}


def test_a_scan_of_another_place_comes_into_view_and_labels_move_nothing(opened, viewer, scan, drawn, tmp_path, qtbot):
    far = AFFINE.copy()
    far[2, 3] = 500  # mm towards the head
    io.write(Volume(np.ones((5, 20, 24), np.float32), "zyx", far), tmp_path / "far.nii.gz")
    widget = opened()
    drop(widget, scan)
    settle(widget, qtbot)
    at_first = viewer.dims.point[0] - SPACING[0]
    viewer.dims.set_point(0, at_first)
    drop(widget, drawn)
    settle(widget, qtbot)
    assert viewer.dims.point[0] == at_first
    drop(widget, tmp_path / "far.nii.gz")
    settle(widget, qtbot)
    low, high = viewer.layers["far"].extent.world[:, 0]
    assert low < viewer.dims.point[0] < high and not widget.opener.status.text()
    io.write(Volume(np.ones((5, 20, 24), np.float32), "zyx", far * [[-1], [-1], [1], [1]]), tmp_path / "turned.nii.gz")
    drop(widget, tmp_path / "turned.nii.gz")
    settle(widget, qtbot)
    assert "'turned' and 'scan' lie differently in the patient" in widget.opener.status.text()
    assert tuple(map(str, viewer.scene.camera.orientation2d)) == ("down", "right")
    viewer.add_image(np.zeros((5, 300, 300)), visible=False)
    viewer.reset_view()
    widget.opener.alone.click()
    assert [layer.name for layer in viewer.layers if layer.visible] == ["turned"]
    middle = viewer.layers["turned"].extent.world.mean(axis=0)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], middle[-2:], atol=SPACING[-1])
    assert not widget.opener.status.text() and widget.opener.alone.isHidden()


@pytest.mark.smoke
def test_a_ct_opens_in_the_window_of_soft_tissue_and_all_other_values_can_be_set(opened, viewer, scan, qtbot):
    widget = opened()
    widget.opener.open([samples.path("totalseg_ct.nii.gz"), samples.path("totalseg_ct_label.nii.gz")])
    settle(widget, qtbot)
    layer = viewer.layers["totalseg_ct"]
    assert layer.contrast_limits == [-150, 250]
    assert layer.contrast_limits_range[0] < -1000 and layer.contrast_limits_range[1] > 1000
    assert "taken for a CT, by its values: soft tissue window, -150 to 250 HU" in widget.opener.status.text()
    widget.opener.open([scan])
    settle(widget, qtbot)
    assert "CT" not in widget.opener.status.text()
    layer = viewer.layers["scan"]
    assert layer.contrast_limits_range[0] < layer.contrast_limits[0]


def test_one_file_that_cannot_be_read_is_a_sentence_and_stops_no_other(opened, viewer, scan, tmp_path, qtbot):
    (tmp_path / "bad.nii").write_bytes(b"nothing")
    widget = opened()
    widget.opener.open([tmp_path / "bad.nii", tmp_path / "gone.nii", scan])
    settle(widget, qtbot)
    said = widget.opener.status.text()
    assert "'bad.nii' is not the NIfTI file" in said and "gone.nii' cannot be opened" in said
    assert [layer.name for layer in viewer.layers] == ["scan"]
    assert recent.remembered().recent == (str(scan),)


def reading_slowly(monkeypatch):
    """Have a file read only once the event that is returned is set; ``begun`` of it tells that it was begun."""
    go_on = Event()
    go_on.begun = Event()

    def slow(path):
        go_on.begun.set()
        go_on.wait(60)
        return [(np.zeros((2, 2)), {}, "image")]

    monkeypatch.setattr(opening_job, "_file", slow)
    return go_on


def test_the_window_is_free_while_a_scan_is_read_and_cancel_leaves_no_layer(opened, viewer, scan, qtbot, monkeypatch):
    widget, go_on = opened(), reading_slowly(monkeypatch)
    widget.opener.open([scan])
    qtbot.waitUntil(lambda: go_on.begun.is_set() and "scan.nii.gz" in widget.opener.status.text())
    assert not widget.opener.cancel.isHidden()
    widget.opener.cancel.click()
    go_on.set()
    settle(widget, qtbot)
    assert not viewer.layers and "Cancelled" in widget.opener.status.text()
    assert widget.opener.cancel.isHidden()


def test_closing_a_dock_ends_what_it_opens(opened, viewer, scan, qtbot, monkeypatch):
    widget, go_on = opened(), reading_slowly(monkeypatch)
    widget.opener.open([scan])
    qtbot.waitUntil(go_on.begun.is_set)
    viewer.window.remove_dock_widget(widget)
    go_on.set()
    qtbot.wait(200)
    assert not viewer.layers


@pytest.mark.smoke
def test_several_series_of_a_folder_are_listed_with_pictures_and_several_are_opened(opened, viewer, qtbot):
    widget = opened()
    widget.opener.open([DISC])
    settle(widget, qtbot)
    assert not viewer.layers, "nothing is opened before it is chosen"
    dialog = widget.opener.series_list
    assert dialog.run_button.isHidden() == (widget.opener.run is None)
    table = dialog.table
    texts = [table.item(2, column).text() for column in range(1, 6)]
    assert texts == ["FAST LOCALIZER", "MR", "1 slice of 16 x 16", "1.37 x 1.37 mm", "2003-05-05 04:54"]
    qtbot.waitUntil(lambda: not table.item(16, 0).icon().isNull(), timeout=60000)
    table.clearSelection()
    assert not dialog.accept_button.isEnabled()
    flags = QItemSelectionModel.SelectionFlag
    for row in (0, 4):
        table.selectionModel().select(table.model().index(row, 0), flags.Select | flags.Rows)
    assert dialog.accept_button.text() == "Open 2 series"
    dialog.accept_button.click()
    settle(widget, qtbot)
    assert [layer.name for layer in viewer.layers] == ["FAST LOCALIZER", "T/S/C RF FAST PILOT"]
    assert widget.form.image.currentData() is viewer.layers[1]
    assert recent.remembered().recent == (str(DISC),)


def test_what_cannot_be_opened_is_listed_with_its_reason_and_cannot_be_chosen(opened, viewer, tmp_path, qtbot):
    stack(tmp_path, 2)
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "0.dcm").read_bytes()[:400])
    widget = opened()
    widget.opener.open([tmp_path])
    settle(widget, qtbot)
    dialog = widget.opener.series_list
    reason = dialog.table.item(1, 1)
    assert "cut.dcm" in reason.text() and reason.flags() == Qt.ItemFlag.NoItemFlags
    dialog.table.selectAll()
    assert [series.title for series in dialog.chosen()] == ["FAST LOCALIZER"]
    dialog.accept_button.click()
    settle(widget, qtbot)
    assert viewer.layers[0].data.shape == (2, 16, 16)


def test_all_slices_of_a_folder_chosen_as_files_are_one_layer(opened, viewer, tmp_path, qtbot):
    widget = opened()
    widget.opener.open(stack(tmp_path, 3))
    settle(widget, qtbot)
    assert [layer.data.shape for layer in viewer.layers] == [(3, 16, 16)] and viewer.layers[0].scale[0] == 5


def test_segmentations_are_opened_as_labels_of_their_series(tmp_path):
    files = stack(tmp_path, 3)
    image = io.read(tmp_path)
    path = io.write(image.like(np.ones(image.data.shape, np.uint8), CLASSES), tmp_path / "a.seg.dcm")
    other = pydicom.dcmread(DISC / "MR2" / "4950")
    other.save_as(tmp_path / "other.dcm")
    listing = run(opening_job.open_job([tmp_path])).choices[0]
    found = run(opening_job.chosen_job(tmp_path, listing.series))
    assert not found.problems and not listing.unreadable
    layers = [(kind, options["name"], data.shape) for data, options, kind in found.layers]
    labels = next(layer for layer in layers if layer[0] == "labels")
    assert labels[1:] == ("FAST LOCALIZER labels", (3, 16, 16)) and layers[layers.index(labels) - 1][0] == "image"
    assert len(layers) == 3
    # the same as files
    (tmp_path / "other.dcm").unlink()
    both = run(opening_job.open_job([*files, path]))
    assert [kind for _, _, kind in both.layers] == ["image", "labels"]
    plan = shutil.copy(pydicom.data.get_testdata_file("rtstruct.dcm"), tmp_path.parent / "plan.dcm")
    with_plan = run(opening_job.open_job([*files, Path(plan)]))
    assert len(with_plan.layers) == 1 and "holds contours (RTSTRUCT)" in with_plan.problems[0]
    # and as a folder that needs no choice
    assert [kind for _, _, kind in run(opening_job.open_job([tmp_path])).layers] == ["image", "labels"]


def test_raw_data_are_opened_as_their_image_and_reconstruct_takes_them(opened, viewer, qtbot):
    widget = opened("Reconstruct")
    widget.opener.open([samples.path("brain8_poisson8x.npz")])
    settle(widget, qtbot)
    assert isinstance(viewer.layers[0], Image) and widget.form.source.currentData() is viewer.layers[0]
    assert "8 coils" in widget.form.facts.text()


def test_buttons_ask_for_files_and_folders_and_recent_scans_are_listed(opened, viewer, scan, drawn, qtbot, monkeypatch):
    widget = opened()
    asked = []

    def choose(parent, title, folder, filters):
        asked.append(filters)
        return [str(scan)], ""

    monkeypatch.setattr(QFileDialog, "getOpenFileNames", choose)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(DISC))
    menu = widget.opener.menu
    menu.aboutToShow.emit()
    assert not menu.actions()[0].isEnabled(), "no scan was opened yet"
    widget.opener.button.click()
    settle(widget, qtbot)
    assert "*.nii.gz" in asked[0] and "*.dcm" in asked[0] and asked[0].endswith("All files (*)")
    assert [layer.name for layer in viewer.layers] == ["scan"]
    widget.opener.folder.click()
    settle(widget, qtbot)
    assert widget.opener.series_list is not None
    recent.remember([scan.with_name("gone.nii"), drawn])
    menu.aboutToShow.emit()
    entries = menu.actions()[:3]
    assert [(entry.text(), entry.isEnabled()) for entry in entries] == [
        ("gone.nii: not found", False),
        ("drawn.nii.gz", True),
        ("scan.nii.gz", True),
    ]
    assert "moved, renamed or removed" in entries[0].toolTip()
    entries[1].trigger()
    settle(widget, qtbot)
    assert "drawn" in viewer.layers


def test_recent_scans_are_the_last_eight_and_survive_a_damaged_file(own_home):
    for number in range(10):
        recent.remember([Path(f"/scans/{number}.nii")])
    recent.remember([Path("/scans/5.nii")])
    found = [Path(name).stem for name in recent.remembered().recent]
    assert found == ["5", "9", "8", "7", "6", "4", "3", "2"]
    (own_home / "opening.json").write_text("{")
    assert recent.remembered() == recent.Remembered()
    recent.remember([Path("/scans/1.nii")])
    assert len(recent.remembered().recent) == 1
