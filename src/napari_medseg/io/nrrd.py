"""NRRD, the format of 3D Slicer, and its segmentations ``.seg.nrrd``; the voxels are in the same file."""

from __future__ import annotations

import logging
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import FileError, VolumeError
from ..volume import Volume
from . import checks, segments
from .blocks import LPS_TO_RAS, MAX_HEADER_BYTES, Block, block_of, digits, numbers, read_voxels, volume_of
from .formats import ending
from .images import MILLIMETRES
from .notes import KEY, Notes, is_labels

_TYPES = {
    "i1": ("int8", "signed char", "int8_t"),
    "u1": ("uint8", "uchar", "unsigned char", "uint8_t"),
    "i2": ("int16", "short", "short int", "signed short", "signed short int", "int16_t"),
    "u2": ("uint16", "ushort", "unsigned short", "unsigned short int", "uint16_t"),
    "i4": ("int32", "int", "signed int", "int32_t"),
    "u4": ("uint32", "uint", "unsigned int", "uint32_t"),
    "i8": ("int64", "longlong", "long long", "long long int", "signed long long", "signed long long int", "int64_t"),
    "u8": ("uint64", "ulonglong", "unsigned long long", "unsigned long long int", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODES = {name: code for code, names in _TYPES.items() for name in names}
_SPACES = {
    "right-anterior-superior": np.eye(4),
    "ras": np.eye(4),
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0, 1.0]),
    "las": np.diag([-1.0, 1.0, 1.0, 1.0]),
}
_TIMES = ("list", "time")
_CHANNELS = ("vector", "covariant-vector", "normal", "point", "rgb-color", "rgba-color", "hsv-color", "xyz-color")
_CHANNELS += ("2-vector", "3-vector", "4-vector", "3-color", "4-color", "3-gradient", "3-normal", "scalar", "stub")
_PLACES = ("domain", "space", "none", "???")
_VECTOR = re.compile(r"none|\(([^()]*)\)")
_VERSION = re.compile(rb"NRRD000\d\s*")
_ESCAPES = {r"\n": "\n", r"\\": "\\"}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Header:
    """What stands before the voxels: fields, with names in lower case, and keys as they are."""

    fields: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def read(path: Path, axes: str | None = None) -> Volume:
    """Read an NRRD file; of a segmentation whose segments overlap the first layer.

    Parameters
    ----------
    path : pathlib.Path
    axes : str, optional
        Names of the axes, see `Volume`, in place of those that the header gives.

    Raises
    ------
    FileError
        If the file is damaged, too large or of an unsupported kind, or its voxels are in another file.
    VolumeError
        If its axes cannot be determined.
    """
    header, block = _read(path)
    if not segments.are_in(header.keys):
        return volume_of(block, axes)
    first, *others = segments.volumes(path, block, header.keys)
    if others:
        names = ", ".join(row.name for volume in others for row in volume.classes)
        _logger.warning("Segments of '%s' overlap; those of further layers are left out: %s.", path.name, names)
    return first if axes is None else replace(first, axes=axes)


def read_all(path: Path) -> list[Volume]:
    """Read an NRRD file; segments that overlap become several volumes.

    Raises
    ------
    FileError, VolumeError
        As `read` does.
    """
    header, block = _read(path)
    return segments.volumes(path, block, header.keys) if segments.are_in(header.keys) else [volume_of(block)]


