"""MetaImage, the format of ITK and Elastix: ``.mha``, and the header ``.mhd`` with its voxels next to it."""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import FileError
from ..volume import Volume
from . import checks
from .blocks import LPS_TO_RAS, MAX_HEADER_BYTES, Block, block_of, digits, numbers, read_voxels, volume_of
from .notes import KEY, Notes, is_labels

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
# of two names for one type the last is written: MET_LONG had other sizes on other systems
_NAMES = {code: name for name, code in _TYPES.items() if name not in ("MET_LONG", "MET_ULONG")}
_DIRECTIONS = ("transformmatrix", "rotation", "orientation")
_POSITIONS = ("offset", "position", "origin")
_LOCAL = "LOCAL"


def read(path: Path, axes: str | None = None) -> Volume:
    """Read a ``.mha`` file, or a ``.mhd`` file whose voxels lie in one file of the same folder.

    Parameters
    ----------
    path : pathlib.Path
    axes : str, optional
        Names of the axes, see `Volume`, in place of those that the header gives.

    Raises
    ------
    FileError
        If the file is damaged, too large or of an unsupported kind, or its voxels are elsewhere.
    """
    with checks.damaged(path), path.open("rb") as stream:
        header = _header(stream)
        shape, found = _shape(path, header)
        dtype = _dtype(path, header)
        affine = _affine(header)
        packed = _is_true(header, "compresseddata")
        if header["elementdatafile"] == _LOCAL:
            data = read_voxels(path, stream, shape, found, dtype, packed=packed)
        else:
            data = _detached(path, header, shape, found, dtype, packed)
        block = Block(data, found, affine, Notes.from_text(header.get(KEY, "")))
    return volume_of(block, axes)


def save(volume: Volume, path: Path) -> None:
    """Write a ``.mha`` file, with the notes of the volume in its header.

    Raises
    ------
    VolumeError
        If the voxels are of a type that the format does not have.
    """
    data, axes = block_of(volume)
    packed = zlib.compress(data.data, 6 if is_labels(volume) else 1)
    lines = [
        "ObjectType = Image",
        f"NDims = {len(axes.replace('c', ''))}",
        "BinaryData = True",
        f"BinaryDataByteOrderMSB = {sys.byteorder == 'big'}",
        "CompressedData = True",
        f"CompressedDataSize = {len(packed)}",
        *(_geometry(volume.affine, "t" in axes) if volume.has_spacing else []),
        f"DimSize = {' '.join(str(n) for n, name in zip(data.shape[::-1], axes[::-1], strict=True) if name != 'c')}",
    ]
    if "c" in axes:
        lines.append(f"ElementNumberOfChannels = {data.shape[axes.index('c')]}")
    lines.append(f"ElementType = {_NAMES[data.dtype.str[1:]]}")
    # other programs cut values at the first letter that is not ASCII
    lines.append(f"{KEY} = {Notes.of(volume).to_text()}")
    lines.append(f"ElementDataFile = {_LOCAL}")
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("ascii") + packed)


def _header(stream: IO[bytes]) -> Mapping[str, str]:
    """The fields before the voxels; their names in lower case."""
    fields: dict[str, str] = {}
    while "elementdatafile" not in fields:
        line = stream.readline(MAX_HEADER_BYTES)
        if not line or stream.tell() > MAX_HEADER_BYTES:
            raise ValueError("its header does not say where the voxels are")
        name, sign, value = line.decode("utf-8", "replace").partition("=")
        if not sign:
            raise ValueError(f"a line of its header is '{line[:40]!r}'")
        fields[name.strip().lower()] = value.strip()
    return fields


def _shape(path: Path, header: Mapping[str, str]) -> tuple[tuple[int, ...], str]:
    """Shape of the voxels in C order, and the names of the axes."""
    axes = {"2": "yx", "3": "zyx", "4": "tzyx"}.get(header.get("ndims", ""))
    if axes is None:
        raise FileError(f"'{path.name}' has {header.get('ndims', 'no number of')} axes; expected 2 to 4.")
    shape = tuple(int(n) for n in header["dimsize"].split())[::-1]
    if len(shape) != len(axes):
        raise ValueError(f"it has {len(axes)} axes and {len(shape)} sizes")
    channels = int(header.get("elementnumberofchannels", 1))
    return (shape, axes) if channels == 1 else ((*shape, channels), axes + "c")


