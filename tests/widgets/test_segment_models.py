"""Several models at once, and models that look at neighbouring slices."""

import shlex
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_medseg import cli, io, models, samples
from napari_medseg.models import figures, library
from napari_medseg.models.appearance import measure
from napari_medseg.progress import run
from napari_medseg.segmentation import consensus, guard
from napari_medseg.segmentation.engine import workers_of
from napari_medseg.segmentation.inference import InferenceSettings, plan
from napari_medseg.segmentation.last_runs import Way
from napari_medseg.segmentation.orientation import Turn
from napari_medseg.volume import Volume
from napari_medseg.widgets.kit.records import record_of
from napari_medseg.widgets.segment.rows import ImageRows
from napari_medseg.widgets.segment.state import Suited
from napari_medseg.widgets.segment.work import suited_job

pytestmark = pytest.mark.usefixtures("more_models")
SLICES = 6


def noise(*shape):
    return np.random.default_rng(0).integers(0, 200, shape, np.uint8)


def tick(d, *names):
    for action in d.form.others.menu().actions():
        if action.isChecked() != (action.data() in names):
            action.trigger()
    assert sorted(d.form.others.ticked()) == sorted(names)
    d.settle()


def names(d):
    return [layer.name for layer in d.viewer.layers]


# ---- several models ----


def test_several_models_give_a_consensus_and_their_disagreement(dock):
    d = dock(noise(SLICES, 40, 48), scale=(8, 1.5, 1.25))
    tick(d, "nothing", "all-objects")
    labels = d.run()
    assert names(d) == ["scan", "scan consensus", "scan consensus disagreement"]
    assert labels.name == "scan consensus" and d.viewer.layers.selection.active is labels and labels.editable
    assert (labels.data == 1).all() and list(labels.features["class"]) == ["background", "everything"]
    disagreement = d.viewer.layers[-1]
    assert disagreement.data.dtype == np.uint8 and tuple(disagreement.contrast_limits) == (0, 255)
    assert (disagreement.data == round(255 / 2)).all(), "two of three agree"
    np.testing.assert_allclose(disagreement.scale, (8, 1.5, 1.25))
    assert "agreement 0.33" in d.form.status.text()


def test_the_model_that_was_chosen_wins_a_tie(dock):
    d = dock(noise(40, 48))
    d.choose(d.form.model, "nothing")
    tick(d, "all")
    d.choose(d.form.vote, "labels")
    assert not d.run().data.any() and (d.viewer.layers[-1].data == 255).all()


def test_models_decide_by_probability_unless_the_form_says_otherwise(dock):
    d = dock(noise(40, 48))
    assert d.form.vote.isHidden()
    tick(d, "nothing")
    assert not d.form.vote.isHidden()
    assert not d.run().data.any(), "the mean of 0.9999 and 0.0001 is one half"
    d.choose(d.form.vote, "labels")
    assert d.run().data.all(), "in a tie the model chosen first wins"
    tick(d)
    assert d.form.vote.isHidden() and d.widget._input().settings.vote == "probability"


@pytest.mark.smoke
def test_models_of_other_classes_cannot_be_ticked_and_say_why(dock):
    d = dock(noise(40, 48))
    entries = {action.data(): action for action in d.form.others.menu().actions()}
    assert {name for name, entry in entries.items() if entry.isEnabled()} == {"all-objects", "around", "nothing"}
    assert "something else" in entries["other"].toolTip() and "everything" in entries["other"].toolTip()
    tick(d, "nothing")
    d.choose(d.form.model, "all-objects")
    assert d.form.others.ticked() == ["nothing"], "what still can be compared stays ticked"
    d.choose(d.form.model, "other")
    assert d.form.others.ticked() == []


def test_form_says_what_several_models_change(dock):
    d = dock(noise(SLICES, 40, 48))
    d.form.uncertainty.setChecked(True)
    tick(d, "nothing")
    assert d.form.others.text() == "and nothing" and d.form.plan.text().startswith("2 models, 6 slices")
    assert not d.form.uncertainty.isEnabled() and "disagreement" in d.form.uncertainty.toolTip()
    d.run()
    assert names(d) == ["scan", "scan consensus", "scan consensus disagreement"]
    tick(d)
    assert d.form.uncertainty.isEnabled()


