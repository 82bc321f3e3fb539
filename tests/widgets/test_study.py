import csv

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_medseg.progress import run
from napari_medseg.replay import lines
from napari_medseg.replay.job import replay_job
from napari_medseg.widgets.kit.recorder import recorder_of


@pytest.fixture
def study(viewer, model, qtbot):
    y, x = np.mgrid[-1:1:40j, -1:1:48j]
    viewer.add_image((100 * (x**2 + y**2 < 0.4) + 5).astype(np.float32), name="scan")
    _, widget = viewer.window.add_plugin_dock_widget("napari-medseg", "Acceleration study")
    qtbot.waitUntil(lambda: not widget.busy, timeout=30000)
    widget.form.model.setCurrentIndex(widget.form.model.findData(model))
    yield widget
    assert QThreadPool.globalInstance().waitForDone(20000)
    QApplication.processEvents()


@pytest.mark.smoke
def test_study_fills_plot_and_table_and_saves_them(study, viewer, qtbot, monkeypatch, tmp_path):
    form = study.form
    assert not form.save_table.isEnabled() and "Run" in form.hint.text()
    recorder_of(viewer).start(tmp_path / "a.medseg.jsonl")
    form.accelerations.setText("1, 2, 4")
    form.run.click()
    qtbot.waitUntil(lambda: not study.busy, timeout=60000)
    assert form.table.rowCount() == 3 and form.table.item(0, 5).text() == "everything"
    assert form.figure.axes[0].lines and "simulated" in form.status.text()
    for button, name in ((form.save_table, "a.csv"), (form.save_plot, "a.png")):
        path = str(tmp_path / name)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, path=path: (path, ""))
        button.click()
    assert len(list(csv.reader((tmp_path / "a.csv").open()))) == 4
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    recorder_of(viewer).stop()
    assert [line.do for line in lines.read(tmp_path / "a.medseg.jsonl").lines] == ["keep", "study"]
    assert run(replay_job(tmp_path / "a.medseg.jsonl", tmp_path / "again")).equal


def test_wrong_accelerations_are_told(study):
    study.form.accelerations.setText("two")
    study.form.accelerations.editingFinished.emit()
    assert not study.form.run.isEnabled() and "such as 1, 2, 4" in study.form.hint.text()


@pytest.mark.smoke
def test_cancelled_study_can_be_run_again(study, qtbot):
    study.form.run.click()
    qtbot.waitUntil(lambda: not study.form.cancel.isHidden(), timeout=30000)
    study.form.cancel.click()
    qtbot.waitUntil(lambda: not study.busy, timeout=30000)
    assert study.form.run.isEnabled() and "Cancelled" in study.form.status.text()
