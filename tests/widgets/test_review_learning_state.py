"""What live learning may do, and which slices it learns from and changes."""

import pytest

from napari_medseg.models import ModelCard
from napari_medseg.preprocess import Preprocess
from napari_medseg.record import Record, UsedModel
from napari_medseg.review.ledger import Ledger
from napari_medseg.volume import LabelClass
from napari_medseg.widgets.review.learning_state import (
    LearningFacts,
    cannot_learn,
    corrections,
    learning_state,
    model_of,
    own_slices,
)

TINY = UsedModel("tiny", "12")
READY = {"model": "tiny", "reviewed": 2, "others": 3}


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (READY, ""),
        (READY | {"reviewed": 1}, "there are 1"),
        (READY | {"others": 0}, "no slice is left"),
        (READY | {"has_image": False}, "choose the image"),
        (READY | {"cannot": "it cannot."}, "it cannot"),
        (READY | {"problem": "no labels.", "ticked": True}, ""),
    ],
)
def test_it_is_offered_from_two_slices_on_and_says_why_not(facts, says):
    control = learning_state(LearningFacts(**facts)).learn
    assert control.visible and (says in control.why_not if says else not control.why_not)


def test_labels_that_one_model_has_made_can_be_updated():
    assert model_of(Record("segment", models=(TINY,))) == TINY
    assert not learning_state(LearningFacts()).learn.visible
    for record in (
        None,
        Record("draw"),
        Record("consensus", models=(TINY, TINY)),
        Record("segment", models=(TINY, TINY)),
        Record("segment", models=(TINY,), settings={"split_objects": True}),
    ):
        assert model_of(record) is None


def test_a_model_that_is_missing_other_or_not_measured_cannot_learn():
    card = ModelCard("tiny", "litenext", Preprocess(), (LabelClass(1, "a", "#ff0000"),), sha256="12", learns=("*",))
    assert cannot_learn(TINY, {"tiny": card}) == ""
    assert "not installed" in cannot_learn(TINY, {})
    assert "another version" in cannot_learn(UsedModel("tiny", "34"), {"tiny": card})
    assert "not measured" in cannot_learn(TINY, {"tiny": ModelCard("tiny", "litenext", Preprocess(), (), sha256="12")})


def test_corrected_slices_are_learnt_from_and_only_those_of_the_model_change():
    ledger = Ledger(6)
    ledger.begin(range(5), "auto", "tiny", "12")
    ledger.check(lambda number: number, range(6))
    ledger.changed({1: 11, 2: 22, 3: 33})
    ledger.approve(2, 22)
    ledger.propose(3, 33)
    ledger.propose(4, 44, "tiny + 2 slices")
    assert corrections(ledger, 0) == {(1, 11), (2, 22)} and corrections(ledger, 1) == {(2, 22)}
    assert own_slices(ledger, TINY) == {0: 0, 4: 44}, "3 is the proposal of a tool, 5 was there before"
    assert not own_slices(ledger, UsedModel("tiny", "34"))
    again = Ledger.from_json(ledger.to_json(), 6)
    assert again.states() == ledger.states() and own_slices(again, TINY) == {0: 0, 4: 44}
