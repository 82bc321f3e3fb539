"""A file that only grows: records with a checksum, so that after a crash every beginning of it can be read.

A record is 4 bytes `MAGIC`, the length of its body (32 bits), the CRC-32 of its body; the body is the length of a JSON
text (32 bits), this text and a payload. Numbers are little-endian.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FileError, reason

MAGIC = b"mjr1"

_HEAD = struct.Struct("<4sII")
_SIZE = struct.Struct("<I")


@dataclass(frozen=True)
class Record:
    """One record and where it lies.

    Parameters
    ----------
    content : dict
        Its JSON object.
    payload : bytes
    offset, length : int
        In the file, with its head.
    """

    content: dict[str, Any]
    payload: bytes
    offset: int = 0
    length: int = 0


def encode(content: dict[str, Any], payload: bytes = b"") -> bytes:
    """A record as it lies in the file."""
    text = json.dumps(content, separators=(",", ":")).encode()
    body = _SIZE.pack(len(text)) + text + payload
    return _HEAD.pack(MAGIC, len(body), zlib.crc32(body)) + body


def decode(raw: bytes, offset: int = 0) -> Record:
    """The record that begins at `offset` of `raw`.

    Raises
    ------
    ValueError
        If there is no whole, undamaged one.
    """
    start = offset + _HEAD.size
    if len(raw) < start:
        raise ValueError("too short for a record")
    magic, size, crc = _HEAD.unpack_from(raw, offset)
    body = raw[start : start + size]
    if magic != MAGIC or len(body) != size or size < _SIZE.size or zlib.crc32(body) != crc:
        raise ValueError("damaged record")
    (text_size,) = _SIZE.unpack_from(body)
    text_end = _SIZE.size + text_size
    content = json.loads(body[_SIZE.size : text_end])
    if not isinstance(content, dict):
        raise ValueError("not a record")
    return Record(content, body[text_end:], offset, _HEAD.size + size)


def records(raw: bytes) -> Iterator[Record]:
    """All records up to the first that is damaged; what follows that one cannot be trusted."""
    offset = 0
    while offset < len(raw):
        try:
            record = decode(raw, offset)
        except ValueError:
            return
        yield record
        offset += record.length


class Log:
    """The records of a session, in a file; in memory from the moment that the file cannot be written any more.

    Parameters
    ----------
    path : pathlib.Path or None
        The file, made if it is missing; None keeps everything in memory.
    end : int
        Where the last whole record ends; what follows is cut off.
    """

    def __init__(self, path: Path | None, end: int = 0):
        self.end = end
        """Bytes of all records."""
        self.problem = ""
        """Why records are not in the file; empty as long as they are."""
        self._handle: int | None = None
        self._kept: dict[int, bytes] = {}  # records that are not in the file, by offset
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            os.ftruncate(self._handle, self.end)
        except OSError as error:
            self.problem = reason(error)

    def append(self, content: dict[str, Any], payload: bytes = b"") -> tuple[int, int]:
        """Add a record; where it lies and how long it is."""
        raw = encode(content, payload)
        offset = self.end
        if self._handle is None or self.problem:
            self._kept[offset] = raw
        else:
            self._write(self._handle, raw)
        self.end += len(raw)
        return offset, len(raw)

    def _write(self, handle: int, raw: bytes) -> None:
        try:
            os.lseek(handle, self.end, os.SEEK_SET)
            # a single call: it is complete even if the process is killed right after it
            if os.write(handle, raw) != len(raw):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if os.fstat(handle).st_nlink == 0:  # the folder was deleted: nobody will find what is written
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        except OSError as error:
            self.problem = reason(error)
            self._kept[self.end] = raw
            with suppress(OSError):
                os.ftruncate(handle, self.end)

    def read(self, offset: int, length: int) -> Record:
        """A record that was added.

        Raises
        ------
        FileError
            If it cannot be read any more.
        """
        raw = self._kept.get(offset)
        try:
            if raw is None:
                raw = self._read(offset, length)
            return decode(raw)
        except (OSError, ValueError) as error:
            raise FileError(
                f"This step cannot be read from the journal any more ({reason(error)}). Nothing was changed; save the "
                "labels now."
            ) from error

    def _read(self, offset: int, length: int) -> bytes:
        if self._handle is None:
            raise ValueError("the journal is closed")
        os.lseek(self._handle, offset, os.SEEK_SET)
        return os.read(self._handle, length)

    def second_handle(self) -> int | None:
        """Another handle of the file, to bring it to the disk in a thread and to close; None if there is no file."""
        return None if self._handle is None else os.dup(self._handle)

    def close(self) -> None:
        """Bring the file to the disk and close it."""
        if self._handle is not None:
            with suppress(OSError):
                os.fsync(self._handle)
            os.close(self._handle)
            self._handle = None
