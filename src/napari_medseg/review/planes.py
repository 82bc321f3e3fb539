"""Any label array as a list of slices (y, x), counted over all axes before them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np


class Planes:
    """The slices of an array.

    Parameters
    ----------
    array : numpy.ndarray or zarr.Array, shape (..., y, x)
        Of integers. Is shared, not copied.
    """

    def __init__(self, array: Any):
        self._array = array
        self.lead: tuple[int, ...] = tuple(array.shape[:-2])
        """Lengths of the axes before y and x."""
        self.shape: tuple[int, int] = tuple(array.shape[-2:])
        """Rows and columns of a slice."""
        self.dtype = np.dtype(array.dtype)
        self.count = math.prod(self.lead)

    def read(self, number: int) -> np.ndarray:
        """A slice; may share memory with the array."""
        return np.ascontiguousarray(self._array[self._index(number)])

    def write(self, number: int, top: int, left: int, mask: np.ndarray, values: np.ndarray) -> None:
        """Change the voxels under `mask`, whose first one lies at (`top`, `left`); the others are left alone."""
        height, width = mask.shape
        box = (*self._index(number), slice(top, top + height), slice(left, left + width))
        part = np.array(self._array[box])
        part[mask] = values
        self._array[box] = part

    def put(self, number: int, plane: np.ndarray) -> None:
        """Replace a whole slice."""
        self._array[self._index(number)] = plane

    def _index(self, number: int) -> tuple[int, ...]:
        return tuple(int(place) for place in np.unravel_index(number, self.lead)) if self.lead else ()


def checksum(plane: np.ndarray) -> int:
    """CRC-32 of the labels of a slice (y, x); the same in every integer type that holds them."""
    low = int(plane.min(initial=0))
    high = int(plane.max(initial=0))
    # files may keep 8-bit labels in more bits, and the other way round
    narrow = "u1" if low >= 0 and high <= 0xFF else "<u4" if low >= 0 and high <= 0xFFFFFFFF else "<i8"
    plain = np.ascontiguousarray(plane, dtype=narrow)
    return zlib.crc32(plain.reshape(-1).view(np.uint8).data)


def slices_text(numbers: Iterable[int], lead: tuple[int, ...] = ()) -> str:
    """The slices in words: ``slice 5``, ``slices 3-8``, ``12 slices``; with the time point where there are several.

    Parameters
    ----------
    numbers : iterable of int
        Counted over all axes before y and x, from 0 as in the slider of napari.
    lead : tuple of int
        Lengths of these axes.
    """
    found = sorted(numbers)
    if len(lead) < 2:
        return _range_text(found)
    places = [np.unravel_index(number, lead) for number in found]
    times = {tuple(int(part) for part in place[:-1]) for place in places}
    if len(times) > 1:
        return f"{len(found)} slices at {len(times)} time points"
    (time,) = times or {()}
    return f"time {', '.join(map(str, time))}, {_range_text([int(place[-1]) for place in places])}"


def _range_text(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"slice {numbers[0]}"
    if numbers and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"slices {numbers[0]}-{numbers[-1]}"
    if 1 < len(numbers) < 4:
        return f"slices {', '.join(map(str, numbers))}"
    return f"{len(numbers)} slices"
