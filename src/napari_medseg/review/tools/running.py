"""A tool on labels of any number of axes, time frame by time frame, and what it changes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import VolumeError
from ...progress import Job, Progress
from ..journal import Rule
from ..planes import Planes
from .common import Where
from .table import RANGE, SLICE, Tool

Lead = tuple[int, ...]
"""Position along the axes before z."""


@dataclass(frozen=True, eq=False)
class Scope:
    """What a person has chosen for a tool.

    Parameters
    ----------
    kind : str
        ``slice``, ``range`` or ``volume``.
    shown : int
        The slice in view, counted over all axes before y and x.
    first, last : int
        Of the range, counted within a frame; both included.
    classes : tuple of int
        Empty for all that there are.
    spacing : (float, float, float)
        Voxel size along z, y, x in mm; of labels (y, x) the first one counts all the same.
    protected : frozenset of int
    drawn : frozenset of int, optional
        Slices that were edited or approved, counted over all axes; for `Where.drawn`.
    flat : bool
        Whether every slice is a frame of its own: the axis before y is time, and a range is one of times.
    free : int
        The lowest number that is not a class in any frame or table; for `Where.free`.
    before : numpy.ndarray, shape (y, x), optional
        The slice in view as it was before a person painted on it; for `Where.before`.
    """

    kind: str
    shown: int
    spacing: tuple[float, float, float]
    first: int = 0
    last: int = 0
    classes: tuple[int, ...] = ()
    protected: frozenset[int] = frozenset()
    drawn: frozenset[int] | None = None
    flat: bool = False
    free: int = 0
    before: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Edit:
    """New labels in one box of one slice.

    Parameters
    ----------
    plane : int
        Counted over all axes before y and x.
    top, left : int
    before, after : numpy.ndarray, shape (y, x) of the box
    """

    plane: int
    top: int
    left: int
    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True, eq=False)
class Result:
    """What a tool would change.

    Parameters
    ----------
    edits : tuple of Edit
        In the order of the slices; empty if nothing would change.
    voxels : mapping of int to (int, int)
        Voxels that each class would lose and gain.
    forbidden : int
        Voxels that stay as they are because a rule says so.
    """

    edits: tuple[Edit, ...] = ()
    voxels: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    forbidden: int = 0

    @property
    def planes(self) -> tuple[int, ...]:
        """Slices that would change."""
        return tuple(edit.plane for edit in self.edits)

    def fits(self, array: Any) -> bool:
        """Whether the labels still are what the tool has seen, where it would change them."""
        planes = Planes(array)
        return all(_is_there(edit, planes) for edit in self.edits)

    def write(self, array: Any) -> None:
        """Change the labels."""
        planes = Planes(array)
        for edit in self.edits:
            changed = edit.before != edit.after
            planes.write(edit.plane, edit.top, edit.left, changed, edit.after[changed])


def _is_there(edit: Edit, planes: Planes) -> bool:
    if edit.plane >= planes.count:
        return False
    height, width = edit.before.shape
    there = planes.read(edit.plane)[edit.top : edit.top + height, edit.left : edit.left + width]
    return np.array_equal(there, edit.before)


def tool_job(
    tool: Tool,
    labels: Any,
    scope: Scope,
    numbers: Mapping[str, float],
    image: Any = None,
    rules: Sequence[Rule] = (),
) -> Job[Result]:
    """Find what a tool would change; nothing is written.

    Parameters
    ----------
    tool : Tool
    labels : numpy.ndarray or zarr.Array, shape (..., y, x)
        Of any number of axes; the tool sees one frame (z, y, x) after the other.
    scope : Scope
    numbers : mapping
        Of the tool, by name.
    image : array, shape of `labels`, optional
    rules : sequence of Rule
        What no change may break; what they forbid is left out of the result, and counted.

    Raises
    ------
    VolumeError
        If there is no image for a tool that needs one, or labels that it needs do not fit into their type.
    """
    if tool.needs_image and image is None:
        raise VolumeError(
            f"'{tool.title}' needs the image of the labels, voxel by voxel; none is chosen that fits. Choose it at the "
            "top of the dock."
        )
    flat = scope.flat or len(labels.shape) == 2
    lead = tuple(labels.shape[: -2 if flat else -3])
    depth = 1 if flat else labels.shape[-3]
    if tool.makes_classes:
        scope = replace(scope, free=max(scope.free, _highest(labels) + 1))
    edits: list[Edit] = []
    frames = list(_frames(scope, lead, depth))
    for done, place in enumerate(frames):
        yield Progress(done, len(frames))
        frame = _frame(labels, place)
        where = _where(frame, place, scope, lead, depth)
        where = replace(where, image=None if image is None else _frame(image, place))
        change = tool.call(frame, where, **numbers)
        number = int(np.ravel_multi_index(place, lead)) if lead else 0
        edits += _edits(frame, change.box, change.values, number * depth)
    edits, forbidden = _allowed(edits, Planes(labels), rules)
    return Result(tuple(edits), _count(edits), forbidden)


def _highest(labels: Any) -> int:
    """The highest number in labels."""
    planes = Planes(labels)
    return max((int(planes.read(number).max(initial=0)) for number in range(planes.count)), default=0)


def _allowed(edits: list[Edit], planes: Planes, rules: Sequence[Rule]) -> tuple[list[Edit], int]:
    """What the rules leave of edits, and the number of voxels that they forbid."""
    if not rules:
        return edits, 0
    left = []
    forbidden = 0
    for edit in edits:
        before = planes.read(edit.plane)
        wanted = before.copy()
        height, width = edit.after.shape
        box = (slice(edit.top, edit.top + height), slice(edit.left, edit.left + width))
        wanted[box] = edit.after
        for rule in rules:
            wanted = rule(edit.plane, before, wanted)
        after = wanted[box].copy()
        forbidden += int(np.count_nonzero(after != edit.after))
        if (after != edit.before).any():
            left.append(replace(edit, after=after))
    return left, forbidden


def _frames(scope: Scope, lead: Lead, depth: int) -> Iterable[Lead]:
    """The frames that a tool works on: a slice and a range are those of the frame in view."""
    if scope.kind == RANGE and lead and scope.flat:
        place = _place(scope.shown, lead)
        for time in range(scope.first, scope.last + 1):
            yield (*place[:-1], time)
    elif scope.kind in (SLICE, RANGE):
        yield _place(scope.shown // depth, lead)
    else:
        yield from np.ndindex(*lead)


def _place(number: int, lead: Lead) -> Lead:
    return tuple(int(part) for part in np.unravel_index(number, lead)) if lead else ()


def _frame(array: Any, place: Lead) -> np.ndarray:
    """One frame (z, y, x); shares memory where it can."""
    frame = np.asarray(array[place] if place else array)
    return frame if frame.ndim == 3 else frame[None]


def _where(frame: np.ndarray, place: Lead, scope: Scope, lead: Lead, depth: int) -> Where:
    number = int(np.ravel_multi_index(place, lead)) if lead else 0
    shown = scope.shown % depth
    planes = range(depth)
    if depth > 1 and scope.kind == SLICE:
        planes = range(shown, shown + 1)
    elif depth > 1 and scope.kind == RANGE:
        planes = range(scope.first, scope.last + 1)
    drawn = None
    if scope.drawn is not None:
        drawn = frozenset(plane - number * depth for plane in scope.drawn if plane // depth == number)
    part = frame[planes.start : planes.stop]
    classes = scope.classes or tuple(found for found in np.unique(part).tolist() if found > 0)
    free = max(scope.free, int(frame.max(initial=0)) + 1)
    return Where(classes, planes, scope.spacing, scope.protected, drawn=drawn, free=free, before=scope.before)


def _edits(frame: np.ndarray, box: tuple[slice, slice, slice], values: np.ndarray, first: int) -> list[Edit]:
    """What really changes, slice by slice."""
    found = []
    for offset, z in enumerate(range(box[0].start, box[0].stop)):
        before = frame[z, box[1], box[2]]
        after = values[offset]
        changed = before != after
        rows = np.flatnonzero(changed.any(axis=1))
        if not rows.size:
            continue
        columns = np.flatnonzero(changed.any(axis=0))
        part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        top = box[1].start + int(rows[0])
        left = box[2].start + int(columns[0])
        found.append(Edit(first + z, top, left, before[part].copy(), after[part].copy()))
    return found


def _count(edits: Iterable[Edit]) -> dict[int, tuple[int, int]]:
    lost: dict[int, int] = {}
    gained: dict[int, int] = {}
    for edit in edits:
        changed = edit.before != edit.after
        _add(lost, edit.before[changed])
        _add(gained, edit.after[changed])
    numbers = sorted({*lost, *gained} - {0})
    return {number: (lost.get(number, 0), gained.get(number, 0)) for number in numbers}


def _add(sums: dict[int, int], values: np.ndarray) -> None:
    for number, count in zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True):
        sums[number] = sums.get(number, 0) + count
