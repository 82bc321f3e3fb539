"""OME-Zarr, written slice by slice: images and labels of any size, with place, names and colours.

Stores are of version 0.5; labels in the store of their image are of the version of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError
from ..progress import run
from ..volume import Volume
from . import zarr_groups, zarr_labels, zarr_levels
from .notes import KEY, Notes, is_labels
from .ome_zarr import Described, described
from .places import Place
from .zarr_groups import image_of
from .zarr_levels import Level

_KINDS = {"t": "time", "c": "channel"}
_GREY = "FFFFFF"  # from black to this colour
_SAME = 1e-9  # of a voxel: what rounding makes of a length


def save(volume: Volume, path: Path) -> None:
    """Write a volume as a store; its array may stay on the disk, and is read slice by slice."""
    if image_of(path) and not is_labels(volume):
        raise FileError("it is an image, and only labels can lie in the folder 'labels' of a store")
    axes = stored_axes(volume.axes)
    data: Any = volume.data
    if axes != volume.axes:
        data = data.transpose([volume.axes.index(name) for name in axes])
    path.mkdir()
    zarr_groups.describe(path, {}, zarr_labels.zarr_version(path))
    levels = levels_of_volume(volume, path)
    array = zarr_levels.create(path, levels[0], axes, data.dtype)
    seen: dict[int, list[float]] = {}
    for place in np.ndindex(data.shape[:-2]):
        plane = np.asarray(data[place])
        array[place] = plane
        finite = plane[np.isfinite(plane)]
        if "c" in axes and finite.size:
            seen.setdefault(place[axes.index("c")], []).extend((float(finite.min()), float(finite.max())))
    run(zarr_levels.fill_job(path, levels, axes, labels=is_labels(volume)))
    describe(path, volume, _channels(volume, seen))


def levels_of_volume(volume: Volume, path: Path) -> list[Level]:
    """The levels of the store at `path` that a volume becomes."""
    axes = stored_axes(volume.axes)
    shape = [volume.data.shape[volume.axes.index(name)] for name in axes]
    image = image_of(path)
    if image:
        return zarr_levels.levels_like(axes, shape, zarr_labels.levels_of_image(image))
    return zarr_levels.levels_of(axes, shape, _sizes(volume))


def stored_axes(axes: str) -> str:
    """The order of axes in a store: channels, also those of colours, come before space."""
    return "".join(name for name in "tczyx" if name in axes)


def describe(
    path: Path, volume: Volume, look: Mapping[str, Any] | None = None, more: Mapping[str, Any] | None = None
) -> None:
    """Write what a store is: with it, an array becomes an image or labels.

    Parameters
    ----------
    path : pathlib.Path
    volume : Volume
    look : mapping, optional
        What else is said about the image, for other programs.
    more : mapping, optional
        Further attributes.
    """
    version = zarr_labels.zarr_version(path)
    number = zarr_groups.VERSIONS[version]
    old = version == 2
    # since 0.5 the version is said once
    own = {"version": number} if old else {}
    said: dict[str, Any] = {"multiscales": [{**own, **_image(volume, path)}]}
    if is_labels(volume):
        source = {"source": {"image": "../../"}} if image_of(path) else {}
        said["image-label"] = {**own, **_look(volume), **source}
    said |= look or {}
    if not old:
        said = {"ome": {"version": number, **said}}
    zarr_groups.describe(path, {**(more or {}), **said, KEY: Notes.of(volume).to_json()}, version)


def _channels(volume: Volume, seen: Mapping[int, list[float]]) -> dict[str, Any]:
    """The channels of an image, if they have names, each shown from its darkest to its brightest voxel.

    Parameters
    ----------
    volume : Volume
    seen : mapping
        Values of each channel, the extremes among them.
    """
    names = volume.metadata.get("channels") or ()
    if is_labels(volume) or "c" not in volume.axes or len(names) != volume.data.shape[volume.axes.index("c")]:
        return {}
    rows = []
    for number, name in enumerate(names):
        values = seen.get(number, [0.0])  # none are finite
        low, high = min(values), max(values)
        window = {"min": low, "max": high, "start": low, "end": high}
        rows.append({"label": str(name), "color": _GREY, "window": window})
    return {"omero": {"channels": rows}}


def _image(volume: Volume, path: Path) -> dict[str, Any]:
    """Axes, voxel size and position, as measured along the axes of the voxels; of every level."""
    rows, sizes, offset = _frame(volume, path)
    datasets = []
    for level in levels_of_volume(volume, path):
        scale = [size * step for size, step in zip(sizes, level.steps, strict=True)]
        # the middle of a coarse voxel is that of the voxels that it covers
        moved = zip(offset, sizes, level.steps, strict=True)
        place = [start + size * (step - 1) / 2 for start, size, step in moved]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": place}]
        datasets.append({"path": level.name, "coordinateTransformations": steps})
    return {"axes": rows, "datasets": datasets}


_Frame = tuple[list[dict[str, Any]], list[float], list[float]]


def _frame(volume: Volume, path: Path) -> _Frame:
    """The axes of a store, with voxel size and position along each, in mm or, in the store of an image, its units."""
    shown = Place.noted(volume.axes, volume.affine, {}).shown
    rows = []
    offset = []
    for name in stored_axes(volume.axes):
        row = {"name": name, "type": _KINDS.get(name, "space")}
        if name in "zyx" and volume.has_spacing:
            row["unit"] = "millimeter"
        rows.append(row)
        offset.append(float(shown["xyz".index(name), 3]) if name in "zyx" else 0.0)
    own = rows, _sizes(volume), offset
    image = image_of(path)
    return _as_in(described(image), stored_axes(volume.axes), own, volume.has_spacing) if image else own


def _as_in(image: Described, axes: str, own: _Frame, known: bool) -> _Frame:
    """The axes of labels in the units of their image: many programs look at the numbers alone.

    Parameters
    ----------
    image : Described
    axes : str
        Of the labels.
    own : list, list, list
        The axes in mm, with voxel size and position.
    known : bool
        Whether the voxel size of the labels is known.
    """
    rows: list[dict[str, Any]] = []
    sizes: list[float] = []
    offset: list[float] = []
    alike = True
    for name, row, size, start in zip(axes, *own, strict=True):
        if name in image.axes:
            row = image.rows[image.axes.index(name)]
            size, start, same = _along(image, name, size, start)
            alike = alike and same
        rows.append(row)
        sizes.append(size)
        offset.append(start)
    return (rows, sizes, offset) if alike or (known and all(image.units)) else own


def _along(image: Described, name: str, size: float, start: float) -> tuple[float, float, bool]:
    """Size and position (mm) of voxels along an axis, in the unit of the image, and whether they are its own."""
    here = image.axes.index(name)
    theirs = float(image.scale[here]), float(image.offset[here])
    unit = image.units_mm.get(name) or 1.0
    mine = theirs if name == "t" else (size / unit, start / unit)
    same = np.allclose(mine, theirs, rtol=_SAME, atol=_SAME * abs(theirs[0]))
    # theirs are not rounded by way of mm
    return (*(theirs if same else mine), same)


def _sizes(volume: Volume) -> list[float]:
    """Voxel size along the axes of the store; 1 along time and channels."""
    known = dict(zip("xyz", Place.noted(volume.axes, volume.affine, {}).sizes, strict=True))
    return [float(known.get(name, 1.0)) for name in stored_axes(volume.axes)]


def _look(volume: Volume) -> dict[str, Any]:
    """Names and colours of labels."""
    colours = []
    names = []
    for row in volume.classes:
        red_green_blue = bytes.fromhex(row.colour[1:])
        colours.append({"label-value": row.id, "rgba": [*red_green_blue, 255]})
        names.append({"label-value": row.id, "class": row.name})
    return {"colors": colours, "properties": names} if colours else {}
