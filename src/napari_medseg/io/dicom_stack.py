"""How the images of a DICOM series lie: sorted along their normal, evenly spaced; those of one place by contrast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError
from .dicom_contrast import AXES, Contrast, Value, value_text
from .dicom_frames import Frame
from .dicom_series import SAME_DIRECTION

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From DICOM's directions of the patient to those of `Volume`, and back."""

_SAME_POSITION = 0.01  # of a pixel
_ROUNDED_TO = (0.1, 0.01, 0.001)  # mm
_ROUNDING = 0.1  # of a gap, at most, may be hidden by rounding
_EVEN = 0.02  # of a gap between slices
_ALIKE = 0.01  # numbers closer than this part of their size are one setting of the scanner
_SHOWN = 6  # settings that are named one by one


def arrange(path: Path, frames: list[Frame]) -> tuple[list[list[Frame]], np.ndarray, tuple[str, ...]]:
    """Frames of one series as [time][slice], slices along the normal; the affine of the stack; how the times differ.

    Raises
    ------
    FileError
        If they do not make a stack of even slices.
    """
    first = frames[0]
    row, column = first.directions
    normal = np.cross(row, column)
    dy, dx = first.spacing or (1.0, 1.0)
    if first.position is None:
        slices, origin, step = [frames], np.zeros(3), normal
    else:
        slices = _by_position(path, frames, normal, _SAME_POSITION * min(dy, dx))
        origin, step = _line(path, slices, normal)
    slices, differ = _separate(path, slices)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row * dx, column * dy, step])
    affine[:3, 3] = origin
    return [list(times) for times in zip(*slices, strict=True)], LPS_TO_RAS @ affine, differ


def _by_position(path: Path, frames: list[Frame], normal: np.ndarray, same: float) -> list[list[Frame]]:
    """Frames of equal distance along the normal, each distance with as many of them."""
    heights = [float(frame.position @ normal) for frame in frames]
    ordered = sorted(zip(heights, frames, strict=True), key=itemgetter(0))
    slices = [[ordered[0][1]]]
    for (before, _), (height, frame) in pairwise(ordered):
        if height - before > same:
            slices.append([])
        slices[-1].append(frame)
    counts = [len(slice_) for slice_ in slices]
    if len(set(counts)) > 1:
        usual = int(np.median(counts))
        odd = next(slice_ for slice_ in slices if len(slice_) != usual)
        raise FileError(
            f"'{path.name}' has {usual} images at most positions, but {len(odd)} at that of '{odd[0].path.name}'. "
            "Add the missing images, or move the surplus ones to another folder."
        )
    return slices


