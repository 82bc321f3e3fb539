"""The Measure dock in a window: rows of several layers stay, a line leads to its slice, the table goes out whole."""

import csv

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_medseg.io.contributions import layer_tuple
from napari_medseg.record import Item, Record, UsedModel
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.measure import memory
from napari_medseg.widgets.measure.form import MeasureForm
from napari_medseg.widgets.measure.state import OBJECTS, Facts, state

AFFINE = np.diag([1.5, 1.5, 8, 1])
CLASSES = (LabelClass(1, "cavity", "#e64b35"), LabelClass(2, "muscle", "#4dbbd5"))


def labels_of(shift=0):
    data = np.zeros((4, 20, 20), np.uint8)
    data[2, 4 + shift : 10 + shift, 4:10] = 1
    data[3, 15, 15] = 1
    data[1, 12:14, 2:9] = 2
    return Volume(data, "zyx", AFFINE, CLASSES)


def add(viewer, volume, name):
    return viewer.add_layer(Layer.create(*layer_tuple(volume, name)))


class Measure:
    def __init__(self, viewer, qtbot):
        _, self.dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Measure")
        self.form = self.dock.form
        self._qtbot = qtbot
        self.settle()

    def settle(self):
        self._qtbot.waitUntil(lambda: not self.dock.busy, timeout=60000)
        QApplication.processEvents()

    def measure(self):
        self.form.measure.click()
        self.settle()

    def lines(self):
        table = self.form.table
        found = []
        for row in range(table.rowCount()):
            cells = [table.item(row, column) for column in range(table.columnCount())]
            found.append([cell.text() for cell in cells if cell is not None])
        return found

    def heading(self):
        table = self.form.table
        return [table.horizontalHeaderItem(column).text() for column in range(table.columnCount())]


@pytest.fixture
def measure(viewer, qtbot):
    return lambda: Measure(viewer, qtbot)


def test_rows_of_all_layers_stay_and_a_line_leads_to_its_slice(measure, viewer, tmp_path, monkeypatch):
    image = Volume(np.full((4, 20, 20), 7, np.float32), "zyx", AFFINE)
    add(viewer, image, "scan")
    made = Item("labels", axes="zyx", classes=({"id": 1, "name": "cavity", "voxels": 37, "volume_mm3": 666.0},))
    record = Record("segment", outputs=(made,), models=(UsedModel("tiny", "12"),))
    first = add(viewer, labels_of().made_by(record), "scan tiny")
    one = measure()
    assert one.form.image.currentText() == "scan", "the labels lie on it"
    assert one.lines() == [["scan tiny: as the run left it"], ["cavity", "0.67", "37"]]
    second = add(viewer, labels_of(shift=1), "drawn")
    one.dock.choose(second)
    one.form.reference.setCurrentIndex(one.form.reference.findData(first))
    one.measure()
    lines = one.lines()
    assert lines[:2] == [["scan tiny: as the run left it"], ["cavity", "0.67", *[""] * 7, "37", ""]]
    assert (
        lines[2] == ["drawn"]
        and lines[3][:3] == ["cavity", "0.67", "10.6"]
        and lines[3][7:10] == ["7.00", "0.00", "37"]
    )
    assert "volume\n(ml)" in one.heading() and "Dice" in one.heading()
    one.form.table.cellClicked.emit(3, 0)
    assert viewer.dims.current_step[0] == 2
    first.paint((2, 0, 0), 1)
    second.paint((0, 0, 0), 1)
    QApplication.processEvents()
    one.settle()
    assert one.lines()[2] == ["drawn: changed since it was measured"]
    target = tmp_path / "table.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    one.form.export.click()
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["cavity", "cavity", "muscle"]
    assert float(rows[0]["volume_ml"]) == pytest.approx(0.666) and rows[0]["dice"] == ""
    assert [row["layer"] for row in rows] == ["scan tiny", "drawn", "drawn"]
    assert [row["note"] for row in rows] == ["as the run left it", *["changed since it was measured"] * 2]
    one.form.copy.click()
    assert QApplication.clipboard().text().splitlines()[0].split("\t")[:3] == ["layer", "id", "class"]
    viewer.layers.remove(first)
    assert one.lines()[0] == ["drawn: changed since it was measured"]


