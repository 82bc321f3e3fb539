"""The Fine-tune dock: most tests have a child process that only pretends to train, the last one a real one."""

import gc
import json
import shlex
import sys
import textwrap
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox
from scipy.ndimage import binary_dilation

from napari_medseg import cli, io, models, samples
from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import Progress, run
from napari_medseg.record import Record, UsedModel
from napari_medseg.replay import lines
from napari_medseg.training import fine_tune, gain, trial
from napari_medseg.training.data.folders import LabelledImage, write_dataset
from napari_medseg.training.forecast import Pace
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.fine_tune import work
from napari_medseg.widgets.fine_tune.form import NOTHING, first_name, new_name
from napari_medseg.widgets.fine_tune.view import dice_limits, doubtful, figure_rows, verdict_text
from napari_medseg.widgets.kit import tuning
from napari_medseg.widgets.kit.recorder import recorder_of
from napari_medseg.widgets.kit.records import approve, put_record, record_of
from napari_medseg.widgets.kit.tuning import Run, runs_folder, training
from napari_medseg.widgets.segment.dock import SegmentWidget

SLICES = 8
CHILD = textwrap.dedent(
    """
    import json, pathlib, shutil, sys, threading, time
    folder, tied = pathlib.Path(sys.argv[1]), len(sys.argv) > 2
    if tied:
        import os
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
    known = json.loads((folder / "recipe.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**known, "steps": 40}))
    print("hello")
    while known["name"] == "late":
        time.sleep(0.01)
    log = folder / "log.jsonl"
    first = len(log.read_text().splitlines()) if log.exists() else 0
    for number in range(first, 5):
        while number > 1 and not (folder / "go").exists() and not (folder / "stop").exists():
            time.sleep(0.01)
        if (folder / "crash").exists():
            (folder / "crash").unlink()
            raise ValueError("out of luck")
        line = {"step": 10 * number, "loss": None if number == 0 else 1 / number, "val": 0.5 + 0.1 * number}
        line |= {"figure": "dice", "best": line["val"], "learning_rate": 1e-3, "time": time.time()}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\\n")
        start = pathlib.Path(known["start"] or known["other"])
        target = folder / (known["name"] + ".safetensors")
        shutil.copy(start, target)
        card = json.loads(start.with_suffix(".json").read_text())
        target.with_suffix(".json").write_text(json.dumps({**card, "name": known["name"]}))
        if (folder / "stop").exists():
            break
    """
)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 200, shape, np.uint8)


class Dock:
    """The form in a viewer with an image, and what a person does with it."""

    def __init__(self, viewer, qtbot):
        self.viewer, self._qtbot = viewer, qtbot
        self.open()

    def open(self):
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-medseg", "Fine-tune")
        self.form = self.widget.form
        self.settle()

    def close(self):
        self.viewer.window.remove_dock_widget(self.widget)

    def wait(self, condition):
        self._qtbot.waitUntil(condition, timeout=30000)

    def settle(self):
        self.wait(lambda: not self.widget.busy)

    def labels(self, **slices):
        """A labels layer with squares: ``z3=1`` puts label 1 on slice 3."""
        data = np.zeros((SLICES, 40, 48), np.uint8)
        for name, label in slices.items():
            data[int(name[1:]), 5:15, 5:15] = label
        layer = self.viewer.add_labels(data, name="mine")
        self.settle()
        return layer

    def choose(self, box, value):
        assert box.findData(value) >= 0
        box.setCurrentIndex(box.findData(value))
        self.settle()

    def rows(self):
        table = self.form.classes.widget
        return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())]

    def start(self, lines=2):
        """Press Start and wait for the first figures."""
        assert self.form.start.isEnabled(), self.form.hint.text()
        self.form.start.click()
        self.wait(lambda: training().run is not None and len(training().run.lines) >= lines)
        return training().run

    def finish(self, run):
        (run.folder / "go").touch()
        self.wait_for_end()

    def wait_for_end(self):
        """Of the child, its last look at the log, and the comparison."""
        self.wait(lambda: not training().findChild(QTimer).isActive())
        self.settle()


@pytest.fixture
def prepared(monkeypatch):
    """What the dock handed to `prepare`, which only writes the recipe."""
    seen = []

    def prepare(annotations, settings, folder):
        if settings.name == "impossible":
            folder.mkdir(parents=True)
            raise VolumeError("The labels are odd.")
        seen.append((annotations, settings))
        start = str(models.find(settings.base)) if settings.base else ""
        recipe = {"name": settings.name, "start": start, "steps": 1}
        recipe["other"] = str(models.find("all"))  # what a run from nothing makes here
        recipe |= {"classes": [vars(row) for row in settings.classes], "val": [{"path": "data", "split": "val"}]}
        folder.mkdir(parents=True)
        (folder / "recipe.json").write_text(json.dumps(recipe))

    monkeypatch.setattr(work, "prepare", prepare)
    return seen


