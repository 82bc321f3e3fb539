"""A session that is recorded in a window, and repeated without one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_medseg import cli, io, models, samples
from napari_medseg.record import voxel_hash
from napari_medseg.replay import lines
from napari_medseg.volume import Volume
from napari_medseg.widgets.kit import records
from napari_medseg.widgets.kit.recorder import recorder_of
from tests.widgets.conftest import save


class Person:
    """Someone at the window, who records what is done."""

    def __init__(self, viewer, qtbot, folder, patch):
        self.viewer, self.qtbot, self.folder, self.patch = viewer, qtbot, folder, patch
        torch.manual_seed(0)
        save(models.models_folder(), "tiny", models.build("litenext"))
        self.session = folder / "work.medseg.jsonl"
        self.segment = self.open_dock("Segment")

    def open_dock(self, name):
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-medseg", name)
        self.settle(dock)
        return dock

    def settle(self, dock):
        self.qtbot.waitUntil(lambda: not dock.busy, timeout=60000)
        QApplication.processEvents()

    def record(self):
        self.segment.opener.record(self.session)
        assert recorder_of(self.viewer).path == self.session

    def open(self, path):
        self.segment.opener.open([path])
        self.settle(self.segment)
        return self.viewer.layers[-1]

    def run(self):
        self.patch.setattr(self.segment, "_sure", lambda *_: True)
        form = self.segment.form
        form.model.setCurrentIndex(form.model.findData("tiny"))
        self.settle(self.segment)
        self.segment.run()
        self.settle(self.segment)
        return self.segment.labels

    def save(self, dock, name):
        path = self.folder / name
        self.patch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
        dock.form.save.click()
        self.settle(dock)
        return path

    def lines(self):
        return [(line.do, line.content) for line in lines.read(self.session).lines]

    def replay(self, *words):
        out = self.folder / "out"
        return cli.main(["replay", str(self.session), "-o", str(out), "--inputs", str(self.folder), *words]), out


@pytest.fixture
def person(viewer, qtbot, tmp_path, monkeypatch):
    return Person(viewer, qtbot, tmp_path, monkeypatch)


def picture(folder):
    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    path = folder / "in" / "scan.nii.gz"
    io.write(Volume(rng.random((4, 32, 48)).astype(np.float32), "zyx", np.diag([1, 1, 3, 1.0])), path)
    return path


def test_a_session_in_a_window_is_repeated_to_the_same_voxels(person):
    person.record()
    image = person.open(picture(person.folder))
    labels = person.run()
    review = person.open_dock("Review")
    labels.selected_label = 1
    labels.data[1:] = 0  # another plugin
    records.settle(labels)
    for place, value in (((1, 10, 10), 1), ((1, 10, 12), 0)):
        labels.brush_size = 9 if value else 3
        labels.paint(place, value)
        QApplication.processEvents()
    labels.fill((2, 5, 5), 1)
    QApplication.processEvents()
    labels.undo()
    person.viewer.dims.set_current_step(0, 1)
    form = review.form.tools
    for tool in ("fill-holes", "grow"):
        form.tool.setCurrentIndex(form.tool.findData(tool))
        form.apply.click()
        person.settle(review)
    review.approve_filled()
    review.undo()
    for act in (review.approve, review.take_back, review.approve):
        person.viewer.dims.set_current_step(0, 1)
        act()
    painted = np.array(labels.data)
    saved = person.save(review, "corrected.nii.gz")
    recorder_of(person.viewer).stop()
    done = [do for do, _ in person.lines()]
    assert done[:2] == ["open", "segment"]
    assert done[-1] == "save"
    names = [content["name"].split(",")[0] for do, content in person.lines() if do == "edit"]
    assert names == [
        "changed from outside",
        "paint everything",
        "erase",
        "paint everything",
        "paint everything",
        "fill holes (slice by slice) 1 everything",
        "grow 2 mm 1 everything",
    ]
    assert any(content.get("moved") == "undo" for _, content in person.lines())
    slices = [dict(content["slices"]) for do, content in person.lines() if do == "approve"]
    assert slices[0].keys() == slices[1].keys() and all(slices[0].values()) and not any(slices[1].values())
    assert [list(each) for each in slices[2:]] == [[1], [1], [1]]
    assert [each[1] is None for each in slices[2:]] == [False, True, False]
    last = [content["reviewed"] for do, content in person.lines() if do == "save"][-1]
    assert 1 in last
    text = person.session.read_text()
    for private in (str(person.folder), str(Path.home()), image.name + " tiny"):
        assert private not in text
    code, out = person.replay()
    assert code == 0
    again = io.read(out / saved.name)
    assert np.array_equal(again.data, painted)
    assert voxel_hash(again.data) == voxel_hash(io.read(saved).data)
    assert again.classes == io.read(saved).classes
    assert again.metadata.get("slices") == io.read(saved).metadata.get("slices")


def test_labels_that_no_file_has_are_kept(person):
    """Drawn in napari before the recording began, on an image that another plugin made."""
    image = person.viewer.add_image(np.random.default_rng(1).normal(size=(3, 30, 40)).astype(np.float32), name="noise")
    labels = person.viewer.add_labels(np.zeros((3, 30, 40), np.uint8), name="mine")
    labels.data[0, 4:9, 4:9] = 2
    review = person.open_dock("Review")
    labels.data[1, 4:9, 4:9] = 1
    person.record()
    labels.paint((2, 20, 20), 2)
    QApplication.processEvents()
    person.save(review, "drawn.tif")
    recorder_of(person.viewer).stop()
    assert [do for do, _ in person.lines()] == ["keep", "edit", "keep", "save"]
    code, out = person.replay()
    assert code == 0
    assert np.array_equal(io.read(out / "drawn.tif").data, labels.data)
    assert image in person.viewer.layers


def test_the_menu_starts_and_stops_it(person):
    opener = person.segment.opener

    def actions():
        opener._fill_menu()
        return {action.text(): action for action in opener.menu.actions()}

    person.patch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(person.folder / "mine"), ""))
    actions()["Record session…"].trigger()
    assert "Recording to mine.medseg.jsonl" in opener.status.text()
    (stop,) = [text for text in actions() if text.startswith("Stop recording")]
    actions()[stop].trigger()
    assert "napari-medseg replay mine.medseg.jsonl" in opener.status.text()
    assert json.loads((person.folder / "mine.medseg.jsonl").read_text())["schema"] == 1
    actions()["Record session…"].trigger()
    assert "exists already" in opener.status.text()
    assert recorder_of(person.viewer).path is None


def test_reconstructions_of_images_and_of_raw_data_are_repeated(person):
    person.record()
    person.open(picture(person.folder))
    dock = person.open_dock("Reconstruct")
    form = dock.form
    form.mask_kind.setCurrentIndex(form.mask_kind.findData("random"))
    form.method.setCurrentIndex(form.method.findData("zero-filled"))
    person.settle(dock)
    dock.run()
    person.settle(dock)
    person.segment.choose(dock.result)
    labels = person.run()
    raw = person.folder / "raw.npz"
    with np.load(samples.path("brain8_poisson8x.npz")) as sample:
        np.savez(raw, kspace=sample["kspace"][..., 60:124, 60:124], mask=sample["mask"][60:124, 60:124])
    dock.open(raw)
    person.settle(dock)
    dock.run()
    person.settle(dock)
    form.method.setCurrentIndex(form.method.findData("wavelet"))
    form.strength.setValue(0.01)
    form.iterations.setValue(2)
    person.patch.setattr(form, "methods", lambda: ["zero-filled", "wavelet"])
    form.suggest.click()
    person.settle(dock)
    recorder_of(person.viewer).stop()
    assert [do for do, _ in person.lines()] == ["open", "reconstruct", "segment", "reconstruct", "compare"]
    assert labels.data.shape == (4, 32, 48)
    code, _ = person.replay()
    assert code == 0
    np.savez(raw, kspace=np.ones((1, 2, 64, 64), np.complex64))
    session = person.session.rename(person.folder / "again.medseg.jsonl")
    assert cli.main(["replay", str(session), "-o", str(person.folder / "other")]) == 1


def test_copy_as_python_gives_what_run_gives(person):
    person.open(picture(person.folder))
    labels = person.run()
    copy = person.segment.form.copy
    assert copy.more.menu().actions() == [copy.python]
    copy.python.trigger()
    text = QApplication.clipboard().text()
    assert "Python text is on the clipboard" in person.segment.form.status.text()
    exec(compile(text, "copied", "exec"), {})
    assert np.array_equal(io.read(person.folder / "in" / "scan_labels.nii.gz").data, labels.data)
    copy.click()
    assert QApplication.clipboard().text().startswith("napari-medseg segment ")
