"""What a journal needs to know of a layer when it begins, and the job that begins it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from ...io.contributions import KEY, layer_tuple
from ...io.notes import Notes
from ...memory import free_bytes
from ...progress import Job
from ...record import now, plain, voxel_hash
from ...review.journal import Journal
from ...review.opening import start_job
from ...review.planes import Planes, checksum
from ...review.sessions import Session, held_since, host, root, user
from ...volume import Volume
from . import layer_volumes
from .preferences import preferences
from .records import noted

NO_AUTOSAVE = (
    "Not protected against a crash: autosave was off in File > Preferences > napari-medseg when these labels were "
    "opened. Undo works all the same; save the labels often."
)

_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Begun:
    """A journal that has begun.

    Parameters
    ----------
    journal : Journal
    array : numpy.ndarray or zarr.Array
        The labels.
    copied : bool
        Whether it is a copy of that of the layer.
    sums : tuple of int
        Checksum of every slice.
    filled : tuple of int
        The slices that hold labels.
    """

    journal: Journal
    array: Any
    copied: bool
    sums: tuple[int, ...]
    filled: tuple[int, ...]


def why_not(layer: Labels) -> str:
    """Why no journal can be kept of a layer; empty if one can."""
    if layer.multiscale:
        return f"'{layer.name}' holds labels at several resolutions; expected a single one. Open the finest one alone."
    if layer.ndim < 2:
        return f"'{layer.name}' has {layer.ndim} axis; expected at least rows and columns. Open other labels."
    if not layer.editable:
        return f"'{layer.name}' cannot be changed now. Wait until its run has ended; show the layer if it is hidden."
    return "" if _is_writable(layer.data) else _too_large(layer)


def _too_large(layer: Labels) -> str:
    """Why labels do not fit into memory, where a copy of them is needed; empty if they do."""
    needed = math.prod(layer.data.shape) * np.dtype(layer.data.dtype).itemsize
    free = free_bytes()
    if needed < free:
        return ""
    return (
        f"'{layer.name}' must be copied into memory to be changed: that takes {needed / 1e9:,.1f} GB, and "
        f"{free / 1e9:,.1f} GB are free. Crop the labels, or open them as a zarr array that can be written to."
    )


def begin_job(layer: Labels, image: Image | None) -> Job[Begun]:
    """Begin the journal of a layer; what it reads of the layers now may change while it is driven."""
    session = session_of(layer, image)
    place = root() if preferences().autosave else None
    return _begin_job(layer.data, None if image is None else layer_volumes.finest(image), session, place)


def _begin_job(data: Any, pixels: Any, session: Session, place: Path | None) -> Job[Begun]:
    copied = not _is_writable(data)
    array = np.array(data) if copied else data
    if isinstance(pixels, np.ndarray):
        session = replace(session, image_hash=voxel_hash(pixels))
    journal = yield from start_job(array, session, place)
    if place is None:
        journal.problem = NO_AUTOSAVE
    planes = Planes(array)
    sums = []
    filled = []
    for number in range(planes.count):
        plane = planes.read(number)
        sums.append(checksum(plane))
        if plane.any():
            filled.append(number)
    return Begun(journal, array, copied, tuple(sums), tuple(filled))


def _is_writable(data: Any) -> bool:
    """Whether voxels of an array can be changed where they are: not those of dask, which only notes what is to do."""
    if isinstance(data, np.ndarray):
        return data.flags.writeable
    return hasattr(data, "__setitem__") and not hasattr(data, "dask")


def session_of(layer: Labels, image: Image | None) -> Session:
    """What a journal says of a layer, but for the voxels of its image."""
    source = None if image is None else layer_volumes.source_path(image)
    notes = noted(layer)
    kept = Notes(notes.get("axes", ""), notes.get("affine"), tuple(notes.get("classes", ())), notes)
    return Session(
        layer=layer.name,
        shape=tuple(layer.data.shape),
        dtype=np.dtype(layer.data.dtype).str,
        image="" if image is None else image.name,
        source="" if source is None else str(source),
        place=place_of(layer),
        notes=kept.to_json(),
        created=now(),
        host=host(),
        user=user(),
    )


def place_of(layer: Labels) -> dict[str, Any]:
    """Where a layer lies in the viewer, as plain JSON values."""
    found = {name: getattr(layer, name) for name in _PLACE}
    found["affine"] = np.asarray(layer.affine.affine_matrix)
    found["units"] = [str(unit) for unit in layer.units]
    return plain(found)


def restored_layer(session: Session, labels: np.ndarray) -> Labels:
    """The layer of a session, as it was."""
    notes = Notes.from_json(session.notes)
    options = _options(notes, labels)
    place: Mapping[str, Any] = {name: value for name, value in session.place.items() if name in _PLACE}
    try:
        return Labels(labels, **{**options, **place, "name": session.layer})
    except (TypeError, ValueError):
        _log.exception("The place of '%s' could not be restored", session.layer)
        return Labels(labels, **{**options, "name": session.layer})


def _options(notes: Notes, labels: np.ndarray) -> dict[str, Any]:
    if len(notes.axes) != labels.ndim or notes.affine is None:
        return {"metadata": {KEY: notes.metadata}} if notes.metadata else {}
    volume = Volume(labels, notes.axes, notes.affine, notes.classes, {**notes.metadata, "labels": True})
    _, options, _ = layer_tuple(volume, "")
    return options


def is_converted(image: Image, layer: Labels) -> bool:
    """Whether labels are what napari's *Convert to Labels* makes of an image."""
    pixels = image.data
    labels = layer.data
    if pixels is labels:
        return True
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, np.ndarray):
        return False
    if pixels.shape != labels.shape or pixels.dtype.kind not in "fb" or labels.dtype != int or not labels.any():
        return False
    with np.errstate(invalid="ignore"):
        return np.array_equal(pixels.astype(int), labels)


def opened_elsewhere(folder: Path | None) -> list[str]:
    """Who else has the same labels open."""
    if folder is None:
        return []
    times = [held_since(other) for other in folder.parent.iterdir() if other != folder]
    return [f"These labels are also open in another window since {since}." for since in times if since]


def changed_text(count: int) -> str:
    """That slices are not what was reviewed any more."""
    if count == 1:
        return "1 slice has changed since it was reviewed."
    return f"{count} slices have changed since they were reviewed."


def converted_text(image: str, filled: int) -> str:
    """That napari has made labels of an image, which count as drawn by hand."""
    slices, are = ("slice is", "it") if filled == 1 else ("slices are", "them")
    return (
        f"These labels were converted from the image '{image}' and count as drawn by hand: {filled} filled {slices} "
        f"listed as edited, and Fine-tune would learn from {are}. Look at {are} before you train."
    )
