"""The kinds of masks that choose columns of k-space, draw by draw; `sampling` checks what they are given.

Each takes the stream of random numbers, the number of columns, acceleration, centre fraction and offset. What they are
is described in `sampling.sampling_mask`, which also names the sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import RandomState

from ..errors import SettingsError


def too_many_centre_lines(acceleration: float) -> SettingsError:
    """The error to raise where the centre leaves nothing for the rest of k-space."""
    return SettingsError(
        f"Acceleration {acceleration:g} is not possible: the centre alone already reaches it; use fewer centre lines."
    )


def centre(width: int, lines: int) -> np.ndarray:
    """Mask (x,) of `lines` columns in the middle."""
    columns = np.zeros(width, bool)
    start = (width - lines + 1) // 2
    columns[start : start + lines] = True
    return columns


def _random(stream: RandomState, width: int, acceleration: float, fraction: float, offset: int | None) -> np.ndarray:
    lines = round(width * fraction)
    if lines == width:
        raise too_many_centre_lines(acceleration)
    probability = (width / acceleration - lines) / (width - lines)
    return (stream.uniform(size=width) < probability) | centre(width, lines)


def _equispaced(
    stream: RandomState, width: int, acceleration: float, fraction: float, offset: int | None
) -> np.ndarray:
    columns = centre(width, round(width * fraction))
    step = _whole(acceleration)
    columns[_or_drawn(offset, stream, step) :: step] = True
    return columns


def _equispaced_fraction(
    stream: RandomState, width: int, acceleration: float, fraction: float, offset: int | None
) -> np.ndarray:
    lines = round(width * fraction)
    columns = centre(width, lines)
    if lines * acceleration >= width:
        raise too_many_centre_lines(acceleration)
    step = acceleration * (lines - width) / (lines * acceleration - width)
    start = _or_drawn(offset, stream, round(step))
    columns[np.around(np.arange(start, width - 1, step)).astype(int)] = True
    return columns


def _magic(stream: RandomState, width: int, acceleration: float, fraction: float, offset: int | None) -> np.ndarray:
    return _mirrored(stream, width, _whole(acceleration), offset) | centre(width, round(width * fraction))


def _magic_fraction(
    stream: RandomState, width: int, acceleration: float, fraction: float, offset: int | None
) -> np.ndarray:
    budget = round(width / acceleration)
    lines = max(min(round(width * fraction), budget), 1)
    if lines >= budget:
        raise too_many_centre_lines(acceleration)
    return _mirrored(stream, width, round(width / (budget - lines)), offset) | centre(width, lines)


def _mirrored(stream: RandomState, width: int, step: int, offset: int | None) -> np.ndarray:
    """Every `step`-th column, the negative frequencies shifted so that their mirror images fall between."""
    offset = _or_drawn(offset, stream, step)
    right, left = (offset + 2, offset - 1) if offset % 2 else (offset + 1, offset + 2)
    positive, negative = np.zeros((width + 1) // 2, bool), np.zeros(width // 2, bool)
    positive[right::step] = negative[left::step] = True
    return np.fft.fftshift(np.concatenate([positive, negative[::-1]]))


def _center_heavy(
    stream: RandomState, width: int, acceleration: float, fraction: float, offset: int | None
) -> np.ndarray:
    budget = math.floor(width / acceleration)
    lines = math.floor(budget * fraction)
    lines += lines % 2
    start, stop = int(width / 2 - lines / 2), int(width / 2 + lines / 2)
    outer = budget - lines
    pairs = np.arange(outer // 2)
    gaps = (width - budget) // (outer + 2) * (pairs + 1) + pairs
    columns = np.zeros(width, bool)
    columns[start:stop] = columns[start - gaps - 1] = columns[stop + gaps] = True
    return columns


def _gaussian(stream: RandomState, width: int, acceleration: float, fraction: float, offset: int | None) -> np.ndarray:
    columns = centre(width, round(width * fraction))
    wanted = round(width / acceleration) - np.count_nonzero(columns)
    if wanted < 1:
        raise too_many_centre_lines(acceleration)
    outside = np.flatnonzero(~columns)
    weights = np.exp(-8 * (outside / width - 0.5) ** 2)
    columns[stream.choice(outside, wanted, replace=False, p=weights / weights.sum())] = True
    return columns


def _whole(acceleration: float) -> int:
    if acceleration != int(acceleration):
        raise SettingsError(
            f"Equal steps of {acceleration:g} columns are not possible; use a whole acceleration or one of the kinds "
            "that end in _fraction."
        )
    return int(acceleration)


def _or_drawn(offset: int | None, stream: RandomState, step: int) -> int:
    return stream.randint(0, step) if offset is None else offset


COLUMN_KINDS: dict[str, Callable[[RandomState, int, float, float, int | None], np.ndarray]] = {
    "random": _random,
    "equispaced": _equispaced,
    "equispaced_fraction": _equispaced_fraction,
    "magic": _magic,
    "magic_fraction": _magic_fraction,
    "center_heavy": _center_heavy,
    "gaussian": _gaussian,
}
