import csv
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_medseg import files, io
from napari_medseg.runs import crew
from napari_medseg.runs.reviewed import in_file
from napari_medseg.runs.worklist import LOOK, WorkList
from napari_medseg.volume import Volume
from napari_medseg.widgets.kit import records

HOOKS = Path(__file__).parents[1] / "runs" / "hooks"


def image(path, value=0):
    path.parent.mkdir(exist_ok=True)
    data = np.random.default_rng(value).integers(0, 900, (3, 16, 20)).astype(np.int16)
    return io.write(Volume(data, "zyx", np.diag([1.0, 1, 3, 1])), path)


class Batch:
    """The form, and what a person does with it."""

    def __init__(self, viewer, qtbot, model):
        self.viewer = viewer
        _, self.dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Batch")
        self.form = self.dock.form
        self._qtbot = qtbot
        self.settle()
        self.form.model.setCurrentIndex(self.form.model.findData(model))

    def settle(self):
        self._qtbot.waitUntil(lambda: not self.dock.busy, timeout=120000)
        QApplication.processEvents()
        self._qtbot.waitUntil(lambda: not self.dock.busy and not self.dock._showing.isActive(), timeout=120000)

    def run(self, *names):
        if names:
            self.dock.chosen.choose([str(name) for name in names])
            self.settle()
        self.form.run.click()
        self.settle()

    def open(self, number):
        self.dock.open_case(number)
        self.settle()
        return self.dock.opened.labels

    def states(self):
        return [self.dock.work.state(number) for number in range(len(self.dock.work))]

    def cell(self, number, title):
        """What the table shows of a case."""
        cases = self.form.table.cases
        return cases.index(cases.order.index(number), cases.head.index(title)).data()


@pytest.fixture
def batch(viewer, model, qtbot, monkeypatch, tmp_path):
    """In this process: what children do is tested without a window."""
    monkeypatch.setattr(crew, "local", lambda workers: crew.here())
    yield Batch(viewer, qtbot, model)
    assert QThreadPool.globalInstance().waitForDone(120000)
    QApplication.processEvents()


@pytest.fixture
def scans(tmp_path):
    for number in range(3):
        image(tmp_path / "in" / f"case{number}.nii.gz", number)
    return tmp_path / "in"


def names(viewer):
    return [layer.name for layer in viewer.layers]


def paint(labels, number=1):
    labels.data_setitem((np.array([number] * 4), np.array([2, 2, 3, 3]), np.array([2, 3, 2, 3])), 0)


def answer(monkeypatch, button):
    asked = []
    monkeypatch.setattr(QMessageBox, "exec", lambda box: asked.append(box.text()) or button)
    return asked


@pytest.mark.smoke
def test_a_folder_runs_and_is_listed(batch, scans, tmp_path, monkeypatch):
    (scans / "broken.nii.gz").write_bytes(b"no")
    assert "choose the images first" in batch.form.hint.text()
    batch.run(scans)
    assert batch.states() == ["failed", "done", "done", "done"]
    assert sorted(path.name for path in (tmp_path / "in_labels").iterdir()) == [f"case{n}.nii.gz" for n in range(3)]
    assert (
        "1 failed" in batch.form.status.text()
        and batch.cell(1, "Size") == "2.9 ml"
        and batch.cell(1, "Approved") == "0 of 3"
    )
    assert batch.cell(0, LOOK).startswith("is not the compressed"), "a failed row shows its sentence"
    batch.form.table.choose(0)
    batch.form.table.doubleClicked.emit(batch.form.table.currentIndex())
    assert "no labels to open" in batch.form.status.text() and "broken: failed." in batch.form.detail.text()
    batch.form.copy.click()
    text = QApplication.clipboard().text()
    assert "--workers" in text and "--resume" in text
    assert f"segment {scans} --output {tmp_path / 'in_labels'}" in text
    for button, name in ((batch.form.save_table, "t.csv"), (batch.form.save_page, "p.html")):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, name=name: (str(tmp_path / name), ""))
        button.click()
        batch.settle()
    assert len(list(csv.DictReader((tmp_path / "t.csv").open()))) == 4
    assert "case2" in (tmp_path / "p.html").read_text() and not batch.form.open_page.isHidden()
    batch.run()
    assert batch.states() == ["failed", "skipped", "skipped", "skipped"], "Resume is on"


