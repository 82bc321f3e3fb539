"""OME-Zarr, versions 0.4 and 0.5, read piece by piece: image, coarser levels, position, channels and labels.

The voxels stay on the disk: the array of the volume is a dask array that reads a chunk when it is asked for. Only
labels that are not large are read at once, so that they can be corrected.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileError, readable
from ..volume import LEVELS, LabelClass, Volume, colour_of, in_pieces
from . import checks, formats, zarr_store
from .notes import KEY, NAME, Notes
from .places import Place
from .zarr_groups import LABELS

if TYPE_CHECKING:
    import dask.array

_VERSIONS = ("0.4", "0.5")
_MILLIMETRES = {
    "angstrom": 1e-7,
    "picometer": 1e-9,
    "nanometer": 1e-6,
    "micrometer": 1e-3,
    "millimeter": 1.0,
    "centimeter": 10.0,
    "decimeter": 100.0,
    "meter": 1e3,
    "inch": 25.4,
}
_LETTERS = {"time": "t", "channel": "c"}
_IN_MEMORY = 2**30  # bytes of labels that are read at once
_MAX_CLASSES = 2**16
_LARGEST_ID = 2**32 - 1
_SAME = 1e-6  # of a voxel
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Described:
    """What the metadata of an image say.

    Parameters
    ----------
    axes : str
        A letter for each axis, in the order of the store.
    scale, offset : numpy.ndarray, shape (axes,)
        Index to place, in the units of the axes, for the finest level.
    paths : tuple of str
        Of the levels, the finest first.
    units : tuple of (float or None)
        Millimetres of the unit of each axis in space.
    rows : tuple of dict
        The axes as the store describes them.
    """

    axes: str
    scale: np.ndarray
    offset: np.ndarray
    paths: tuple[str, ...]
    units: tuple[float | None, ...]
    rows: tuple[dict[str, Any], ...]

    @property
    def units_mm(self) -> dict[str, float | None]:
        """Millimetres of the unit of each axis in space; none where it is not said."""
        return dict(zip((name for name in self.axes if name in "zyx"), self.units, strict=True))


def read(path: Path, axes: str | None = None) -> Volume:
    """Read the image of a store, or the labels if it holds nothing else.

    Parameters
    ----------
    path : pathlib.Path
        Folder of the store, or a metadata file in it.
    axes : str, optional
        Names of the axes of the finest level in place of those that the store gives.

    Returns
    -------
    Volume
        ``metadata`` has the coarser levels as ``levels``.

    Raises
    ------
    FileError
        If the store is not of these versions, leads out of its folder, is damaged or declares too much.
    """
    folder = formats.whole(path)
    return _volume(folder, zarr_store.open_group(folder), axes)


def read_all(path: Path) -> list[Volume]:
    """Read the image of a store and its labels, each with ``name`` in its metadata.

    Raises
    ------
    FileError
        As of `read`. What is wrong with labels is logged, and they are left out.
    """
    folder = formats.whole(path)
    group = zarr_store.open_group(folder)
    volumes = [_volume(folder, group)]
    for name in labels_in(folder):
        try:
            with checks.damaged(folder):
                inner = zarr_store.member(group, f"{LABELS}/{name}")
                if inner is None:
                    raise FileError(f"'{folder.name}' lists labels that are not there. Copy it again from its source.")
                volume = _volume(folder / LABELS / name, inner)
        except FileError as error:
            _logger.warning("%s The labels '%s' are left out.", error, readable(name))
            continue
        noted = {**volume.metadata, "labels": volume.data.dtype.kind in "iu", NAME: name}
        volumes.append(replace(volume, metadata=noted))
    return volumes


def described(path: Path) -> Described:
    """What the metadata of the image of a store say.

    Raises
    ------
    FileError
        As of `read`.
    """
    with checks.damaged(path):
        return _image(path, _said(zarr_store.open_group(path)))


def labels_in(path: Path) -> list[str]:
    """The names of the labels of the image of a store; a list that cannot be read is logged, and names none."""
    folder = formats.whole(path)
    try:
        with checks.damaged(folder / LABELS):
            inner = zarr_store.member(zarr_store.open_group(folder), LABELS)
            said = {} if inner is None else _said(inner)
    except FileError as error:
        _logger.warning("%s The labels of '%s' are left out.", error, folder.name)
        return []
    names = said.get("labels", [])
    known = [name for name in names if isinstance(name, str) and name] if isinstance(names, list) else []
    return list(dict.fromkeys(known))  # some programs list labels again that they replace


def _said(node: Any) -> dict[str, Any]:
    """What a group says about images: since 0.5 under a name of its own."""
    found = dict(node.attrs)
    inner = found.get("ome")
    return inner if isinstance(inner, dict) else found


def _volume(folder: Path, node: Any, axes: str | None = None) -> Volume:
    said = _said(node) if node is not None else {}
    image = _image(folder, said)
    arrays = _levels(node, image)
    is_label = "image-label" in said and arrays[0].dtype.kind in "iu"
    notes = Notes.from_json(node.attrs.get(KEY))
    order = _order(image.axes, notes.axes)
    levels = [_arranged(array, image.axes, order) for array in arrays]
    data = levels[0]
    metadata: dict[str, Any] = dict(notes.metadata)
    if not all(image.units):
        metadata["has_spacing"] = False
    names = _channels(said, image)
    if names:
        metadata["channels"] = names
    if is_label:
        metadata["labels"] = True
    if is_label and data.nbytes <= _IN_MEMORY:
        data = np.asarray(data)
    elif len(levels) > 1:
        metadata[LEVELS] = tuple(levels[1:])
    classes = (notes.classes or _classes(said["image-label"])) if is_label else ()
    return Volume(data, axes or order, _affine(image, notes), classes, metadata)


def _image(folder: Path, said: Mapping[str, Any]) -> Described:
    """The first image that the metadata describe.

    Raises
    ------
    FileError
        If there is no image, or only one of a version that cannot be read.
    """
    images = said.get("multiscales")
    if not isinstance(images, list) or not images or not isinstance(images[0], dict):
        raise FileError(_no_image(folder, said))
    first = images[0]
    version = str(said.get("version") or first.get("version") or "not stated")
    if version not in _VERSIONS:
        raise FileError(
            f"'{folder.name}' holds no images that follow OME-NGFF 0.4 or 0.5 (found: {version}). Convert it with "
            "ome2024-ngff-challenge or napari-ome-zarr."
        )
    axes = first["axes"]
    letters = "".join(_LETTERS.get(axis.get("type", ""), str(axis["name"]).lower()) for axis in axes)
    if not {"y", "x"} <= set(letters) <= set("tczyx") or len(set(letters)) < len(letters):
        names = ", ".join(str(axis["name"]) for axis in axes)
        raise FileError(
            f"'{folder.name}' has the axes {names}; expected time, channel, z, y and x, or some of them. Write the "
            "image with axes of these names."
        )
    levels = first["datasets"]
    whole = _transform(first.get("coordinateTransformations"), len(letters))
    scale, offset = _transform(levels[0].get("coordinateTransformations"), len(letters))
    space = [axis for axis, letter in zip(axes, letters, strict=True) if letter in "zyx"]
    units = tuple(_MILLIMETRES.get(str(axis.get("unit")).lower()) for axis in space)
    paths = tuple(level["path"] for level in levels)
    return Described(letters, whole[0] * scale, whole[0] * offset + whole[1], paths, units, tuple(axes))


def _no_image(folder: Path, said: Mapping[str, Any]) -> str:
    """Why there is no image to read, and what to do."""
    if "plate" in said or "well" in said or "bioformats2raw.layout" in said:
        return f"'{folder.name}' holds several images in its folders. Open the folder of one of them."
    return (
        f"'{folder.name}' holds no images that follow OME-NGFF 0.4 or 0.5 (found: none). Convert it with "
        "ome2024-ngff-challenge or napari-ome-zarr."
    )


def _transform(steps: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and translation of a list of transformations, done one after the other."""
    scale, offset = np.ones(count), np.zeros(count)
    for step in steps or ():
        kind = step["type"]
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or kind not in step:
            raise ValueError(f"a transformation '{kind}' without numbers; expected scale or translation")
        values = np.array(step[kind], np.float64)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise ValueError(f"a {kind} of {step[kind]}; expected {count} numbers")
        if kind == "scale":
            scale, offset = scale * values, offset * values
        else:
            offset = offset + values
    return scale, offset


