"""The volume of a class over the heart cycle: end-diastole, end-systole and ejection fraction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cine:
    """The volume of a class, time point by time point.

    Parameters
    ----------
    id : int
        Number of the class.
    name : str
    sizes : tuple of float
        Volume at each time point in mm3, or voxels where their size is not known.
    diastole, systole : int or None
        Time points with the largest and the smallest volume of those that hold the class; None if fewer than two do.
    ejection_fraction : float
        (largest - smallest) / largest, from 0 to 1; NaN if it cannot be said. It means something for a cavity only.
    slices, not_approved : int
        Slices of these two time points, and how many of them nobody has approved.
    note : str
        What to know of it, in a sentence; empty if nothing.
    """

    id: int
    name: str
    sizes: tuple[float, ...]
    diastole: int | None = None
    systole: int | None = None
    ejection_fraction: float = math.nan
    slices: int = 0
    not_approved: int = 0
    note: str = ""


def cine_of(number: int, name: str, sizes: Sequence[float], not_approved: Sequence[int], slices: int) -> Cine:
    """Find end-diastole and end-systole of a class.

    A time point without the class does not count: it was not labelled there, a heart does not vanish.

    Parameters
    ----------
    number : int
        Of the class.
    name : str
    sizes : sequence of float
        Its volume at each time point.
    not_approved : sequence of int
        How many slices of each time point nobody has approved.
    slices : int
        Of one time point.
    """
    filled = [time for time, size in enumerate(sizes) if size > 0]
    if len(filled) < 2:
        where = "at no time point" if not filled else f"at time point {filled[0]} only"
        note = f"'{name}' is labelled {where}: an ejection fraction needs two."
        return Cine(number, name, tuple(sizes), note=note)
    diastole = max(filled, key=lambda time: sizes[time])
    systole = min(filled, key=lambda time: sizes[time])
    empty = len(sizes) - len(filled)
    note = ""
    if empty:
        points = "1 time point" if empty == 1 else f"{empty} time points"
        note = f"'{name}' is not labelled at {points} of {len(sizes)}: left out of the search for end-systole."
    return Cine(
        number,
        name,
        tuple(sizes),
        diastole,
        systole,
        (sizes[diastole] - sizes[systole]) / sizes[diastole],
        2 * slices if diastole != systole else slices,
        sum(not_approved[time] for time in {diastole, systole}),
        note,
    )
