"""The size that a compressed frame or tile declares itself: decoders take memory and time for that."""

from __future__ import annotations

import struct

_JPEG = b"\xff\xd8"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_JPEG_2000_BOX = b"\0\0\0\x0cjP  "
_SIZES = frozenset(
    {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
)  # JPEG markers with the size; the last is of JPEG-LS
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without content


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 image; None if it is another one or declares none.

    Parameters
    ----------
    data : bytes
        Its beginning, as far as the size, or all of it.
    """
    try:
        if data.startswith(_JPEG):
            return _of_jpeg(data)
        if data.startswith((_JPEG_2000, _JPEG_2000_BOX)):
            return _of_jpeg_2000(data)
    except (struct.error, IndexError):
        pass
    return None


def _of_jpeg(data: bytes) -> tuple[int, int] | None:
    at = len(_JPEG)
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SIZES:
            rows, columns = struct.unpack_from(">HH", data, at + 5)
            return rows, columns
        if marker == 0xFF:  # a filler
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _of_jpeg_2000(data: bytes) -> tuple[int, int] | None:
    at = data.find(_JPEG_2000)
    if at < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    return bottom - top, right - left
