"""Where the images of a DICOM series lie: sorted along their normal, evenly spaced, as one affine."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import FileError
from .dicom_contrast import separate
from .dicom_frames import Frame
from .dicom_series import SAME_DIRECTION

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From DICOM's directions of the patient to those of `Volume`, and back."""

_SAME_POSITION = 0.01  # of a pixel
_ROUNDED_TO = (0.1, 0.01, 0.001)  # mm
_ROUNDING = 0.1  # of a gap, at most, may be hidden by rounding
_EVEN = 0.02  # of a gap between slices


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
    slices, differ = separate(path, slices)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row * dx, column * dy, step])
    affine[:3, 3] = origin
    return [list(times) for times in zip(*slices, strict=True)], LPS_TO_RAS @ affine, differ


def _by_position(path: Path, frames: list[Frame], normal: np.ndarray, same: float) -> list[list[Frame]]:
    """Frames of equal distance along the normal, each distance with as many of them."""
    ordered = sorted(frames, key=lambda frame: float(frame.position @ normal))
    slices = [[ordered[0]]]
    for before, frame in pairwise(ordered):
        if (frame.position - before.position) @ normal > same:
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
