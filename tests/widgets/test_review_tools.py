"""The Tools part of the Review dock in a window: classes, rules, previews, and tools as one step."""

import numpy as np
import pytest
from napari.layers import Labels, Layer
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_medseg import io
from napari_medseg.io import class_tables
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.record import Record, UsedModel
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.kit import jobs, records
from napari_medseg.widgets.kit.layer_volumes import SIGHT, labels_volume
from napari_medseg.widgets.kit.painting import painting_of
from napari_medseg.widgets.review.palette import class_rows

SHAPE = (6, 40, 36)
AFFINE = np.diag([1.0, 1.0, 4.0, 1.0])
CLASSES = (LabelClass(1, "cavity", "#e64b35"), LabelClass(2, "wall", "#4dbbd5"))


class Review:
    """The dock, and what a person does with it."""

    def __init__(self, viewer, qtbot):
        self.viewer = viewer
        self.qtbot = qtbot
        y, x = np.indices(SHAPE[1:])
        pixels = np.stack([np.exp(-(((y - 18 - z) / 9) ** 2 + ((x - 18) / 9) ** 2)) for z in range(SHAPE[0])])
        image = Volume(pixels.astype(np.float32), "zyx", AFFINE)
        self.image = viewer.add_layer(Layer.create(*layer_tuple(image, "scan")))
        data = np.zeros(SHAPE, np.uint8)
        data[1, 10:24, 10:24] = 1
        data[1, 15, 15] = 0
        data[1, 24:30, 10:24] = 2
        made = Record("segment", models=(UsedModel("tiny", "12"),))
        labels = Volume(data, "zyx", AFFINE, CLASSES).made_by(made)
        self.labels = viewer.add_layer(Layer.create(*layer_tuple(labels, "scan tiny")))
        _, self.dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
        self.form = self.dock.form.tools
        viewer.dims.set_current_step(0, 1)
        self.labels.selected_label = 1
        self.settle()

    def settle(self):
        self.qtbot.waitUntil(lambda: not self.dock.busy, timeout=60000)
        QApplication.processEvents()

    def press(self, key):
        handler = KeymapHandler()
        handler.keymap_providers = [self.viewer]
        handler.press_key(key)
        self.settle()

    def choose(self, tool, scope=None, **numbers):
        self.form.tool.setCurrentIndex(self.form.tool.findData(tool))
        if scope:
            self.form.scope.setCurrentIndex(self.form.scope.findData(scope))
        for field, value in zip(self.form.numbers, numbers.values(), strict=False):
            field.setValue(value)

    def steps(self):
        return [step.name for step in painting_of(self.viewer).follower(self.labels).journal.steps]

    def sights(self):
        return [layer for layer in self.viewer.layers if layer.metadata.get(SIGHT)]


@pytest.fixture
def review(viewer, qtbot):
    return Review(viewer, qtbot)


def test_a_preview_changes_nothing_and_apply_is_one_step_that_can_be_taken_back(review):
    before = review.labels.data.copy()
    review.choose("grow", "slice", mm=2)
    assert review.form.numbers[0].suffix() == " mm"
    review.form.preview.click()
    review.settle()
    (sight,) = review.sights()
    assert sight.data[1, 9, 15] == 1 and (review.labels.data == before).all()
    assert "Changes 1 slice." in review.form.report.text() and "1 cavity: +" in review.form.report.text()
    review.form.cancel.click()
    assert not review.sights() and not review.form.cancel.isVisible()
    review.form.apply.click()
    review.settle()
    assert review.steps() == ["grow 2 mm 1 cavity, slice 1"] and review.labels.data[1, 8, 15] == 1
    assert records.ledger_of(review.labels).state(1) == "edited"
    review.press("Control-Z")
    assert (review.labels.data == before).all() and records.ledger_of(review.labels).state(1) == "auto"


def test_a_stroke_or_another_choice_ends_a_preview(review):
    review.choose("grow", "slice", mm=2)
    for change in (lambda: review.labels.paint((1, 35, 30), 1), lambda: review.form.numbers[0].setValue(3)):
        review.form.preview.click()
        review.settle()
        assert review.sights()
        change()
        QApplication.processEvents()
        assert not review.sights()
    review.form.preview.click()
    review.settle()
    review.viewer.dims.set_current_step(0, 2)
    assert not review.sights(), "it was that of another slice"


