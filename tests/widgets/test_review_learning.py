"""Live learning in the Review dock: one step that can be undone, and what the person does meanwhile wins."""

import threading

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QApplication

from napari_medseg import models
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.progress import Progress
from napari_medseg.record import Record, UsedModel
from napari_medseg.segmentation.locating import Places
from napari_medseg.training import adapt
from napari_medseg.volume import Volume
from napari_medseg.widgets.kit import records
from napari_medseg.widgets.kit.painting import painting_of

from .conftest import CLASSES, constant, save

SHAPE = (6, 20, 18)


class Teacher:
    """Stands for the job: every slice that may change becomes class 1, once `opened` is set."""

    def __init__(self):
        self.given = []
        self.opened = threading.Event()
        self.opened.set()

    def job(self, volume, model, corrected, settings, places):
        self.given.append((corrected, settings, places))
        while not self.opened.wait(0.01):
            yield Progress(0, 2)
        yield Progress(1, 2)
        labels = {number: np.ones(SHAPE[1:], np.uint8) for number in corrected.others}
        return adapt.Adapted(labels, Places(((1.0, 2.0),)))


@pytest.fixture
def teacher(monkeypatch):
    found = Teacher()
    monkeypatch.setattr(adapt, "adapt_job", found.job)
    return found


class Learning:
    """The dock on labels of a model, and what a person does with it."""

    def __init__(self, viewer, qtbot, home):
        save(home / "models", "tiny", constant(9), learns=("*",))
        card = models.load_card(home / "models" / "tiny.safetensors")
        self.qtbot = qtbot
        viewer.add_layer(Layer.create(*layer_tuple(Volume(np.zeros(SHAPE, np.float32), "zyx"), "scan")))
        made = Record("segment", models=(UsedModel("tiny", card.sha256),), settings={"context": "none", "batch": 3})
        labels = Volume(np.zeros(SHAPE, np.uint8), "zyx", classes=CLASSES).made_by(made)
        self.labels = viewer.add_layer(Layer.create(*layer_tuple(labels, "scan tiny")))
        _, self.dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
        self.form = self.dock.form
        self.viewer = viewer
        self.wait()

    def wait(self):
        self.qtbot.waitUntil(lambda: not self.dock.busy and not self.dock.learning.busy, timeout=60000)
        QApplication.processEvents()

    def show(self, number):
        self.viewer.dims.set_current_step(0, number)

    def paint(self, number):
        self.labels.paint((number, 5, 5), 1)
        QApplication.processEvents()

    def correct(self, *numbers):
        """Paint on slices, and look at another one then."""
        for number in numbers:
            self.show(number)
            self.paint(number)
        self.show(5)

    def states(self):
        return records.ledger_of(self.labels).states()

    @property
    def follower(self):
        return painting_of(self.viewer).follower(self.labels)


@pytest.fixture
def learning(viewer, qtbot, own_home, teacher):
    return Learning(viewer, qtbot, own_home)


def test_the_rest_follows_in_one_step_that_can_be_undone_and_corrections_go_on(learning, teacher):
    learning.correct(0)
    assert not learning.form.learn.isEnabled() and "there are 1" in learning.form.learn.toolTip()
    learning.correct(1)
    assert learning.form.learn.isEnabled() and not learning.form.learn.isChecked()
    learning.wait()
    assert not teacher.given, "off until ticked"
    learning.form.learn.click()
    learning.wait()
    ((corrected, settings, places),) = teacher.given
    assert (corrected.reviewed, corrected.others) == ((0, 1), (2, 3, 4, 5)) and settings.context == "none"
    assert places is None
    assert learning.follower.journal.steps[-1].name == "update from 2 corrected, slices 2-5"
    assert learning.labels.data[2:].all() and not learning.labels.data[0, 15, 15]
    assert learning.states() == ["edited"] * 2 + ["auto"] * 4
    assert records.ledger_of(learning.labels).entry(3).maker == "tiny + 2 slices"
    assert "Done: update from 2 corrected, slices 2-5." in learning.form.learnt.text()
    learning.follower.undo()
    learning.wait()
    assert not learning.labels.data[2:].any() and learning.states()[2:] == ["auto"] * 4
    assert len(teacher.given) == 1, "what was undone is not done again"
    learning.show(2)
    learning.dock.approve()
    learning.wait()
    assert teacher.given[1][0].reviewed == (0, 1, 2) and learning.labels.data[3:].all()
    assert not learning.labels.data[2].any()
    assert teacher.given[1][2].centres, "the place is not looked for again"


def test_what_a_person_does_meanwhile_wins(learning, teacher):
    learning.correct(0, 1)
    teacher.opened.clear()
    learning.form.learn.click()
    learning.qtbot.waitUntil(lambda: bool(teacher.given), timeout=60000)
    learning.show(2)
    learning.paint(2)
    records.approve(learning.labels, [3])
    learning.labels.data[4, 7, 7] = 1  # which nobody announces
    teacher.opened.set()
    learning.wait()
    assert learning.labels.data[2].sum() < 100 and not learning.labels.data[3].any()
    assert learning.labels.data[4].sum() == 1 and learning.labels.data[5].all()


def test_without_the_tick_nothing_is_written_any_more(learning, teacher):
    learning.correct(0, 1)
    teacher.opened.clear()
    learning.form.learn.click()
    learning.qtbot.waitUntil(lambda: bool(teacher.given), timeout=60000)
    learning.form.learn.click()
    teacher.opened.set()
    learning.wait()
    assert not learning.labels.data[5].any() and not learning.form.learnt.text()
