"""How a slice differs from what it was: old and new values of the voxels that changed, in few bytes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .planes import Planes

_LEVEL = 1  # of zlib: higher ones take several times as long for a tenth of the bytes
_MOST_TIMES = 1100  # smaller than before: more than zlib can, so that damaged numbers do not claim memory

Part = tuple[int, int, int, int, int, int, int]
"""In JSON: slice, first and last row, first and last column (exclusive), voxels that changed, bytes of the payload."""


@dataclass(frozen=True, eq=False)
class Delta:
    """The change of one slice.

    Parameters
    ----------
    plane : int
    top, left : int
        Where the box of the change begins.
    mask : numpy.ndarray, shape (y, x), bool
        The voxels of this box that changed.
    old, new : numpy.ndarray, shape (voxels,)
        Their labels before and after. With both, a step can make sure that it finds what it left.
    """

    plane: int
    top: int
    left: int
    mask: np.ndarray
    old: np.ndarray
    new: np.ndarray

    def swapped(self) -> Delta:
        """The change back."""
        return Delta(self.plane, self.top, self.left, self.mask, self.new, self.old)

    def payload(self) -> bytes:
        """Mask and labels, compressed."""
        raw = np.packbits(self.mask).tobytes() + self.old.tobytes() + self.new.tobytes()
        return zlib.compress(raw, _LEVEL)

    def part(self, size: int) -> Part:
        """The row in JSON that belongs to a payload of `size` bytes."""
        height, width = self.mask.shape
        return self.plane, self.top, self.top + height, self.left, self.left + width, self.old.size, size

    @classmethod
    def read(cls, part: Part, payload: bytes, dtype: np.dtype) -> Delta:
        """From what `part` and `payload` made.

        Raises
        ------
        ValueError
            If they do not belong together.
        """
        plane, top, bottom, left, right, voxels, _ = part
        shape = (bottom - top, right - left)
        bits = (shape[0] * shape[1] + 7) // 8
        expected = bits + 2 * voxels * dtype.itemsize
        if min(shape) < 0 or not 0 <= voxels <= shape[0] * shape[1]:
            raise ValueError("box and voxels do not belong together")
        if expected > _MOST_TIMES * len(payload):
            raise ValueError("the box is larger than its labels can be")
        try:
            raw = zlib.decompressobj().decompress(payload, expected + 1)  # never more than it can be
        except zlib.error as error:
            raise ValueError(str(error)) from error
        values = np.frombuffer(raw[bits:], dtype)
        mask = np.unpackbits(np.frombuffer(raw[:bits], np.uint8), count=shape[0] * shape[1]).astype(bool)
        if values.size != 2 * voxels or mask.sum() != voxels:
            raise ValueError("mask and labels do not belong together")
        return cls(plane, top, left, mask.reshape(shape), values[:voxels], values[voxels:])

    def apply(self, planes: Planes) -> None:
        """Write the labels after the change; the other voxels are left alone."""
        planes.write(self.plane, self.top, self.left, self.mask, self.new)

    def fits(self, plane: np.ndarray) -> bool:
        """Whether a slice (y, x) holds the labels before the change."""
        box = self._box(plane)
        return box.shape == self.mask.shape and np.array_equal(box[self.mask], self.old)

    def change(self, plane: np.ndarray) -> None:
        """The same in a slice (y, x) by itself, which `fits`."""
        self._box(plane)[self.mask] = self.new

    def _box(self, plane: np.ndarray) -> np.ndarray:
        height, width = self.mask.shape
        return plane[self.top : self.top + height, self.left : self.left + width]


def difference(number: int, before: np.ndarray, now: np.ndarray) -> Delta | None:
    """How slice `number` (y, x) has changed; None if it has not."""
    changed = before != now
    rows = np.flatnonzero(changed.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(changed.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    box = (slice(top, bottom), slice(left, right))
    mask = np.ascontiguousarray(changed[box])
    return Delta(number, top, left, mask, before[box][mask], now[box][mask])


def deltas_of(parts: Sequence[Part], payload: bytes, dtype: np.dtype) -> list[Delta]:
    """The changes of a step from its rows in JSON and all their payloads in a row.

    Raises
    ------
    ValueError
        If they do not belong together.
    """
    found = []
    start = 0
    for part in parts:
        end = start + part[-1]
        found.append(Delta.read(part, payload[start:end], dtype))
        start = end
    return found