def test_labels_that_change_or_go_while_a_tool_computes_lose_nothing(review):
    review.choose("clear", "slice")
    review.form.preview.click()
    review.settle()
    review.labels.data[1, 12, 12] = 2  # which nobody announces
    review.form.apply.click()
    assert review.labels.data[1, 10:14, 10:14].all() and "nothing was written" in review.form.report.text()
    review.form.apply.click()
    review.viewer.layers.remove(review.labels)
    review.settle()
    assert not review.sights() and not review.form.apply.isEnabled()


def test_protected_classes_and_intensities_hold_for_brush_and_tools_until_the_dock_closes(review):
    review.form.palette_table.item(1, 1).setCheckState(Qt.CheckState.Checked)
    wall = (review.labels.data == 2).copy()
    review.labels.paint((1, 24, 15), 1)
    review.choose("clear", "slice")
    review.form.classes.setCurrentIndex(1)
    review.form.apply.click()
    review.settle()
    assert (review.labels.data[wall] == 2).all() and not (review.labels.data == 1).any()
    review.form.within.setChecked(True)
    review.form.within_low.setValue(0.5)
    review.labels.paint((1, 18, 18), 1)
    review.labels.paint((1, 2, 2), 1)
    QApplication.processEvents()
    assert review.labels.data[1, 18, 18] == 1 and not review.labels.data[1, 2, 2]
    follower = painting_of(review.viewer).follower(review.labels)
    assert len(follower.rules) == 2
    review.viewer.window.remove_dock_widget(review.dock)
    assert not follower.rules


def test_keys_step_through_classes_propagate_interpolate_and_compare(review):
    review.press(".")
    assert review.labels.selected_label == 2
    review.press(".")
    assert review.labels.selected_label == 1
    review.press("G")
    assert review.viewer.dims.current_step[0] == 2 and (review.labels.data[2] == 1).any()
    assert records.ledger_of(review.labels).state(2) == "auto", "nobody has looked at it yet"
    review.press("D")
    assert [layer.data[2].any() for layer in review.sights()] == [True]
    review.press("Control-Z")
    assert not review.sights()[0].data.any()
    review.press("D")
    assert not review.sights()
    other = review.viewer.add_labels(np.zeros(SHAPE, np.uint8), name="other")
    review.press("K")
    assert review.sights()[0].data[1].any()
    review.viewer.layers.remove(other)
    assert not review.sights()
    review.press("T")
    assert review.labels.contour
    review.labels.data[4] = review.labels.data[1]
    review.press("H")
    assert (review.labels.data[2:4] == 1).any(axis=(1, 2)).all()
    assert review.steps()[-1] == "interpolate between slices 1 cavity, slices 2-3"


def test_what_a_tool_has_done_is_said_until_there_is_another_step(review):
    review.choose("clear", "slice")
    review.form.apply.click()
    review.settle()
    assert "Done: clear" in review.form.report.text() and "Ctrl+Z" in review.form.report.text()
    review.labels.data_setitem((np.array([1]), np.array([3]), np.array([3])), 2)
    review.settle()
    assert not review.form.report.text(), "Ctrl+Z takes the stroke back now"


def test_strokes_are_extended_by_key_as_one_step(review):
    review.image.data[1, 12:22, 25:33] = 3
    review.press("R")
    assert "Nothing was painted or erased on this slice" in review.form.report.text() and not review.steps()
    review.labels.selected_label = 2
    review.labels.data_setitem((np.full(4, 1), np.arange(15, 19), np.full(4, 29)), 2)
    review.settle()
    painted = review.labels.data.copy()
    review.press("R")
    assert review.steps()[1:] == ["extend my strokes 10 mm, slice 1"]
    assert (review.labels.data[1, 13:21, 26:32] == 2).all() and (review.labels.data != painted).sum() < 80
    review.press("R")
    assert len(review.steps()) == 2, "these are not strokes any more"
    review.press("Control-Z")
    np.testing.assert_array_equal(review.labels.data, painted)
    review.choose("extend-strokes", mm=5)
    assert review.form.classes.isHidden() and review.form.apply.isEnabled()
    review.labels.selected_label = 0
    assert review.form.apply.isEnabled(), "what was erased is extended, too"