def test_objects_of_the_selected_label(measure, viewer):
    layer = add(viewer, labels_of(), "drawn")
    layer.selected_label = 1
    one = measure()
    one.form.what.setCurrentIndex(one.form.what.findData(OBJECTS))
    one.measure()
    assert [line[:3] for line in one.lines()[1:]] == [["cavity", "1", "0.65"], ["cavity", "2", "0.02"]]
    one.form.table.cellClicked.emit(2, 0)
    assert viewer.dims.current_step[0] == 3
    assert viewer.scene.camera.center[-2:] == pytest.approx((15 * 1.5, 15 * 1.5))


def test_an_image_of_another_shape_is_one_sentence(measure, viewer):
    add(viewer, labels_of(), "drawn")
    add(viewer, Volume(np.zeros((2, 20, 20), np.float32), "zyx", AFFINE), "other")
    one = measure()
    one.form.image.setCurrentIndex(one.form.image.findText("other"))
    one.measure()
    assert "image has the axes zyx (2, 20, 20)" in one.form.status.text() and not one.lines()


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (Facts(has_labels=False), "no labels layer is open. Run Segment, or open a labels file."),
        (Facts(running=True), "a measurement is under way."),
        (Facts(objects=True, has_reference=True), "objects are measured without a reference."),
        (Facts(), ""),
    ],
)
def test_what_is_possible_and_why_not(facts, why):
    found = state(facts)
    assert found.measure.why_not.startswith(why) and bool(found.measure.why_not) == bool(why)
    assert found.copy.why_not and not state(Facts(rows=3)).copy.why_not and not found.table


def test_in_a_wide_dock_the_table_stands_next_to_the_controls(qtbot):
    form = MeasureForm()
    qtbot.addWidget(form)
    form.resize(1200, 180)
    form.show()
    left = form.table.mapTo(form, form.table.rect().topLeft())
    assert left.x() > form.measure.mapTo(form, form.measure.rect().topRight()).x() and left.y() < 60
    assert not form.export.visibleRegion().isEmpty(), "next to the table, not below it"
    assert form.minimumSizeHint().width() < 700, "else it would stay wide in a dock at the side"
    form.resize(340, 700)
    QApplication.processEvents()
    assert form.table.mapTo(form, form.table.rect().topLeft()).y() > form.measure.y() + form.measure.height()


def test_what_changes_while_labels_are_measured_or_the_dock_is_closed_is_said(measure, viewer):
    layer = add(viewer, labels_of(), "drawn")
    other = add(viewer, labels_of(), "reference")
    one = measure()
    one.form.labels.setCurrentIndex(one.form.labels.findData(layer))
    one.form.reference.setCurrentIndex(one.form.reference.findData(other))

    def titles(form):
        return [form.table.item(line, 0).text() for line in range(form.table.rowCount())]

    one.measure()
    measurement = memory.begin(layer, other)
    layer.paint((2, 1, 1), 1)
    QApplication.processEvents()
    memory.finish(layer, measurement, memory.known(layer)[0])
    assert memory.known(layer)[1] == "changed since it was measured"
    one.measure()
    one.settle()
    assert memory.known(layer)[1] == ""
    viewer.window.remove_dock_widget("all")
    other.paint((1, 1, 1), 1)
    QApplication.processEvents()
    again = measure()
    assert "drawn: its reference has changed since" in titles(again.form)


def test_a_colour_image_has_no_intensities_and_is_left_out(measure, viewer):
    picture = Volume(np.zeros((20, 20, 3), np.uint8), "yxc")
    add(viewer, picture, "slide")
    add(viewer, Volume(labels_of().data[2], "yx", classes=CLASSES), "drawn")
    one = measure()
    assert one.form.image.currentData() is None
    one.measure()
    assert one.lines()[1][0] == "cavity"


def test_the_name_of_a_layer_is_not_cut_where_its_table_is_narrow(qtbot):
    form = MeasureForm()
    qtbot.addWidget(form)
    form.resize(360, 600)
    form.show()
    title = "slide_3 litenext-nuclei: as the run left it"
    form.show_table(["class", "voxels"], [[title], ["nucleus", "20459"]])
    needed = form.table.fontMetrics().horizontalAdvance(title)
    assert form.table.horizontalHeader().length() >= needed
