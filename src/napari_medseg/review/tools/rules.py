"""Rules for changes of labels, whoever makes them: see `journal.Rule`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..journal import Rule
from .values import within


def protect(classes: Iterable[int]) -> Rule:
    """Voxels of these classes stay what they are."""
    numbers = sorted(classes)

    def rule(number: int, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        changed = before != now
        if not changed.any():
            return now
        kept = changed & np.isin(before, numbers)
        return np.where(kept, before, now) if kept.any() else now

    return rule


def paint_within(plane_of: Callable[[int], np.ndarray], low: float, high: float) -> Rule:
    """Only voxels whose intensity lies in a range get a class; any voxel can be erased.

    Parameters
    ----------
    plane_of : callable
        From the number of a slice to its intensities (y, x).
    low, high : float
        Both included.
    """

    def rule(number: int, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        painted = (before != now) & (now != 0)
        if not painted.any():
            return now
        forbidden = painted & ~within(plane_of(number), low, high)
        return np.where(forbidden, before, now) if forbidden.any() else now

    return rule