def _levels(node: Any, image: Described) -> list[dask.array.Array]:
    """The levels of an image; those that are not coarser than the one before are left out."""
    found = []
    for path in image.paths:
        array = zarr_store.open_array(node, path)
        if len(array.shape) != len(image.axes):
            raise ValueError(f"the array '{path}' has {len(array.shape)} axes; expected {image.axes}")
        coarser = not found or (math.prod(array.shape) < found[-1].size and array.dtype == found[-1].dtype)
        if coarser:
            found.append(in_pieces(array))
    return found


def _order(axes: str, noted: str) -> str:
    """The order of the axes in a volume: as they were when we wrote it, else time and channels first."""
    if sorted(axes) == sorted(noted):
        return noted
    return "".join(name for name in "tczyx" if name in axes)


def _arranged(array: dask.array.Array, axes: str, order: str) -> Any:
    if array.dtype == bool:
        array = array.astype(np.uint8)
    array = array.astype(array.dtype.newbyteorder("="))
    return array if axes == order else array.transpose([axes.index(name) for name in order])


def _affine(image: Described, notes: Notes) -> np.ndarray:
    """Voxel index to mm; the exact one that we noted, if scale and place are still those of it."""
    affine = np.eye(4)
    space = [name for name in image.axes if name in "zyx"]
    for name, unit in image.units_mm.items():
        here, there = image.axes.index(name), "xyz".index(name)
        affine[there, there] = image.scale[here] * (unit or 1.0)
        affine[there, 3] = image.offset[here] * (unit or 1.0)
    if notes.affine is None:
        return affine
    shown = Place.noted(image.axes, notes.affine, notes.metadata).shown
    present = ["xyz".index(name) for name in space]
    change = np.abs(shown - affine)[present]
    same = change.max() <= _SAME * np.linalg.norm(notes.affine[:3, :3], axis=0).min()
    return notes.affine if same else affine


