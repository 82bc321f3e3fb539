"""Numbers with their units for a person to read; what is small is not rounded to nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

MICROSCOPY_MM = 0.02
"""Voxels smaller than that are read in micrometres."""

_MOST_DECIMALS = 8  # below that an exponent reads better
_READABLE = 0.005  # two decimals show it
_UM2_PER_MM2 = 1e6
_UM3_PER_MM3 = 1e9
_UNITS = {
    "mm": (("mm", 1.0), ("um", 1e3)),
    "mm2": (("mm2", 1.0), ("um2", _UM2_PER_MM2)),
    "ml": (("ml", 1.0), ("mm3", 1e3), ("um3", 1e3 * _UM3_PER_MM3)),
}


def rounded(value: float, decimals: int) -> str:
    """A number with so many decimals, or two digits of it where they would show nothing but zeros."""
    text = f"{value:.{decimals}f}"
    if value == 0 or float(text) != 0:
        return text
    needed = 1 - math.floor(math.log10(abs(value)))
    if needed > _MOST_DECIMALS:
        return f"{value:.1e}"
    return f"{value:.{needed}f}"


def suited(unit: str, values: Iterable[float]) -> tuple[str, float]:
    """The unit in which a column of values can be read, and the factor to it: a smaller one where all are tiny."""
    known = [abs(value) for value in values if math.isfinite(value)]
    largest = max(known, default=0.0)
    choices = _UNITS.get(unit, ((unit, 1.0),))
    if largest == 0:
        return choices[0]
    readable = [choice for choice in choices if largest * choice[1] >= _READABLE]
    return readable[0] if readable else choices[-1]


def duration(seconds: float) -> str:
    """A time with two digits at most, for reading: ``8 s``, ``83 s``, ``2.5 min``, ``3 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{_two_digits(minutes)} min"
    return f"{_two_digits(minutes / 60)} h"


def _two_digits(value: float) -> str:
    """A number from 1 on; 100 and more as a whole number."""
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def area(mm2: float, decimals: int = 1) -> str:
    """An area in the unit that suits it: mm2, or um2 for what a microscope sees."""
    if mm2 == 0 or mm2 >= 0.1:
        return f"{rounded(mm2, decimals)} mm2"
    return f"{rounded(mm2 * _UM2_PER_MM2, decimals)} um2"


def volume(mm3: float, decimals: int = 2) -> str:
    """A volume in the unit that suits it: ml, mm3, or um3 for what a microscope sees."""
    if mm3 == 0 or mm3 >= 100:
        return f"{rounded(mm3 / 1000, decimals)} ml"
    if mm3 >= 1e-3:
        return f"{rounded(mm3, decimals)} mm3"
    return f"{rounded(mm3 * _UM3_PER_MM3, decimals)} um3"


def extent(row: Mapping[str, Any]) -> str:
    """Volume or area of a class, as a record has them; its voxels where their size is not known."""
    if "volume_mm3" in row:
        return f"{volume(row['volume_mm3'])}{over_time(row)}"
    if "area_mm2" in row:
        return f"{area(row['area_mm2'])}{over_time(row)}"
    voxels = row["voxels"]
    return f"{voxels} voxel" if voxels == 1 else f"{voxels} voxels"


def objects(row: Mapping[str, Any]) -> str:
    """How many objects a run has numbered, and how large one is on average."""
    count = row["objects"]
    words = f"{count} object" if count == 1 else f"{count} objects"
    if "area_mm2_per_object" in row:
        words += f", mean area {area(row['area_mm2_per_object'])}"
    elif "pixels_per_object" in row:
        words += f", mean area {row['pixels_per_object']:.0f} pixels"
    return f"{words}, counted slice by slice" if row["slices"] > 1 else words


def over_time(row: Mapping[str, Any]) -> str:
    """That the size of a class is a mean of time points, in brackets; empty where there is a single one."""
    return f" (mean of {row['time_points']} time points)" if "time_points" in row else ""
