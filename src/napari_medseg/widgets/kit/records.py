"""What a layer remembers: the `Record` of its making in its metadata, and the ledger of its slices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from napari.layers import Labels, Layer

from ...io.contributions import KEY
from ...record import KEY as RECORD
from ...record import Record, now
from ...review.history import Approval, Mark
from ...review.ledger import Ledger
from ...review.planes import Planes, checksum
from ...review.sessions import user
from ...slice_states import AUTO, EDITED
from ...slice_states import KEY as SLICES


def noted(layer: Layer) -> Mapping[str, Any]:
    """What the metadata of a layer say about its volume; empty if nothing."""
    return layer.metadata.get(KEY, {})


def record_of(layer: Layer) -> Record | None:
    """How a layer came to be, if that is known."""
    return noted(layer).get(RECORD)


def put_record(layer: Layer, record: Record) -> None:
    """Note in a layer how it came to be."""
    # a new mapping, never a change of the old one: napari lets a duplicate of the layer share it
    layer.metadata = {**layer.metadata, KEY: {**noted(layer), RECORD: record}}


def is_made_by_model(layer: Layer) -> bool:
    """Whether a model made what is in a layer, as far as is known."""
    record = record_of(layer)
    return record is not None and bool(record.models)


def is_opened(layer: Layer) -> bool:
    """Whether a layer comes from a file, a sample or a function of another plugin: not drawn in this session."""
    source: Any = layer.source  # napari declares its `parent` as a layer and keeps a weak reference
    if source.path or source.sample or source.widget is not None or noted(layer).get("source"):
        return True
    if source.parent is None:
        return False
    original = source.parent()
    return original is None or is_opened(original)


def say_opened(layer: Layer) -> None:
    """Note in a layer that it was not drawn in this session, unless it says more of its making."""
    if record_of(layer) is None:
        put_record(layer, Record("", time=now()))


def is_judged(layer: Layer) -> bool:
    """Whether a slice of a layer counts as reviewed only if a person said so."""
    return record_of(layer) is not None or is_opened(layer)


def _settle_slices(layer: Labels, numbers: Iterable[int]) -> None:
    follower = FOLLOWERS.get(layer)
    if follower is not None:
        follower.settle_slices(numbers)


def count_slices(layer: Labels) -> int:
    """Number of slices (y, x), over all axes before them."""
    return math.prod(layer.data.shape[:-2])


# ---- the ledger: which slices a person has looked at ----

_LEDGERS: WeakKeyDictionary[Labels, tuple[Ledger, Any]] = WeakKeyDictionary()  # and what the layer said then

FOLLOWERS: WeakKeyDictionary[Labels, Followed] = WeakKeyDictionary()
"""Who writes down what happens to a layer; see `painting.py`."""


class Followed(Protocol):
    """What is asked of a follower of a layer here."""

    def settle_all(self) -> None:
        """Find every change that nobody has announced."""

    def settle_slices(self, numbers: Iterable[int]) -> None:
        """The same on some slices."""

    def saved(self, mark: Mark, path: str) -> None:
        """Note that the labels were saved as they were then."""

    @property
    def now(self) -> Mark:
        """What a file has that is written of the labels as they are now."""

    def write_down(self, approvals: Sequence[Approval]) -> None:
        """Note approvals, or that they were taken back."""


def settle(layer: Labels) -> None:
    """Call this before the labels of a layer are used as they are now: to save them, or to learn from them."""
    follower = FOLLOWERS.get(layer)
    if follower is not None:
        follower.settle_all()
    note_seconds(layer)


def last_step(layer: Labels) -> Mark | None:
    """Steps and approvals that the labels of a layer end with, for `note_saved`; None if nobody counts them."""
    follower = FOLLOWERS.get(layer)
    return None if follower is None else follower.now


def note_saved(layer: Labels, mark: Mark | None, path: Path) -> None:
    """The labels of a layer, as they were when `last_step` said `mark`, are in a file now."""
    follower = FOLLOWERS.get(layer)
    if follower is not None and mark is not None:
        follower.saved(mark, str(path))


def ledger_of(layer: Labels) -> Ledger:
    """The states of the slices of a layer. After a change of it, call `put_ledger`."""
    ledger, before = _LEDGERS.get(layer, (None, None))
    said = _said(layer)
    if before is not None and before[0] != said[0]:  # another array: what was said holds for other slices
        ledger = Ledger(said[0])
        put_ledger(layer, ledger)
    elif ledger is None or before != said:
        ledger = _read_ledger(layer, count_slices(layer))
        _LEDGERS[layer] = ledger, said
    return ledger


def _said(layer: Labels) -> Any:
    """What a layer says of its slices."""
    record = record_of(layer)
    return count_slices(layer), noted(layer).get(SLICES, ()), record.reviewed if record else (), bool(record)


def _read_ledger(layer: Labels, count: int) -> Ledger:
    record = record_of(layer)
    before = noted(layer).get("shape", layer.data.shape)
    if tuple(before[:-2]) != tuple(layer.data.shape[:-2]):  # a crop, say: its slices are others
        return Ledger(count)
    rows = noted(layer).get(SLICES)
    said = record.reviewed if record else ()
    ledger = Ledger.from_json(rows, count)
    if not rows and record is not None and record.models:
        names = "+".join(model.name for model in record.models)
        ledger.begin(range(count), AUTO, names, record.models[0].sha256)
    # what earlier versions and other parts of the program note
    ledger.begin([number for number in said if number < count and number not in ledger.reviewed()], EDITED)
    for number in set(ledger.reviewed()) - set(said):
        ledger.dismiss(number)
    return ledger


def put_ledger(layer: Labels, ledger: Ledger) -> None:
    """Note in a layer what was reviewed: files keep it."""
    record = record_of(layer)
    if record is None:
        record = Record("" if is_opened(layer) else "draw", time=now())
    notes = {**noted(layer), RECORD: record.with_reviewed(ledger.reviewed())}
    rows = ledger.to_json()
    if rows:
        notes[SLICES] = rows
    else:
        notes.pop(SLICES, None)
    layer.metadata = {**layer.metadata, KEY: notes}
    _LEDGERS[layer] = ledger, _said(layer)


def check_ledger(layer: Labels) -> None:
    """Look at those slices whose labels have changed since their state was noted."""
    ledger = ledger_of(layer)
    numbers = ledger.unchecked()
    if numbers:
        planes = Planes(layer.data)
        ledger.check(lambda number: checksum(planes.read(number)), numbers)
        put_ledger(layer, ledger)


def note_changes(layer: Labels, sums: Mapping[int, int | None], proposed_by: str | None = None) -> None:
    """Slices have changed: their checksums now, None where they are not known yet.

    A person has changed them, unless they are proposed by a model, or by a tool, which has an empty name.
    """
    ledger = ledger_of(layer)
    ledger.changed(sums)
    for number, crc in sums.items():
        if proposed_by is not None and crc is not None:
            ledger.propose(number, crc, proposed_by)
    put_ledger(layer, ledger)


def spend(layer: Labels, number: int, seconds: float) -> None:
    """A slice was in view for some seconds: the layer says so with the next change, and before it is saved."""
    ledger = ledger_of(layer)
    if number < len(ledger):
        ledger.spend(number, seconds)


def note_seconds(layer: Labels) -> None:
    """Have a layer say how long its slices were in view."""
    if layer in _LEDGERS:
        ledger = ledger_of(layer)
        if ledger.to_json() != noted(layer).get(SLICES, ()):
            put_ledger(layer, ledger)


def approve(layer: Labels, numbers: Iterable[int]) -> list[Approval]:
    """A person approves slices as they are."""
    numbers = list(numbers)
    _settle_slices(layer, numbers)
    ledger = ledger_of(layer)
    planes = Planes(layer.data)
    given = [ledger.approve(number, checksum(planes.read(number)), user()) for number in numbers]
    put_ledger(layer, ledger)
    _write_down(layer, given)
    return given


def withdraw(layer: Labels, numbers: Iterable[int]) -> None:
    """A person takes approvals back."""
    numbers = list(numbers)
    _settle_slices(layer, numbers)
    ledger = ledger_of(layer)
    given = [ledger.withdraw(number, user()) for number in numbers]
    put_ledger(layer, ledger)
    _write_down(layer, given)


def say_reviewed(layer: Labels, slices: Iterable[int]) -> None:
    """Note in a layer which slices were reviewed: those that were not are approved, others are not any more."""
    ledger = ledger_of(layer)
    wanted = {number for number in slices if 0 <= number < len(ledger)}
    before = set(ledger.reviewed())
    approve(layer, sorted(wanted - before))
    taken_back = []
    for number in sorted(before - wanted):
        taken_back.append(ledger.withdraw(number, user()))
        ledger.dismiss(number)
    put_ledger(layer, ledger)
    _write_down(layer, taken_back)


def _write_down(layer: Labels, approvals: Sequence[Approval]) -> None:
    follower = FOLLOWERS.get(layer)
    if follower is not None and approvals:
        follower.write_down(approvals)
