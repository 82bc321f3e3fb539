"""OME-Zarr 0.5, written slice by slice: images and labels of any size, with place, names and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from ..files import dump
from ..volume import Volume
from .notes import KEY, Notes, is_labels
from .places import Place

ARRAY = "0"
"""Name of the finest level in a store."""

_SIDE = 1024  # rows and columns of a chunk, which is a file
_VERSION = "0.5"
_KINDS = {"t": "time", "c": "channel"}


def save(volume: Volume, path: Path) -> None:
    """Write a volume as a store; its array may stay on the disk, and is read slice by slice."""
    axes = stored_axes(volume.axes)
    data: Any = volume.data
    if axes != volume.axes:
        data = data.transpose([volume.axes.index(name) for name in axes])
    zarr.create_group(path, zarr_format=3)
    array = create(path, data.shape, axes, data.dtype)
    for place in np.ndindex(data.shape[:-2]):
        array[place] = np.asarray(data[place])
    describe(path, volume)


def stored_axes(axes: str) -> str:
    """The order of axes in a store: channels, also those of colours, come before space."""
    return "".join(name for name in "tczyx" if name in axes)


def create(path: Path, shape: Sequence[int], axes: str, dtype: np.dtype) -> zarr.Array:
    """An array of zeros in a store, with a file for each piece of a slice.

    Files of pieces that hold nothing but zeros are written too: where they exist, the piece is finished.
    """
    shape = tuple(map(int, shape))
    sides = [min(_SIDE, length) for length in shape[-2:]]
    array = zarr.create_array(
        path,
        name=ARRAY,
        shape=shape,
        chunks=(*(1,) * len(shape[:-2]), *sides),
        dtype=np.dtype(dtype).newbyteorder("="),
        compressors=[ZstdCodec()],
        dimension_names=list(axes),
        zarr_format=3,
        overwrite=True,
    )
    return writable(array)


def writable(array: zarr.Array) -> zarr.Array:
    """The array, which from now on writes pieces that hold nothing but zeros; a store does not remember that."""
    return array.with_config({"write_empty_chunks": True})


def describe(path: Path, volume: Volume, more: Mapping[str, Any] | None = None) -> None:
    """Write what a store is, and further attributes: with it, an array becomes an image or labels."""
    said: dict[str, Any] = {"version": _VERSION, "multiscales": [_image(volume)]}
    if is_labels(volume):
        said["image-label"] = _look(volume)
    if volume.metadata.get("channels"):
        said["omero"] = {"channels": [{"label": str(name)} for name in volume.metadata["channels"]]}
    attributes = {**(more or {}), "ome": said, KEY: Notes.of(volume).to_json()}
    dump(path / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})


def _image(volume: Volume) -> dict[str, Any]:
    """Axes, voxel size and position, as measured along the axes of the voxels."""
    place = Place.noted(volume.axes, volume.affine, {})
    axes, scale, offset = [], [], []
    for name in stored_axes(volume.axes):
        axis = {"name": name, "type": _KINDS.get(name, "space")}
        size, start = 1.0, 0.0
        if name in "zyx":
            row = "xyz".index(name)
            size, start = float(place.sizes[row]), float(place.shown[row, 3])
            if volume.has_spacing:
                axis["unit"] = "millimeter"
        axes.append(axis)
        scale.append(size)
        offset.append(start)
    steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": offset}]
    return {"axes": axes, "datasets": [{"path": ARRAY, "coordinateTransformations": steps}]}


def _look(volume: Volume) -> dict[str, Any]:
    """Names and colours of labels."""
    colours = []
    names = []
    for row in volume.classes:
        parts = [int(row.colour[place : place + 2], 16) for place in (1, 3, 5)]
        colours.append({"label-value": row.id, "rgba": [*parts, 255]})
        names.append({"label-value": row.id, "class": row.name})
    return {"colors": colours, "properties": names} if colours else {}
