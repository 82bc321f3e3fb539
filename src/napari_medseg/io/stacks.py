"""Arrays of k-space with named axes, in memory or on disk, as slices of frames."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import numpy as np

from ..kspace import KSpace

AXES = "tscyx"
"""Letters of the axes of raw data: frame, slice, coil, y (readout), x (phase encoding)."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Planes of an array, one at a time, so that it may stay on disk.

    Parameters
    ----------
    array : numpy.ndarray, shape (..., coil, y, x), complex
    """

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (plane, coil, y, x)."""
        coils, rows, columns = self.array.shape[-3:]
        return math.prod(self.array.shape[:-3]), coils, rows, columns

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""
        return self.array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """One plane, shape (coil, y, x)."""
        number = range(len(self))[operator.index(index)]
        return self.array[np.unravel_index(number, self.array.shape[:-3])]


def stack(array: np.ndarray, axes: str) -> KSpace:
    """k-space of an array whose axes have these letters, several of them ``t`` perhaps; shares the array."""
    times = [place for place, letter in enumerate(axes) if letter == "t"]
    order = [*times, *(axes.index(letter) for letter in "scyx" if letter in axes)]
    lengths = {letter: array.shape[axes.index(letter)] for letter in axes}
    shape = [array.shape[place] for place in times] + [lengths.get(letter, 1) for letter in "scyx"]
    planes = array.transpose(order).reshape(shape)
    if not times:
        return KSpace(planes)
    return KSpace(Stack(planes), frames=math.prod(shape[: len(times)]))
