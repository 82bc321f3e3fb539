"""`Notes`: a volume without its voxels, as kept in our files, in sidecar files and in layer metadata."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..volume import LabelClass, Volume
from . import verified
from .formats import stem

KEY = "napari_medseg"
"""Name under which our files keep their notes."""

_MAX_SIDECAR_BYTES = 2**24
_FLAGS = ("has_spacing", "labels")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
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
        As in `Volume`. Files keep only its flags ``has_spacing`` and ``labels``.
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
            "classes": [{"id": c.id, "name": c.name, "colour": c.colour} for c in self.classes],
            **{flag: bool(self.metadata[flag]) for flag in _FLAGS if flag in self.metadata},
        }

    @classmethod
    def from_json(cls, content: Any) -> Notes:
        """From what `to_json` made; parts that are missing or malformed are left out."""
        if not isinstance(content, dict):
            return cls()
        axes = content.get("axes")
        classes = content.get("classes")
        return cls(
            axes if isinstance(axes, str) else "",
            _affine(content.get("affine")),
            tuple(filter(None, map(_label_class, classes))) if isinstance(classes, list) else (),
            {flag: content[flag] for flag in _FLAGS if isinstance(content.get(flag), bool)},
        )

    def to_text(self) -> str:
        """As a JSON text that names this package."""
        return json.dumps({KEY: self.to_json()})

    @classmethod
    def from_text(cls, text: str | bytes) -> Notes | None:
        """From a JSON text; None if it is none of ours."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return cls.from_json(content[KEY]) if isinstance(content, dict) and KEY in content else None


def _affine(content: Any) -> np.ndarray | None:
    try:
        affine = np.array(content, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return affine if affine.shape == (4, 4) and np.isfinite(affine).all() else None


def _label_class(content: Any) -> LabelClass | None:
    match content:
        case {"id": int(number), "name": str(name), "colour": str(colour)} if _COLOUR.fullmatch(colour):
            return LabelClass(number, name, colour)
    _logger.warning("A row of the class table is malformed and left out: %s", str(content)[:80])
    return None


def restore_axes(data: np.ndarray, axes: str, wanted: str) -> tuple[np.ndarray, str]:
    """Drop or bring back axes of one voxel that a file format cannot tell or leave out.

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


def sidecar(path: Path) -> Path:
    """The JSON file beside `path`: ``scan.nii.gz`` has ``scan.json``."""
    return path.with_name(stem(path) + ".json")


def read_beside(path: Path) -> Notes | None:
    """Our notes in the JSON file beside `path`; None if there are none."""
    content = _read_json(sidecar(path))
    return Notes.from_json(content[KEY]) if KEY in content else None


def classes_beside(path: Path) -> tuple[LabelClass, ...]:
    """The class table in the JSON file beside `path`, for label files that lost or never had their own."""
    notes = read_beside(path)
    return notes.classes if notes else ()


def write_beside(path: Path, notes: Notes) -> None:
    """Put the notes into the JSON file beside `path`, leaving entries of other programs in it as they are.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    target = sidecar(path)
    text = json.dumps({**_read_json(target), KEY: notes.to_json()}, indent=1)
    verified.replace(target, lambda temporary: temporary.write_text(text, "utf-8"), lambda temporary: None)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_SIDECAR_BYTES:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