def test_a_tool_is_for_the_slice_in_which_its_key_was_pressed(review):
    review.choose("smooth", "volume")
    review.labels.data[4] = review.labels.data[1]
    review.dock.tools.use("propagate-next", everything=True)
    review.viewer.dims.set_current_step(0, 4)  # before it was its turn
    review.settle()
    assert not review.labels.data[5].any() and "another slice is in view" in review.form.report.text()
    review.dock.tools.use("interpolate")
    review.viewer.dims.set_current_step(0, 3)
    review.settle()
    assert (review.labels.data[2:4] == 1).any(axis=(1, 2)).all(), "that of the volume goes on"


def test_a_tool_says_when_it_changes_what_was_approved(review):
    review.press("A")
    review.viewer.dims.set_current_step(0, 1)
    review.choose("grow", "slice", mm=1)
    review.form.preview.click()
    review.settle()
    assert "1 of them approved" in review.form.report.text()
    review.form.apply.click()
    assert "1 slice that was approved is to be reviewed again" in review.form.report.text()


def test_an_image_without_numbers_proposes_a_range_that_can_be_read(review):
    review.image.data[:] = np.nan
    review.choose("keep-range")
    assert all(abs(field.value()) < 1e6 for field in review.form.numbers)


def test_a_new_class_is_painted_with_and_the_way_to_fill_it_is_said(review):
    review.form.new_class.click()
    assert review.labels.selected_label == 3 and review.labels.mode == "paint"
    assert review.form.tool.currentData() == "interpolate" and "New class 3" in review.form.guide.text()
    rows = [review.form.palette_table.item(row, 0).text() for row in range(3)]
    assert rows == ["1 cavity", "2 wall", "class 3"]
    colours = [tuple(review.labels.get_color(number)) for number in (1, 2, 3)]
    assert len(set(colours)) == 3
    review.choose("keep-range")
    review.labels.paint((1, 18, 18), 3)
    QApplication.processEvents()
    low, high = (field.value() for field in review.form.numbers)
    assert low > 0.5 and high <= 1, "the intensities of what was painted are proposed"
    review.form.palette_table.cellClicked.emit(0, 0)
    assert review.labels.selected_label == 1


def test_labels_that_are_hidden_are_neither_approved_nor_changed(review):
    for hide in ({"visible": False}, {"opacity": 0}):
        for name, value in hide.items():
            setattr(review.labels, name, value)
        review.press("A")
        review.press("G")
        assert "hidden" in review.dock.form.approve.toolTip() and not review.form.apply.isEnabled()
        assert not review.dock.form.approve_filled.isEnabled() and review.form.palette_table.isEnabled()
        assert not review.steps() and "approved" not in records.ledger_of(review.labels).states()
        review.labels.visible, review.labels.opacity = True, 0.7
    review.press("A")
    assert records.ledger_of(review.labels).state(1) == "approved"


def test_name_place_and_proposals_come_back_after_a_crash(review, qtbot):
    review.press("G")
    review.labels.name = "mine"
    review.labels.scale = (5, 1, 1)
    painting_of(review.viewer)._sync()
    expected = records.ledger_of(review.labels).states()
    assert expected[2] == "auto"
    review.viewer.window.remove_dock_widget("all")
    review.viewer.layers.clear()  # the sessions stay, as after a crash
    _, dock = review.viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    qtbot.waitUntil(lambda: not dock.busy)
    dock.form.restore.click()
    qtbot.waitUntil(lambda: not dock.busy)
    layer = dock.form.labels.currentData()
    assert layer.name == "mine" and layer.scale.tolist() == [5, 1, 1]
    assert records.ledger_of(layer).states() == expected


def test_a_new_class_its_colour_and_its_name_are_kept_in_layer_and_file(review, tmp_path):
    review.form.new_class.click()
    colour = QColor.fromRgbF(*review.labels.get_color(3)[:3]).name()
    review.form.palette_table.item(2, 0).setText("cyst")
    review.labels.paint((1, 30, 30), 3)
    QApplication.processEvents()
    assert review.form.palette_table.item(2, 0).text() == "3 cyst"
    saved = io.read(io.write(labels_volume(review.labels, None, None), tmp_path / "a.nii.gz"))
    assert saved.classes == (*CLASSES, LabelClass(3, "cyst", colour))
    assert review.labels.features["class"].tolist() == ["background", "cavity", "wall", "cyst"]
    review.form.palette_table.item(0, 0).setText("  ")
    assert review.form.palette_table.item(0, 0).text() == "1 cavity"


