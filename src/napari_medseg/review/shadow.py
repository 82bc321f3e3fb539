"""The last state of the labels that was written down: compressed slice by slice, the newest ones ready to compare."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from .deltas import Delta

_OPEN = 32  # slices that are kept uncompressed: 8 MB at 512 x 512 and 8 bits
_LEVEL = 1


class Shadow:
    """A copy of a label array in little memory.

    Parameters
    ----------
    shape : (int, int)
        Of a slice.
    dtype : numpy.dtype
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype):
        self.shape = shape
        self.dtype = dtype
        self._packed: list[bytes] = []
        self._open: OrderedDict[int, np.ndarray] = OrderedDict()
        self._newer: set[int] = set()  # of those that are open

    def __len__(self) -> int:
        return len(self._packed)

    def add(self, plane: np.ndarray) -> None:
        """Append a slice."""
        self._packed.append(pack(plane))

    def add_packed(self, packed: bytes) -> None:
        """Append a slice as `pack` made it."""
        self._packed.append(packed)

    def read(self, number: int) -> np.ndarray:
        """A slice; the shadow's own array, which is not to be changed."""
        plane = self._open.get(number)
        if plane is None:
            plane = unpack(self._packed[number], self.shape, self.dtype)
            self._keep(number, plane)
        self._open.move_to_end(number)
        return plane

    def change(self, delta: Delta) -> None:
        """Bring a slice up to date; it must fit."""
        delta.change(self.read(delta.plane))
        self._newer.add(delta.plane)

    def packed(self) -> Iterator[bytes]:
        """All slices as they are compressed."""
        for number in sorted(self._newer):
            self._packed[number] = pack(self._open[number])
        self._newer.clear()
        yield from self._packed

    def _keep(self, number: int, plane: np.ndarray) -> None:
        self._open[number] = plane
        while len(self._open) > _OPEN:
            oldest, evicted = self._open.popitem(last=False)
            if oldest in self._newer:
                self._newer.remove(oldest)
                self._packed[oldest] = pack(evicted)


def pack(plane: np.ndarray) -> bytes:
    """A slice, compressed."""
    return zlib.compress(np.ascontiguousarray(plane).reshape(-1).view(np.uint8).data, _LEVEL)


def unpack(packed: bytes, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """What `pack` made.

    Raises
    ------
    ValueError
        If it is something else.
    """
    try:
        return np.frombuffer(zlib.decompress(packed), dtype).reshape(shape).copy()
    except zlib.error as error:
        raise ValueError(str(error)) from error
