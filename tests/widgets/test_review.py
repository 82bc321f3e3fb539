"""The Review dock in a window: keys, strip, steps, approvals, and what a crash leaves."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_medseg import io
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.record import Record, UsedModel
from napari_medseg.review.recovery import unfinished
from napari_medseg.review.sessions import root
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.kit import records
from napari_medseg.widgets.kit.painting import painting_of
from napari_medseg.widgets.review import form
from napari_medseg.widgets.review.strip import COLOURS, Strip

SHAPE = (5, 24, 20)
AFFINE = np.array([[1.2, 0, 0, -40], [0, 1.1, 0, 12], [0, 0, 8, 33], [0, 0, 0, 1]], float)
CLASSES = (LabelClass(1, "cavity", "#e64b35"),)
MADE = Record("segment", models=(UsedModel("tiny", "12"),))


class Review:
    """The dock, and what a person does with it."""

    def __init__(self, viewer, qtbot):
        self.viewer = viewer
        self.qtbot = qtbot
        _, self.dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
        self.form = self.dock.form
        self.settle()

    def settle(self):
        self.qtbot.waitUntil(lambda: not self.dock.busy, timeout=60000)
        QApplication.processEvents()

    def press(self, key, selected=None):
        handler = KeymapHandler()
        handler.keymap_providers = [*([selected] if selected else []), self.viewer]
        handler.press_key(key)
        QApplication.processEvents()

    def states(self):
        return records.ledger_of(self.form.labels.currentData()).states()


@pytest.fixture
def review(viewer, qtbot):
    return lambda: Review(viewer, qtbot)


def scan(tmp_path):
    volume = Volume(np.random.default_rng(0).random(SHAPE).astype(np.float32), "zyx", AFFINE)
    return io.read(io.write(volume, tmp_path / "scan.nii.gz"))


def add_scan(viewer, tmp_path):
    return viewer.add_layer(Layer.create(*layer_tuple(scan(tmp_path), "scan")))


def add_labels(viewer, made=MADE, filled=slice(1, 4)):
    data = np.zeros(SHAPE, np.uint8)
    data[filled, 8:14, 8:14] = 1
    volume = Volume(data, "zyx", AFFINE, CLASSES).made_by(made)
    return viewer.add_layer(Layer.create(*layer_tuple(volume, "scan tiny")))


def stroke(layer, z, label=1):
    layer.paint((z, 4, 4), label)
    QApplication.processEvents()


def test_approve_take_back_and_next_by_key(review, viewer, tmp_path):
    image = add_scan(viewer, tmp_path)
    labels = add_labels(viewer)
    one = review()
    assert one.form.labels.currentData() is labels and one.form.image.currentData() is image
    assert one.states() == ["auto"] * 5
    viewer.dims.set_current_step(0, 1)
    one.press("A", labels)
    assert one.states()[1] == "approved" and viewer.dims.current_step[0] == 2
    one.press("A", image)
    viewer.dims.set_current_step(0, 1)
    assert not one.form.approve.isEnabled() and "approved" in one.form.approve.toolTip()
    one.press("Shift-A", image)
    assert one.states() == ["auto", "auto", "approved", "auto", "auto"]
    one.press("N")
    assert viewer.dims.current_step[0] == 3
    one.press("Shift-N")
    assert viewer.dims.current_step[0] == 1


def test_keys_that_can_do_nothing_say_why(review, viewer):
    layer = add_labels(viewer)
    one = review()
    viewer.dims.ndisplay = 3
    for key, title in (("A", "Approve"), ("Shift-A", "Take back")):
        one.press(key, layer)
        assert viewer.status == f"{title}: the canvas shows no single slice. Switch to 2D."
    assert "approved" not in records.ledger_of(layer).states()
    viewer.dims.ndisplay = 2
    one.press("Shift-A", layer)
    assert viewer.status.startswith("Take back: slice ")


def test_strokes_are_listed_undone_with_the_image_selected_and_named_by_class(review, viewer, tmp_path):
    image = add_scan(viewer, tmp_path)
    labels = add_labels(viewer)
    one = review()
    stroke(labels, 2)
    stroke(labels, 3, 0)
    names = [one.form.steps.item(row).text() for row in range(one.form.steps.count())]
    assert names == ["paint cavity, slice 2"] and one.states()[2] == "edited", "nothing was there to erase"
    assert "1 step," in one.form.journal.text()
    one.press("Control-Z", image)
    assert one.states()[2] == "auto" and not labels.data[2, 4, 4]
    one.form.redo.click()
    assert labels.data[2, 4, 4] == 1 and not one.form.redo.isEnabled()
    viewer.dims.set_current_step(0, 0)
    one.form.steps.itemClicked.emit(one.form.steps.item(0))
    assert viewer.dims.current_step[0] == 2


def test_labels_of_another_program_are_unseen_until_all_filled_slices_are_approved(review, viewer, tmp_path):
    add_scan(viewer, tmp_path)
    labels = add_labels(viewer, made=Record("", ()))
    one = review()
    assert one.states() == ["unseen"] * 5 and "(3)" in one.form.approve_filled.text()
    one.form.approve_filled.click()
    assert one.states() == ["unseen", "approved", "approved", "approved", "unseen"]
    assert records.record_of(labels).reviewed == (1, 2, 3)
    one.press("Control-Z")
    assert one.states() == ["unseen"] * 5


def test_the_strip_shows_states_and_goes_where_it_is_clicked(qtbot):
    strip = Strip()
    qtbot.addWidget(strip)
    strip.resize(200, 26)
    went = []
    strip.chosen.connect(went.append)
    strip.show_states(["approved", "edited", "auto", "unseen"], (4,), 1)
    picture = strip.grab().toImage()
    for number, state in enumerate(["approved", "edited", "auto", "unseen"]):
        place = strip.cell(number).center()
        assert picture.pixelColor(place).name() == COLOURS[state]
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(190, 10))
    strip.setFocus()
    qtbot.keyClick(strip, Qt.Key.Key_Left)
    assert went == [3, 0] and strip.words(1) == "Slice 1: edited"


@pytest.mark.parametrize(("lead", "rows", "first"), [((), 1, 0), ((600,), 1, 0), ((3, 7), 3, 0), ((30, 4), 1, 8)])
def test_every_slice_has_a_place_on_the_strip(qtbot, lead, rows, first):
    strip = Strip()
    qtbot.addWidget(strip)
    strip.resize(200, strip.sizeHint().height())
    count = int(np.prod(lead)) if lead else 1
    shown = min(10, count - 1)
    strip.show_states(["auto"] * count, lead, shown)
    assert (strip._rows, strip._first_row * strip._columns) == (rows, first)
    strip.resize(200, strip.sizeHint().height())
    assert strip.number_at(strip.cell(shown).center()) in range(shown - 3, shown + 4)
    strip.grab()


def test_what_a_crash_leaves_is_restored_with_its_image_and_its_steps(review, viewer, tmp_path):
    add_scan(viewer, tmp_path)
    labels = add_labels(viewer)
    review()
    stroke(labels, 2)
    stroke(labels, 4)
    records.approve(labels, [4])
    expected = labels.data.copy()
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()  # the sessions stay, as after a crash
    two = review()
    assert two.form.offer.text().startswith("Restore 2 steps and 1 approval of ")
    assert "'scan tiny' on 'scan'" in two.form.offer.text()
    two.form.restore.click()
    two.settle()
    image, layer = viewer.layers
    assert (image.name, layer.name) == ("scan", "scan tiny")
    np.testing.assert_array_equal(layer.data, expected)
    np.testing.assert_allclose(layer.scale, image.scale)
    assert records.record_of(layer).models == MADE.models and layer.features["class"].tolist() == [
        "background",
        "cavity",
    ]
    assert two.states() == ["auto", "auto", "edited", "auto", "approved"]
    assert not two.form.restore.isVisibleTo(two.form) and "Restored 'scan tiny'" in two.form.status.text()
    two.press("Control-Z")
    assert not layer.data[4, 4, 4] and two.states()[4] == "auto"
    two.press("Control-Shift-Z")
    assert two.states()[4] == "approved"
    assert unfinished(root()) == []


@pytest.mark.parametrize("what", ["open", "changed", "gone"])
def test_labels_come_back_whatever_has_become_of_their_image(review, viewer, tmp_path, what):
    add_scan(viewer, tmp_path)
    labels = add_labels(viewer)
    one = review()
    stroke(labels, 2)
    expected = labels.data.copy()
    viewer.window.remove_dock_widget("all")
    viewer.layers.remove(labels)
    if what != "open":
        viewer.layers.clear()
        (tmp_path / "scan.nii.gz").unlink()
    if what == "changed":
        volume = Volume(np.ones(SHAPE, np.float32), "zyx", AFFINE)
        io.write(volume, tmp_path / "scan.nii.gz")
    one = review()
    one.form.restore.click()
    one.settle()
    layer = one.form.labels.currentData()
    np.testing.assert_array_equal(layer.data, expected)
    assert len(viewer.layers) == (2 if what == "open" else 1)
    said = {"open": "Restored 'scan tiny'.", "changed": "other voxels now", "gone": "not there any more"}
    assert said[what] in one.form.status.text()


def test_later_and_discard(review, viewer, tmp_path, monkeypatch):
    labels = add_labels(viewer)
    one = review()
    stroke(labels, 2)
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    one = review()
    one.form.later.click()
    assert not one.form.offer.text()
    viewer.window.remove_dock_widget("all")
    one = review()
    assert one.form.offer.text()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    one.form.discard.click()
    assert not one.form.offer.text() and unfinished(root()) == []


def test_labels_that_do_not_fit_the_image_are_reviewed_all_the_same(review, viewer, tmp_path):
    add_scan(viewer, tmp_path)
    labels = viewer.add_labels(np.zeros((3, 30, 30), np.uint8), name="other")
    one = review()
    assert "does not lie on 'scan'" in one.form.notes.text()
    stroke(labels, 1)
    assert one.states() == ["unseen", "edited", "unseen"]


@pytest.mark.parametrize("shape", [(24, 20), (2, 3, 24, 20)])
def test_single_images_and_time_series(review, viewer, shape):
    labels = viewer.add_labels(np.zeros(shape, np.uint8))
    one = review()
    count = int(np.prod(shape[:-2]))
    for _ in range(count):
        one.press("A", labels)
    assert one.states() == ["approved"] * count
    assert not one.form.following.isEnabled()


def test_keys_that_others_have_bound_stay_theirs_and_ours_go_with_the_dock(review, viewer):
    viewer.bind_key("N", lambda viewer: None)
    before = dict(viewer.keymap)
    viewer.add_labels(np.zeros(SHAPE, np.uint8))
    one = review()
    assert "left alone: N" in one.form.keys.text() and len(viewer.keymap) > len(before)
    viewer.window.remove_dock_widget("all")
    assert dict(viewer.keymap) == before
    viewer.bind_key("N", None)


def test_nothing_is_left_of_a_layer_that_was_reviewed(review, viewer, tmp_path):
    labels = add_labels(viewer)
    one = review()
    stroke(labels, 2)
    one.press("A")
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    seen = weakref.ref(labels)
    del labels, one
    QApplication.processEvents()
    gc.collect()
    assert seen() is None


def test_what_changed_since_approval_is_said_when_a_file_is_opened(review, viewer, tmp_path):
    labels = add_labels(viewer)
    one = review()
    one.form.approve_filled.click()
    volume = io.read(io.write(_saved(labels), tmp_path / "labels.nii.gz"))
    data = volume.data.copy()
    data[2, 0, 0] = 1
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.add_layer(Layer.create(*layer_tuple(replace(volume, data=data), "again")))
    one = review()
    assert one.states() == ["auto", "approved", "edited", "approved", "auto"]
    assert "1 slice has changed since it was reviewed." in one.form.notes.text()
    assert painting_of(viewer).follower(viewer.layers[0]) is not None


def _saved(layer):
    from napari_medseg.widgets.kit.layer_volumes import labels_volume

    return labels_volume(layer, None, None)


def test_labels_that_are_still_being_made_are_left_alone_until_they_are_done(review, viewer):
    labels = add_labels(viewer)
    labels.editable = False
    one = review()
    assert painting_of(viewer).follower(labels) is None and "cannot be changed now" in one.form.hint.text()
    labels.data[0] = 1  # a run writes to it
    labels.editable = True
    viewer.dims.set_current_step(0, 1)
    one.press("N")
    painting_of(viewer).protect(labels)
    assert painting_of(viewer).follower(labels).journal.steps == [] and one.form.approve.isEnabled()


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_labels_drawn_by_hand_come_back_where_they_were(review, viewer):
    data = np.zeros(SHAPE, np.uint16)
    data[1, 3] = 300
    place = {"scale": (8, 1.1, 1.2), "translate": (3, 2, 1), "rotate": (10, 20, 30), "units": ("mm", "mm", "mm")}
    labels = viewer.add_labels(data, name="by hand", **place)
    review()
    stroke(labels, 2, 300)
    expected = labels.extent.world.copy()
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    one = review()
    one.form.restore.click()
    one.settle()
    (layer,) = viewer.layers
    assert layer.data.dtype == np.uint16 and layer.data[2, 4, 4] == 300 and layer.units == labels.units
    np.testing.assert_allclose(layer.extent.world, expected)
    assert one.states() == ["unseen", "edited", "edited", "unseen", "unseen"], "drawn before the journal, and after"
    one.press("Control-Z")
    assert one.states() == ["unseen", "edited", "unseen", "unseen", "unseen"]


def test_a_save_is_noted_in_the_journal(review, viewer, tmp_path):
    labels = add_labels(viewer)
    one = review()
    stroke(labels, 2)
    labels.save(str(tmp_path / "a.nii.gz"), plugin="napari-medseg")
    assert one.form.journal.text().endswith("on disk, saved")
    stroke(labels, 3)
    assert one.form.journal.text().endswith("on disk, saved at step 1")
    assert io.read(tmp_path / "a.nii.gz").record.reviewed == (2,)


def test_the_dock_lets_go_of_labels_that_are_removed_under_it(review, viewer):
    viewer.add_image(np.zeros((24, 20)))
    labels = add_labels(viewer)
    one = review()
    stroke(labels, 2)
    viewer.dims.set_current_step(0, 3)
    viewer.layers.remove(labels)
    one.settle()
    assert one.form.labels.currentData() is None and "no labels layer is open" in one.form.hint.text()
    assert one.form.journal.text() == "" and not one.form.undo.isEnabled()
    viewer.layers.clear()


def test_the_list_of_steps_is_right_after_strokes_undo_and_another_layer(review, viewer, monkeypatch):
    monkeypatch.setattr(form, "_LISTED", 4)
    one_layer, other = add_labels(viewer), add_labels(viewer)
    one = review()

    def listed():
        return [one.form.steps.item(row).text()[-1] for row in range(one.form.steps.count())]

    one.dock.choose(one_layer)
    for number in (1, 2, 3):
        stroke(one_layer, number)
    assert listed() == ["1", "2", "3"] and one.form.steps.currentRow() == 2
    one.press("Control-Z")
    assert listed() == ["1", "2", "3"] and one.form.steps.currentRow() == 1
    stroke(one_layer, 4)
    assert listed() == ["1", "2", "4"]
    one.dock.choose(other)
    assert listed() == []
    for number in (0, 2, 4, 0, 1, 3):
        stroke(other, number, 1 + one.form.steps.count() % 2)
    assert listed() == ["4", "0", "1", "3"] and one.form.steps.currentRow() == 3
    assert one.form.steps.item(3).toolTip().startswith("Step 6:")
    one.dock.choose(one_layer)
    assert listed() == ["1", "2", "4"]