@pytest.mark.smoke
def test_menu_stays_open_while_models_are_ticked(dock, qtbot):
    d = dock(noise(40, 48))
    menu = d.form.others.menu()
    menu.popup(d.form.others.mapToGlobal(d.form.others.rect().bottomLeft()))
    places = {action.data(): menu.actionGeometry(action).center() for action in menu.actions()}
    for name in ("nothing", "other"):
        qtbot.mouseMove(menu, places[name])
        qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=places[name])
    menu.setActiveAction(next(action for action in menu.actions() if action.data() == "all-objects"))
    qtbot.keyClick(menu, Qt.Key.Key_Space)
    assert menu.isVisible() and d.form.others.ticked() == ["all-objects", "nothing"]
    qtbot.keyClick(menu, Qt.Key.Key_Escape)
    assert not menu.isVisible()
    d.settle()


@pytest.mark.parametrize("end", ["cancel", "delete", "at-once"])
def test_consensus_given_up_leaves_everything_as_it_was(dock, gate, end):
    d = dock(noise(SLICES, 40, 48))
    mine = d.viewer.add_labels(np.zeros((SLICES, 40, 48), np.uint8), name="mine")
    tick(d, "nothing")
    if end == "at-once":
        d.form.run.click()
        d.wait(lambda: not d.form.cancel.isHidden())
        d.form.cancel.click()
    else:
        d.start()
        assert len(d.viewer.layers) == 4
        d.form.cancel.click() if end == "cancel" else d.viewer.layers.remove("scan consensus")
    assert names(d) == ["scan", "mine"] and d.viewer.layers.selection.active is mine
    gate.set()
    d.settle()
    assert names(d) == ["scan", "mine"] and d.form.run.isEnabled()


def test_disagreement_deleted_during_the_run(dock, gate):
    d = dock(noise(SLICES, 40, 48))
    tick(d, "nothing")
    d.choose(d.form.vote, "labels")
    d.start()
    d.viewer.layers.remove("scan consensus disagreement")
    gate.set()
    d.settle()
    assert names(d) == ["scan", "scan consensus"] and d.widget.labels.data.all()


# ---- images unlike those of the training ----


@pytest.fixture
def answers(monkeypatch):
    """Questions that were asked; each is answered by the next of `give`, the last one again and again."""
    give = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    asked = []

    def question(parent, title, text, *_):
        asked.append(text)
        return give[min(len(asked), len(give)) - 1]

    monkeypatch.setattr(QMessageBox, "question", question)
    return asked


@pytest.mark.parametrize("planned", [True, False])
def test_form_asks_once_before_a_run_on_another_kind_of_image(dock, answers, planned):
    path = models.find("all")
    models.save_card(path, replace(models.load_card(path), dicom_modality="MR", modality="heart MR", most_slices=1))
    d = dock(noise(SLICES, 40, 48).astype(np.int16) - 1000)
    sentence = "The image has values down to -1000, as CT does; all was trained on heart MR."
    assert f"⚠ Outside what the model was trained on: {sentence}" in d.form.plan.text()
    for labels in (0, 1, 2):  # no, yes, and not asked again
        if not planned:
            d.widget._plan = None  # as long as the plan is being made
        d.form.run.click()
        d.settle()
        assert len(d.viewer.layers) == 1 + labels
    assert len(answers) == 2 and answers[0] == f"{sentence}\n\nThe labels may mean nothing. Run anyway?"
    assert "made for stacks of at most 1." in d.form.plan.text()
    assert "made for stacks" not in d.form.status.text(), "the plan says so, though it was made after Run was pressed"
    assert "⚠ Outside" in d.form.status.text() and sentence in record_of(d.widget.labels).warnings[0]


def entries(d):
    """What the list of models shows: text and whether it can be chosen."""
    box = d.form.model
    return [(box.itemText(row), box.model().item(row).isEnabled()) for row in range(box.count())]


def test_models_are_listed_by_task_the_best_first(dock):
    d = dock()
    shown = entries(d)
    titles = [text for text, enabled in shown if not enabled]
    assert titles[:4] == [
        "Heart: cardiac cine MR (steady-state free precession, short axis)",
        "labels left-ventricular cavity / left-ventricular myocardium",
        "Hippocampus: T1-weighted head MR, cropped around one hippocampus, 1 mm isotropic",
        "labels anterior hippocampus / posterior hippocampus",
    ]
    hearts = [text for text, _ in shown[2 : shown.index((titles[2], False))]]
    best = library.bundled_groups()["heart"][0]
    assert hearts[0] == f"{best.name}, best, Dice {figures.held_out_dice(best)}"
    assert [text.split(",")[0] for text in hearts] == [card.name for card in library.bundled_groups()["heart"]]


