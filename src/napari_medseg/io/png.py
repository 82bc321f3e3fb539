"""Whether a PNG file holds the rows that it declares: Pillow fills up with zeros what is missing, and says nothing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

_SIGNATURE_BYTES = 8
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the kind of colours
_WHOLE = ((0, 0, 1, 1),)
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7
_STEP = 2**20  # bytes unpacked at a time


def check_rows(file: IO[bytes]) -> None:
    """Make sure that as many bytes of rows are stored as the header declares.

    Parameters
    ----------
    file : file
        At its beginning; is read.

    Raises
    ------
    ValueError
        If there are fewer; the error goes through `checks.damaged`.
    """
    file.seek(_SIGNATURE_BYTES)
    chunks = _chunks(file)
    _, head = next(chunks)
    declared = _declared(head)
    stored = 0
    for size in _unpacked(body for name, body in chunks if name == b"IDAT"):
        stored += size
        if stored >= declared:
            return
    raise ValueError(f"it declares rows of {declared} bytes and holds {stored}")


def _declared(head: bytes) -> int:
    """Bytes of all rows, each with the byte that names its filter."""
    width, height, bits, colours, _, _, interlaced = struct.unpack(">2I5B", head[:13])
    if colours not in _CHANNELS:
        raise ValueError(f"its colours are of the kind {colours}")
    total = 0
    for left, top, across, down in _PASSES if interlaced else _WHOLE:
        columns = -(-max(width - left, 0) // across)
        rows = -(-max(height - top, 0) // down)
        if columns:
            total += rows * (1 + -(-columns * bits * _CHANNELS[colours] // 8))
    return total


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of one chunk after the other."""
    while len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        yield name, file.read(length)
        file.read(4)  # the check sum


def _unpacked(bodies: Iterator[bytes]) -> Iterator[int]:
    """Numbers of bytes that the parts of one compressed stream unpack to, a little at a time."""
    stream = zlib.decompressobj()
    for body in bodies:
        rest = body
        while rest and not stream.eof:
            yield len(stream.decompress(rest, _STEP))
            rest = stream.unconsumed_tail
    yield len(stream.flush())