@pytest.fixture
def figures(monkeypatch):
    """What the comparison says: Dice before and after."""
    found = gain.Comparison({"everything": 0.7}, {"everything": 0.9}, 2, half_width=0.05)
    monkeypatch.setattr(gain, "before_and_after", lambda folder: found)
    return found


@pytest.fixture
def one_program():
    """Afterwards it is as if the program had ended: no child, no thread, and nothing is remembered."""
    yield
    one = training()
    process = one.run.process() if one.run is not None else None
    if process is not None:
        process.kill()
        process.wait(20)
    one.setParent(None)
    one.deleteLater()
    assert QThreadPool.globalInstance().waitForDone(20000), "no thread outlives its form"
    QApplication.processEvents()


@pytest.fixture
def pace(monkeypatch):
    """What a trial finds, and the models that were tried."""
    tried = []

    def pace_job(images, settings):
        yield Progress(0, 1)
        tried.append(settings.base)
        return Pace(size=48, room=8, view=1.0, score=0.0, lead=0.0), 48

    monkeypatch.setattr(trial, "pace_job", pace_job)
    return tried


@pytest.fixture
def dock(viewer, model, qtbot, monkeypatch, tmp_path, prepared, figures, pace, one_program):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    words = [sys.executable, str(script)]
    monkeypatch.setattr(tuning, "command", lambda folder, tied: [*words, str(folder), *(["tied"] if tied else [])])
    docks = []

    def make(shape=(SLICES, 40, 48), **options):
        viewer.add_image(noise(*shape), name="scan", **options)
        docks.append(Dock(viewer, qtbot))
        docks[-1].choose(docks[-1].form.model, "all")
        return docks[-1]

    yield make
    docks.clear()
    gc.collect()


@pytest.fixture
def answer(monkeypatch):
    """Questions that were asked, and what is answered."""
    asked = []

    def question(parent, title, text, *_):
        asked.append(text)
        return asked_for["answer"]

    asked_for = {"answer": QMessageBox.StandardButton.Yes}
    monkeypatch.setattr(QMessageBox, "question", question)
    return SimpleNamespace(asked=asked, no=lambda: asked_for.update(answer=QMessageBox.StandardButton.No))


# ---- what is learnt ----


def test_slices_that_hold_labels_are_proposed_and_their_classes_listed(dock):
    d = dock()
    d.labels(z3=1, z4=2, z6=1)
    assert d.form.reviewed.text() == "3-4, 6"
    assert d.rows() == [["everything", "1", "known"], ["class 2", "2", "new"]]
    assert d.form.name.text() == "all-tuned" and d.form.start.isEnabled()


def test_result_of_a_run_is_not_reviewed_until_it_is_painted_on(dock):
    d = dock()
    layer = d.labels(z3=1, z4=1)
    put_record(layer, Record("segment", models=(UsedModel("all"),)))
    d.widget._sources.offer()
    assert d.form.reviewed.text() == "" and not d.form.start.isEnabled() and "reviewed" in d.form.hint.text()
    layer.paint((4, 30, 30), 1)
    d.settle()
    assert d.form.reviewed.text() == "4" and record_of(layer).reviewed == (4,) and d.form.start.isEnabled()


@pytest.mark.smoke
def test_painted_slices_are_added_and_undone_labels_leave_the_table(dock):
    d = dock()
    layer = d.labels()
    assert "reviewed" in d.form.hint.text()
    layer.paint((5, 20, 20), 2)
    d.settle()
    assert d.form.reviewed.text() == "5" and ["class 2", "2", "new"] in d.rows()
    d.viewer.dims.set_current_step(0, 5)
    layer.undo()
    d.settle()
    assert ["class 2", "2", "new"] not in d.rows() and "No label on 5" in d.form.plan.text()


@pytest.mark.smoke
def test_reviewed_slices_are_typed_added_and_kept_in_the_layer(dock):
    d = dock()
    layer = d.labels(z3=1)
    d.form.reviewed.setText("2-")
    d.form.reviewed.textEdited.emit("2-")
    assert "such as 3-6, 9" in d.form.hint.text() and not d.form.start.isEnabled()
    d.form.reviewed.setText("2-3")
    d.form.reviewed.textEdited.emit("2-3")
    d.settle()
    assert record_of(layer).reviewed == (2, 3) and d.form.start.isEnabled()
    d.viewer.dims.set_current_step(0, 6)
    assert d.form.add.text() == "Add slice 6"
    d.form.add.click()
    assert record_of(layer).reviewed == (2, 3, 6) and d.form.reviewed.text() == "2-3, 6"
    assert d.form.add.text() == "Remove slice 6"
    d.close()
    d.open()
    assert d.form.reviewed.text() == "2-3, 6", "a new dock finds them again"