def test_a_model_made_for_such_images_is_chosen_and_the_others_are_listed_last_with_the_reason(dock):
    d = dock(noise(40, 48))
    d.choose(d.form.model, "litenext-heart")
    nuclei, *_ = samples.nuclei()
    d.viewer.add_image(nuclei[0], **nuclei[1])
    d.choose(d.form.image, d.viewer.layers[-1])
    assert d.form.model.currentData() == "litenext-nuclei"
    assert d.form.status.text() == "litenext-nuclei was chosen, which was made for images like this one."
    heart = d.form.model.findData("litenext-heart")
    assert heart > [text for text, _ in entries(d)].index("Made for other images") > d.form.model.currentIndex()
    assert "litenext-heart" in d.form.model.itemData(heart, Qt.ItemDataRole.ToolTipRole).splitlines()[0]
    d.choose(d.form.model, "litenext-heart")
    d.widget._read_models()
    d.settle()
    assert d.form.model.currentData() == "litenext-heart", "what a person chooses for an image stays"


def test_a_model_says_how_fast_it_is_by_its_card_and_after_a_run_by_that_run(dock):
    path = models.find("all")
    models.save_card(path, replace(models.load_card(path), seconds_per_megapixel=6e4))
    d = dock(noise(40, 48))  # 48 x 48 as the network sees it
    tip = Qt.ItemDataRole.ToolTipRole
    row = d.form.model.findData("all")
    assert d.form.model.itemText(row) == "all, about 2.3 min on one core"
    assert "It has not run on this computer yet." in d.form.model.itemData(row, tip)
    other = d.form.model.findData("nothing")
    assert d.form.model.itemText(other) == "nothing" and "after its first run" in d.form.model.itemData(other, tip)
    card = models.load_card(path)
    Way(card, InferenceSettings(split_objects=False), "cpu", workers_of("cpu")).note(40, 1, 48 * 48)
    d.widget._want_suited()
    d.settle()
    assert d.form.model.itemText(row) == "all, about 40 s for this image"
    assert "as the last run on this computer did" in d.form.model.itemData(row, tip)


def test_an_image_is_measured_once_for_all_models(monkeypatch):
    measured = []
    monkeypatch.setattr(guard, "measure", lambda plane: measured.append(plane) or measure(plane))
    cards = {card.name: card for card in library.bundled_cards() if card.appearance is not None}
    heart = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    heart = replace(heart, affine=np.eye(4), metadata={"has_spacing": False})
    found = run(suited_job(heart, cards, InferenceSettings(device="cpu")))
    assert len(cards) > 4 and len(measured) == len(guard.middle_slices(heart))
    assert {name for name, each in found.items() if not each.doubt} >= {"litenext-heart", "lstm-sa-heart"}
    for name, card in cards.items():
        assert found[name].doubt == " ".join(consensus.doubts(heart, [card])), name


def test_what_was_found_of_an_image_that_is_not_chosen_any_more_changes_nothing(dock):
    d = dock(noise(40, 48))
    d.choose(d.form.model, "litenext-heart")
    d.widget._models.forget_image()
    before = entries(d)
    d.widget._comparison._show(Image(noise(40, 48)), {"litenext-heart": Suited("It is another kind.")})
    assert entries(d) == before and d.form.model.currentData() == "litenext-heart"


def test_the_closed_list_shows_the_name_alone(dock):
    d = dock()
    d.choose(d.form.model, "litenext-heart")
    box = d.form.model
    box.resize(400, box.height())
    drawn = box.grab().toImage()
    box.setItemText(box.currentIndex(), "litenext-heart")
    assert box.grab().toImage() == drawn
    box.setItemText(box.currentIndex(), "another")
    assert box.grab().toImage() != drawn


def test_review_takes_up_a_result_when_its_run_ends(dock, gate, qtbot):
    d = dock(noise(SLICES, 40, 48))
    _, review = d.viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    qtbot.waitUntil(lambda: not review.busy, timeout=60000)
    d.start()
    qtbot.waitUntil(lambda: "cannot be changed now" in review.form.hint.text())
    gate.set()
    d.settle()
    qtbot.waitUntil(lambda: not review.busy, timeout=60000)
    assert review.form.labels.currentData() is d.widget.labels
    assert "cannot be changed now" not in review.form.hint.text() and review.form.save.isEnabled()


# ---- neighbouring slices ----