def _channels(said: Mapping[str, Any], image: Described) -> tuple[str, ...]:
    """Names of the channels, if they have any."""
    omero = said.get("omero")
    rows = omero.get("channels") if isinstance(omero, dict) else None
    if "c" not in image.axes or not isinstance(rows, list):
        return ()
    names = [str(row.get("label", "")) if isinstance(row, dict) else "" for row in rows]
    return tuple(names) if all(names) else ()


def _classes(said: Any) -> tuple[LabelClass, ...]:
    """The class table of labels: colours of one list, names of another."""
    if not isinstance(said, dict):
        return ()
    colours = {number: _colour(row.get("rgba")) for number, row in _rows(said.get("colors"))}
    names = {number: _name(row) for number, row in _rows(said.get("properties"))}
    found = []
    for number in sorted({*colours, *names})[:_MAX_CLASSES]:
        colour = colours.get(number) or colour_of(number)
        found.append(LabelClass(number, names.get(number) or f"class {number}", colour))
    return tuple(found)


def _rows(content: Any) -> list[tuple[int, Mapping[str, Any]]]:
    """Rows with the number that they are about."""
    rows = [row for row in content if isinstance(row, dict)] if isinstance(content, list) else []
    numbered = [(row.get("label-value"), row) for row in rows]
    return [(value, row) for value, row in numbered if type(value) is int and 0 < value <= _LARGEST_ID]


def _colour(rgba: Any) -> str:
    """A colour as ``#rrggbb``; empty if it is not one."""
    if not isinstance(rgba, Sequence) or len(rgba) < 3:
        return ""
    parts = rgba[:3]
    if not all(type(part) is int and 0 <= part <= 255 for part in parts):
        return ""
    return "#{:02x}{:02x}{:02x}".format(*parts)


def _name(row: Mapping[str, Any]) -> str:
    known = (row.get(key) for key in ("class", "name", "label"))
    return next((name for name in known if isinstance(name, str) and name), "")
