"""What is possible in the Review dock, and why the rest is not; no window is needed to ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...slice_states import APPROVED, AUTO, EDITED, UNSEEN
from ..kit.state import Control, first, hint_text, unless

KEYS = {
    "A": "approve this slice and go to the next",
    "Shift+A": "take the approval back",
    "N, Shift+N": "next, previous slice to review",
    "J, Shift+J": "next, previous doubtful region",
    "Ctrl+Z, Ctrl+Shift+Z": "undo, redo",
    ". and ,": "next, previous class",
    "G, Shift+G": "propagate to the next, previous slice",
    "H": "interpolate",
    "R": "extend the strokes of this slice",
    "T": "outline",
    "D": "what has changed",
    "K": "compare",
}
"""What keys do while the dock is open."""

WORDS = {APPROVED: "approved", EDITED: "edited", AUTO: "model", UNSEEN: "unseen"}
"""States of slices, as the legend lists them."""


@dataclass(frozen=True)
class Offer:
    """A session that can be restored.

    Parameters
    ----------
    layer, image : str
        Names.
    steps, approvals : int
        That no saved file has.
    begun : str
        When, for people.
    damaged : bool
        Whether a part of it cannot be read.
    """

    layer: str
    image: str
    steps: int
    approvals: int
    begun: str
    damaged: bool = False


@dataclass(frozen=True)
class Facts:
    """What is chosen in the dock, and what is known of it.

    Parameters
    ----------
    has_labels : bool
        Whether a labels layer is chosen.
    problem : str
        Why no journal can be kept of it.
    ready : bool
        Whether its journal has begun.
    misfit : str
        Why the labels are not those of the image; empty if they are.
    shows_slice : bool
        Whether the canvas shows one of their slices.
    visible : bool
        Whether they are shown at all.
    states : mapping of str to int
        How many slices are in which state.
    shown : int
        Number of the slice in view.
    shown_state : str
    filled : int
        Slices that hold labels and are neither edited nor approved.
    position, steps : int
        Steps that can be undone; steps in all.
    size : int
        Bytes of the journal.
    on_disk : bool
        Whether it is safe there.
    saved : int or None
        Position at which the labels were saved; None if they were not, or other steps followed an undo.
    notes : tuple of str
        What to know of the journal.
    other_keys : tuple of str
        Keys that something else has bound.
    offer : Offer or None
    restoring, saving : bool
        Whether labels are being restored, or saved.
    """

    has_labels: bool = True
    problem: str = ""
    ready: bool = True
    misfit: str = ""
    shows_slice: bool = True
    visible: bool = True
    states: Mapping[str, int] = field(default_factory=dict)
    shown: int = 0
    shown_state: str = UNSEEN
    filled: int = 0
    position: int = 0
    steps: int = 0
    size: int = 0
    on_disk: bool = True
    saved: int | None = None
    notes: tuple[str, ...] = ()
    other_keys: tuple[str, ...] = ()
    offer: Offer | None = None
    restoring: bool = False
    saving: bool = False


@dataclass(frozen=True)
class State:
    """What the controls of the form say."""

    offer: str
    restore: Control
    later: Control
    discard: Control
    strip: bool
    tools: bool
    legend: bool
    approve: Control
    take_back: Control
    following: Control
    approve_filled: Control
    steps: bool
    undo: Control
    redo: Control
    save: Control
    journal: str
    notes: str
    keys: str
    hint: str


_NO_LABELS = (
    "no labels layer is open. Run Segment, open a labels file, or add one with New labels layer. Labels that opened as "
    "an image become a labels layer with Layers > Convert to Labels."
)


HIDDEN = "the labels are hidden. Show them first: V, or the eye in the list of layers."


def unusable(facts: Facts) -> str:
    """Why nothing can be done with the labels; empty if something can."""
    return first(
        unless(facts.has_labels, _NO_LABELS),
        facts.problem,
        unless(facts.ready, "the labels are being read."),
    )


def state(facts: Facts) -> State:
    """What is possible, and why the rest is not."""
    nothing = unusable(facts)
    hidden = unless(facts.visible, HIDDEN)
    no_slice = first(nothing, hidden, unless(facts.shows_slice, "the canvas shows no single slice. Switch to 2D."))
    approved = facts.shown_state == APPROVED
    no_approval = first(no_slice, unless(not approved, f"slice {facts.shown} is approved as it is."))
    no_return = first(no_slice, unless(approved, f"slice {facts.shown} is not approved."))
    no_next = first(nothing, unless(_to_review(facts), "every slice is approved."))
    no_filled = first(nothing, hidden, unless(facts.filled, "no slice with labels is unseen or from a model."))
    no_undo = first(nothing, unless(facts.position, "there is nothing to undo."))
    no_redo = first(nothing, unless(facts.position < facts.steps, "there is nothing to do again."))
    there = not nothing
    return State(
        offer=offer_text(facts.offer),
        **_offer_controls(facts),
        strip=there,
        tools=there,
        legend=there,
        approve=Control("This slice is right as it is; go to the next one to review (A).", no_approval),
        take_back=Control("This slice is not approved any more (Shift+A).", no_return),
        following=Control("Go to the next slice that is not approved (N; Shift+N goes back).", no_next),
        approve_filled=Control(
            "Approve every slice that holds labels, as they are; one step, which can be undone.",
            no_filled,
            title=f"Approve all filled ({facts.filled})" if facts.filled else "Approve all filled",
        ),
        steps=there,
        undo=Control("Take the last step back (Ctrl+Z).", no_undo),
        redo=Control("Do the step again that was taken back (Ctrl+Shift+Z).", no_redo),
        save=Control(
            "Save these labels with the geometry of their image, their classes and what was approved.",
            first(nothing, "labels are being written." if facts.saving else ""),
        ),
        journal=journal_text(facts) if there else "",
        notes="\n".join(filter(None, (facts.misfit, *facts.notes))),
        keys=keys_text(facts.other_keys) if there else "",
        hint=hint_text({"Review": nothing, "Approve": "" if nothing else no_slice}),
    )


def _offer_controls(facts: Facts) -> dict[str, Control]:
    there = facts.offer is not None
    busy = "labels are being restored." if facts.restoring else ""
    return {
        "restore": Control("Open these labels with all their steps, and their image where it is known.", busy, there),
        "later": Control("Ask again when the dock is opened next.", busy, there),
        "discard": Control("Delete these steps for good.", busy, there),
    }


def _to_review(facts: Facts) -> int:
    return sum(count for state, count in facts.states.items() if state != APPROVED)


def offer_text(offer: Offer | None) -> str:
    """What can be restored, in a question; empty if nothing."""
    if offer is None:
        return ""
    parts = []
    if offer.steps or not offer.approvals:
        parts.append(_count(offer.steps, "step"))
    if offer.approvals:
        parts.append(_count(offer.approvals, "approval"))
    image = f" on '{offer.image}'" if offer.image else ""
    question = f"Restore {' and '.join(parts)} of {offer.begun}? They were not saved: '{offer.layer}'{image}."
    return f"{question} A part of the journal is damaged and cannot be read." if offer.damaged else question


def journal_text(facts: Facts) -> str:
    """How many steps there are, how large they are, and which of them are in a file."""
    if not facts.steps:
        kept = "No steps yet. Every change can be undone from now on"
        return f"{kept}, also after a crash." if facts.on_disk else f"{kept}."
    text = f"{_count(facts.steps, 'step')}, {size_text(facts.size)} {'on disk' if facts.on_disk else 'in memory'}"
    if facts.saved is None:
        return f"{text}, not saved"
    if facts.saved == facts.position:
        return f"{text}, saved"
    return f"{text}, saved at step {facts.saved}"


def size_text(size: int) -> str:
    """Bytes for people."""
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.0f} kB" if size < 10**6 else f"{size / 10**6:.1f} MB"


def keys_text(other_keys: tuple[str, ...] = ()) -> str:
    """What the keys do, but for those that something else has bound."""
    lines = [f"{keys}: {words}" for keys, words in KEYS.items()]
    text = "Keys: " + "; ".join(lines) + "."
    if other_keys:
        text += f" Bound by something else and left alone: {', '.join(other_keys)}."
    return text


def legend_parts(states: Mapping[str, int]) -> list[tuple[str, str]]:
    """State and text of every part of the legend: the states that there are."""
    return [(state, f"{word} {states[state]}") for state, word in WORDS.items() if states.get(state)]


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
