"""Zarr stores of others, opened so that nothing leads out of the folder and nothing takes more memory than it declares.

zarr itself follows links, reads files of any size and unpacks whatever they hold. Stores that are written are folders
of our own.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import LocalStore

from .. import files
from ..errors import FileError, reason
from ..memory import free_bytes
from . import checks
from .formats import OME_ZARR
from .zarr_packing import SLACK, Packing

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_MAX_CHUNK_BYTES = 2**30
_MAX_METADATA_BYTES = 2**24
_MAX_CHUNKS_ALONG = 2**20
_MAX_CHUNKS_OF_SLICE = 2**16
_SHARE_OF_MEMORY = 4  # a chunk may take the fourth part of what is free
_NUMERIC = {"blosc", "bz2", "crc32", "delta", "gzip", "lz4", "lzma", "shuffle", "zlib", "zstd"}
"""Codecs of the second version of Zarr that make numbers of bytes; others make objects."""
_METADATA = {*OME_ZARR.markers, ".zmetadata"}


class GuardedStore(LocalStore):
    """A folder that is only read and never left.

    Parameters
    ----------
    root : pathlib.Path
    read_only : bool
        Always True.
    """

    def __init__(self, root: Path, *, read_only: bool = True):
        super().__init__(root, read_only=True)
        self._top = os.path.realpath(root)
        self._arrays: dict[str, Packing] = {}

    def know(self, array: zarr.Array) -> None:
        """From now on, refuse files of `array` that unpack to more than one of its chunks.

        Raises
        ------
        FileError
            If that cannot be said of them.
        """
        self._arrays[array.path] = Packing.of(self.root, array)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """What a file of the store holds; None if it is not there."""
        self.refuse(key)
        found = await super().get(key, prototype, byte_range)
        self._refuse_unpacked(key, found, byte_range)
        return found

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """As `get`."""
        self.refuse(key)
        found = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        self._refuse_unpacked(key, found, byte_range)
        return found

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of files of the store."""
        wanted = list(key_ranges)
        for key, _ in wanted:
            self.refuse(key)
        found = await super().get_partial_values(prototype, wanted)
        for (key, byte_range), part in zip(wanted, found, strict=True):
            self._refuse_unpacked(key, part, byte_range)
        return found

    def refuse(self, key: str) -> None:
        """Make sure that reading a file stays in the store, ends, and takes no more memory than it may."""
        path = os.path.realpath(os.path.join(self._top, key))
        if os.path.commonpath([self._top, path]) != self._top:
            raise outside(self.root, key)
        files.refuse_special(Path(path))
        try:
            size = os.stat(path).st_size
            if os.path.isdir(path):  # which zarr takes for a chunk that is missing
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        except (FileNotFoundError, NotADirectoryError):  # a missing chunk is empty
            return
        except OSError as error:
            raise FileError(
                f"'{self.root.name}' has a file '{key}' that cannot be read ({reason(error)}). Copy the store again "
                "from its source."
            ) from error
        most = self._most(key)
        if most is not None and size > most:
            raise FileError(
                f"'{self.root.name}' has a file '{key}' of {size} bytes; expected at most {most}. It is damaged, or "
                "made to fill the memory. Copy the store again from its source."
            )

    def _most(self, key: str) -> int | None:
        """Bytes that a file may have; what cannot be compressed is a little larger than before."""
        if key.rpartition("/")[2] in _METADATA:
            return _MAX_METADATA_BYTES
        known = self._known(key)
        return None if known is None else known.file + known.file // 8 + known.index + SLACK

    def _known(self, key: str) -> Packing | None:
        return next((known for path, known in self._arrays.items() if key.startswith(f"{path}/")), None)

    def _refuse_unpacked(self, key: str, found: Buffer | None, part: ByteRequest | None) -> None:
        """Make sure that what was read of a file does not unpack to more than it may."""
        known = self._known(key)
        if found is None or known is None or key.rpartition("/")[2] in _METADATA:
            return
        content = found.as_numpy_array().data
        try:
            if part is not None and _is_index(part, known):
                known.places(content, os.stat(os.path.join(self._top, key)).st_size)
                return
            for chunk in known.chunks(content) if part is None else (content,):
                known.refuse(chunk)
        except FileError as error:
            raise FileError(
                f"'{self.root.name}' has a file '{key}' that {error}. It is damaged, or made to fill the memory. Copy "
                "the store again from its source."
            ) from error


class WritingStore(LocalStore):
    """A folder that is written to file by file, and no longer after that has failed once.

    zarr writes several files at a time and does not wait for the others when one fails: they would be written into a
    folder that is being removed.

    Parameters
    ----------
    root : pathlib.Path
    """

    def __init__(self, root: Path, *, read_only: bool = False):
        super().__init__(root, read_only=read_only)
        self._turn = asyncio.Lock()
        self._failure: OSError | None = None

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file."""
        await self._one_by_one(super().set, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a file that is not there."""
        await self._one_by_one(super().set_if_not_exists, key, value)

    async def _one_by_one(self, write: Callable[[str, Buffer], Awaitable[None]], key: str, value: Buffer) -> None:
        async with self._turn:
            if self._failure is not None:
                raise self._failure
            try:
                await write(key, value)
            except OSError as error:
                self._failure = error
                raise