@pytest.mark.smoke
def test_cases_are_stepped_through_and_nothing_is_lost(batch, scans, tmp_path, monkeypatch):
    mine = batch.viewer.add_points(np.zeros((1, 3)), name="mine")
    batch.run(scans)
    batch.form.table.choose(1)
    batch.form.next.click()
    batch.settle()
    assert names(batch.viewer) == ["mine", "case1", "case1 labels"], "the chosen row, as none was open"
    batch.form.previous.click()
    batch.settle()
    assert names(batch.viewer) == ["mine", "case0", "case0 labels"] and mine in batch.viewer.layers
    labels = batch.dock.opened.labels
    assert batch.dock._painting.follower(labels) is not None, "Review's journal works on it"
    assert not batch.form.save.isEnabled()
    paint(labels)
    records.approve(labels, [0, 2])
    batch.settle()
    assert batch.cell(0, "Approved") == "2 of 3" and batch.form.save.isEnabled()
    asked = answer(monkeypatch, QMessageBox.StandardButton.Cancel)
    batch.form.next.click()
    batch.settle()
    assert "case0.nii.gz" in asked[0] and "case0 labels" in names(batch.viewer), "cancelled"
    answer(monkeypatch, QMessageBox.StandardButton.Save)
    batch.form.next.click()
    batch.settle()
    assert names(batch.viewer)[1:] == ["case1", "case1 labels"]
    written = io.read(tmp_path / "in_labels" / "case0.nii.gz")
    assert not written.data[1, 2:4, 2:4].any() and in_file(tmp_path / "in_labels" / "case0.nii.gz").approved == 2
    assert batch.cell(0, "Approved") == "2 of 3"
    records.approve(batch.dock.opened.labels, [0, 1, 2])
    answer(monkeypatch, QMessageBox.StandardButton.Discard)
    batch.form.unapproved.click()
    batch.settle()
    assert names(batch.viewer)[1:] == ["case2", "case2 labels"]
    assert batch.cell(1, "Approved") == "0 of 3", "what was not saved is not counted"
    assert in_file(tmp_path / "in_labels" / "case1.nii.gz").approved == 0
    batch.run()
    assert batch.states() == ["kept", "skipped", "skipped"] and batch.cell(0, "Approved") == "2 of 3"
    assert not io.read(tmp_path / "in_labels" / "case0.nii.gz").data[1, 2:4, 2:4].any()
    assert names(batch.viewer)[1:] == ["case2", "case2 labels"], "a new run leaves the open layers alone"
    batch.form.previous.click()
    batch.settle()
    assert names(batch.viewer)[1:] == ["case1", "case1 labels"], "and they are still those of the open case"


def test_what_was_written_meanwhile_is_not_replaced(batch, scans, tmp_path, notes):
    batch.run(scans)
    labels = batch.open(0)
    path = tmp_path / "in_labels" / "case0.nii.gz"
    shutil.copy(tmp_path / "in_labels" / "case1.nii.gz", path)
    os.utime(path, ns=(1, 1))
    before = path.read_bytes()
    paint(labels)
    batch.dock._update()
    batch.settle()
    batch.form.save.click()
    batch.settle()
    assert path.read_bytes() == before and "written again since it was opened" in notes[-1].message
    batch.viewer.layers.remove(labels)  # by the person: the journal keeps what was painted
    batch.settle()
    assert batch.dock.opened.labels is None and batch.dock.opened.name == ""
    batch.form.next.click()
    batch.settle()
    assert names(batch.viewer) == ["case1", "case1 labels"]


def test_results_are_listed_without_a_run(batch, scans, tmp_path, monkeypatch, notes):
    batch.run(scans)
    out = tmp_path / "in_labels"
    scans.rename(tmp_path / "moved")
    batch.form.inputs.setText("")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(out))
    batch.dock._list(WorkList())
    batch.form.output.setText(str(tmp_path / "others"))
    batch.form.results.click()
    batch.settle()
    assert batch.states() == ["done"] * 3 and batch.cell(2, "Approved") == "0 of 3"
    batch.open(0)
    assert names(batch.viewer) == ["case0 labels"] and "was not found" in batch.form.status.text()
    batch.form.inputs.setText(str(tmp_path / "moved"))
    batch.open(1)
    assert names(batch.viewer) == ["case1", "case1 labels"] and not batch.form.status.text()
    image(tmp_path / "moved" / "case2.nii.gz", 77)
    batch.open(2)
    assert "not the image that these labels were made of" in batch.form.status.text()
    batch.run(tmp_path / "moved")
    assert batch.dock.opened.number is None and "case2 labels" in names(batch.viewer), "not one of those listed now"
    batch.form.next.click()
    batch.settle()
    assert names(batch.viewer) == ["case0", "case0 labels"], "the next one comes in its place all the same"
    batch.dock.results.open(out)
    batch.settle()
    batch.open(2)
    (out / "case0.nii.gz").unlink()
    batch.open(0)
    assert "was moved or removed" in notes[-1].message and "case2 labels" in names(batch.viewer)
    batch.dock.results.open(tmp_path / "moved")
    batch.settle()
    assert "holds no result" in batch.form.status.text() and len(batch.dock.work) == 3


