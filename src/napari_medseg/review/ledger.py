"""Which slices of labels a person has looked at: unseen, auto, edited or approved, by their content.

The state of a slice follows from its labels alone. An approval is for the labels as they were then: once they change
the slice is edited, and once they are the same again it is approved. Likewise, a slice that is as the model made it is
auto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..record import now
from ..slice_states import APPROVED, AUTO, EDITED, STATES, UNSEEN, collapse, expand
from .history import Approval

__all__ = ["APPROVED", "AUTO", "EDITED", "STATES", "UNSEEN", "Entry", "Ledger"]

_OTHER = -1  # checksum of labels that have changed and were not looked at yet


@dataclass(frozen=True)
class Entry:
    """What is known of one slice.

    Parameters
    ----------
    base : str
        Its state before anything was changed or approved here.
    base_crc : int or None
        Checksum of its labels then; None if not known.
    crc : int or None
        Checksum of its labels now; None as long as nothing has changed.
    approved_crc : int or None
        Checksum of the labels that were approved; None if none were.
    proposals : mapping of int to str
        Labels that were proposed and that nobody has looked at: their checksum, and the model that made them, which is
        empty where a tool did.
    at, by : str
        When (UTC) and by whom.
    model, sha256 : str
        That made it.
    seconds : float
        That it was in view.
    """

    base: str = UNSEEN
    base_crc: int | None = None
    crc: int | None = None
    approved_crc: int | None = None
    proposals: Mapping[int, str] = field(default_factory=dict)
    at: str = ""
    by: str = ""
    model: str = ""
    sha256: str = ""
    seconds: float = 0.0

    @property
    def content(self) -> int | None:
        """Checksum of the labels now, as far as it is known."""
        return self.base_crc if self.crc is None else self.crc

    @property
    def state(self) -> str:
        """One of `STATES`."""
        if self.approved_crc is not None and self.content == self.approved_crc:
            return APPROVED
        return self.unapproved

    @property
    def unapproved(self) -> str:
        """Its state without the approval."""
        if self._as_begun:
            return self.base
        return AUTO if self.crc in self.proposals else EDITED

    @property
    def maker(self) -> str:
        """The model that made the labels as they are now; empty if a person or a tool did, or nobody knows."""
        if self._as_begun:
            return self.model if self.base == AUTO else ""
        return self.proposals.get(self.crc or 0, "")

    @property
    def _as_begun(self) -> bool:
        return self.crc is None or self.crc == self.base_crc


class Ledger:
    """The entries of all slices.

    Parameters
    ----------
    count : int
        Number of slices.
    """

    def __init__(self, count: int):
        self._entries = [Entry()] * count

    def __len__(self) -> int:
        return len(self._entries)

    # ---- in files and layers ----

    @classmethod
    def from_json(cls, rows: Any, count: int) -> Ledger:
        """From what `to_json` made; what is malformed, or beyond the `count` slices, is left out."""
        ledger = cls(count)
        for number, facts in expand(rows).items():
            if number < count:
                ledger._entries[number] = _entry(facts)
        return ledger

    def to_json(self) -> tuple[dict[str, Any], ...]:
        """As rows, see `slice_states`; they do not say who approved: files may be handed on."""
        known = {number: _facts(entry) for number, entry in enumerate(self._entries) if entry.state != UNSEEN}
        return collapse(known)

    def begin(self, numbers: Iterable[int], state: str, model: str = "", sha256: str = "") -> None:
        """Say what slices were before anything was changed here."""
        for number in numbers:
            self._set(number, base=state, model=model, sha256=sha256)

    # ---- what happens ----

    def changed(self, sums: Mapping[int, int | None]) -> None:
        """The labels of slices have the checksums `sums` now; None stands for others than before."""
        for number, crc in sums.items():
            self._set(number, crc=_OTHER if crc is None else crc)

    def propose(self, number: int, crc: int, model: str = "") -> None:
        """A tool, or a model, proposes labels with the checksum `crc` for a slice that a person is still to look at."""
        self._set(number, crc=crc, proposals={**self._entries[number].proposals, crc: model})

    def spend(self, number: int, seconds: float) -> None:
        """A slice was in view for some seconds."""
        self._set(number, seconds=self._entries[number].seconds + seconds)

    def unchecked(self) -> list[int]:
        """The slices with a state that depends on labels that were not looked at."""
        found = []
        for number, entry in enumerate(self._entries):
            if entry.crc == _OTHER or (entry.content is None and entry.state != UNSEEN):
                found.append(number)
        return found

    def check(self, checksum: Callable[[int], int], numbers: Iterable[int]) -> list[int]:
        """Compare slices with what is known of them; those that are not what they were when their state was noted."""
        found = []
        for number in numbers:
            entry = self._entries[number]
            crc = checksum(number)
            if entry.base_crc is None and entry.crc is None:
                self._set(number, base_crc=crc)
                continue
            if entry.state != UNSEEN and entry.crc != _OTHER and entry.content != crc:
                found.append(number)
                if entry.state == AUTO:  # neither the model nor, as far as is known, a person made these labels
                    self._set(number, base=UNSEEN, base_crc=crc, model="", sha256="")
            self._set(number, crc=crc)
        return found

    def approve(self, number: int, crc: int, by: str = "") -> Approval:
        """A person approves the slice as it is, with the checksum `crc`."""
        if self._entries[number].content is None:
            self._set(number, base_crc=crc)
        self._set(number, crc=crc)
        return self.take((number, crc, now(), by))

    def withdraw(self, number: int, by: str = "") -> Approval:
        """A person takes the approval back."""
        return self.take((number, None, now(), by))

    def dismiss(self, number: int) -> None:
        """A person says that the slice, as it is, is not to be counted as reviewed."""
        entry = self._entries[number]
        base = AUTO if entry.model else UNSEEN
        self._set(number, base=base, base_crc=entry.content, approved_crc=None)

    def take(self, approval: Approval) -> Approval:
        """Follow an approval, or its withdrawal."""
        number, crc, at, by = approval
        self._set(number, approved_crc=crc, at=at, by=by)
        return approval

    def approval(self, number: int) -> Approval:
        """What `take` needs to bring the slice back to what it is now."""
        entry = self._entries[number]
        return number, entry.approved_crc, entry.at, entry.by

    # ---- what is asked ----

    def state(self, number: int) -> str:
        """State of a slice."""
        return self._entries[number].state

    def states(self) -> list[str]:
        """States of all slices."""
        return [entry.state for entry in self._entries]

    def counts(self) -> dict[str, int]:
        """How many slices have which state."""
        states = self.states()
        return {state: states.count(state) for state in STATES}

    def reviewed(self) -> tuple[int, ...]:
        """The slices that may be learnt from: edited or approved."""
        return tuple(number for number, state in enumerate(self.states()) if state in (EDITED, APPROVED))

    def paces(self) -> list[float]:
        """Seconds that the approved slices were in view, as far as they were."""
        return [entry.seconds for entry in self._entries if entry.state == APPROVED and entry.seconds]

    def entry(self, number: int) -> Entry:
        """What is known of a slice."""
        return self._entries[number]

    def next_open(self, current: int, backwards: bool = False) -> int | None:
        """The next slice that is not approved, from `current` on and round the end; None if all others are."""
        count = len(self._entries)
        step = -1 if backwards else 1
        for distance in range(1, count):
            number = (current + step * distance) % count
            if self.state(number) != APPROVED:
                return number
        return None

    def _set(self, number: int, **values: Any) -> None:
        self._entries[number] = replace(self._entries[number], **values)


def _facts(entry: Entry) -> dict[str, Any]:
    """The entry as a row has it."""
    state = entry.state
    crc = None if entry.content == _OTHER else entry.content
    facts: dict[str, Any] = {"state": state, "crc": crc}
    if state == APPROVED:
        facts["was"] = entry.unapproved
        facts["at"] = entry.at
    if entry.seconds:
        facts["seconds"] = round(entry.seconds, 1)
    if entry.maker:
        facts["model"] = entry.maker
        facts["sha256"] = entry.sha256
    return facts


def _entry(facts: Mapping[str, Any]) -> Entry:
    state = facts["state"]
    crc = facts["crc"]
    known = {name: facts[name] for name in ("model", "sha256", "seconds") if name in facts}
    if state != APPROVED:
        return Entry(state, crc, **known)
    was = facts.get("was", UNSEEN)
    base = was if was in STATES and was != APPROVED else UNSEEN
    # without a checksum it cannot be checked: then it is no more than edited
    if crc is None:
        return Entry(EDITED)
    # what it was before is known, the labels of then are not
    return Entry(base, crc, approved_crc=crc, at=facts.get("at", ""), **known)