@pytest.mark.smoke
def test_classes_can_be_named_and_left_out(dock, prepared):
    d = dock()
    layer = d.labels(z3=1, z4=2, z5=3)
    table = d.form.classes.widget
    table.item(1, 0).setText("muscle")
    table.item(2, 0).setCheckState(table.item(2, 0).checkState().__class__(0))
    d.settle()
    assert [row[0] for row in d.rows()] == ["everything", "muscle", "class 3"]
    d.start()
    ((annotation,), settings) = prepared[0]
    assert [(row.id, row.name) for row in settings.classes] == [(1, "everything"), (2, "muscle")]
    assert settings.ignore == 3 and annotation.reviewed == (3, 4, 5) and record_of(layer).reviewed == (3, 4, 5)
    assert [annotation.labels.data[z, 10, 10] for z in (3, 4, 5)] == [1, 2, 3]
    np.testing.assert_array_equal(annotation.labels.affine, annotation.image.affine)


def test_numbered_objects_are_one_class_unless_the_person_unticks_it(dock):
    d = dock()
    data = np.zeros((SLICES, 40, 48), np.uint16)
    for number in range(20):
        y, x = divmod(number, 5)
        data[3, 8 * y : 8 * y + 6, 8 * x : 8 * x + 6] = number + 1
    d.viewer.add_labels(data, name="numbered")
    d.settle()
    assert d.rows() == [["everything", "1-20", "known"]]
    assert "20 labels of 'numbered' number objects" in d.form.plan.text() and not d.form.one_class.isHidden()
    d.form.one_class.setChecked(False)
    d.settle()
    assert len(d.rows()) == 20 and "a class of its own" in d.form.plan.text()


def test_scribbles_with_a_background(dock, prepared):
    d = dock()
    layer = d.labels(z3=1)
    layer.data[3, 20:, 20:] = 2
    d.viewer.dims.set_current_step(0, 3)
    layer.refresh()
    d.settle()
    d.form.classes.widget.item(1, 0).setText("background")
    d.form.painted_only.setChecked(True)
    d.settle()
    d.start()
    ((annotation,), settings) = prepared[0]
    assert [row.name for row in settings.classes] == ["everything"] and settings.ignore == 2
    assert [annotation.labels.data[(3, *at)] for at in ((10, 10), (30, 30), (0, 30))] == [1, 0, 2]


def test_several_layers_are_learnt_together(dock, prepared):
    d = dock()
    d.labels(z3=1)
    d.viewer.add_image(noise(40, 48), name="other scan")
    flat = d.viewer.add_labels(np.ones((40, 48), np.uint8), name="other")
    d.choose(d.form.image, d.viewer.layers["other scan"])
    d.choose(d.form.labels, flat)
    assert d.form.reviewed.text() == "0"
    (action,) = d.form.others.menu().actions()
    action.trigger()
    d.settle()
    assert "2 reviewed slices" in d.form.plan.text()
    d.start()
    assert [annotation.name for annotation in prepared[0][0]] == ["other scan other", "scan mine"]


@pytest.mark.smoke
def test_folder_brings_its_own_classes(dock, monkeypatch, tmp_path):
    d = dock()
    d.choose(d.form.source, "folder")
    assert not d.form.start.isEnabled() and "choose the folder" in d.form.hint.text() and d.form.labels.isHidden()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "data"))
    d.form.browse.click()
    d.settle()
    assert "dataset.json" in d.form.hint.text()
    image = Volume(noise(3, 16, 16), "zyx")
    labels = image.like((image.data > 99).astype(np.uint8))
    classes = (LabelClass(1, "everything", "#e64b35"), LabelClass(2, "more", "#4dbbd5"))
    write_dataset(tmp_path / "set", [LabelledImage(image, labels, "a", "train")], classes)
    d.form.path.setText(str(tmp_path / "set"))
    d.settle()
    assert d.rows() == [["everything", "1", "known"], ["more", "2", "new"]]
    seen = []

    def prepare_folder(source, settings, folder):
        seen.append((source, settings.classes))
        raise VolumeError("That is enough.")

    monkeypatch.setattr(work, "prepare_folder", prepare_folder)
    d.form.start.click()
    d.settle()
    assert seen == [(tmp_path / "set", classes)]
    for part in ("images", "labels"):
        (tmp_path / "plain" / part).mkdir(parents=True)
    for name in "ab":
        io.write(image, tmp_path / "plain" / "images" / f"{name}.nii.gz")
        io.write(labels, tmp_path / "plain" / "labels" / f"{name}_mask.nii.gz")
    d.form.path.setText(str(tmp_path / "plain"))
    d.settle()
    assert d.rows() == [["everything", "1", "known"]] and "2 labelled images" in d.form.plan.text()
    d.form.start.click()
    d.settle()
    assert seen[1] == (tmp_path / "plain", classes[:1])


def test_labels_that_cannot_belong_to_the_image_say_why(dock):
    d = dock()
    d.viewer.add_labels(np.ones((40, 41), np.uint8), name="small")
    d.viewer.add_labels(np.ones((SLICES, 40, 48), np.uint8), name="away", translate=(0, 9, 0))
    d.settle()
    entries = [d.form.labels.model().item(i) for i in range(d.form.labels.count())]
    assert not any(entry.isEnabled() for entry in entries)
    assert "(40, 41) voxels" in entries[0].text() and "lies elsewhere" in entries[1].text()
    assert not d.form.start.isEnabled() and "labels" in d.form.hint.text()


