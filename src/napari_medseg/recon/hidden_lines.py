"""Measured lines outside of the full centre: some are left out to learn how far an image depends on them."""

from __future__ import annotations

import numpy as np

from .espirit import calibration_region
from .sampling import centre_lines, direction

FAR = 6.0
"""Effective acceleration above which so few are hidden that they say little."""

_ALIKE = 0.8  # share of the steps between lines
_LEAST_LINES = 4


def cannot_thin(mask: np.ndarray | None) -> str:
    """Why no lines of an acquisition with this `mask`, as in `KSpace`, can be left out; empty if some can."""
    if mask is not None and mask.ndim == 3:
        reasons = (cannot_thin(own[0] if len(own) == 1 else own) for own in mask)
        return next(filter(None, reasons), "")
    if mask is None or mask.all():
        return "The scan is fully sampled: nothing was left out that a method would have to fill in."
    if not len(_outer(mask)):
        return "The scan has no lines outside of its full centre that could be left out."
    return ""


def thinned(mask: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A mask without a random part of what lies outside of its full centre.

    Parameters
    ----------
    mask : numpy.ndarray, shape (x,) or (y, x), bool
        See `cannot_thin`.
    share : float
        Of the columns or rows, or of the samples where neither is whole, that are left out; at least one is.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape of `mask`, bool
    """
    outer = _outer(mask)
    dropped = rng.choice(outer, max(1, round(share * len(outer))), replace=False)
    thin = np.array(mask, bool)
    if direction(mask):
        thin[dropped] = False
    else:
        thin.flat[dropped] = False
    return thin


def has_equal_steps(mask: np.ndarray) -> bool:
    """Whether the lines of a mask (x,) or (y, x) outside of its full centre follow each other in steps alike."""
    outer = _outer(mask)
    if len(outer) < _LEAST_LINES:
        return False
    steps = np.diff(outer)
    # rounded steps differ by one, and one of them leaps over the centre
    return bool(np.mean(np.abs(steps - np.median(steps)) <= 1) >= _ALIKE)


def _outer(mask: np.ndarray) -> np.ndarray:
    """What lies outside of the full centre: numbers of columns or of rows, or flat positions where neither is whole."""
    if direction(mask):
        lines = mask if mask.ndim == 1 else mask[:, 0]
        first, last = centre_lines(lines)
        outer = np.array(lines, bool)
        outer[first:last] = False
    else:
        outer = np.array(mask, bool)
        outer[calibration_region(mask, len(mask))] = False
    return np.flatnonzero(outer)
