"""The journal of labels: what changed, step by step, so that it can be undone and survives a crash.

Steps are found by comparing the labels with their last known state, whoever changed them and however. They are written
to a folder of their own as they happen; where that is not possible they are kept in memory, and `Journal.problem` says
so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..errors import FileError, MedsegError, VolumeError
from ..record import now
from . import sessions
from .deltas import Delta, deltas_of, difference
from .history import Approval, History, Step
from .log import Log, Record
from .planes import Planes, checksum, slices_text
from .sessions import Folder, Session, new_folder, write_session
from .shadow import Shadow

BOUND = 256 * 2**20
"""Bytes of steps; beyond it, the older half of them becomes part of the base and cannot be undone any more."""

Rule = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""From the number of a slice, its labels before and its labels now to those that are allowed."""


@dataclass(frozen=True)
class Change:
    """What an undo or a redo has done.

    Parameters
    ----------
    step : Step
    planes : tuple of int
        Slices whose labels are others now.
    approvals : tuple of Approval
        Approvals that it gave or took back.
    """

    step: Step
    planes: tuple[int, ...]
    approvals: tuple[Approval, ...] = ()


class Journal:
    """Steps of a label array, see `start_job` and `resume` in `opening.py`.

    Parameters
    ----------
    session : Session
    shadow : Shadow
        Labels as they are now.
    log : Log
    history : History
        As the log says it.
    folder : Folder or None
        Where base and log lie; None if there is none.

    Attributes
    ----------
    problem : str
        Why the steps are not safe on the disk, in a sentence; empty if they are.
    """

    def __init__(self, session: Session, shadow: Shadow, log: Log, history: History, folder: Folder | None):
        self.session = session
        self.problem = ""
        self._shadow = shadow
        self._log = log
        self._history = history
        self._folder = folder

    @property
    def steps(self) -> list[Step]:
        """Those that can be undone, then those that can be done again."""
        return self._history.steps

    @property
    def history(self) -> History:
        """Steps, position and marks; not to be changed."""
        return self._history

    @property
    def folder(self) -> Path | None:
        """Where the journal lies; None if it is in memory alone."""
        return self._folder.path if self._folder else None

    @property
    def size(self) -> int:
        """Bytes of all steps."""
        return self._log.end

    def fits(self, array: Any) -> bool:
        """Whether an array has the shape and type of these labels."""
        return tuple(array.shape) == self.session.shape and np.dtype(array.dtype) == self._shadow.dtype

    def checksum(self, number: int) -> int:
        """CRC-32 of a slice as last written down, see `planes.checksum`."""
        return checksum(self._shadow.read(number))

    def holds_labels(self, number: int) -> bool:
        """Whether a slice holds labels."""
        return bool(self._shadow.read(number).any())

    def first(self, number: int) -> np.ndarray:
        """A slice as it was before all steps that can be undone."""
        return self._before(number, lambda step, plane: True)

    def before_strokes(self, number: int) -> np.ndarray:
        """A slice as a tool has left it last, or as it was approved: before what a person has painted since."""
        approval = self._history.approvals.get(number)
        approved = None if approval is None else approval[1]
        return self._before(number, lambda step, plane: step.by_hand and checksum(plane) != approved)

    def _before(self, number: int, is_left_out: Callable[[Step, np.ndarray], bool]) -> np.ndarray:
        """A slice without its newest steps, as long as they are to be left out; the slice after each one is given."""
        plane = self._shadow.read(number).copy()
        for step in reversed(self._history.steps[: self._history.position]):
            if number not in step.planes:
                continue
            if not is_left_out(step, plane):
                break
            for delta in self.deltas(step):
                if delta.plane == number:
                    delta.swapped().change(plane)
        return plane

    def deltas(self, step: Step) -> list[Delta]:
        """What a step has changed, slice by slice; `FileError` if that cannot be read any more."""
        record = self._log.read(step.offset, step.length)
        return deltas_of(record.content["parts"], record.payload, self._shadow.dtype)

    # ---- what has changed ----

    def settle(
        self,
        array: Any,
        numbers: Iterable[int] | None = None,
        name: str = "",
        tool: Mapping[str, Any] | None = None,
        rules: Sequence[Rule] = (),
    ) -> Step | None:
        """Write down as one step how slices differ from their last known state.

        Parameters
        ----------
        array : numpy.ndarray or zarr.Array, shape (..., y, x)
            The labels now.
        numbers : iterable of int, optional
            Slices to compare; by default all.
        name : str
            Of the step, with its slices; by default what was painted.
        tool : mapping, optional
            Settings of the tool that made the change, as plain JSON values.
        rules : sequence of Rule
            Voxels that break one of them get their allowed value back in `array` before the step is written.

        Returns
        -------
        Step or None
            None if nothing has changed.

        Raises
        ------
        VolumeError
            If the array has another shape or type.
        """
        if not self.fits(array):
            raise VolumeError(
                f"The labels now have the shape {tuple(array.shape)} and the type {array.dtype}; the journal is about "
                f"{self.session.shape} and {self._shadow.dtype}. Begin another journal."
            )
        planes = Planes(array)
        wanted = range(planes.count) if numbers is None else sorted(set(numbers))
        compared = [self._compare(planes, number, rules) for number in wanted]
        deltas = [delta for delta in compared if delta is not None]
        if not deltas:
            return None
        changed = [delta.plane for delta in deltas]
        what = name or what_was_done(deltas, self._class_names())
        title = f"{what}, {slices_text(changed, planes.lead)}"
        return self._append(title, deltas, tool or {})

    def _class_names(self) -> dict[int, str]:
        rows = self.session.notes.get("classes", ())
        return {row["id"]: row["name"] for row in rows}

    def _compare(self, planes: Planes, number: int, rules: Sequence[Rule]) -> Delta | None:
        before = self._shadow.read(number)
        now_there = planes.read(number)
        allowed = now_there
        for rule in rules:
            allowed = rule(number, before, allowed)
        if rules:
            back = difference(number, now_there, allowed)
            if back is not None:
                back.apply(planes)
        return difference(number, before, allowed)

    def _append(self, name: str, deltas: Sequence[Delta], tool: Mapping[str, Any]) -> Step:
        payloads = [delta.payload() for delta in deltas]
        parts = [delta.part(len(payload)) for delta, payload in zip(deltas, payloads, strict=True)]
        content: dict[str, Any] = {"do": name, "n": self._history.last + 1, "parts": parts, "t": now()}
        if tool:
            content["tool"] = dict(tool)
        self._note(content, b"".join(payloads))
        for delta in deltas:
            self._shadow.change(delta)
        if self._log.end > BOUND:
            self._fold()
        return self._history.steps[-1]

    def _note(self, content: dict[str, Any], payload: bytes = b"") -> None:
        """Add a record, and follow it."""
        offset, length = self._log.append(content, payload)
        self._history.take(Record(content, payload, offset, length))
        self._mind_the_disk()

    def _mind_the_disk(self) -> None:
        if self._log.problem and not self.problem:
            self.problem = (
                f"Not protected against a crash since step {self._history.last} ({self._log.problem}). Undo still "
                "works. Save the labels, and make room on the disk."
            )

    # ---- undo and redo ----

    def undo(self, array: Any) -> Change | None:
        """Take the last step back, in `array` too, which must be settled; None if there is none.

        Raises
        ------
        FileError
            If the step cannot be read any more; nothing is changed then.
        """
        if not self._history.position:
            return None
        step = self._history.steps[self._history.position - 1]
        return self._move(step, array, "undo")

    def redo(self, array: Any) -> Change | None:
        """Do the step again that was taken back last; as `undo`."""
        if self._history.position == len(self._history.steps):
            return None
        step = self._history.steps[self._history.position]
        return self._move(step, array, "redo")

    def _move(self, step: Step, array: Any, which: str) -> Change:
        record = self._log.read(step.offset, step.length)
        deltas = deltas_of(record.content["parts"], record.payload, self._shadow.dtype)
        if which == "undo":
            deltas = [delta.swapped() for delta in deltas]
        if not all(delta.fits(self._shadow.read(delta.plane)) for delta in deltas):
            raise FileError(
                f"The step '{step.name}' does not belong to the labels as they are. Nothing was changed; save the "
                "labels and open them again."
            )
        content: dict[str, Any] = {which: 1}
        now_there, then = ("approve", "before") if which == "undo" else ("before", "approve")
        approvals = self._history.replaced(record.content.get(now_there, ()), record.content.get(then, ()))
        if approvals:
            content["approve"] = approvals
        planes = Planes(array)
        for delta in deltas:
            delta.apply(planes)
            self._shadow.change(delta)
        self._note(content)
        return Change(step, step.planes, approvals)

    # ---- approvals and marks ----

    def approve(self, approvals: Sequence[Approval]) -> None:
        """Write down that slices were approved, or that this was taken back."""
        self._note({"approve": approvals})

    def approve_step(self, name: str, before: Sequence[Approval], after: Sequence[Approval]) -> Step:
        """The same as a step that can be undone."""
        content = {"do": name, "n": self._history.last + 1, "parts": [], "t": now(), "before": before, "approve": after}
        self._note(content)
        return self._history.steps[-1]

    def mark(self, number: int, path: str, sha256: str = "", notes: int | None = None) -> None:
        """Note that the labels were saved as they were after step `number`, with so many `notes` or all."""
        noted = self._history.noted if notes is None else notes
        self._note({"mark": "saved", "step": number, "notes": noted, "path": path, "sha256": sha256})

    def describe(self, layer: str, place: Mapping[str, Any], classes: Sequence[Mapping[str, Any]]) -> None:
        """The labels have another name, place or classes now; after a crash they come back with these."""
        notes = {**self.session.notes, "classes": list(classes)}
        session = replace(self.session, layer=layer, place=place, notes=notes)
        if session == self.session:
            return
        self.session = session
        if self._folder is not None:
            with suppress(MedsegError):  # the next step says that the disk is full
                files.dump(self._folder.path / sessions.SESSION, session)

    # ---- beginning and end ----

    def sync_handle(self) -> int | None:
        """A handle of the log, see `Log.second_handle`."""
        return self._log.second_handle()

    def close(self) -> None:
        """Bring everything to the disk and let go of the folder; it is removed if there is nothing to restore."""
        self._log.close()
        if self._folder is None:
            return
        torn = (self._folder.path / sessions.TORN).exists()  # what could not be read stays until a person discards it
        self._folder.release(remove=not self._history.pending and self._history.saved is None and not torn)
        self._folder = None

    # ---- bounded size ----

    def _fold(self) -> None:
        """Make the older half of the steps part of the base; in a new folder, so that a crash finds one of the two."""
        half = self._history.position // 2
        if not half:  # a single large one stays, to be undone
            return
        folded = self._history.steps[:half]
        kept = self._history.steps[half:]
        records = [self._log.read(step.offset, step.length) for step in kept]
        first = folded[-1].number
        shadow = self._shadow_before(records)
        replaced = self._folder.path.name if self._folder else ""
        session = replace(self.session, replaces=replaced)
        folder, problem = new_folder(session, self._place())
        log = Log(folder.path / sessions.LOG if folder else None)
        history = History()
        changed = self._history.folded.union(*(step.planes for step in folded))
        again = sum(len(record.content.get("approve", ())) for record in records)
        noted = self._history.noted - again - len(self._history.approvals)  # those of steps, and the newest, follow
        offered = sorted(self._history.proposed_after(half).items())
        begin = {"from": first, "changed": sorted(changed), "proposed": offered, "noted": noted}
        for content, payload in self._shortened(begin, records):
            offset, length = log.append(content, payload)
            history.take(Record(content, payload, offset, length))
        problem = problem or write_session(folder, session, shadow.packed())
        self._change_folder(folder, log, history, problem)

    def _shadow_before(self, records: Sequence[Record]) -> Shadow:
        """The labels before the steps in `records`."""
        shadow = Shadow(self._shadow.shape, self._shadow.dtype)
        for packed in self._shadow.packed():
            shadow.add_packed(packed)
        for record in reversed(records):
            for delta in deltas_of(record.content["parts"], record.payload, shadow.dtype):
                shadow.change(delta.swapped())
        return shadow

    def _place(self) -> Path | None:
        return self._folder.path.parents[1] if self._folder else None

    def _shortened(self, begin: dict[str, Any], records: Sequence[Record]) -> list[tuple[dict[str, Any], bytes]]:
        """The records of the new log."""
        history = self._history
        found: list[tuple[dict[str, Any], bytes]] = [(begin, b"")]
        found += [(record.content, record.payload) for record in records]
        if history.saved is not None:
            found.append(({"mark": "saved", "step": history.saved, "notes": history.noted_saved}, b""))
        if history.approvals:
            found.append(({"approve": list(history.approvals.values())}, b""))
        return found

    def _change_folder(self, folder: Folder | None, log: Log, history: History, problem: str) -> None:
        if self._folder is not None and problem:  # the disk is full, say: the old folder stays, unfolded
            log.close()
            if folder is not None:
                folder.release(remove=True)
            self.problem = self.problem or problem
            return
        self._log.close()
        if self._folder is not None:
            self._folder.release(remove=True)
        self._log = log
        self._history = history
        self._folder = folder


def what_was_done(deltas: Sequence[Delta], names: Mapping[int, str]) -> str:
    """The kind of a change, from the labels that it left: ``paint left kidney``, ``erase`` or ``change``."""
    left = {label for delta in deltas for label in np.unique(delta.new).tolist()}
    if left == {0}:
        return "erase"
    if len(left) > 1:
        return "change"
    label = left.pop()
    return f"paint {names.get(label, label)}"