@pytest.mark.smoke
def test_form_explains_what_is_off_and_has_tooltips(dock):
    d = dock()
    form = d.form
    assert not form.start.isEnabled() and "labels layer" in form.hint.text() and "labels layer" in form.start.toolTip()
    controls = (form.model, form.card, form.roll_back, form.source, form.path, form.browse, form.image, form.axes)
    controls += (form.labels, form.others, form.reviewed, form.add, form.classes.widget, form.painted_only, form.time)
    controls += (form.device, form.name, form.go_on, form.start, form.stop, form.resume, form.difference, form.accept)
    controls += (form.discard, form.copy, form.save, form.curves, form.figures.table)
    assert all(control.toolTip() for control in controls)
    d.labels(z3=1)
    (runs_folder() / "old").mkdir(parents=True)
    for name, words in (("all", "already"), ("No name!", "model name"), ("old", "'old' already")):
        form.name.setText(name)
        assert not form.start.isEnabled() and words in form.hint.text()


def test_new_names_count_up():
    assert first_name("Left kidney (2)", ()) == "left-kidney-2" and first_name("", ()) == "new-model"
    assert first_name("spleen", ("spleen",)) == "spleen-2"
    assert new_name("heart", ()) == "heart-tuned" and new_name("heart", ("heart-tuned",)) == "heart-tuned-2"
    assert new_name("heart-tuned", ("heart-tuned", "heart-tuned-2")) == "heart-tuned-3"
    assert new_name("heart-tuned-2", ()) == "heart-tuned" and new_name("a-tuned-b", ()) == "a-tuned-b-tuned"


def test_slices_count_by_their_state_in_the_ledger(dock):
    d = dock()
    layer = d.labels(z2=1, z3=1, z4=1)
    assert "3 reviewed slices (3 drawn); 1 of them is held back" in d.form.plan.text()
    layer.paint((5, 20, 20), 1)
    approve(layer, [2, 3])
    d.widget._sources._chosen()
    d.settle()
    assert d.form.reviewed.text() == "2-5" and "4 reviewed slices (2 approved, 2 edited)" in d.form.plan.text()


def test_the_steps_that_the_time_buys_are_stated_before(dock, pace):
    d = dock()
    assert not d.form.forecast.text()
    d.labels(z3=1, z4=1)
    assert pace == ["all"] and d.form.forecast.text() == "1 min is about 60 steps on this computer."
    d.choose(d.form.time, 30.0)
    assert d.form.forecast.text().startswith("⚠ 30 s is about 30 steps on this computer; fewer than 60 teach little.")
    assert d.form.forecast.text().endswith("Choose 1 min or more.") and d.form.start.isEnabled()
    assert pace == ["all"], "the pace is measured once"
    d.choose(d.form.model, NOTHING)
    assert pace == ["all", ""]
    run = d.start()
    assert d.form.forecast.isHidden()
    d.finish(run)


def test_a_training_may_begin_with_nothing(dock, prepared, figures):
    figures.before.clear()
    d = dock()
    layer = d.labels(z3=1, z4=1)
    d.choose(d.form.model, NOTHING)
    assert d.form.time.currentData() == 600.0 and not d.form.card.isEnabled()
    assert d.rows() == [["class 1", "1", "new"]] and d.form.name.text() == "class-1"
    d.form.classes.widget.item(0, 0).setText("spleen")
    d.settle()
    assert d.form.name.text() == "spleen", "the name follows the class"
    run = d.start()
    ((annotation,), settings) = prepared[0]
    assert (settings.base, settings.name, settings.seconds) == ("", "spleen", 600.0) and annotation.reviewed == (3, 4)
    assert "spleen, from nothing." in d.form.status.text()
    d.finish(run)
    assert d.form.verdict.text().startswith("It began with nothing") and "labels" in d.form.difference.text()
    d.viewer.layers.selection.active = layer
    d.form.difference.click()
    d.settle()
    assert "scan spleen labels" in d.viewer.layers
    d.form.accept.click()
    d.settle()
    assert d.form.model.currentData() == "spleen" and d.form.time.currentData() == 60.0


# ---- a run ----


@pytest.mark.smoke
def test_curves_status_and_verdict(dock):
    d = dock()
    d.labels(z3=1, z4=1)
    run = d.start()
    assert not d.form.curves.isHidden() and d.form.options.isHidden() and d.form.start.isHidden()
    assert "Step 10 of 40" in d.form.status.text() and "left" in d.form.status.text()
    assert d.form.bar.maximum() == 40 and d.form.bar.value() == 10
    left, right = d.form.curves.figure.axes
    np.testing.assert_allclose(left.lines[0].get_xydata(), [(0, 0.5), (10, 0.6)])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [(10, 1)])
    d.finish(run)
    assert len(left.lines[0].get_xdata()) == 5 and d.form.stop.isHidden() and d.form.resume.isHidden()
    assert d.form.verdict.text().startswith("It is better than all: Dice changes by +0.200 ± 0.050 on 2 held-out")
    table = d.form.figures.table
    assert [table.item(0, column).text() for column in range(4)] == ["everything", "0.700", "0.900", "+0.200 ± 0.050"]