def test_labels_that_are_numbers_alone_get_a_class_table_when_one_is_named(review, tmp_path):
    layer = review.viewer.add_labels(np.array(review.labels.data), name="drawn", scale=(4, 1, 1))
    review.dock.choose(layer)
    review.settle()
    review.form.new_class.click()
    assert not records.noted(layer).get("classes")
    review.form.palette_table.item(0, 0).setText("liver")
    saved = io.read(io.write(labels_volume(layer, review.image, "zyx"), tmp_path / "a.nii.gz"))
    assert [(row.id, row.name) for row in saved.classes] == [(1, "liver"), (2, "class 2"), (3, "class 3")]


def test_a_new_class_after_a_number_that_napari_cannot_colour_is_painted_all_the_same(review):
    data = np.zeros(SHAPE, np.int32)
    data[1, 10:24, 10:24] = 1
    data[1, 30, 30] = 70001  # in no class table
    labels = Volume(data, "zyx", AFFINE, CLASSES)
    layer = review.viewer.add_layer(Layer.create(*layer_tuple(labels, "atlas")))
    review.dock.choose(layer)
    review.settle()
    review.form.new_class.click()
    layer.paint((1, 5, 5), layer.selected_label)
    QApplication.processEvents()
    assert layer.selected_label == 70002 and layer.data[1, 5, 5] == 70002


def test_a_single_slice_with_steps_is_counted_as_one(review):
    review.labels.paint((1, 30, 30), 1)
    review.press("D")
    assert review.viewer.status.startswith("1 slice with steps")


def test_class_names_come_from_a_file_and_go_into_one(review, tmp_path, monkeypatch):
    table = tmp_path / "names.label.txt"
    table.write_text('1 255 0 0 1 1 1 "left ventricle"\n3 0 0 255 1 1 1 "papillary muscle"\n700 1 2 3 1 1 1 "far"\n')
    before = review.labels.data.copy()
    classes = review.dock.tools.classes
    classes.load_names(table)
    review.settle()
    assert "2 classes have their names" in review.viewer.status and "above 255" in review.viewer.status
    listed = [review.form.palette_table.item(row, 0).text() for row in range(review.form.palette_table.rowCount())]
    assert listed == ["1 left ventricle", "2 wall", "3 papillary muscle"]
    assert [QColor.fromRgbF(*map(float, review.labels.get_color(n))).name() for n in (1, 2, 3)] == [
        "#ff0000",
        "#4dbbd5",
        "#0000ff",
    ]
    assert np.array_equal(review.labels.data, before)
    volume = labels_volume(review.labels, review.image, "zyx")
    assert [row.name for row in volume.classes] == listed_names(listed)
    for name in ("out.tsv", "out.txt"):
        classes.write_names(tmp_path / name)
        assert [row.name for row in class_tables.read(tmp_path / name)] == listed_names(listed)
    typed = iter([(str(tmp_path / "out"), "BIDS table (*.tsv)"), ("", "")])
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: next(typed))
    assert review.form.names.ask_where_to_write("x") is None, "out.tsv is there, and the dialog asks again"
    (tmp_path / "liver.tsv").write_text("index\tname\n9\tliver\n")
    classes.load_names(tmp_path / "liver.tsv")
    assert "None of them is in these labels, which hold 1, 2, 3:" in review.viewer.status
    (tmp_path / "other.txt").write_text("nothing")
    errors = []
    monkeypatch.setattr(jobs, "show_error", errors.append)
    classes.load_names(tmp_path / "other.txt")
    assert "does not hold a class table" in errors[0]
    assert review.form.names.isEnabled() and review.form.names.accessibleName()


def test_classes_that_napari_hides_keep_their_colours():
    layer = Labels(np.arange(4, dtype=np.uint8).reshape(2, 2))
    rows = class_rows(layer, [1, 2, 3])
    layer.show_selected_label = True
    assert class_rows(layer, [1, 2, 3]) == rows


def listed_names(listed):
    return [text.partition(" ")[2] for text in listed]
