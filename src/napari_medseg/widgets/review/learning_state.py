"""What live learning does with the labels that are chosen, and why not; no window is needed to ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...models.card import ModelCard
from ...record import Record, UsedModel
from ...review.ledger import Ledger
from ...slice_states import APPROVED, AUTO, EDITED
from ..kit.state import Control, first, unless

ENOUGH = 2
"""Slices from which on something can be learnt."""

TITLE = "Update the rest from my corrections"


@dataclass(frozen=True)
class LearningFacts:
    """What is known of the labels that are chosen.

    Parameters
    ----------
    problem : str
        Why nothing can be done with them.
    model : str
        That made them; empty if none did, or several.
    cannot : str
        Why it cannot learn.
    has_image : bool
        Whether the image is chosen on which they lie.
    reviewed, others : int
        Slices that a person has corrected or approved; slices that are as the model made them.
    ticked : bool
    report : str
        What was done last, or is being done.
    """

    problem: str = ""
    model: str = ""
    cannot: str = ""
    has_image: bool = True
    reviewed: int = 0
    others: int = 0
    ticked: bool = False
    report: str = ""


@dataclass(frozen=True)
class LearningState:
    """What the controls say."""

    learn: Control
    learnt: str


def learning_state(facts: LearningFacts) -> LearningState:
    """What is possible, and why the rest is not."""
    few = f"correct or approve {ENOUGH} slices first; there are {facts.reviewed}."
    why_not = first(
        facts.problem,
        facts.cannot,
        unless(facts.has_image, "choose the image on which the labels lie, voxel by voxel."),
        unless(facts.reviewed >= ENOUGH, few),
        unless(facts.others, "no slice is left as the model made it."),
    )
    if facts.ticked:
        why_not = ""  # it can always be taken away
    says = (
        f"{facts.model} learns from the slices that you have corrected or approved, and labels those anew that are as "
        "it made them: one step for each update, which can be undone. It forgets this with the labels. Remove the tick "
        "to stop."
    )
    return LearningState(Control(says, why_not, bool(facts.model)), facts.report if facts.model else "")


def model_of(record: Record | None) -> UsedModel | None:
    """The one model that made labels; None if it was none, several, or objects were numbered."""
    if record is None or record.what != "segment" or len(record.models) != 1:
        return None
    return None if record.settings.get("split_objects") else record.models[0]


def cannot_learn(model: UsedModel, cards: Mapping[str, ModelCard]) -> str:
    """Why a model cannot learn from corrections; empty if it can."""
    card = cards.get(model.name)
    if card is None:
        return f"the model {model.name} is not installed."
    if model.sha256 and model.sha256 != card.sha256:
        return f"another version of {model.name} made these labels. Run Segment again."
    if not card.learns:
        return f"it was not measured whether {model.name} can learn from a few corrections. Use Fine-tune."
    return ""


def own_slices(ledger: Ledger, model: UsedModel) -> dict[int, int | None]:
    """The slices that are as the model made them and that nobody has looked at, with their checksums."""
    found = {}
    for number in range(len(ledger)):
        entry = ledger.entry(number)
        if entry.state == AUTO and entry.maker and entry.sha256 in ("", model.sha256):
            found[number] = entry.content
    return found


def corrections(ledger: Ledger, shown: int) -> frozenset[tuple[int, int | None]]:
    """The slices to learn from, by their checksums: not that in view, as long as the person is at work on it."""
    found = set()
    for number, state in enumerate(ledger.states()):
        if state == APPROVED or (state == EDITED and number != shown):
            found.add((number, ledger.entry(number).content))
    return frozenset(found)


def count_slices(number: int) -> str:
    """``1 slice``, ``3 slices``."""
    return f"{number} slice" if number == 1 else f"{number} slices"