def test_the_axis_of_dice_begins_where_changes_are_seen():
    np.testing.assert_allclose(dice_limits([0.94, 0.95]), (0.8, 1.004))
    np.testing.assert_allclose(dice_limits([0.5, 0.96]), (0.4, 1.012))
    np.testing.assert_allclose(dice_limits([0.03]), (0, 1.02))
    np.testing.assert_allclose(dice_limits([]), (0, 1.02))


def test_verdict_where_nothing_could_be_measured():
    found = gain.Comparison({"everything": None}, {"everything": None}, 1)
    text = verdict_text(found, SimpleNamespace(base="all"))
    assert text.startswith("Nothing that both models know could be measured on 1 held-out slice") and doubtful(found)


@pytest.mark.parametrize(
    ("before", "after", "slices", "half", "text"),
    [
        (
            {"a": 0.5},
            {"a": 0.6},
            3,
            0.04,
            "It is better than all: Dice changes by +0.100 ± 0.040 on 3 held-out slices.",
        ),
        ({"a": 0.6}, {"a": 0.5}, 3, 0.04, "It is worse than all: Dice changes by -0.100 ± 0.040 on 3 held-out slices."),
        (
            {"a": 0.5},
            {"a": 0.6},
            3,
            0.2,
            "No difference from all beyond chance: Dice changes by +0.100 ± 0.200 on 3 held-out slices.",
        ),
        ({"a": 0.5}, {"a": 0.5}, 3, 0.0, "No better than all on 3 held-out slices: its weights were the best."),
        (
            {"a": 0.5},
            {"a": 0.6, "b": 0.7},
            3,
            0.04,
            "What both know (a) is found better than all: Dice changes by +0.100 ± 0.040 on 3 held-out slices.",
        ),
        (
            {"a": 0.5},
            {"a": 0.6},
            1,
            float("nan"),
            "It changes by +0.100 (Dice) against all on 1 held-out slice: one slice cannot tell that from chance. With "
            "8 reviewed slices two are held back. So few say little: look at the labels of other slices too.",
        ),
        (
            {"a": 0.5},
            {"a": 0.6},
            2,
            float("nan"),
            "It changes by +0.100 (Dice) against all on 2 held-out slices: all of them lie in one image, which cannot "
            "tell that from chance, however many they are. Review slices of two more images: then the images are "
            "compared.",
        ),
        (
            {},
            {"a": 0.6},
            3,
            float("nan"),
            "all does not find these classes, so only the new model was measured: Dice 0.600 on 3 held-out slices.",
        ),
        (
            {"a": 0.5},
            {"a": 0.5},
            2,
            float("nan"),
            "No better than all on 2 held-out slices: its weights were the best. So few say little: look at the labels "
            "of other slices too.",
        ),
    ],
)
def test_verdict_holds_the_new_model_against_the_one_before(before, after, slices, half, text):
    found = gain.Comparison(before, after, slices, half_width=half, images=1)
    assert verdict_text(found, SimpleNamespace(base="all")) == text


def test_the_table_has_the_mean_of_several_classes():
    found = gain.Comparison({"a": 0.5, "b": 0.7}, {"a": 0.6, "b": 0.9}, 4, half_width=0.1)
    assert figure_rows(found, ["a", "b"]) == [
        ("a", "0.500", "0.600", "+0.100"),
        ("b", "0.700", "0.900", "+0.200"),
        ("mean", "0.600", "0.750", "+0.150 ± 0.100"),
    ]
    found = gain.Comparison({"a": 0.5}, {"a": 0.6, "b": 0.8}, 4, half_width=0.1)
    assert figure_rows(found, ["a", "b"])[-1] == ("mean", "-", "0.700", "-"), "of what only one of them knows"


def test_verdict_on_the_slice_that_was_learnt_says_little():
    found = gain.Comparison({"a": 0.5}, {"a": 0.6}, 1, held_back=False)
    assert verdict_text(found, SimpleNamespace(base="all")).startswith("A single reviewed slice was learnt")


def test_verdict_names_a_class_that_is_hardly_found():
    found = gain.Comparison({}, {"everything": 0.05}, 2)
    assert verdict_text(found, SimpleNamespace(base="all")).endswith("It hardly finds everything: train longer.")
    assert doubtful(found)


def test_scrolling_on_does_not_keep_a_training_from_beginning(dock, prepared):
    d = dock()
    d.labels(z3=1)
    d.form.start.click()
    d.viewer.dims.set_current_step(0, 2)  # the slice in view may have been changed by an undo: it is looked at again
    d.wait(lambda: training().run is not None)
    assert len(prepared) == 1
    d.finish(training().run)


