"""What the chunks of stores unpack to, found out before they are unpacked: a few bytes may hold gigabytes."""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BytesCodec, ShardingCodec

from ..errors import FileError

SLACK = 2**16
"""Bytes that what cannot be compressed may be larger than before."""

_KINDS = {
    "Blosc": "blosc",
    "BloscCodec": "blosc",
    "BZ2": "bz2",
    "GZip": "gzip",
    "GzipCodec": "gzip",
    "LZ4": "lz4",
    "LZMA": "lzma",
    "Zlib": "zlib",
    "Zstd": "zstd",
    "ZstdCodec": "zstd",
}
"""Codecs that make chunks smaller, by the names of their classes in zarr and numcodecs."""
_ENDS = {"Crc32cCodec", "CRC32C"}  # checksums behind what they are of
_PLAIN = _ENDS | {"AsType", "BitRound", "CRC32", "Delta", "FixedScaleOffset", "Shuffle", "TransposeCodec"}
_ZSTD = b"\x28\xb5\x2f\xfd"
_LZMA_MEMORY = 2**28
_NOTHING = 2**64 - 1  # in the index of a shard: there is no such chunk
_ENGINES: dict[str, Callable[[], Any]] = {
    "bz2": bz2.BZ2Decompressor,
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "lzma": lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY),
    "zlib": zlib.decompressobj,
}


@dataclass(frozen=True)
class Packing:
    """How the files of an array are packed.

    Parameters
    ----------
    kind : str
        Of the codec that makes chunks smaller; empty if none does.
    chunk, file : int
        Bytes of a chunk, and of the chunks of a file, once unpacked.
    index : int
        Bytes of the index of a file that holds several chunks; 0 for a file without.
    index_first : bool
        Whether it comes before the chunks.
    """

    kind: str
    chunk: int
    file: int
    index: int = 0
    index_first: bool = False

    @classmethod
    def of(cls, root: Path, array: zarr.Array) -> Packing:
        """How an array of the store `root` is packed.

        Raises
        ------
        FileError
            If chunks are packed in a way of which it cannot be said what they unpack to.
        """
        inner = math.prod(array.chunks) * array.dtype.itemsize
        kind = _kind(root, array)
        shards = array.shards
        if shards is None:
            return cls(kind, inner, inner)
        described: Any = array.metadata
        (sharding,) = (codec for codec in described.codecs if isinstance(codec, ShardingCodec))
        plain = [type(codec).__name__ for codec in sharding.index_codecs] == ["BytesCodec", "Crc32cCodec"]
        if not plain or not all(isinstance(codec, BytesCodec) for codec in sharding.codecs[:1]):
            raise _unknown(root, "shards of a kind of their own")
        count = math.prod(shards) // math.prod(array.chunks)
        first = sharding.index_location.value == "start"
        return cls(kind, inner, math.prod(shards) * array.dtype.itemsize, 16 * count + 4, first)

    def chunks(self, content: memoryview) -> Iterator[memoryview]:
        """The chunks, as they are packed, in the content of a file.

        Raises
        ------
        FileError
            If its index is not one.
        """
        if not self.index:
            yield content
            return
        place = slice(0, self.index) if self.index_first else slice(-self.index, None)
        for start, length in self.places(content[place], len(content)):
            yield content[start : start + length]

    def places(self, index: memoryview, size: int) -> list[tuple[int, int]]:
        """Start and length of the chunks in a file of `size` bytes, by its index.

        Raises
        ------
        FileError
            If they do not lie in the file.
        """
        if len(index) != self.index:
            raise FileError("is too short for its index")
        rows = np.frombuffer(index[:-4], "<u8").reshape(-1, 2).tolist()
        found = [(start, length) for start, length in rows if (start, length) != (_NOTHING, _NOTHING)]
        if any(start + length > size for start, length in found):
            raise FileError("has an index that points behind its end")
        return found

    def refuse(self, content: memoryview) -> None:
        """Make sure that a chunk unpacks to no more than it may.

        Raises
        ------
        FileError
            If it does.
        """
        most = self.chunk + SLACK
        size = _size(self.kind, content, most)
        if size > most:
            raise FileError(f"unpacks to {size} bytes or more; expected {self.chunk}")


def _kind(root: Path, array: zarr.Array) -> str:
    """The one codec that makes chunks smaller."""
    codecs = [type(codec).__name__ for codec in (*array.filters, *array.compressors)]
    others = [name for name in codecs if name not in _KINDS and name not in _PLAIN]
    serializer = getattr(array, "serializer", None)
    if others or not (serializer is None or isinstance(serializer, BytesCodec)):
        raise _unknown(root, f"chunks packed by '{others[0] if others else type(serializer).__name__}'")
    packing = [number for number, name in enumerate(codecs) if name in _KINDS]
    if not packing:
        return ""
    if len(packing) > 1 or not set(codecs[packing[0] + 1 :]) <= _ENDS:
        raise _unknown(root, f"chunks packed more than once ({', '.join(codecs)})")
    return _KINDS[codecs[packing[0]]]


def _unknown(root: Path, what: str) -> FileError:
    return FileError(
        f"'{root.name}' holds {what}; expected plain numbers, packed once by Blosc, Zstandard or gzip. Write it again "
        "with one of these."
    )


def _size(kind: str, content: memoryview, most: int) -> int:
    """Bytes that a chunk unpacks to; where it does not say, as many as are seen until it is more than `most`."""
    if kind == "blosc":
        return int.from_bytes(content[4:8], "little")
    if kind == "lz4":
        return int.from_bytes(content[:4], "little")
    if kind == "zstd":
        announced = _announced(bytes(content[:18]))
        return _by_trial(content, most) if announced is None else announced
    if kind in _ENGINES:
        return _streamed(content, _ENGINES[kind], most, members=kind != "zlib")
    return len(content)


def _announced(head: bytes) -> int | None:
    """Bytes that the frame of Zstandard says that it unpacks to; None if it does not say."""
    if not head.startswith(_ZSTD) or len(head) < 5:
        return None
    # RFC 8878, frame header: the descriptor says how long the fields are
    flag = head[4] >> 6
    single = head[4] >> 5 & 1
    if not flag and not single:
        return None
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[head[4] & 3]
    length = (single, 2, 4, 8)[flag]
    return int.from_bytes(head[start : start + length], "little") + (256 if flag == 1 else 0)


def _by_trial(content: memoryview, most: int) -> int:
    """Bytes that frames of Zstandard unpack to where there is room for `most`; one more if there is not."""
    from imagecodecs import ZstdError, zstd_decode

    try:
        return len(zstd_decode(bytes(content), out=most))
    except ZstdError:
        return most + 1


def _streamed(content: memoryview, make: Callable[[], Any], most: int, *, members: bool) -> int:
    """Bytes that are seen until the streams in `content` end, are damaged, or give more than `most`."""
    total = 0
    step = SLACK + most // 8
    rest: Any = content
    with suppress(zlib.error, OSError, EOFError, lzma.LZMAError):
        while len(rest) and total <= most:
            engine = make()
            piece = engine.decompress(rest, step)
            while piece and total <= most:
                total += len(piece)
                piece = b"" if engine.eof else engine.decompress(getattr(engine, "unconsumed_tail", b""), step)
            rest = engine.unused_data.lstrip(b"\0") if members and engine.eof else b""
    return total
