"""A file that HDF5 reads through us: heaps that its library would read for ever are refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file, unless a block of the user stands before them, as in those of MATLAB."""

_USER_BLOCKS = (0, 512, 1024, 2048)

_HEAP = b"GCOL\x01\0\0\0"  # signature, version and three reserved bytes of a global heap, where HDF5 keeps texts
_MOST_BYTES = 2**20  # of a read that may hold a heap; HDF5 reads heaps by themselves
_PLACE_OF_LENGTH = {0: 14, 1: 14, 2: 10, 3: 10}  # by version of the first block: where the bytes per length stand
_LENGTHS = {2: "<H", 4: "<I", 8: "<Q"}
_ALIGNED = 8
_HEAD_BYTES = 16


def is_hdf5(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 4096 of them or all, is an HDF5 file."""
    return _base(head) is not None


def _base(head: bytes) -> int | None:
    """Where the signature stands."""
    return next((place for place in _USER_BLOCKS if head.startswith(SIGNATURE, place)), None)


class WatchedFile(io.FileIO):
    """A file for ``h5py.File`` in which every global heap is looked at before HDF5 follows it.

    An entry without a length leads HDF5 2.0 back to itself, inside the library, where nothing can stop it.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    ValueError
        If the file does not begin as HDF5 files do; when it is read, also if a heap is damaged.
    """

    def __init__(self, path: Path):
        super().__init__(path, "rb")
        start = self.read(max(_USER_BLOCKS) + _HEAD_BYTES)
        base = _base(start)
        head = start[base : base + _HEAD_BYTES] if base is not None else b""
        place = _PLACE_OF_LENGTH.get(head[8]) if len(head) == _HEAD_BYTES else None
        if place is None or head[place] not in _LENGTHS:
            self.close()
            raise ValueError("it does not begin as HDF5 files do")
        self._length = struct.Struct(_LENGTHS[head[place]])
        self.seek(0)

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer`, as HDF5 asks for it."""
        place = self.tell()
        count = super().readinto(buffer)
        if 0 < count <= _MOST_BYTES:
            self._check_heaps(place, count)
            self.seek(place + count)
        return count

    def _check_heaps(self, place: int, count: int) -> None:
        """Look at the heaps that begin in a part of the file, or just before it."""
        first = max(0, place - len(_HEAP) + 1)
        self.seek(first)
        part = self.read(place + count - first + len(_HEAP) - 1)
        found = part.find(_HEAP)
        while found >= 0:
            self._check_heap(first + found)
            found = part.find(_HEAP, found + 1)

    def _check_heap(self, place: int) -> None:
        """Follow the entries of a heap, as HDF5 does."""
        self.seek(place + len(_HEAP))
        size = self._length.unpack(self.read(self._length.size))[0]
        self.seek(place)
        heap = self.read(size)
        at = 2 * _ALIGNED
        while at + 2 * _ALIGNED <= len(heap):
            number = struct.unpack_from("<H", heap, at)[0]
            length = self._length.unpack_from(heap, at + _ALIGNED)[0]
            step = length if number == 0 else 2 * _ALIGNED + -(-length // _ALIGNED) * _ALIGNED
            if step == 0 or step > len(heap) - at:
                raise ValueError("one of its texts leads nowhere")
            at += step
