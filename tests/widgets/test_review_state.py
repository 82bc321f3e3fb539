"""What the Review dock says, without a window."""

import pytest

from napari_medseg.widgets.review.state import (
    Facts,
    Offer,
    journal_text,
    keys_text,
    legend_parts,
    offer_text,
    size_text,
    state,
)

READY = {"states": {"approved": 1, "auto": 3}, "shown": 2, "shown_state": "auto", "filled": 3}


def test_without_labels_the_dock_says_how_to_get_some():
    found = state(Facts(has_labels=False))
    assert "Run Segment, open a labels file" in found.hint and "Convert to Labels" in found.hint
    assert not found.strip and not found.steps and found.journal == "" and found.keys == ""
    assert found.approve.why_not and found.undo.why_not


def test_a_slice_in_view_can_be_approved_once():
    found = state(Facts(**READY))
    assert not found.approve.why_not and "slice 2 is not approved" in found.take_back.why_not
    approved = state(Facts(**{**READY, "shown_state": "approved"}))
    assert "slice 2 is approved" in approved.approve.why_not and not approved.take_back.why_not


@pytest.mark.parametrize(
    ("facts", "control", "reason"),
    [
        ({"ready": False}, "approve", "being read"),
        ({"problem": "'a' holds labels at several resolutions."}, "undo", "several resolutions"),
        ({"shows_slice": False}, "approve", "Switch to 2D"),
        ({"states": {"approved": 4}}, "following", "every slice is approved"),
        ({"filled": 0}, "approve_filled", "no slice with labels"),
        ({}, "undo", "nothing to undo"),
        ({"position": 2, "steps": 2}, "redo", "nothing to do again"),
    ],
)
def test_what_is_off_says_why(facts, control, reason):
    assert reason in getattr(state(Facts(**{**READY, **facts})), control).why_not


def test_undo_and_redo_follow_the_position():
    found = state(Facts(**READY, position=1, steps=2, size=9100))
    assert not found.undo.why_not and not found.redo.why_not


def test_the_journal_says_its_size_and_what_is_saved():
    assert journal_text(Facts(steps=0)).startswith("No steps yet")
    assert journal_text(Facts(position=1, steps=1, size=120)) == "1 step, 120 bytes on disk, not saved"
    assert journal_text(Facts(position=14, steps=14, size=9100, saved=12)) == "14 steps, 9 kB on disk, saved at step 12"
    assert journal_text(Facts(position=14, steps=14, size=9100, saved=14)) == "14 steps, 9 kB on disk, saved"
    assert size_text(12_340_000) == "12.3 MB"


def test_what_can_be_restored_is_asked_in_a_sentence():
    offer = Offer("heart labels", "heart", 37, 0, "10:12")
    assert offer_text(offer) == "Restore 37 steps of 10:12? They were not saved: 'heart labels' on 'heart'."
    both = Offer("heart labels", "", 1, 4, "10:12")
    assert offer_text(both) == "Restore 1 step and 4 approvals of 10:12? They were not saved: 'heart labels'."
    assert offer_text(Offer("a", "", 0, 2, "9:00")).startswith("Restore 2 approvals")
    shown = state(Facts(**READY, offer=offer))
    assert shown.restore.visible and not shown.restore.why_not and not state(Facts(**READY)).restore.visible
    assert state(Facts(**READY, offer=offer, restoring=True)).discard.why_not


def test_keys_of_others_are_named():
    assert "Ctrl+Z, Ctrl+Shift+Z: undo, redo" in keys_text()
    assert keys_text(("A",)).endswith("Bound by something else and left alone: A.")


def test_the_legend_lists_the_states_that_there_are():
    assert legend_parts({"approved": 3, "edited": 0, "auto": 9}) == [("approved", "approved 3"), ("auto", "model 9")]
