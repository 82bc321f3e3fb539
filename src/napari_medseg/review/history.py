"""The steps of a session and where the person stands among them, as the records of its log say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .log import Record

Approval = tuple[int, int | None, str, str]
"""Slice, checksum of the labels that were approved (None: the approval was taken back), time in UTC, by whom."""

Mark = tuple[int, int]
"""A state of the labels that a file can have: number of its last step, and how many approvals were noted until then."""


PROPOSED = "proposed by"
"""In the settings of a tool: the model, or nothing, whose answer its step is, for a person to look at."""


@dataclass(frozen=True)
class Step:
    """What a person or a tool has done, to be undone as a whole.

    Parameters
    ----------
    name : str
        For people: ``paint left-ventricle, slice 5``.
    planes : tuple of int
        Slices that changed.
    number : int
        Counted from 1 over the whole session, undone steps included.
    offset, length : int
        Of its record in the log.
    time : str
        UTC.
    proposed_by : str or None
        The model that proposes these labels, which nobody has looked at; empty for a tool, None where a person made
        them.
    by_hand : bool
        Whether it is a stroke, and not the change of a tool.
    """

    name: str
    planes: tuple[int, ...]
    number: int
    offset: int
    length: int
    time: str
    proposed_by: str | None = None
    by_hand: bool = True


@dataclass
class History:
    """Steps, position and marks.

    Attributes
    ----------
    steps : list of Step
        Those that can be undone, then those that can be done again.
    position : int
        Number of the former.
    base : int
        Number of the last step that was folded into the base; 0 if none was.
    folded : set of int
        Slices that the steps have changed which were folded into the base.
    offered : dict of int to str
        Those of these slices that are in the base as a step proposed them, and by which model.
    last : int
        Number of the newest step.
    saved : int or None
        Number of the step that a saved file ends with; None if nothing was saved.
    noted : int
        Approvals, and approvals taken back, in all.
    noted_saved : int
        Those of them that the saved file has.
    approvals : dict of int to Approval
        The newest one of every slice.
    """

    steps: list[Step] = field(default_factory=list)
    position: int = 0
    base: int = 0
    folded: set[int] = field(default_factory=set)
    offered: dict[int, str] = field(default_factory=dict)
    last: int = 0
    saved: int | None = None
    noted: int = 0
    noted_saved: int = 0
    approvals: dict[int, Approval] = field(default_factory=dict)

    @property
    def top(self) -> int:
        """Number of the step that the labels end with now."""
        return self.steps[self.position - 1].number if self.position else self.base

    @property
    def now(self) -> Mark:
        """What a file has that is written of the labels as they are now."""
        return self.top, self.noted

    @property
    def notes(self) -> int:
        """Approvals, and approvals taken back, that no saved file has."""
        return max(0, self.noted - self.noted_saved)

    @property
    def proposed(self) -> dict[int, str]:
        """Slices that are as a step proposed them, and by which model."""
        return self.proposed_after(self.position)

    def proposed_after(self, count: int) -> dict[int, str]:
        """The same after the first `count` steps."""
        last = {plane: step.proposed_by for step in self.steps[:count] for plane in step.planes}
        everything: dict[int, str | None] = {**self.offered, **last}
        return {plane: model for plane, model in everything.items() if model is not None}

    @property
    def unsaved(self) -> int:
        """Steps between the labels now and those in the saved file, or at the start; at least 1 if that is gone."""
        saved = self.saved or 0
        numbers = [self.base, *(step.number for step in self.steps)]
        if saved in numbers:
            return abs(self.position - numbers.index(saved))
        return max(1, self.position)  # folded, or on a branch that was left

    @property
    def pending(self) -> bool:
        """Whether something would be lost without the journal."""
        return bool(self.unsaved or self.notes)

    def take(self, record: Record) -> Step | None:
        """Follow one record of the log; the step that it adds, undoes or redoes, if any.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the record does not make sense here.
        """
        content = record.content
        if "do" in content:
            return self._do(record)
        if "undo" in content:
            return self._undo(self._approvals_of(content))
        if "redo" in content:
            return self._redo(self._approvals_of(content))
        if "mark" in content:
            self.saved = int(content["step"])
            self.noted_saved = int(content.get("notes", self.noted))
        elif "from" in content:
            self.base = int(content["from"])
            self.last = self.base
            self.noted = int(content.get("noted", 0))
            self.folded = {int(plane) for plane in content["changed"]}
            self.offered = {int(plane): str(model) for plane, model in content.get("proposed", ())}
        self._approve(self._approvals_of(content))
        return None

    def _do(self, record: Record) -> Step:
        content = record.content
        planes = tuple(int(part[0]) for part in content["parts"])
        number = int(content["n"])
        tool = content.get("tool") or {}
        step = Step(
            name=str(content["do"]),
            planes=planes,
            number=number,
            offset=record.offset,
            length=record.length,
            time=str(content["t"]),
            proposed_by=tool.get(PROPOSED),
            by_hand=not tool,
        )
        self.last = number
        del self.steps[self.position :]
        self.steps.append(step)
        self.position += 1
        self._approve(self._approvals_of(content))
        return step

    def _undo(self, approvals: Sequence[Approval]) -> Step:
        if not self.position:
            raise ValueError("nothing to undo")
        self.position -= 1
        self._approve(approvals)
        return self.steps[self.position]

    def _redo(self, approvals: Sequence[Approval]) -> Step:
        if self.position == len(self.steps):
            raise ValueError("nothing to redo")
        self.position += 1
        self._approve(approvals)
        return self.steps[self.position - 1]

    def replaced(self, now_there: Sequence[Any], then: Sequence[Any]) -> tuple[Approval, ...]:
        """Those approvals of a step that an undo or a redo gives: not where a person has said something else since."""
        pairs = zip(map(tuple, now_there), map(tuple, then), strict=True)
        return tuple(new for old, new in pairs if self.approvals.get(new[0]) == old)

    def _approvals_of(self, content: Mapping[str, Any]) -> list[Approval]:
        return [(int(plane), crc, str(at), str(by)) for plane, crc, at, by in content.get("approve", ())]

    def _approve(self, approvals: Sequence[Approval]) -> None:
        for approval in approvals:
            self.approvals[approval[0]] = approval
        self.noted += len(approvals)