def test_training_takes_the_form_as_it_was_at_the_click(dock, prepared):
    d = dock()
    d.labels(z3=1)
    name = d.form.name.text()
    d.form.start.click()
    d.form.name.setText("another")
    d.wait(lambda: training().run is not None)
    assert training().run.name == prepared[0][1].name == name
    d.finish(training().run)


def test_painting_and_deleting_layers_goes_on_meanwhile(dock, prepared):
    d = dock()
    layer = d.labels(z3=1)
    run = d.start()
    layer.paint((6, 20, 20), 1)
    assert record_of(layer).reviewed == (3, 6) and prepared[0][0][0].reviewed == (3,)
    assert prepared[0][0][0].labels.data[6].max() == 0
    d.viewer.layers.clear()
    d.finish(run)
    assert d.form.accept.isEnabled()
    assert not d.form.difference.isEnabled() and "open an image" in d.form.difference.toolTip()


def test_stop_keeps_the_best(dock):
    d = dock()
    d.labels(z3=1)
    run = d.start()
    d.form.stop.click()
    assert "ending with the best weights" in d.form.status.text() and d.form.stop.text() == "End at once"
    d.wait_for_end()
    assert run.step == 20 and d.form.resume.isHidden() and d.form.accept.isEnabled()


def test_what_a_person_has_ended_at_once_is_no_failure(dock, notes):
    d = dock()
    d.labels(z3=1)
    d.form.name.setText("late")
    d.form.start.click()
    d.wait(lambda: training().run is not None)
    training().stop()
    training().stop()
    d.wait_for_end()
    assert not training().problem and not [note.message for note in notes]
    assert "It ended before its first figures" in d.form.status.text() and not d.form.discard.isHidden()


def test_an_image_that_nothing_can_be_learnt_from_is_named_before_its_labels(dock):
    d = dock((2, 4, 40, 48))
    d.viewer.add_labels(np.ones((2, 4, 40, 48), np.uint8), name="series")
    d.settle()
    assert "has the axes t, z, y, x; expected single images or stacks" in d.form.hint.text()


def test_wish_to_stop_survives_a_child_that_is_only_starting(dock):
    d = dock()
    d.labels(z3=1)
    run = d.start()
    training().stop()
    (run.folder / "stop").unlink(missing_ok=True)
    d.wait_for_end()
    assert run.step < 40


def test_crash_shows_the_last_words_and_can_go_on(dock, notes):
    d = dock()
    d.labels(z3=1)
    run = d.start()
    (run.folder / "crash").touch()
    d.finish(run)
    assert "ValueError: out of luck" in d.form.status.text()
    assert any("out of luck" in note.message for note in notes)
    assert not d.form.resume.isHidden() and d.form.accept.isEnabled(), "what was best until then can be taken"
    d.form.resume.click()
    d.wait_for_end()
    assert run.step == 40 and d.form.resume.isHidden() and "luck" not in d.form.status.text()


def test_failed_preparation_leaves_nothing(dock, notes):
    d = dock()
    d.labels(z3=1)
    d.form.name.setText("impossible")
    d.form.start.click()
    d.settle()
    assert "The labels are odd." in d.form.status.text() and not (runs_folder() / "impossible").exists()
    assert not d.form.start.isHidden() and d.form.start.isEnabled()


@pytest.mark.smoke
def test_closed_dock_lets_the_training_go_on_and_finds_it_again(dock):
    d = dock()
    d.labels(z3=1)
    run = d.start()
    d.close()
    assert training().running
    d.open()
    assert training().run is run and not d.form.stop.isHidden() and not d.form.curves.isHidden()
    with pytest.raises(SettingsError, match="under way"):
        training().begin(Run(runs_folder() / "another"), tied=True)
    d.close()
    d.finish(run)
    d.open()
    assert d.form.verdict.text() and d.form.accept.isEnabled() and d.form.start.isHidden()


@pytest.mark.parametrize("tied", [True, False])
def test_program_that_ends_takes_a_tied_child_with_it(dock, tied):
    d = dock()
    d.labels(z3=1)
    d.form.go_on.setChecked(not tied)
    run = d.start()
    process = run.process()
    one = training()
    one._let_go()
    one.setParent(None)  # the next one is that of a new program
    if tied:
        process.wait(20)
    d.close()
    d.open()
    assert training() is not one and training().run.folder == run.folder
    assert training().running == (not tied)
    if tied:
        assert not d.form.resume.isHidden() and "Step 10 of 40" in d.form.status.text()
    else:
        d.finish(run)
        assert d.form.resume.isHidden() and d.form.accept.isEnabled()


# ---- decide ----


def check_session(session, run):
    """A session of a training holds what is needed to build its data again without a window, and to train again."""
    *_, train, tuned = found = lines.read(session).lines
    assert [line.do for line in found] == ["keep", "keep", "train", "fine-tune"]
    assert train.content["base"]["sha256"] == models.load_card(models.find("all")).sha256
    assert train.content["pairs"][0]["reviewed"] == [3] and train.content["settings"]["name"] == run.name
    assert tuned.content["done"] == run.step and tuned.content["plan"]["steps"] == 40
    assert tuned.content["figures"]["after"] == {"everything": 0.9}
    assert cli.main(["replay", str(session), "-o", str(session.parent / "again")]) == 0