@pytest.mark.parametrize(
    ("inputs", "output", "said"),
    [
        ("nowhere", "out", "does not exist"),
        ("empty", "out", "holds no file that can be read"),
        ("in", "in", "would lie in the input folder|would replace"),
        ("in", "file.nii.gz", "is a file name. Give a folder"),
    ],
)
def test_what_cannot_be_run_says_why(batch, scans, tmp_path, inputs, output, said):
    (tmp_path / "empty").mkdir()
    batch.form.output.setText(str(tmp_path / output))
    batch.dock.chosen.choose([str(tmp_path / inputs)])
    batch.settle()
    assert not batch.form.run.isEnabled()
    assert any(part in batch.form.hint.text() for part in said.split("|"))


def test_labels_are_compared_with_a_reference(batch, scans, tmp_path):
    batch.run(scans)
    (tmp_path / "refs").mkdir()
    shutil.copy(tmp_path / "in_labels" / "case1.nii.gz", tmp_path / "refs" / "case1_seg.nii.gz")
    batch.form.reference.setText(str(tmp_path / "nowhere"))
    batch.form.reference.editingFinished.emit()
    batch.settle()
    assert "nowhere' does not exist" in batch.form.hint.text() and not batch.form.run.isEnabled()
    batch.form.reference.setText(str(tmp_path / "refs"))
    batch.form.reference.editingFinished.emit()
    batch.settle()
    assert "1 of 3 with reference labels" in batch.form.found.text()
    batch.run()
    assert batch.cell(1, "Dice") == "1.000" and batch.cell(1, "HD95") == "0.0 mm" and batch.cell(0, "Dice") == ""
    image(scans / "later.nii.gz", 9)
    batch.dock._list(WorkList())
    batch.dock.results.open(tmp_path / "in_labels")
    batch.settle()
    assert "1 of 4 images has no result there: later.nii.gz" in batch.form.status.text()
    assert batch.cell(1, "Dice") == "1.000" and batch.cell(1, "HD95") == "0.0 mm" and batch.cell(0, "Dice") == ""
    assert "No reference has the name" in batch.dock.work.text(0), "as after the run"
    batch.form.reference.setText(str(tmp_path / "nowhere"))
    batch.dock.results.open(tmp_path / "in_labels")
    batch.settle()
    assert "They are not compared: Reference labels" in batch.form.status.text() and batch.states() == ["done"] * 3
    batch.form.reference.setText(str(tmp_path / "refs"))
    batch.form.reference.editingFinished.emit()
    batch.settle()
    table = batch.form.table
    assert table.columnViewportPosition(2) + table.columnWidth(2) <= table.viewport().width(), "reasons are in view"
    batch.form.copy.click()
    assert f"--reference {tmp_path / 'refs'}" in QApplication.clipboard().text()


def test_a_folder_that_cannot_be_made_ends_the_run_with_a_sentence(batch, scans, tmp_path, notes):
    (tmp_path / "file").write_text("")
    batch.form.output.setText(str(tmp_path / "file" / "out"))
    batch.run(scans)
    assert "cannot be" in batch.form.status.text() and batch.form.run.isEnabled()
    assert "running" not in batch.states() and "waiting" not in batch.states()


def test_without_resume_it_asks_first(batch, scans, monkeypatch):
    batch.run(scans)
    batch.form.resume.setChecked(False)
    asked = []
    monkeypatch.setattr(batch.dock, "_sure", lambda *words: asked.append(words) or len(asked) > 1)
    batch.run()
    assert "3 results exist already" in asked[0][1] and "changed, which stay" in asked[0][1]
    assert "Not started" in batch.form.status.text()
    batch.run()
    assert batch.states() == ["done"] * 3
    with files.lock(scans.parent / "in_labels"):
        batch.run()
    assert "Another run" in batch.form.status.text()
    assert batch.states() == ["done"] * 3, "a run that is refused leaves the list as it is"


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def begun(tmp_path):
    """Processes that have begun a file."""
    with suppress(FileNotFoundError):
        return [int(line.split()[0]) for line in (tmp_path / "starts").read_text().splitlines()]
    return []


def test_children_end_with_cancel_and_with_the_dock(viewer, model, qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSEG_TEST_STARTS", str(tmp_path / "starts"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOOKS), os.environ.get("PYTHONPATH", "")]))
    image(tmp_path / "in" / "slow.nii.gz")
    batch = Batch(viewer, qtbot, model)
    batch.dock.chosen.choose([str(tmp_path / "in")])
    batch.settle()
    for number, end in enumerate((batch.form.cancel.click, lambda: viewer.window.remove_dock_widget("all"))):
        batch.form.run.click()
        qtbot.waitUntil(lambda number=number: len(begun(tmp_path)) > number, timeout=120000)
        child = begun(tmp_path)[-1]
        assert not gone(child) and batch.states() == ["running"]
        end()
        assert gone(child), "at once: nothing is waited for"
        if not number:
            batch.settle()
            assert batch.states() == ["not reached"] and "Cancelled: 0 of 1" in batch.form.status.text()
    assert QThreadPool.globalInstance().waitForDone(120000)
    QApplication.processEvents()
    assert not list((tmp_path / "in_labels").iterdir()), "nothing half-written, no lock"