def _dtype(path: Path, header: Mapping[str, str]) -> np.dtype:
    name = header.get("elementtype", "").removesuffix("_ARRAY")
    kind = header.get("objecttype", "Image")
    if kind != "Image" or name not in _TYPES:
        raise FileError(
            f"'{path.name}' holds an object '{kind[:20]}' with values of type '{name[:20]}'; expected an Image with "
            f"one of {', '.join(_TYPES)}. Convert it first."
        )
    if not _is_true(header, "binarydata", default=True):
        raise FileError(f"'{path.name}' holds its voxels as text. Save it as binary, in 3D Slicer or with SimpleITK.")
    big = _is_true(header, "binarydatabyteordermsb") or _is_true(header, "elementbyteordermsb")
    return np.dtype((">" if big else "<") + _TYPES[name])


def _is_true(header: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    return header[name][:1] in ("T", "t", "1") if name in header else default


def _affine(header: Mapping[str, str]) -> np.ndarray | None:
    """Voxel index along (x, y, z) to RAS+ millimetres; None if no voxel size is stated."""
    count = int(header["ndims"])
    sizes = header.get("elementspacing") or header.get("elementsize")
    if sizes is None:
        return None
    directions = next((header[name] for name in _DIRECTIONS if name in header), None)
    position = next((header[name] for name in _POSITIONS if name in header), None)
    affine = np.eye(4)
    used = min(count, 3)
    if directions is not None:
        # the first numbers are the direction of x, the next those of y
        affine[:used, :used] = numbers(directions, count**2).reshape(count, count)[:used, :used].T
    affine[:3, :used] *= numbers(sizes, count)[:used]
    if position is not None:
        affine[:used, 3] = numbers(position, count)[:used]
    return LPS_TO_RAS @ affine


def _geometry(affine: np.ndarray, has_time: bool) -> list[str]:
    """The fields that say where the voxels are."""
    count = 4 if has_time else 3
    place = LPS_TO_RAS @ affine
    sizes = np.linalg.norm(place[:3, :3], axis=0)
    matrix = np.eye(count)
    matrix[:3, :3] = (place[:3, :3] / sizes).T
    position = np.zeros(count)
    position[:3] = place[:3, 3]
    spacing = np.ones(count)
    spacing[:3] = sizes
    return [
        f"TransformMatrix = {' '.join(digits(matrix.ravel()))}",
        f"Offset = {' '.join(digits(position))}",
        f"CenterOfRotation = {' '.join(['0'] * count)}",
        f"ElementSpacing = {' '.join(digits(spacing))}",
    ]


def _detached(
    path: Path, header: Mapping[str, str], shape: tuple[int, ...], axes: str, dtype: np.dtype, packed: bool
) -> np.ndarray:
    """The voxels in the file that a header names, which has to lie next to it."""
    name = header["elementdatafile"]
    other = path.with_name(name) if name and name == Path(name).name else None
    # a link could lead anywhere
    if other is None or "\\" in name or other.resolve().parent != other.parent.resolve():
        raise FileError(
            f"'{path.name}' keeps its voxels in '{name}'; expected one file in the same folder. "
            "Save it as one .mha file."
        )
    if not other.is_file():
        raise FileError(f"'{path.name}' keeps its voxels in '{name}', which is missing. Copy it next to it.")
    with checks.damaged(other), other.open("rb") as stream:
        skipped = int(header.get("headersize", 0))
        # -1: the voxels are the end of the file
        size = math.prod(shape) * dtype.itemsize
        stream.seek(max(0, skipped if skipped >= 0 else other.stat().st_size - size))
        return read_voxels(other, stream, shape, axes, dtype, packed=packed)