@pytest.mark.smoke
def test_accepted_model_joins_the_list_and_can_be_taken_back(dock, answer, tmp_path):
    d = dock()
    d.labels(z3=1)
    session = tmp_path / "a.medseg.jsonl"
    recorder_of(d.viewer).start(session)
    run = d.start()
    segment = SegmentWidget(d.viewer)
    d.wait(lambda: not segment.busy)
    d.finish(run)
    d.form.accept.click()
    d.settle()
    assert not answer.asked and "all-tuned" in models.available()
    recorder_of(d.viewer).stop()
    check_session(session, run)
    assert d.form.model.currentData() == "all-tuned" and not d.form.start.isHidden()
    assert d.form.name.text() == "all-tuned-2" and training().run is None
    d.wait(lambda: segment.form.model.currentData() == "all-tuned")
    d.wait(lambda: not segment.busy)
    d.choose(d.form.model, "all")
    assert d.form.roll_back.isHidden()
    d.choose(d.form.model, "all-tuned")
    assert not d.form.roll_back.isHidden()
    d.form.roll_back.click()
    d.settle()
    assert answer.asked and "all-tuned" not in models.available() and d.form.model.findData("all-tuned") < 0
    assert (models.models_folder() / "removed" / "all-tuned.safetensors").is_file()
    assert "all-tuned.safetensors" in d.form.status.text()
    d.wait(lambda: not segment.busy)


def test_model_that_is_not_better_is_not_accepted_without_a_question(dock, figures, answer):
    figures.after["everything"] = 0.6
    d = dock()
    d.labels(z3=1)
    d.finish(d.start())
    assert (
        d.form.verdict.text().startswith("It is worse than all: Dice changes by -0.100")
        and "all the same" in d.form.accept.text()
    )
    answer.no()
    d.form.accept.click()
    d.settle()
    assert "worse than all" in answer.asked[0] and "all-tuned" not in models.available() and training().run is not None


def test_discard_deletes_the_run(dock, answer):
    d = dock()
    d.labels(z3=1)
    run = d.start()
    d.finish(run)
    d.form.discard.click()
    d.settle()
    assert answer.asked and not run.folder.exists() and "all-tuned" not in models.available()
    assert not d.form.start.isHidden() and d.form.start.isEnabled() and d.form.name.text() == "all-tuned"


@pytest.mark.smoke
def test_difference_is_a_layer_to_look_at(dock, monkeypatch, own_home):
    d = dock()
    layer = d.labels(z3=1)
    d.finish(d.start())
    d.viewer.layers.selection.active = layer
    d.form.difference.click()
    d.settle()
    changes = d.viewer.layers["scan all-tuned changes"]
    assert changes.data.shape == (SLICES, 40, 48) and not changes.data.any(), "the child only copied the model"
    assert list(changes.features["class"]) == ["background", "added", "removed", "other class"]
    assert d.viewer.layers.selection.active is layer and d.form.labels.findData(changes) < 0


@pytest.mark.smoke
def test_command_and_settings_are_handed_over(dock, monkeypatch, tmp_path):
    d = dock()
    d.labels(z3=1)
    assert not d.form.copy.isEnabled() and "when you start" in d.form.copy.toolTip()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a.json"), ""))
    d.form.save.click()
    d.settle()
    saved = fine_tune.read(tmp_path / "a.json")
    assert saved.base == "all" and saved.classes == (LabelClass(1, "everything", "#e64b35"),)
    assert [files.reviewed for files in saved.annotated] == [(3,)]
    assert io.read(tmp_path / saved.annotated[0].labels).data[3].any()
    assert d.form.status.text().endswith(f"napari-medseg train {tmp_path / 'a.json'}")
    run = d.start()
    d.form.copy.click()
    words = shlex.split(QApplication.clipboard().text())
    assert words[:3] == ["napari-medseg", "train", str(run.folder / "recipe.json")] and "--tied" not in words


# ---- a child that trains ----


