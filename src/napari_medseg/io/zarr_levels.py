"""Coarser levels of a store, which viewers show from afar: made of the finest one slice by slice, and resumable."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from ..errors import FileError
from ..progress import Job, Progress
from . import zarr_groups
from .zarr_store import WritingStore

_SIDE = 1024  # rows and columns of a chunk, which is a file
_WHOLE = 512  # rows and columns of an image that needs no coarser level
_ALIKE = 1.5  # voxels longer than the shortest by more than this along an axis are not made longer still


@dataclass(frozen=True)
class Level:
    """A level of a store.

    Parameters
    ----------
    name : str
        Of its array.
    shape : tuple of int
        In the order of the store.
    steps : tuple of int
        Voxels of the finest level that one of this level covers along each axis.
    """

    name: str
    shape: tuple[int, ...]
    steps: tuple[int, ...]


def levels_of(axes: str, shape: Sequence[int], sizes: Sequence[float]) -> list[Level]:
    """All levels of an image, the finest first, until rows and columns are few.

    Each halves the axes in space whose voxels are short; thick slices stay until the pixels are as large.

    Parameters
    ----------
    axes : str
        In the order of the store, rows and columns last.
    shape : sequence of int
    sizes : sequence of float
        Of a voxel along each axis; of time and channels they do not matter.
    """
    found = [_finest(shape)]
    while max(found[-1].shape[-2:]) > _WHOLE:
        last = found[-1]
        halved = [name in "zyx" and length > 1 for name, length in zip(axes, last.shape, strict=True)]
        lengths = [size * step for size, step in zip(sizes, last.steps, strict=True)]
        shortest = min(length for length, may in zip(lengths, halved, strict=True) if may)
        factors = [2 if may and length <= _ALIKE * shortest else 1 for length, may in zip(lengths, halved, strict=True)]
        found.append(_coarser(found, factors))
    return found


def levels_like(axes: str, shape: Sequence[int], image: Sequence[Mapping[str, int]]) -> list[Level]:
    """As many levels as an image has, which OME-NGFF asks of its labels, each as much coarser as those are.

    Parameters
    ----------
    axes : str
        In the order of the store.
    shape : sequence of int
    image : sequence of mapping
        Voxels along each axis of the levels of the image, the finest first.
    """
    found = [_finest(shape)]
    for finer, coarser in itertools.pairwise(image):
        factors = [max(1, round(finer[name] / coarser[name])) if name in "zyx" else 1 for name in axes]
        found.append(_coarser(found, factors))
    return found


def _finest(shape: Sequence[int]) -> Level:
    return Level("0", tuple(map(int, shape)), (1,) * len(shape))


def _coarser(levels: Sequence[Level], factors: Sequence[int]) -> Level:
    """The level after the last of `levels`, by a factor along each axis; a voxel at the end may cover fewer."""
    steps = tuple(step * factor for step, factor in zip(levels[-1].steps, factors, strict=True))
    shape = tuple(math.ceil(length / step) for length, step in zip(levels[0].shape, steps, strict=True))
    return Level(str(len(levels)), shape, steps)


def create(path: Path, level: Level, axes: str, dtype: np.dtype) -> zarr.Array:
    """An array of zeros in a group, of its version, with a file for each piece of a slice.

    Files of pieces that hold nothing but zeros are written too: where they exist, the piece is finished.
    """
    sides = [min(_SIDE, length) for length in level.shape[-2:]]
    options: dict[str, Any] = {"zarr_format": 3, "compressors": [ZstdCodec()], "dimension_names": list(axes)}
    if zarr_groups.version_of(path) == 2:
        # folders as OME-NGFF 0.4 asks; Zstandard is the default of zarr
        options = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}
    array = zarr.create_array(
        WritingStore(path),
        name=level.name,
        shape=level.shape,
        chunks=(*(1,) * len(level.shape[:-2]), *sides),
        dtype=np.dtype(dtype).newbyteorder("="),
        overwrite=True,
        **options,
    )
    return writable(array)


def opened(path: Path, level: Level, axes: str, dtype: np.dtype) -> zarr.Array:
    """The array of a level, as an interrupted run left it, or a new one."""
    if any((path / level.name / name).exists() for name in (zarr_groups.NODE, zarr_groups.ARRAY)):
        return writable(zarr.open_array(WritingStore(path), path=level.name, mode="r+"))
    return create(path, level, axes, dtype)


def writable(array: zarr.Array) -> zarr.Array:
    """The array, which from now on writes pieces that hold nothing but zeros; a store does not remember that."""
    return array.with_config({"write_empty_chunks": True})


def is_done(path: Path, array: zarr.Array, place: Iterable[int]) -> bool:
    """Whether a slice of an array of the store `path` is written: all its files are there."""
    folder = path / array.name.strip("/")
    counts = [-(-n // size) for n, size in zip(array.shape[-2:], array.chunks[-2:], strict=True)]
    keys = (array.metadata.encode_chunk_key((*place, *piece)) for piece in np.ndindex(*counts))
    found = (folder / key for key in keys)
    # a file that is empty was not brought to the disk when the computer stopped
    return all(each.is_file() and each.stat().st_size for each in found)


def fill_job(path: Path, levels: Sequence[Level], axes: str, *, labels: bool) -> Job[None]:
    """Write the coarser levels of a store whose finest one is complete; slices that are there stay.

    Parameters
    ----------
    path : pathlib.Path
        Folder of the store.
    levels : sequence of Level
        The finest first.
    axes : str
        In the order of the store.
    labels : bool
        Whether a voxel gets the commonest number of those that it covers, and not their mean.

    Raises
    ------
    FileError
        If a slice does not read back the same.
    """
    fine = zarr.open_array(path, path=levels[0].name, mode="r")
    for before, level in itertools.pairwise(levels):
        factors = [new // old for new, old in zip(level.steps, before.steps, strict=True)]
        coarse = opened(path, level, axes, fine.dtype)
        for number, place in enumerate(np.ndindex(level.shape[:-2])):
            yield Progress(number, math.prod(level.shape[:-2]))
            if is_done(path, coarse, place):
                continue
            plane = _plane(fine, place, factors, labels=labels)
            coarse[place] = plane
            if not np.array_equal(np.asarray(coarse[place]), plane, equal_nan=plane.dtype.kind == "f"):
                raise FileError(f"Level {level.name} of '{path.name}' reads back with other voxels. Save elsewhere.")
        fine = coarse


def _plane(fine: zarr.Array, place: tuple[int, ...], factors: Sequence[int], *, labels: bool) -> np.ndarray:
    """A slice (y, x) of the level that is coarser by `factors` than `fine`."""
    lead = factors[:-2]
    corners = []
    for offset in np.ndindex(*lead):
        source = [index * factor + more for index, factor, more in zip(place, lead, offset, strict=True)]
        inside = all(index < length for index, length in zip(source, fine.shape, strict=False))
        if inside:
            corners += _corners(np.asarray(fine[tuple(source)]), factors[-2], factors[-1])
    return commonest(corners) if labels else _mean(corners)


def _corners(plane: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    """For each place in a block of pixels, the pixels (y, x) that lie there; the last row and column are repeated."""
    missing = [-length % factor for length, factor in zip(plane.shape, (rows, columns), strict=True)]
    whole = np.pad(plane, [(0, count) for count in missing], "edge")
    return [whole[row::rows, column::columns] for row, column in np.ndindex(rows, columns)]


def commonest(choices: Sequence[np.ndarray]) -> np.ndarray:
    """The number that most of the arrays have at a place; where several are as frequent, the one that comes first."""
    best = choices[0].copy()
    counts = np.min_scalar_type(len(choices))
    most = np.zeros(best.shape, counts)
    for candidate in choices:
        count = np.zeros(best.shape, counts)
        for other in choices:
            count += candidate == other
        better = count > most
        best[better] = candidate[better]
        most[better] = count[better]
    return best


def _mean(choices: Sequence[np.ndarray]) -> np.ndarray:
    dtype = choices[0].dtype
    mean = np.mean(choices, axis=0, dtype=np.float64)
    return (np.rint(mean) if dtype.kind in "iu" else mean).astype(dtype)
