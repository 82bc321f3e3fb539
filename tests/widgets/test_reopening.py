"""Scans that napari's own reader has opened: the question about the reader, and opening them again."""

import numpy as np
import pytest
from napari.settings import get_plugin_settings, get_settings

from napari_medseg import io
from napari_medseg.io.contributions import KEY
from napari_medseg.volume import Volume
from napari_medseg.widgets.kit import reader, reopening
from napari_medseg.widgets.kit.preferences import preferences

SPACING = (4.0, 1.5, 1.5)
AFFINE = np.diag([*SPACING[::-1], 1.0])


@pytest.fixture
def scan(tmp_path):
    """A TIFF with a voxel size, which napari's own reader drops."""
    data = np.random.default_rng(0).integers(0, 1000, (3, 20, 24)).astype(np.uint16)
    return io.write(Volume(data, "zyx", AFFINE), tmp_path / "scan.tif")


@pytest.fixture
def opened(viewer, qtbot, model):
    _, widget = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    settle(widget, qtbot)
    return widget


def settle(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.busy, timeout=120000)


def by_napari(viewer, widget, qtbot, path):
    (layer,) = viewer.open(path, plugin="napari")
    settle(widget, qtbot)
    assert tuple(layer.scale) == (1, 1, 1)
    return layer


def test_patterns_are_those_of_scans_alone():
    found = reader.patterns()
    assert {"*.nii", "*.nii.gz", "*.dcm", "*.nrrd", "*.mha"} <= set(found)
    assert not {"*.tif", "*.png", "*.npz", "*.npy", "*/"} & set(found)


def test_a_choice_of_the_person_is_kept_and_only_ours_is_taken_back(viewer):
    plugins = get_settings().plugins
    plugins.extension2reader = {"*.nii": "another", "*.abc": "napari-medseg"}
    reader.use()
    assert plugins.extension2reader["*.nii"] == "another"
    assert plugins.extension2reader["*.nii.gz"] == "napari-medseg" and reader.is_used()
    reader.undo()
    assert plugins.extension2reader == {"*.nii": "another", "*.abc": "napari-medseg"} and not reader.is_used()


@pytest.mark.parametrize("answer", ["always", "never"])
def test_the_question_is_asked_once_after_napari_has_opened_a_scan(opened, viewer, qtbot, tmp_path, answer):
    path = io.write(Volume(np.zeros((3, 4, 5), np.float32), "zyx", AFFINE), tmp_path / "a.nii.gz")
    offers = opened.opener.offers
    assert offers.isHidden()
    viewer.open(path, plugin="napari-medseg")
    settle(opened, qtbot)
    assert not offers.answers.isHidden() and "reader" in offers.question.toolTip()
    getattr(offers, answer).click()
    assert offers.isHidden()
    assert reader.is_used() == (answer == "always")
    assert preferences().reader == answer
    viewer.open(path, plugin="napari-medseg")
    settle(opened, qtbot)
    assert offers.answers.isHidden()


def test_page_and_list_of_readers_say_the_same_whichever_is_changed_and_when(opened):
    page = get_plugin_settings("napari-medseg").files
    plugins = get_settings().plugins
    page.reader = "always"  # while a dock is open
    assert reader.is_used()
    plugins.extension2reader = {}
    reader.settle()  # a dock is opened
    assert page.reader == "ask" and not reader.is_used()
    reader.use()
    assert page.reader == "always" and reader.is_used()
    with page.events.reader.blocker():
        page.reader = "never"  # while none is open
    reader.settle()
    assert not reader.is_used() and not reader.is_open()
    reader.use()
    assert page.reader == "always"


def test_a_choice_made_before_there_was_a_page_is_on_it(opened):
    get_settings().plugins.extension2reader = {"*.nii": "napari-medseg"}
    reader.settle()
    assert get_plugin_settings("napari-medseg").files.reader == "always"


def test_the_menu_takes_the_answer_back(opened):
    reader.use()
    opened.opener.menu.aboutToShow.emit()
    entry = opened.opener.menu.actions()[-1]
    assert entry.isChecked()
    entry.trigger()
    assert not reader.is_used() and preferences().reader == "never"