def save(volume: Volume, path: Path) -> None:
    """Write an NRRD file with the notes of the volume; for the name ``.seg.nrrd`` as a segmentation of 3D Slicer.

    Raises
    ------
    VolumeError
        If a segmentation does not hold labels or has other axes than z, y and x.
    """
    data, axes = block_of(volume)
    keys = {}
    if ending(path) == ".seg.nrrd":
        if not is_labels(volume):
            raise VolumeError("A .seg.nrrd file holds labels, and this is an image. Save it as .nrrd.")
        if axes != "zyx":
            raise VolumeError(
                f"A .seg.nrrd file holds labels with the axes zyx; these have '{volume.axes}'. Save them as .nrrd, or "
                "select one time point first."
            )
        keys = segments.keys_of(data, volume.classes)
    fields = {
        "type": _TYPES[data.dtype.str[1:]][0],
        "dimension": str(data.ndim),
        **_geometry(volume, axes),
        "sizes": " ".join(map(str, data.shape[::-1])),
        "kinds": " ".join(_kind(name, data) for name in axes[::-1]),
        "endian": sys.byteorder,
        "encoding": "gzip",
    }
    keys[KEY] = Notes.of(volume).to_text()
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items())]
    lines += [f"{name}:={_escaped(value)}" for name, value in keys.items()]
    packer = zlib.compressobj(6 if is_labels(volume) else 1, wbits=16 + zlib.MAX_WBITS)
    with path.open("wb") as stream:
        stream.write("".join(f"{line}\n" for line in [*lines, ""]).encode("utf-8"))
        for part in data:
            stream.write(packer.compress(part))
        stream.write(packer.flush())


def _read(path: Path) -> tuple[_Header, Block]:
    with checks.damaged(path), path.open("rb") as stream:
        header = _header(stream)
        fields = header.fields
        _refuse_elsewhere(path, fields)
        sizes = [int(text) for text in fields["sizes"].split()]
        if len(sizes) != int(fields["dimension"]):
            raise ValueError(f"it has {fields['dimension']} axes and {len(sizes)} sizes")
        vectors = _vectors(fields, len(sizes))
        axes = _axes(path, fields, vectors, sizes)
        affine = _affine(fields, vectors, axes)
        packed = _is_packed(path, fields)
        data = read_voxels(path, stream, tuple(sizes[::-1]), axes[::-1], _dtype(path, fields), packed=packed)
    notes = Notes.from_text(header.keys.get(KEY, ""))
    return header, Block(data, axes[::-1], affine, notes)


def _header(stream: IO[bytes]) -> _Header:
    if not _VERSION.fullmatch(stream.readline(64)):
        raise ValueError("its first line does not name the format")
    header = _Header()
    while True:
        line = stream.readline(MAX_HEADER_BYTES)
        if not line or stream.tell() > MAX_HEADER_BYTES:
            raise ValueError("its header does not end")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return header
        if text.startswith("#"):
            continue
        key, sign, value = text.partition(":=")
        # a field may hold := in its value, and a key a colon in its name
        if sign and ": " not in key:
            header.keys[key] = re.sub(r"\\[n\\]", lambda found: _ESCAPES[found.group()], value)
            continue
        name, sign, value = text.partition(":")
        if not sign:
            raise ValueError(f"a line of its header is '{text[:40]}'")
        header.fields[name.strip().lower()] = value.strip()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n")


def _refuse_elsewhere(path: Path, fields: Mapping[str, str]) -> None:
    other = fields.get("data file") or fields.get("datafile")
    if other is not None:
        raise FileError(
            f"'{path.name}' keeps its voxels in another file ('{other[:80]}'). Only files that hold everything are "
            "read; save it as one .nrrd."
        )
    skipped = [name for name in ("line skip", "lineskip", "byte skip", "byteskip") if fields.get(name, "0") != "0"]
    if skipped:
        raise FileError(f"'{path.name}' has a '{skipped[0]}' before its voxels; expected none. Save it again as .nrrd.")


def _is_packed(path: Path, fields: Mapping[str, str]) -> bool:
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise FileError(
            f"'{path.name}' holds its voxels in the encoding '{encoding[:20]}'; expected raw or gzip. Save it again, "
            "for example in 3D Slicer."
        )
    return encoding != "raw"


def _dtype(path: Path, fields: Mapping[str, str]) -> np.dtype:
    name = " ".join(fields["type"].lower().split())
    code = _CODES.get(name)
    if code is None:
        raise FileError(
            f"'{path.name}' holds values of type '{name[:20]}'; expected integers of 8 to 64 bits, float or double. "
            "Convert it first."
        )
    if code.endswith("1"):
        return np.dtype(code)
    return np.dtype({"little": "<", "big": ">"}[fields["endian"].lower()] + code)


