"""BART's arrays: pairs of ``.hdr`` and ``.cfl``, and the single file ``.ra``."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, SettingsError
from . import checks

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
_MAX_HEADER_BYTES = 2**20
_RA_HEADER = struct.Struct("<8s5Q")
_COMPLEX = 4


def pair(path: Path) -> tuple[Path, Path]:
    """Names of header and data, whichever is given."""
    upper = path.suffix.isupper()
    return path.with_suffix(".HDR" if upper else ".hdr"), path.with_suffix(".CFL" if upper else ".cfl")


def read(path: Path, axes: str | None, first: Mapping[str, int]) -> tuple[np.ndarray, str, dict[str, Any]]:
    """Map k-space into memory.

    Radial data look like Cartesian ones here: nothing in the file distinguishes them.

    Parameters
    ----------
    path : pathlib.Path
        ``.ra``, or either file of a pair.
    axes : str, optional
        Letters s, c, y, x for the axes longer than one, in place of those that BART gives to read (y), phase 1 (x),
        phase 2, coil and slice. Without a readout, phase 1 is y and phase 2 is x.
    first : mapping
        Which ``echo``, ``time``, ... to take in place of the first.

    Returns
    -------
    numpy.ndarray, complex
        In Fortran order, on disk.
    str
        Names of its axes.
    dict
        ``taken``: which echo, time, ... of several was taken.

    Raises
    ------
    FileError
        If the files are damaged or do not belong together, or three axes are encoded.
    SettingsError
        If `first` or `axes` name something that does not exist.
    """
    data = _map_ra(path) if path.suffix.lower() == ".ra" else _map_pair(path)
    data = data.reshape(data.shape + (1,) * (_MAX_AXES - data.ndim), order="F")
    if axes:
        return _squeezed(path, data, axes), axes, {}
    unknown = set(first) - {_name(n) for n in range(_MAX_AXES) if n not in _KNOWN}
    if unknown:
        raise SettingsError(f"'{path.name}' has no axis {', '.join(sorted(unknown))}. Leave it out.")
    taken = {_name(n): first.get(_name(n), 0) for n in range(_MAX_AXES) if n not in _KNOWN and data.shape[n] > 1}
    for n in set(range(_MAX_AXES)) - set(_KNOWN):
        number = first.get(_name(n), 0)
        if not 0 <= number < data.shape[n]:
            raise SettingsError(f"'{path.name}' has no {_name(n)} {number}; it has {data.shape[n]}, counted from 0.")
        data = data[(slice(None),) * n + (slice(number, number + 1),)]
    plane = [n for n in (_READ, _PHASE1, _PHASE2) if data.shape[n] > 1]
    if len(plane) == 3:
        raise FileError(
            f"'{path.name}' is encoded along three axes {data.shape[:3]}. Transform it along one first, for example "
            "with 'bart fft -u -i 4', and then name its axes, for example axes='yxsc'."
        )
    plane = plane if len(plane) == 2 else [_READ, _PHASE1]
    kept = sorted((*plane, _COIL, _SLICE))
    letters = dict(zip((*plane, _COIL, _SLICE), "yxcs", strict=True))
    data = data.squeeze(tuple(n for n in range(_MAX_AXES) if n not in kept))
    return data, "".join(letters[n] for n in kept), {"taken": taken} if taken else {}


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