def test_what_this_dock_opens_asks_nothing(opened, viewer, qtbot, scan):
    opened.opener.open([scan])
    settle(opened, qtbot)
    assert opened.opener.offers.isHidden()


@pytest.mark.smoke
def test_reopened_with_voxel_size_in_the_same_view_and_with_its_labels(opened, viewer, qtbot, scan):
    old = by_napari(viewer, opened, qtbot, scan)
    drawn = viewer.add_labels(np.zeros((3, 20, 24), np.uint8), name="mine")
    drawn.data[1, 5:9, 5:9] = 2
    viewer.dims.set_point(0, 2)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (7, 9), 12
    offers = opened.opener.offers
    assert not offers.choices.isHidden() and "'scan' without its voxel size" in offers.lost.toolTip()
    offers.again.click()
    settle(opened, qtbot)
    new = viewer.layers["scan"]
    assert new is not old and old not in viewer.layers and viewer.layers.index(new) == 0
    assert tuple(new.scale) == SPACING and tuple(drawn.scale) == SPACING
    assert drawn.data.sum() == 2 * 16
    assert viewer.dims.point[0] == 8
    assert np.allclose(viewer.scene.camera.center[-2:], (10.5, 13.5)) and np.isclose(viewer.scene.camera.zoom, 8)
    said = opened.opener.status.text()
    assert "voxel size" in said and "'mine'" in said
    assert opened.form.image.currentData() is new and offers.choices.isHidden()


def test_labels_of_a_run_get_the_grid_of_the_reopened_image(opened, viewer, qtbot, scan):
    by_napari(viewer, opened, qtbot, scan)
    opened.form.model.setCurrentIndex(opened.form.model.findData("all"))
    settle(opened, qtbot)
    opened.form.run.click()
    settle(opened, qtbot)
    labels = opened.labels
    opened.opener.offers.again.click()
    settle(opened, qtbot)
    notes = labels.metadata[KEY]
    assert np.allclose(notes["affine"], viewer.layers["scan"].metadata[KEY]["affine"]) and notes["record"].models


def test_other_voxels_leave_the_old_layer_and_its_labels(opened, viewer, qtbot, scan):
    old = by_napari(viewer, opened, qtbot, scan)
    drawn = viewer.add_labels(np.ones((3, 20, 24), np.uint8), name="mine")
    old.data = old.data[::-1].copy()
    opened.opener.offers.again.click()
    settle(opened, qtbot)
    assert old in viewer.layers and not old.visible and not drawn.visible
    assert tuple(drawn.scale) == (1, 1, 1) and drawn.data.all()
    assert "another order" in opened.opener.status.text() and "'mine'" in opened.opener.status.text()


def test_an_image_without_a_voxel_size_is_not_offered_and_leaving_it_is_possible(opened, viewer, qtbot, scan, tmp_path):
    plain = io.write(
        Volume(np.zeros((4, 5), np.uint8), "yx", np.eye(4), metadata={"has_spacing": False}), tmp_path / "plain.tif"
    )
    viewer.open(plain, plugin="napari")
    settle(opened, qtbot)
    offers = opened.opener.offers
    assert offers.choices.isHidden()
    by_napari(viewer, opened, qtbot, scan)
    assert not offers.choices.isHidden()
    offers.leave.click()
    viewer.add_image(np.zeros((2, 2)))
    assert offers.choices.isHidden()


def test_a_file_that_is_gone_is_a_sentence_and_the_layer_stays(opened, viewer, qtbot, scan):
    old = by_napari(viewer, opened, qtbot, scan)
    scan.unlink()
    opened.opener.offers.again.click()
    settle(opened, qtbot)
    assert old in viewer.layers and "cannot be opened" in opened.opener.status.text()


def test_what_cannot_be_looked_at_is_not_offered(tmp_path):
    assert not reopening._has_spacing(tmp_path / "gone.tif")
    assert not reopening._has_spacing(tmp_path)
