"""What is possible in the Segment dock, and why the rest is not."""

from dataclasses import replace
from itertools import product

import pytest

from napari_medseg.widgets.segment.state import Facts, state, why_not

READY = Facts(target="scan all")
READING = "the models are being read."
NO_IMAGE = "open an image first."
NO_MODEL = "choose a model."
NO_FILE = "the image was not opened from a file."
NO_LABELS = "no labels yet; run, or select a labels layer."
BUSY = {"": "", "plan": "", "preview": "", "run": "a run is under way.", "save": "labels are being written."}


def test_nothing_is_off_when_all_is_there():
    found = state(READY)
    controls = (found.card, found.uncertainty, found.preview, found.run, found.save, found.copy)
    assert not any(control.why_not for control in controls) and all(control.tooltip for control in controls)
    assert not found.hint and not found.bar and not found.cancel.visible
    assert "'scan all'" in found.save.tooltip


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"models_read": False, "problem": "Odd.", "has_image": False, "models": 0}, READING),
        ({"has_image": False, "models": 0, "problem": "Odd."}, NO_IMAGE),
        ({"models": 0, "problem": "Odd."}, NO_MODEL),
        ({"problem": "Odd."}, "Odd."),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("job", BUSY)
@pytest.mark.parametrize(("has_file", "target"), list(product((True, False), ("scan all", ""))))
def test_every_combination_of_reasons(facts, reason, job, has_file, target):
    facts = replace(READY, **facts, job=job, has_file=has_file, target=target)
    found = state(facts)
    busy = BUSY[job]
    assert why_not(facts) == reason
    assert found.run.why_not == found.preview.why_not == found.routers.why_not == (reason or busy)
    assert found.save.why_not == (busy or ("" if target else NO_LABELS))
    assert found.copy.why_not == (reason or ("" if has_file else NO_FILE)), "a command can be copied during a run"
    assert found.bar == bool(busy) and found.cancel.visible == (job == "run")
    off = {control.why_not for control in (found.run, found.preview, found.save, found.copy)} - {""}
    assert sorted(line.partition(": ")[2] for line in found.hint.splitlines()) == sorted(off)


def test_reasons_are_gathered():
    assert state(Facts(has_image=False)).hint == f"Run, Preview, Copy: {NO_IMAGE}\nSave: {NO_LABELS}"


def test_run_can_be_cancelled_once():
    running = replace(READY, job="run", has_result=True)
    assert not state(running).cancel.why_not and "remove its labels" in state(running).cancel.tooltip
    assert state(replace(running, has_result=False)).cancel.why_not == "Stopping."


def test_controls_appear_when_there_is_something_to_choose():
    found = state(Facts())
    assert not (found.axes or found.channel or found.split or found.routers.visible)
    found = state(Facts(meanings=2, channels=2, objects=True, routed=True))
    assert found.axes and found.channel and found.split and found.routers.visible
    assert not state(Facts(channels=1)).channel


def test_several_models_have_a_disagreement_instead_of_an_uncertainty():
    assert not state(Facts(models=1)).uncertainty.why_not
    assert "disagreement" in state(Facts(models=2)).uncertainty.why_not


def test_card_needs_a_model():
    assert state(Facts(models=0)).card.why_not == "No model is chosen." and not state(Facts(models=1)).card.why_not


def test_labelling_by_hand_is_offered_where_no_model_fits_and_there_are_no_labels():
    found = state(Facts(unsuited=True, target="labels of another image"))
    assert found.by_hand.visible and not found.by_hand.why_not and "by hand" in found.advice
    for facts in (Facts(), Facts(unsuited=True, labelled=True), Facts(unsuited=True, has_image=False)):
        found = state(facts)
        assert not found.by_hand.visible and not found.advice
