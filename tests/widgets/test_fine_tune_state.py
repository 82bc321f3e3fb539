"""What is possible in the Fine-tune dock, and why the rest is not."""

from dataclasses import fields, replace
from types import SimpleNamespace

import pytest

from napari_medseg.widgets.fine_tune.state import (
    Facts,
    FolderFacts,
    LayerFacts,
    RunFacts,
    slice_state,
    state,
    why_not,
)
from napari_medseg.widgets.fine_tune.view import status_text
from napari_medseg.widgets.kit.state import Control

READY = Facts(name="heart-tuned")
ENDED = RunFacts("heart-tuned")
DECISIONS = {"difference", "accept", "discard"}


def controls(found):
    """Everything that is on or off."""
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return {name: value for name, value in values.items() if isinstance(value, Control)}


def usable(found):
    """Names of the controls that can be seen and used."""
    return {name for name, control in controls(found).items() if control.visible and not control.why_not}


def decided(job="", **changes):
    """What is possible at the end of a training."""
    return state(replace(READY, job=job, run=replace(ENDED, **changes)))


# ---- before a training ----


def test_numbered_objects_can_be_classes_if_there_are_any():
    assert not state(READY).one_class
    numbered = LayerFacts(numbered=True)
    assert state(replace(READY, layers=numbered)).one_class
    assert not state(replace(READY, layers=numbered, folder=FolderFacts())).one_class


def test_training_can_be_started():
    found = state(READY)
    assert usable(found) == {"card", "reviewed", "start", "save"} and not found.hint and not why_not(READY)
    assert found.options and found.plan and not found.bar
    assert found.copy.why_not.startswith("the data of open layers are written when you start")
    assert all(control.tooltip for control in controls(found).values())


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"models_read": False, "has_model": False, "layers": LayerFacts(None)}, "the models are being read."),
        ({"has_model": False, "name_problem": "No name."}, "There is no model to start from. Choose one."),
        ({"name_problem": "'A' is no model name.", "name_used": True}, "'A' is no model name."),
        (
            {"name_used": True, "classes_problem": "No class."},
            "There was a training called 'heart-tuned' already. Choose another name.",
        ),
        ({"classes_problem": "There is no class to learn."}, "There is no class to learn."),
    ],
)
def test_what_is_missing_is_said_for_start_and_save(facts, reason):
    facts = replace(READY, **facts)
    found = state(facts)
    assert why_not(facts) == found.start.why_not == found.save.why_not == reason
    assert found.start.visible and found.hint == f"Start: {reason}"


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (LayerFacts(None, has_labels=False, seen=False, has_reviewed=False), "open an image first"),
        (LayerFacts(has_labels=False, has_reviewed=False), "there is no labels layer for scan."),
        (LayerFacts(misfit="'mine' lies elsewhere.", slices_problem="Odd."), "'mine' lies elsewhere."),
        (LayerFacts(slices_problem="The reviewed slices are '2-'.", seen=False), "The reviewed slices are '2-'."),
        (LayerFacts(seen=False, has_reviewed=False), "the labels are being looked at."),
        (LayerFacts(has_reviewed=False), "no slice is reviewed."),
    ],
)
def test_layers_that_cannot_be_learnt_say_why(layers, words):
    assert why_not(replace(READY, layers=layers, has_model=False)).startswith(words)


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        (FolderFacts(is_chosen=False, is_read=False), "choose the folder of a data set first."),
        (FolderFacts(is_read=False, problem="Old."), "the folder is being read."),
        (FolderFacts(problem="There is no dataset.json."), "There is no dataset.json."),
        (FolderFacts(), ""),
    ],
)
def test_folder_is_judged_without_the_layers(folder, reason):
    facts = replace(READY, layers=LayerFacts(None, has_labels=False), folder=folder)
    assert why_not(facts) == state(facts).start.why_not == reason


def test_only_the_rows_of_the_chosen_source_are_shown():
    rich = replace(READY, layers=LayerFacts(many_axes=True, many_layers=True))
    for facts, from_layers in ((rich, True), (replace(rich, folder=FolderFacts()), False)):
        found = state(facts)
        shown = (found.image, found.axes, found.labels, found.others, found.reviewed.visible, found.painted_only)
        assert set(shown) == {from_layers} and found.path != from_layers
    plain = state(READY)
    assert not plain.axes and not plain.others


def test_reviewed_slices_belong_to_labels():
    assert not state(READY).reviewed.why_not
    assert state(replace(READY, layers=LayerFacts(has_labels=False))).reviewed.why_not == "Choose labels first."


def test_card_needs_a_model():
    assert state(replace(READY, has_model=False)).card.why_not == "No model is chosen."


def test_plan_is_shown_where_there_is_one():
    assert not state(replace(READY, has_plan=False)).plan