@pytest.mark.slow
def test_adding_a_class_to_the_heart_model(viewer, qtbot, answer, one_program):
    scan = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    cavity = io.read(samples.path("sunnybrook_SC-HF-I-01_ED_label.nii.gz")).data > 0
    rows, columns = (slice(int(at.min()) - 12, int(at.max()) + 12) for at in np.nonzero(cavity.any(0)))
    part = (slice(3, 7), rows, columns)  # a small image: short steps
    data, options, _ = layer_tuple(scan.like(scan.data[part]), "heart")
    image = viewer.add_image(data, **options)
    _, widget = viewer.window.add_plugin_dock_widget("napari-medseg", "Fine-tune")
    form, one = widget.form, training()

    def settle(condition=lambda: True):
        qtbot.waitUntil(lambda: condition() and not widget.busy, timeout=60000)

    settle()
    painted = cavity[part].astype(np.uint8)
    painted[binary_dilation(cavity[part], np.ones((1, 3, 3)), 4) & ~cavity[part]] = 2
    viewer.add_labels(painted, name="mine", scale=image.scale, translate=image.translate, units=image.units)
    settle()
    form.model.setCurrentIndex(form.model.findData("heart-locator"))
    settle()
    form.classes.widget.item(1, 0).setText("myocardium")
    form.time.addItem("2 s", 2.0)
    form.time.setCurrentIndex(form.time.count() - 1)
    form.device.setCurrentIndex(form.device.findData("cpu"))
    settle()
    assert form.start.isEnabled(), form.hint.text()
    form.start.click()
    settle(lambda: one.run is not None and bool(one.run.lines))
    form.stop.click()
    settle(lambda: not one.findChild(QTimer).isActive())
    assert not one.problem and widget.deciding.comparison is not None, form.status.text()
    assert [form.figures.table.item(row, 0).text() for row in range(2)] == ["left-ventricular cavity", "myocardium"]
    form.difference.click()
    settle()
    assert viewer.layers["heart heart-locator-tuned changes"].data.shape == data.shape
    form.accept.click()
    settle()
    card = models.load_card(models.find("heart-locator-tuned"))
    assert [row.name for row in card.classes] == ["left-ventricular cavity", "myocardium"]
    segment = SegmentWidget(viewer)
    qtbot.waitUntil(lambda: not segment.busy, timeout=30000)
    segment.form.model.setCurrentIndex(segment.form.model.findData("heart-locator-tuned"))
    qtbot.waitUntil(lambda: not segment.busy, timeout=30000)
    segment.form.run.click()
    qtbot.waitUntil(lambda: not segment.busy, timeout=30000)
    assert list(segment.labels.features["class"]) == ["background", "left-ventricular cavity", "myocardium"]


def test_a_run_folder_with_something_else_in_it_is_read(tmp_path):
    good = {"step": 3, "val": 0.5, "best": 0.5, "loss": None, "time": 1.0}
    odd = [[], None, 5, "x", {}, {**good, "step": "3"}, {**good, "best": "x"}, {**good, "time": 1e300}]
    odd += [{**good, "loss": "x"}, {**good, "step": 10**400}]
    lines = [json.dumps(line) for line in (*odd, good)]
    (tmp_path / "log.jsonl").write_text("\n".join(["[" * 5000, "{", *lines]) + "\n")
    for settings in ({"start": 5, "classes": 3, "steps": "x"}, {"classes": [1, {"name": None}], "steps": None}, [1]):
        (tmp_path / "settings.json").write_text(json.dumps(settings))
        run = Run(tmp_path)
        assert run.read() and run.lines == [good]
        assert (run.step, run.steps, run.best, run.seconds_left()) == (3, 0, 0.5, None)
        assert isinstance(run.base, str) and all(isinstance(name, str) for name in run.classes)


def test_form_asks_before_a_model_learns_from_another_kind_of_image(viewer, dock, answer):
    path = models.find("all")
    models.save_card(path, replace(models.load_card(path), dicom_modality="MR", modality="heart MR"))
    d = dock()
    viewer.layers["scan"].data = noise(SLICES, 40, 48).astype(np.int16) - 1000
    painted = d.labels(z3=1, z4=1)
    d.widget._sources.reviews.say(painted, {3, 4})
    d.widget._sources._chosen()
    d.settle()
    answer.no()
    d.form.start.click()
    d.settle()
    sentence = "The image has values down to -1000, as CT does; all was trained on heart MR."
    assert answer.asked == [f"{sentence}\n\nWhat it knows may not help there. Train anyway?"]
    assert training().run is None and "nothing was changed" in d.form.status.text()


@pytest.mark.smoke
def test_questions_name_what_will_happen(qtbot, viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    seen = []

    def press():
        box = QApplication.activeModalWidget()
        seen.extend(button.text().replace("&", "") for button in box.buttons())
        seen.append(box.defaultButton().text().replace("&", ""))
        box.button(QMessageBox.StandardButton.Yes).click()

    QTimer.singleShot(200, press)
    assert widget._agreed(("a",), "Segment", "Odd. Run anyway?", "Run anyway")
    assert sorted(seen[:2]) == ["Cancel", "Run anyway"] and seen[2] == "Cancel"
    assert widget._agreed(("a",), "Segment", "Odd. Run anyway?", "Run anyway"), "asked once"


def test_the_first_image_of_a_folder_is_compared_with_the_model(tmp_path):
    for folder, values in (("images", np.full((3, 8, 8), -1000.0)), ("labels", np.ones((3, 8, 8), np.uint8))):
        (tmp_path / folder).mkdir()
        io.write(Volume(values, "zyx"), tmp_path / folder / "a.nii.gz")
    card = models.ModelCard("a", "litenext", Preprocess(), (), modality="heart MR", dicom_modality="MR")
    (found,) = run(work.doubts_job([], tmp_path, card))
    assert found.startswith("The image has values down to -1000, as CT does")