def _vectors(fields: Mapping[str, str], count: int) -> list[np.ndarray | None]:
    """The step of one voxel along each axis of the file, in the space of the file; None where it is not a place."""
    text = fields.get("space directions")
    if text is not None:
        parts = [found.group(1) for found in _VECTOR.finditer(text)]
        if len(parts) != count:
            raise ValueError(f"it has {count} axes and {len(parts)} directions")
        return [None if part is None or "nan" in part.lower() else _vector(part) for part in parts]
    sizes = fields.get("spacings", "").split()
    spatial = [_is_place(kind) for kind in _kinds(fields, count)]
    found: list[np.ndarray | None] = [None] * count
    if len(sizes) == count:
        places = [i for i in range(count) if spatial[i] and sizes[i].lower() != "nan"][:3]
        for number, i in enumerate(places):
            found[i] = np.eye(3)[number] * float(sizes[i])
    return found


def _vector(text: str) -> np.ndarray:
    return numbers(text.replace(",", " "), text.count(",") + 1)


def _kinds(fields: Mapping[str, str], count: int) -> list[str]:
    kinds = fields.get("kinds", "").lower().split()
    return kinds if len(kinds) == count else ["???"] * count


def _is_place(kind: str) -> bool:
    return kind in _PLACES


def _axes(path: Path, fields: Mapping[str, str], vectors: Sequence[np.ndarray | None], sizes: Sequence[int]) -> str:
    """Names of the axes in the order of the file, the fastest first."""
    kinds = _kinds(fields, len(sizes))
    placed = any(vector is not None for vector in vectors)
    left = iter("xyzt")
    letters = []
    for kind, vector in zip(kinds, vectors, strict=True):
        if kind in _CHANNELS:
            letters.append("c")
        elif kind in _TIMES or (placed and vector is None):
            letters.append("t")
        else:
            letters.append(next(left, "?") if _is_place(kind) else "?")
    axes = "".join(letters)
    if "?" in axes or len(set(axes)) < len(axes) or not {"x", "y"} <= set(axes):
        raise VolumeError(
            f"'{path.name}' has axes of the kinds {', '.join(kinds)[:80]}; expected two or three in space, and at most "
            "one of time and one of channels. Convert it first."
        )
    return axes


def _affine(fields: Mapping[str, str], vectors: Sequence[np.ndarray | None], axes: str) -> np.ndarray | None:
    """Voxel index along (x, y, z) to RAS+ millimetres; None if no voxel size is stated."""
    columns = {name: vector for name, vector in zip(axes, vectors, strict=True) if name in "xyz"}
    affine = np.eye(4)
    for place, name in enumerate("xyz"):
        vector = columns.get(name)
        if vector is not None:
            used = vector[:3]
            affine[:3, place] = 0
            affine[: len(used), place] = used
        elif name in columns:
            return None
    if "z" not in columns:
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = normal / np.linalg.norm(normal)
    origin = fields.get("space origin")
    if origin is not None:
        position = _vector(origin.strip(" ()"))[:3]
        affine[: len(position), 3] = position
    affine[:3] *= _unit(fields)
    space = fields.get("space", "").lower().removesuffix("-time")
    # 3D Slicer and ITK take a space that is not named for LPS
    return _SPACES.get(space, _SPACES.get(space.removesuffix("t"), LPS_TO_RAS)) @ affine


def _unit(fields: Mapping[str, str]) -> float:
    """Millimetres of the unit of space."""
    units = re.findall(r'"([^"]*)"', fields.get("space units", ""))
    return MILLIMETRES.get(units[0], 1.0) if units else 1.0


def _geometry(volume: Volume, axes: str) -> dict[str, str]:
    """The fields that say where the voxels are; none if that is not known."""
    if not volume.has_spacing:
        return {}
    place = LPS_TO_RAS @ volume.affine
    columns = {name: f"({','.join(digits(place[:3, i]))})" for i, name in enumerate("xyz")}
    return {
        "space": "left-posterior-superior",
        "space directions": " ".join(columns.get(name, "none") for name in axes[::-1]),
        "space origin": f"({','.join(digits(place[:3, 3]))})",
    }


def _kind(name: str, data: np.ndarray) -> str:
    if name == "c":
        return "RGB-color" if data.dtype == np.uint8 and data.shape[-1] == 3 else "vector"
    return "list" if name == "t" else "domain"
