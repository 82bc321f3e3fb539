"""BART's arrays: pairs of ``.hdr`` and ``.cfl``, and the single file ``.ra``."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, SettingsError
from ..kspace import KSpace
from . import checks
from .across import Scan3D, stacked
from .stacks import Stack, stack

MAGIC = b"rawarray"
"""The first bytes of a ``.ra`` file."""

_NAMES = {
    4: "maps",
    5: "echo",
    6: "coefficient",
    7: "coefficient 2",
    8: "level",
    10: "time",
    11: "time 2",
    14: "average",
}
_READ, _PHASE1, _PHASE2, _COIL, _SLICE = 0, 1, 2, 3, 13
_KNOWN = (_READ, _PHASE1, _PHASE2, _COIL, _SLICE)
_MAX_AXES = 16
_CENTRAL = 2.0  # energy of the central partition over the mean, at least; of coils it is about 1
_MAX_HEADER_BYTES = 2**20
_RA_HEADER = struct.Struct("<8s5Q")
_COMPLEX = 4


def pair(path: Path) -> tuple[Path, Path]:
    """Names of header and data, whichever is given."""
    upper = path.suffix.isupper()
    return path.with_suffix(".HDR" if upper else ".hdr"), path.with_suffix(".CFL" if upper else ".cfl")


def read(path: Path, axes: str | None, first: Mapping[str, int]) -> KSpace:
    """Map k-space into memory.

    Radial data look like Cartesian ones here: nothing in the file distinguishes them.

    Parameters
    ----------
    path : pathlib.Path
        ``.ra``, or either file of a pair.
    axes : str, optional
        Letters t, s, c, y, x for the axes longer than one, in place of those that BART gives to read (y), phase 1 (x),
        phase 2, coil and slice. Without a readout, phase 1 is y and phase 2 is x; with both, the scan is a 3-D one.
    first : mapping
        Which ``echo``, ``time``, ... to take in place of all.

    Returns
    -------
    KSpace
        On disk, without a mask unless it is a 3-D scan. Its metadata have ``frames``, and ``taken`` for what `first`
        has chosen.

    Raises
    ------
    FileError
        If the files are damaged, do not belong together, or hold a 3-D scan that cannot be unfolded.
    SettingsError
        If `first` or `axes` name something that does not exist.
    """
    data = _map_ra(path) if path.suffix.lower() == ".ra" else _map_pair(path)
    data = data.reshape(data.shape + (1,) * (_MAX_AXES - data.ndim), order="F")
    if axes:
        return stack(_squeezed(path, data, axes), axes)
    others = [n for n in range(_MAX_AXES) if n not in _KNOWN]
    unknown = set(first) - {_name(n) for n in others}
    if unknown:
        raise SettingsError(f"'{path.name}' has no axis {', '.join(sorted(unknown))}. Leave it out.")
    taken = {}
    for n in others:
        if _name(n) not in first:
            continue
        number = first[_name(n)]
        if not 0 <= number < data.shape[n]:
            raise SettingsError(f"'{path.name}' has no {_name(n)} {number}; it has {data.shape[n]}, counted from 0.")
        if data.shape[n] > 1:
            taken[_name(n)] = number
        data = data[(slice(None),) * n + (slice(number, number + 1),)]
    kspace = _in_frames(path, data, [n for n in others if data.shape[n] > 1])
    return replace(kspace, metadata={**kspace.metadata, "taken": taken}) if taken else kspace


def _in_frames(path: Path, data: np.ndarray, times: list[int]) -> KSpace:
    """k-space of an array with all of BART's axes, of which those of `times` make frames."""
    names = [_name(n) for n in times]
    places = np.ndindex(*(data.shape[n] for n in times))
    frames = [dict(zip(names, place, strict=True)) for place in places]
    metadata: dict[str, Any] = {"frames": frames} if times else {}
    plane = [n for n in (_READ, _PHASE1, _PHASE2) if data.shape[n] > 1]
    if len(plane) == 3:
        kspace = _volume(path, data, times)
        return replace(kspace, metadata={**kspace.metadata, **metadata})
    plane = plane if len(plane) == 2 else [_READ, _PHASE1]
    order = [*times, _SLICE, _COIL, *plane]
    rest = tuple(n for n in range(_MAX_AXES) if n not in order)
    planes = data.transpose([*order, *rest]).reshape([data.shape[n] for n in order], copy=False)
    return replace(stack(planes, "t" * len(times) + "scyx"), metadata=metadata)