def test_preparation_can_only_be_stopped():
    facts = replace(READY, job="prepare")
    found = state(facts)
    assert usable(found) == {"card", "reviewed", "stop"} and not found.start.visible
    assert not found.options and found.bar and found.stop.title == "Stop"
    assert why_not(facts) == "the data are being written." and found.hint == "Start: the data are being written."


@pytest.mark.parametrize(
    ("number", "reviewed", "title"), [(6, False, "Add slice 6"), (6, True, "Remove slice 6"), (0, False, "Add slice 0")]
)
def test_slice_in_view_is_added_or_taken_out(number, reviewed, title):
    add = slice_state(number, reviewed).add
    assert add.title == title and not add.why_not and add.tooltip


def test_no_slice_can_be_added_without_labels():
    assert slice_state(None, False).add.why_not == "Choose labels first."


# ---- a training ----


def test_training_can_be_stopped_and_copied():
    found = state(replace(READY, run=RunFacts("heart-tuned", running=True, complete=False, has_figures=False)))
    assert usable(found) == {"card", "reviewed", "stop", "copy"} and not found.hint
    assert found.bar and not found.options and not found.plan and not found.start.visible
    assert found.stop.title == "Stop" and "best weights so far" in found.stop.tooltip
    assert found.save.why_not == "a training is under way."


def test_training_that_is_stopping_can_be_ended_at_once():
    found = state(replace(READY, run=RunFacts("heart-tuned", running=True, stopping=True)))
    assert found.stop.title == "End at once" and "at once" in found.stop.tooltip and found.stop.visible


def test_what_hinders_a_start_is_not_said_during_a_training():
    found = state(replace(READY, layers=LayerFacts(has_reviewed=False), run=replace(ENDED, running=True)))
    assert not found.start.why_not and not found.hint


# ---- decide ----


def test_end_of_a_training_asks_for_a_decision():
    found = decided()
    assert usable(found) == {"card", "reviewed", "copy", *DECISIONS} and not found.hint and not found.bar
    assert not found.stop.visible and not found.resume.visible and found.accept.title == "&Accept"


def test_model_that_is_not_better_is_accepted_all_the_same():
    assert decided(doubtful=True).accept.title == "&Accept all the same…"
    assert decided(doubtful=True, has_figures=False).accept.title == "&Accept"


def test_interrupted_training_can_go_on_or_be_accepted():
    found = decided(complete=False)
    assert usable(found) >= {"resume", *DECISIONS}


def test_training_that_ended_before_there_was_a_model_can_only_be_discarded():
    found = decided(has_weights=False, has_figures=False)
    assert found.difference.why_not == found.accept.why_not == "it ended before there was a model."
    assert not found.discard.why_not and found.hint == "Show difference, Accept: it ended before there was a model."


def test_figures_are_waited_for_before_accepting():
    found = decided(has_figures=False)
    assert found.accept.why_not == "there are no figures yet." and found.hint == "Accept: there are no figures yet."
    assert not found.difference.why_not


def test_difference_needs_an_image():
    found = state(replace(READY, layers=LayerFacts(None), run=ENDED))
    assert found.difference.why_not == "open an image first." and not found.accept.why_not
    assert found.hint == "Show difference: open an image first."


@pytest.mark.parametrize(
    ("job", "reason", "bar"),
    [
        ("difference", "the difference is being made.", True),
        ("compare", "figures are being made.", True),
        ("accept", "figures are being made.", False),
        ("discard", "figures are being made.", False),
    ],
)
def test_decision_waits_for_what_is_being_made(job, reason, bar):
    found = decided(job, complete=False)
    waiting = (found.resume, found.difference, found.accept, found.discard)
    assert {control.why_not for control in waiting} == {reason} and found.bar == bar


@pytest.mark.parametrize("job", ["models", "look", "remove"])
def test_other_jobs_keep_nobody_from_deciding(job):
    assert usable(decided(job)) >= DECISIONS


# ---- roll back ----


def test_only_tuned_models_can_be_rolled_back():
    assert not state(READY).roll_back.visible
    found = state(replace(READY, was_tuned=True))
    assert found.roll_back.visible and not found.roll_back.why_not


def test_model_that_a_training_began_with_stays():
    run = replace(ENDED, name="next", begins_with_chosen=True)
    found = state(replace(READY, was_tuned=True, run=run))
    assert found.roll_back.why_not == "next begins with it; decide about that first."


def test_a_training_without_a_figure_says_so():
    run = SimpleNamespace(lines=[{"val": None}], step=3, steps=9, best=None)
    assert status_text(run, running=False, stopping=False) == (
        "Step 3 of 9. No label lies on the slices that are held back: there is no Dice, the last weights are kept."
    )
