"""One labels layer under the eyes of its journal: what changed becomes a step, and undo and redo are the journal's."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from napari.layers import Image, Labels

from ...review.history import Approval, Mark, Step
from ...review.journal import Change, Journal, Rule
from . import records
from .protecting import session_of

CHANGED_OUTSIDE = "changed from outside"
"""Name of steps that nobody has announced: another plugin, or a line in the console."""


class Follower:
    """Writes down what happens to a labels layer; `painting.py` says when to look.

    Parameters
    ----------
    layer : napari.layers.Labels
        Is not kept.
    journal : Journal
        Of its labels as they were a moment ago.
    changed : callable
        Called with the layer and the slices of every change, whoever made it.
    moved : callable
        Called with the layer, the change (None if there was nothing) and a word after every undo and redo.

    Attributes
    ----------
    notes : list of str
        What the person should know of this journal, in sentences.
    image : weak reference to napari.layers.Image, or None
        The image that the labels lie on.
    axes : str or None
        Of this image.
    rules : list of Rule
        What no change may break.
    stepped : callable
        Called with the layer, each step, and ``undo`` or ``redo`` where it was that.
    approved : callable
        Called with the layer and its new approvals, those that were taken back among them.
    """

    def __init__(
        self,
        layer: Labels,
        journal: Journal,
        changed: Callable[[Labels, set[int]], None],
        moved: Callable[[Labels, Change | None, str], None],
    ):
        self.journal = journal
        self.notes: list[str] = []
        self.image: weakref.ref[Image] | None = None
        self.axes: str | None = None
        self.rules: list[Rule] = []
        self.stepped: Callable[[Labels, Step, str], object] = _ignore
        self.approved: Callable[[Labels, Sequence[Approval]], object] = _ignore
        self._layer = weakref.ref(layer)
        self._changed = changed
        self._moved = moved
        self._touched: set[int] | None = set()
        self._holds = [journal.holds_labels(number) for number in range(records.count_slices(layer))]
        self._moving = False
        self._ended = False
        # public names, which napari's own keys and other plugins call; its stack of 100 steps stays unused
        layer.undo = self.undo
        layer.redo = self.redo
        records.FOLLOWERS[layer] = self
        self._end = weakref.finalize(layer, journal.close)

    @property
    def layer(self) -> Labels | None:
        """The layer, as long as there is one."""
        return self._layer()

    def filled(self) -> list[int]:
        """The slices that hold labels."""
        return [number for number, holds in enumerate(self._holds) if holds]

    # ---- what changes ----

    def touch(self, numbers: Iterable[int] | None) -> None:
        """Some slices, or with None all, may have changed: the next look compares them."""
        if numbers is None:
            self._touched = None
        elif self._touched is not None:
            self._touched |= set(numbers)

    def stroke_moves(self) -> None:
        """A stroke is under way, whose slices are not known before it ends."""
        self._moving = True

    def painted(self, numbers: Iterable[int]) -> None:
        """A stroke has ended; that of a function call is yet to be drawn."""
        self.touch(numbers)
        self._ended = True

    def fits(self) -> bool:
        """Whether the layer still has the array that the journal is about, or one like it."""
        layer = self.layer
        return layer is not None and self.journal.fits(layer.data)

    def settle(self, name: str = "", tool: Mapping[str, Any] | None = None) -> Step | None:
        """Write down what has changed on the slices that were touched, as one step."""
        layer = self.layer
        touched = self._touched
        if layer is None or touched == set() or not self.fits():
            return None
        if self._ended:
            self._moving = False
            self._ended = False
        corrected: list[int] = []
        rules = [_watched(rule, corrected) for rule in self.rules]
        step = self.journal.settle(layer.data, touched, name, tool, rules)
        self._touched = set()
        if corrected:
            layer.refresh(extent=False, highlight=False)
        if step is not None:
            self.stepped(layer, step, "")
            self._note(layer, step.planes, step.proposed_by)
        return step

    def settle_all(self) -> None:
        """Find what nobody has announced, too."""
        self.settle()
        self.touch(None)
        self.settle("" if self._moving else CHANGED_OUTSIDE)

    def settle_slices(self, numbers: Iterable[int]) -> None:
        """The same on some slices."""
        self.touch(numbers)
        self.settle()

    def _note(self, layer: Labels, numbers: Iterable[int], proposed_by: str | None = None) -> None:
        for number in numbers:
            self._holds[number] = self.journal.holds_labels(number)
        sums: dict[int, int | None] = {number: self.journal.checksum(number) for number in numbers}
        records.note_changes(layer, sums, proposed_by)
        self._changed(layer, set(sums))

    # ---- undo and redo ----

    def undo(self) -> None:
        """Take the last step back."""
        self._move(self.journal.undo, "undo", "Undid")

    def redo(self) -> None:
        """Do again the step that was taken back last."""
        self._move(self.journal.redo, "redo", "Did again")

    def _move(self, move: Callable[[Any], Change | None], which: str, word: str) -> None:
        layer = self.layer
        if layer is None or not self.fits():
            return
        if self._moving:
            self.touch(None)
        self.settle()
        change = move(layer.data)
        if change is not None:
            self.stepped(layer, change.step, which)
            self._take(layer, change)
        self._moved(layer, change, word)

    def _take(self, layer: Labels, change: Change) -> None:
        ledger = records.ledger_of(layer)
        for approval in change.approvals:
            ledger.take(approval)
        if change.approvals:
            self.approved(layer, change.approvals)
        records.put_ledger(layer, ledger)
        self._note(layer, change.planes)
        layer.refresh(extent=False, highlight=False)

    # ---- approvals and marks ----

    def write_down(self, approvals: Sequence[Approval]) -> None:
        """Note approvals, or that they were taken back."""
        self.journal.approve(approvals)
        if self.layer is not None:
            self.approved(self.layer, approvals)

    def approve_as_step(self, name: str, numbers: Sequence[int]) -> None:
        """Approve slices as one step that can be undone."""
        layer = self.layer
        if layer is None:
            return
        self.settle_all()
        ledger = records.ledger_of(layer)
        before = [ledger.approval(number) for number in numbers]
        user = records.user()
        after = [ledger.approve(number, self.journal.checksum(number), user) for number in numbers]
        records.put_ledger(layer, ledger)
        self.journal.approve_step(name, before, after)
        self.approved(layer, after)
        self._changed(layer, set(numbers))

    @property
    def now(self) -> Mark:
        """What a file has that is written of the labels as they are now."""
        return self.journal.history.now

    def saved(self, mark: Mark, path: str) -> None:
        """Note that the labels were saved as they were then."""
        number, notes = mark
        self.journal.mark(number, path, notes=notes)
        layer = self.layer
        if layer is not None:
            self._changed(layer, set())

    # ---- the end ----

    def describe(self) -> None:
        """Have name, place and classes of the layer come back after a crash."""
        layer = self.layer
        if layer is not None:
            session = session_of(layer, None)
            self.journal.describe(session.layer, session.place, session.notes["classes"])

    def close(self) -> None:
        """Write down the last changes, and let go of the layer and of the folder."""
        layer = self.layer
        if layer is not None:
            self.settle_all()
            self.describe()
            for name in ("undo", "redo"):
                layer.__dict__.pop(name, None)
            records.FOLLOWERS.pop(layer, None)
        self._end()


def _ignore(*_: object) -> None:
    pass


def _watched(rule: Rule, corrected: list[int]) -> Rule:
    """The same rule; `corrected` gets the slices on which it forbade something."""

    def watched(number: int, before: Any, now: Any) -> Any:
        allowed = rule(number, before, now)
        if allowed is not now and (allowed != now).any():
            corrected.append(number)
        return allowed

    return watched