def _volume(path: Path, data: np.ndarray, times: list[int]) -> KSpace:
    """k-space of a 3-D scan."""
    order = [*times, _SLICE, _PHASE2, _COIL, _READ, _PHASE1]
    rest = tuple(n for n in range(_MAX_AXES) if n not in order)
    planes = Stack(data.transpose([*order, *rest]).reshape([data.shape[n] for n in order], copy=False))
    partitions, _, rows, columns = planes.array.shape[-4:]
    places = [planes[index] != 0 for index in range(len(planes))]
    seen = np.stack([place.any((0, 1)) for place in places]).reshape(-1, partitions, columns)
    reached = np.any([place.any((0, 2)) for place in places], axis=0)
    if data.shape[_COIL] == 1:
        _refuse_coils(path, planes, partitions)
    frames = math.prod(data.shape[n] for n in times)
    return stacked(Scan3D(path, planes, seen, reached, (partitions, rows, columns), frames=frames))


def _refuse_coils(path: Path, planes: Stack, partitions: int) -> None:
    """Refuse coils that stand where BART has the second phase encoding: partitions fade away from the centre."""
    energy = np.array([np.linalg.norm(planes[index]) ** 2 for index in range(partitions)])
    if energy[partitions // 2] < _CENTRAL * energy.mean():
        raise FileError(
            f"'{path.name}' has {partitions} partitions and one coil, but its partitions are equally strong, as coils "
            "are. Name the axes, for example axes='yxc'."
        )


def _name(axis: int) -> str:
    return _NAMES.get(axis, f"axis {axis}")


def _squeezed(path: Path, data: np.ndarray, axes: str) -> np.ndarray:
    squeezed = data.squeeze()
    if squeezed.ndim != len(axes):
        raise SettingsError(
            f"'{path.name}' has {squeezed.ndim} axes longer than one, {squeezed.shape}, but axes='{axes}' names "
            f"{len(axes)}. Name each of them."
        )
    return squeezed


def _map_pair(path: Path) -> np.ndarray:
    header, data = pair(path)
    for file in (header, data):
        if not file.is_file():
            raise FileError(f"'{path.name}' needs '{file.name}' in the same folder. Copy both files of the pair.")
    with checks.damaged(header), header.open("rb") as file:
        lines = file.read(_MAX_HEADER_BYTES).decode("latin-1").splitlines()
        if len(lines) < 2 or lines[0].strip() != "# Dimensions":
            raise ValueError("its first line is not '# Dimensions'")
        shape = tuple(int(number) for number in lines[1].split())
    return _map(data, shape, np.dtype("<c8"), 0, exact=True)


def _map_ra(path: Path) -> np.ndarray:
    with checks.damaged(path), path.open("rb") as file:
        magic, flags, kind, itemsize, size, axes = _RA_HEADER.unpack(file.read(_RA_HEADER.size))
        if magic != MAGIC or axes > _MAX_AXES:
            raise ValueError("it does not begin as RawArray files do")
        shape = struct.unpack(f"<{axes}Q", file.read(8 * axes))
    if flags or kind != _COMPLEX or itemsize not in (8, 16):
        raise FileError(
            f"'{path.name}' does not hold plain little-endian complex numbers of single or double precision. "
            "Write k-space as these."
        )
    if size != math.prod(shape) * itemsize:
        raise FileError(f"The header of '{path.name}' contradicts itself. Copy it again from its source.")
    return _map(path, shape, np.dtype(f"<c{itemsize}"), _RA_HEADER.size + 8 * axes, exact=False)


def _map(path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int, *, exact: bool) -> np.ndarray:
    """The array on disk, if the file has the size that its header says."""
    if not 1 <= len(shape) <= _MAX_AXES or min(shape) < 1:
        raise FileError(f"'{path.name}' has the axes {shape}; expected 1 to {_MAX_AXES}, none of them empty.")
    needed, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - offset
    if there < needed or (exact and there != needed):
        raise FileError(
            f"'{path.name}' holds {there} bytes, but its header declares {shape}, which takes {needed}. "
            "Copy it again from its source, with the header that belongs to it."
        )
    with checks.damaged(path):
        return np.memmap(path, dtype, "r", offset, shape, order="F")