def test_neighbours_are_asked_for_only_where_a_model_looks_at_them(dock):
    d = dock(noise(SLICES, 40, 48))
    assert d.form.context.isHidden()
    tick(d, "around")
    assert not d.form.context.isHidden() and d.form.context.currentText() == "Neighbours: automatic, along z"
    along_time = d.form.context.model().item(d.form.context.findData("t"))
    assert not along_time.isEnabled() and "the image has none" in along_time.text()
    d.choose(d.form.context, "z")
    d.choose(d.form.axes, "tyx")
    assert d.form.context.currentText() == "Neighbours: automatic, along time", (
        "the direction chosen before is not there"
    )
    d.choose(d.form.context, "none")
    tick(d)
    assert d.form.context.isHidden()


@pytest.mark.parametrize("context", ["auto", "z", "t", "none"])
def test_preview_of_a_model_with_context_is_the_slice_of_its_run(dock, context):
    d = dock(noise(2, 5, 40, 48))
    d.choose(d.form.model, "around")
    d.choose(d.form.context, context)
    found = d.run().data
    assert found.any() == (context != "none")
    d.form.preview.setChecked(True)
    for step in ((0, 0), (1, 2), (1, 4)):
        for axis, position in enumerate(step):
            d.viewer.dims.set_current_step(axis, position)
        d.settle()
        np.testing.assert_array_equal(d.viewer.layers["preview (not saved)"].data[0, 0], found[step])


def test_preview_of_several_models_is_their_consensus(dock):
    d = dock(noise(SLICES, 40, 48))
    d.choose(d.form.model, "around")
    tick(d, "all", "nothing")
    d.viewer.dims.set_current_step(0, 3)
    d.form.preview.setChecked(True)
    d.settle()
    previewed = d.viewer.layers["preview (not saved)"].data[0].copy()
    np.testing.assert_array_equal(previewed, d.run().data[3])
    assert 0 < previewed.mean() < 1


def test_copied_command_of_several_models_does_the_same(dock, tmp_path):
    path = io.write(Volume(noise(2, 3, 40, 48), "tzyx"), tmp_path / "scan.nii.gz")
    d = dock()
    d.viewer.open(str(path), plugin="napari-medseg")
    d.settle()
    d.choose(d.form.model, "around")
    tick(d, "nothing")
    d.choose(d.form.context, "t")
    labels = d.run()
    d.form.copy.click()
    words = shlex.split(QApplication.clipboard().text())
    assert [words[i + 1] for i, word in enumerate(words) if word == "--model"] == ["around", "nothing"]
    assert cli.main(words[1:]) == 0
    for option, layer in (("--output", labels), ("--disagreement", d.viewer.layers[-1])):
        np.testing.assert_array_equal(io.read(words[words.index(option) + 1]).data, layer.data)


# ---- routers ----


@pytest.mark.smoke
def test_router_map_lies_on_the_slice_in_view(dock):
    d = dock(noise(SLICES, 64, 64), scale=(8, 1.5, 1.25), translate=(5, 0, 0))
    assert d.form.routers.isHidden()
    d.choose(d.form.model, "routed")
    assert not d.form.routers.isHidden()
    d.viewer.dims.set_current_step(0, 4)
    d.form.routers.click()
    d.settle()
    shown = d.viewer.layers["scan routed router map"]
    assert shown.data.shape == (1, 64, 64) and 0 <= shown.data.min() < shown.data.max() <= 1
    np.testing.assert_allclose(shown.translate, (5 + 8 * 4, 0, 0))
    assert d.viewer.layers.selection.active is d.viewer.layers["scan"]


def test_doubts_before_a_plan_are_those_of_the_plan_however_the_scan_is_stored():
    """Of a scan that is stored across, its thin side is no small field of view."""
    heart = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    model = models.load(models.find("litenext-heart"))
    turned = Turn(("y", "x", "z")).volume(heart)
    across = replace(turned, metadata=heart.metadata)
    settings = InferenceSettings()
    assert consensus.doubts(across, [model.card]) == plan(across, model, settings, trial=False).doubts == ()


@pytest.mark.parametrize(
    ("orientation", "scale", "along"), [("display", (1, 1, 8), "x"), ("display", (8, 1, 1), "z"), ("", (1, 1, 8), "z")]
)
def test_neighbours_lie_along_the_axis_of_the_image_that_is_turned_to_z(orientation, scale, along):
    image = Image(np.zeros((8, 9, 10)), scale=scale, units="mm")
    form = SimpleNamespace(
        image=SimpleNamespace(currentData=lambda: image), axes=SimpleNamespace(currentData=lambda: "zyx")
    )
    card = SimpleNamespace(orientation=orientation)
    assert ImageRows(form, None).along([card]) == along