def _line(path: Path, slices: list[list[Frame]], normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First position of an evenly spaced stack and the way from slice to slice; LPS, mm."""
    positions = np.array([slice_[0].position for slice_ in slices])
    if len(positions) == 1:
        return positions[0], normal
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    allowed = _EVEN * float(step @ normal)
    for k, slice_ in enumerate(slices):
        for frame in slice_:
            off = np.linalg.norm(frame.position - positions[0] - k * step)
            if off > allowed and not _evenly_rounded(positions, float(step @ normal)):
                raise FileError(_unevenness(path, slices, normal))
    return positions[0], step


def _evenly_rounded(positions: np.ndarray, gap: float) -> bool:
    """Whether the places (slice, 3) can be those of even slices that were rounded to 0.1 mm or less.

    A rounding hides less than half its unit, so that each pair of slices leaves a range for the distance between
    slices. The slices can be even if and only if all these ranges have a common part.
    """
    unit = next((unit for unit in _ROUNDED_TO if np.allclose(positions, np.round(positions / unit) * unit)), None)
    if unit is None or unit / 2 > _ROUNDING * gap:
        return False
    lowest, highest = np.full(3, -np.inf), np.full(3, np.inf)
    for apart in range(1, len(positions)):
        ways = positions[apart:] - positions[:-apart]
        lowest = np.maximum(lowest, (ways.max(axis=0) - unit) / apart)
        highest = np.minimum(highest, (ways.min(axis=0) + unit) / apart)
    return bool(np.all(lowest <= highest + SAME_DIRECTION * unit))


def _unevenness(path: Path, slices: list[list[Frame]], normal: np.ndarray) -> str:
    gaps = np.diff([slice_[0].position @ normal for slice_ in slices])
    usual = float(np.median(gaps))
    odd = [k for k in np.flatnonzero(np.abs(gaps - usual) > _EVEN * usual)]
    named = [f"{gaps[k]:.4g} mm from '{slices[k][0].path.name}' to '{slices[k + 1][0].path.name}'" for k in odd[:3]]
    if not odd:
        return f"The slices in '{path.name}' do not lie on one straight line. Split them into series that do."
    more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
    return (
        f"'{path.name}' has uneven gaps between its slices: {usual:.4g} mm as a rule, but {', '.join(named)}{more}. "
        "Add the missing slices, or move the outlying ones to another folder."
    )


def _separate(path: Path, slices: list[list[Frame]]) -> tuple[list[list[Frame]], tuple[str, ...]]:
    """Sort the images of each position so that the images of one number agree in all rows of the table.

    Parameters
    ----------
    path : pathlib.Path
        For the message.
    slices : list of list of Frame
        The images of each position, as many at each.

    Returns
    -------
    slices : list of list of Frame
    names : tuple of str
        The rows in which the images of a position differ.

    Raises
    ------
    FileError
        If not every position has an image of every setting.
    """
    frames = [frame for slice_ in slices for frame in slice_]
    varying = []
    keys: dict[int, list[Value]] = {id(frame): [] for frame in frames}
    for k, row in enumerate(AXES):
        settings = _settings((frame.contrast[k] for frame in frames), row.measured)
        within = any(len({settings[frame.contrast[k]] for frame in slice_}) > 1 for slice_ in slices)
        if len(set(settings.values())) == 1 or not (within or row.steady):
            continue
        _check_complete(path, row, [[settings[frame.contrast[k]] for frame in slice_] for slice_ in slices])
        varying.append(row.name)
        for frame in frames:
            keys[id(frame)].append(settings[frame.contrast[k]])
    for k in range(1, len(varying)):
        together = [[tuple(map(str, keys[id(frame)][: k + 1])) for frame in slice_] for slice_ in slices]
        names = " and ".join(varying[: k + 1])
        _check_complete(path, Contrast(names), together)

    def order(frame: Frame) -> tuple[Any, ...]:
        return [_sortable(value) for value in keys[id(frame)]], frame.order

    ordered = [sorted(slice_, key=order) for slice_ in slices]
    names = dict.fromkeys(varying)
    if len(names) > 1:
        names.pop("dimension index", None)  # the others say what it counts
    return ordered, tuple(names)


def _settings(values: Iterable[Value], measured: bool) -> dict[Value, Value]:
    """The setting of the scanner that each value stands for: measured numbers that are almost equal are one."""
    ordered = sorted(set(values), key=_sortable)
    settings = {ordered[0]: ordered[0]}
    for before, value in pairwise(ordered):
        settings[value] = settings[before] if measured and _alike(before, value) else value
    return settings


def _sortable(value: Value) -> tuple[tuple[bool, float, str], ...]:
    """Numbers before texts, and neither compared with the other."""
    return tuple((isinstance(v, str), 0.0, v) if isinstance(v, str) else (False, v, "") for v in value)


def _alike(a: Value, b: Value) -> bool:
    if len(a) != 1 or len(b) != 1 or isinstance(a[0], str) or isinstance(b[0], str):
        return a == b
    return abs(a[0] - b[0]) <= _ALIKE * abs(a[0])


def _check_complete(path: Path, row: Contrast, found: Sequence[Sequence[Value]]) -> None:
    """Refuse positions of which one has settings that another has not."""
    first = Counter(found[0])
    if all(Counter(values) == first for values in found):
        return
    settings = sorted({value for values in found for value in values}, key=_sortable)
    shown = ", ".join(map(value_text, settings[:_SHOWN])) + (" and more" if len(settings) > _SHOWN else "")
    raise FileError(
        f"The slices of '{path.name}' differ in {row.name} ({shown}), and not every position has one image of each. "
        "Move the images of each value to a folder of their own, or add the missing ones."
    )