def _is_index(part: ByteRequest, known: Packing) -> bool:
    """Whether a part of a file is the index of the chunks in it."""
    if known.index_first:
        return part == RangeByteRequest(0, known.index)
    return part == SuffixByteRequest(known.index)


def outside(store: Path, place: str) -> FileError:
    """The sentence about a store that leads out of its folder."""
    return FileError(f"'{store.name}' points outside its own folder ('{place}'). It is not opened.")


def open_group(folder: Path) -> zarr.Group:
    """The group in a folder, to be read.

    Raises
    ------
    FileError
        If the folder is a single array.
    """
    store = GuardedStore(folder)
    for name in sorted(OME_ZARR.markers):
        store.refuse(name)
    if _is_array(folder):
        raise FileError(
            f"'{folder.name}' is a single array of a store, without axes and voxel size. Open the folder that it lies "
            "in."
        )
    return zarr.open_group(store, mode="r", use_consolidated=False)


def _is_array(folder: Path) -> bool:
    if (folder / ".zarray").exists():
        return True
    single = folder / "zarr.json"
    if not single.exists():
        return False
    content = files.read_json(single)
    return isinstance(content, dict) and content.get("node_type") == "array"


def open_array(group: zarr.Group, place: object) -> zarr.Array:
    """An array of a group, by the path that the metadata name.

    Raises
    ------
    FileError
        If it lies elsewhere, or does not hold plain numbers of a size that can be read.
    """
    store = _store(group)
    node = member(group, place)
    if not isinstance(node, zarr.Array):
        raise FileError(
            f"'{store.root.name}' names the array '{place}', which is not there. Copy it again from its source."
        )
    _check(store.root, node)
    store.know(node)
    return node


def member(group: zarr.Group, place: object) -> zarr.Array | zarr.Group | None:
    """What lies at a place in a group; None if nothing.

    Raises
    ------
    FileError
        If the place lies elsewhere, or is an array of objects.
    """
    store = _store(group)
    root = store.root
    if not isinstance(place, str) or not place:
        raise FileError(f"'{root.name}' does not name its arrays. Copy it again from its source.")
    if place.startswith(("/", "\\")) or ":" in place or {"..", "."} & set(place.replace("\\", "/").split("/")):
        raise outside(root, place)
    _refuse_objects(store, f"{group.path}/{place}".strip("/"))
    try:
        return group[place]
    except KeyError:
        return None


def _store(group: zarr.Group) -> GuardedStore:
    store = group.store
    if not isinstance(store, GuardedStore):
        raise TypeError("the group was not opened by open_group")
    return store


def _refuse_objects(store: GuardedStore, place: str) -> None:
    """Refuse arrays whose values are not numbers before zarr looks for what unpacks them."""
    root = store.root
    store.refuse(f"{place}/.zarray")
    described = root / place / ".zarray"
    if not described.exists():
        return
    content = files.read_json(described)
    if not isinstance(content, dict):
        raise FileError(f"'{root.name}' does not describe the array '{place}'. Copy it again from its source.")
    codecs = [content.get("compressor"), *(content.get("filters") or [])]
    names = [str(each.get("id")) for each in codecs if isinstance(each, Mapping)]
    unknown = [name for name in names if name not in _NUMERIC]
    dtype = content.get("dtype")
    if unknown or dtype == "|O":
        what = f"codec '{unknown[0]}'" if unknown else "objects"
        raise FileError(
            f"'{root.name}' holds an array of {what} in '{place}'; expected plain numbers. It is not opened, because "
            "objects can run programs."
        )


def _check(root: Path, array: zarr.Array) -> None:
    """Refuse what cannot be read slice by slice."""
    try:
        dtype = np.dtype(array.dtype)
    except TypeError as error:
        raise FileError(f"'{root.name}' holds values of type {array.dtype}; expected plain numbers.") from error
    checks.check_real(root, dtype)
    shape, chunks = array.shape, array.shards or array.chunks
    if not shape or min(shape) <= 0 or min(chunks) <= 0:
        raise FileError(f"'{root.name}' declares an array of {shape} voxels; every axis needs at least one.")
    counts = [-(-length // size) for length, size in zip(shape, chunks, strict=True)]
    if max(counts) > _MAX_CHUNKS_ALONG or math.prod(counts[-2:]) > _MAX_CHUNKS_OF_SLICE:
        raise FileError(
            f"'{root.name}' cuts an array of {_by(shape)} voxels into chunks of {_by(chunks)}, too many for a slice. "
            "Write it again with larger chunks."
        )
    # chunks are not larger than the array in memory
    needed = math.prod(chunks) * dtype.itemsize
    most = min(_MAX_CHUNK_BYTES, free_bytes() // _SHARE_OF_MEMORY)
    if needed > most:
        raise FileError(
            f"'{root.name}' declares chunks of {_by(chunks)} voxels, {needed / 2**30:.3g} GiB each; at most "
            f"{most / 2**30:.3g} GiB can be read at a time. Write it again with smaller chunks."
        )


def _by(lengths: Iterable[int]) -> str:
    return " x ".join(map(str, lengths))
