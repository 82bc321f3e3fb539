"""`Notes`: a volume without its voxels, as kept in our files, in side files and in layer metadata.

Every format that can hold the notes holds them inside. Only ``.npy`` cannot: ``scan.npy`` has ``scan.npy.json``.
"""

from __future__ import annotations

import json
import logging
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import files
from ..codes import Coding
from ..errors import FileError, SettingsError
from ..record import KEY as RECORD
from ..record import Record, plain
from ..reference import KEY as REFERENCE
from ..reference import Reference
from ..slice_states import KEY as SLICES
from ..slice_states import collapse, expand
from ..volume import LabelClass, Volume
from .formats import stem, suffixes

KEY = "napari_medseg"
"""Name under which our files keep their notes."""

NAME = "name"
"""Key in the metadata of a volume that is one of several in a file: the name that it has there."""

_MAX_SIDE_BYTES = 2**24
_VERSION = 1
_LARGEST_ID = 2**32 - 1  # what label arrays hold
_FLAGS = ("has_spacing", "labels", "simulated")
_TEXTS = ("modality", "series_uid", "photometric", "t_axis")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_Kind = TypeVar("_Kind", Coding, Reference)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Notes:
    """What a volume is besides its voxels.

    Parameters
    ----------
    axes : str
        As in `Volume`; empty when not known.
    affine : numpy.ndarray or None
        As in `Volume`; None when not known.
    classes : tuple of LabelClass
    metadata : mapping
        As in `Volume`. Files keep its flags ``has_spacing``, ``labels`` and ``simulated``, its ``modality``,
        ``series_uid``, ``photometric`` and ``t_axis``, its ``record`` and ``reference``, and the states of its
        ``slices``.
    """

    axes: str = ""
    affine: np.ndarray | None = None
    classes: tuple[LabelClass, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, volume: Volume) -> Notes:
        """The notes of a volume."""
        return cls(volume.axes, volume.affine, volume.classes, volume.metadata)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; numbers keep their full precision."""
        return {
            "axes": self.axes,
            "affine": None if self.affine is None else self.affine.tolist(),
            "classes": [_row(c) for c in self.classes],
            **self.kept(),
        }

    def kept(self) -> dict[str, Any]:
        """The part of the metadata that files keep, as plain JSON values."""
        found: dict[str, Any] = {flag: bool(self.metadata[flag]) for flag in _FLAGS if flag in self.metadata}
        found |= {name: str(self.metadata[name]) for name in _TEXTS if self.metadata.get(name)}
        if RECORD in self.metadata:
            found[RECORD] = plain(self.metadata[RECORD])
        if self.metadata.get(SLICES):
            found[SLICES] = plain(self.metadata[SLICES])
        if isinstance(self.metadata.get(REFERENCE), Reference):
            found[REFERENCE] = plain(self.metadata[REFERENCE])
        return found

    @classmethod
    def from_json(cls, content: Any) -> Notes:
        """From what `to_json` made; parts that are missing or malformed are left out."""
        if not isinstance(content, dict) or files.is_deep(content):
            return cls()
        axes = content.get("axes")
        classes = content.get("classes")
        return cls(
            axes if isinstance(axes, str) else "",
            _affine(content.get("affine")),
            tuple(filter(None, map(_label_class, classes))) if isinstance(classes, list) else (),
            _metadata(content),
        )

    def to_text(self) -> str:
        """As a JSON text that names this package."""
        return json.dumps({KEY: self.to_json()})

    @classmethod
    def from_text(cls, text: str | bytes) -> Notes | None:
        """From a JSON text; None if it is not one of ours."""
        content = content_with_notes(text)
        return cls.from_json(content[KEY]) if content else None


def content_with_notes(text: str | bytes) -> Mapping[str, Any] | None:
    """The object in a JSON text that holds our notes; None if there is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and KEY in content else None


def _metadata(content: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {flag: content[flag] for flag in _FLAGS if isinstance(content.get(flag), bool)}
    found |= {name: content[name] for name in _TEXTS if isinstance(content.get(name), str)}
    rows = collapse(expand(content.get(SLICES)))
    if rows:
        found[SLICES] = rows
    reference = _typed(Reference, content.get(REFERENCE))
    if reference is not None:
        found[REFERENCE] = reference
    record = Record.from_json(content.get(RECORD))
    return found if record is None else {**found, RECORD: record}


def _affine(content: Any) -> np.ndarray | None:
    try:
        affine = np.array(content, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return affine if affine.shape == (4, 4) and np.isfinite(affine).all() else None


def _row(label: LabelClass) -> dict[str, Any]:
    """A row of the class table as plain JSON values."""
    row = {"id": label.id, "name": label.name, "colour": label.colour}
    return row if label.code is None else {**row, "code": plain(label.code)}


def _label_class(content: Any) -> LabelClass | None:
    match content:
        case {"id": int(number), "name": str(name), "colour": str(colour)} if _COLOUR.fullmatch(colour):
            if 0 <= number <= _LARGEST_ID and not isinstance(number, bool):
                return LabelClass(number, name, colour, _typed(Coding, content.get("code")))
    _logger.warning("A row of the class table is malformed and left out: %s", str(content)[:80])
    return None


def _typed(kind: type[_Kind], content: Any) -> _Kind | None:
    """A dataclass from plain JSON values; None if there are none or they are malformed."""
    try:
        return None if content is None else files.typed(kind, content)
    except SettingsError:
        _logger.warning("A %s in the notes is malformed and left out: %s", kind.__name__, str(content)[:80])
        return None


def restore_axes(data: np.ndarray, axes: str, wanted: str) -> tuple[np.ndarray, str]:
    """Drop or bring back axes of one voxel that a file format cannot store or leaves out.

    Parameters
    ----------
    data : numpy.ndarray
    axes : str
        Names of its axes, in the order of `Volume`.
    wanted : str
        Names of the axes as they were when the file was written; empty or unfitting ones change nothing.
    """
    sizes = dict(zip(axes, data.shape, strict=True))
    shape = [sizes.get(name, 1) for name in wanted]
    if wanted and math.prod(shape) == data.size and wanted.endswith("c") == axes.endswith("c"):
        return data.reshape(shape), wanted
    return data, axes


def is_labels(volume: Volume) -> bool:
    """Whether a volume holds class or object numbers rather than grey values."""
    return bool(volume.classes) or bool(volume.metadata.get("labels", False))


def side_file(path: Path) -> Path:
    """The JSON file next to a ``.npy`` file: ``scan.npy`` has ``scan.npy.json``."""
    return path.with_name(path.name + ".json")


def side_text(path: Path, volume: Volume) -> str:
    """Content of the side file of `path`, which holds the voxels of `volume`: its notes, and what they belong to."""
    belongs = {"version": _VERSION, **_belongs(path, volume.data)}
    return json.dumps({KEY: {**belongs, **Notes.of(volume).to_json()}}, indent=1)


def shaped_text(volume: Volume) -> str:
    """The notes of a volume with its shape, for files that leave out what is empty."""
    return json.dumps({KEY: {"shape": list(volume.data.shape), **Notes.of(volume).to_json()}})


def refuse_foreign(path: Path) -> None:
    """Make sure that the side file of `path` is absent or one of ours.

    Raises
    ------
    FileError
        If it belongs to another program, or cannot have its name.
    """
    side = side_file(path)
    files.refuse_name(side)
    if not side.exists():
        return
    content = _read_json(side)
    if content.keys() != {KEY}:
        raise FileError(
            f"'{side.name}' next to it belongs to another program and is left alone. "
            "Save as .npz, which does not need a second file, or choose another name."
        )


def read_side(path: Path, data: np.ndarray) -> Notes | None:
    """Our notes in the side file of `path`, which holds `data`; None if there are none, or those of other voxels."""
    side = side_file(path)
    content = _read_json(side).get(KEY)
    if content is None:
        old = read_old(path) if _stands_alone(path) else None
        return old if old and len(old.axes) in (0, data.ndim) else None
    belongs = _belongs(path, data)
    if not isinstance(content, dict) or {name: content.get(name) for name in belongs} != belongs:
        _logger.warning("'%s' describes another file or other voxels than '%s' and is ignored.", side, path.name)
        return None
    return Notes.from_json(content)


def read_old(path: Path) -> Notes | None:
    """Our notes in ``scan.json``, where earlier versions put those of ``scan.npy`` and ``scan.nii.gz``."""
    content = _read_json(path.with_name(stem(path) + ".json"))
    return Notes.from_json(content[KEY]) if KEY in content else None


def _belongs(path: Path, data: np.ndarray) -> dict[str, Any]:
    """What shows whether a side file describes `data` in the file `path`."""
    crc32 = zlib.crc32(np.ascontiguousarray(data).reshape(-1).view(np.uint8).data)
    return {"for": path.name, "shape": list(data.shape), "dtype": data.dtype.str, "crc32": crc32}


def _stands_alone(path: Path) -> bool:
    """Whether no other readable file has the same stem: ``scan.json`` might describe that one."""
    name = stem(path)
    return not any(path.with_name(name + ending).exists() for ending in suffixes() if ending != ".npy")


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none that can be read."""
    try:
        if path.stat().st_size > _MAX_SIDE_BYTES:
            return {}
        content = files.read_json(path)
    except (OSError, FileError):
        return {}
    return content if isinstance(content, dict) else {}
