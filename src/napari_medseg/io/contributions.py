"""Readers and writers for napari's own Open and Save: volumes to layer tuples and back, without importing napari."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import VolumeError, readable
from ..record import KEY as RECORD
from ..volume import Volume
from . import formats, read, write
from .kspace import is_kspace
from .notes import is_labels

LayerData = tuple[Any, dict[str, Any], str]
"""Array, arguments of the layer, and ``image`` or ``labels``."""

KEY = "medseg"
"""Name under which a layer's metadata keep axes, affine, classes and metadata of its volume."""

_AXES = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}
_LABEL_NAME = re.compile(r"(^|[^a-z])(labels?|seg|segmentation|mask)$", re.IGNORECASE)
_LABEL_FOLDER = re.compile(r"(labels?|seg|segmentations?|masks?)($|tr$|ts$)", re.IGNORECASE)
_UNLISTED = "#9a9a9a"  # a number that is not in the class table


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """The reader for a file or folder, for napari.

    Parameters
    ----------
    path : str or sequence of str
        Several paths, opened as one stack, are taken only if they are DICOM files: the first stands for its series.

    Returns
    -------
    callable or None
        Turns the path into layers; None if this package reads no such files.
    """
    first, alone = _first(path), isinstance(path, str) or len(path) == 1
    if first.is_dir():
        known = any(map(formats.is_dicom, _likeliest_first(first)))
    else:
        # raw data have a reader of their own
        known = formats.is_dicom(first) or (alone and formats.named(first) is not None and not is_kspace(first))
    return _read_layers if known else None


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a labels layer with its geometry and classes, for napari.

    Raises
    ------
    MedsegError
        If it cannot be saved; an earlier file is then unchanged.
    """
    volume = volume_from_layer_data(data, meta)
    return [str(write(replace(volume, metadata={**volume.metadata, "labels": True}), path))]


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save an image layer with its geometry, for napari.

    Raises
    ------
    MedsegError
        If it cannot be saved; an earlier file is then unchanged.
    """
    volume = volume_from_layer_data(data, meta)
    return [str(write(replace(volume, classes=(), metadata={**volume.metadata, "labels": False}), path))]


def layer_tuple(volume: Volume, name: str) -> LayerData:
    """The layer that shows a volume.

    The layer is scaled and moved, never turned. It is moved by the position of its first voxel as measured along its
    own axes, so that layers of one grid coincide, and so do crops or other resolutions of equal orientation. The true
    affine is in the layer's metadata.

    Parameters
    ----------
    volume : Volume
        Shown as labels if it has classes, or ``labels`` True in its metadata.
    name : str
        Name of the layer.

    Returns
    -------
    tuple
        As napari's ``Layer.create`` takes it.
    """
    axes = volume.axes.removesuffix("c")
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)
    start = np.linalg.solve(volume.affine[:3, :3] / lengths, volume.affine[:3, 3])
    size, place = dict(zip("xyz", lengths, strict=True)), dict(zip("xyz", start, strict=True))
    options: dict[str, Any] = {
        "name": name,
        "axis_labels": list(axes),
        "scale": [float(size.get(a, 1)) for a in axes],
        "translate": [float(place.get(a, 0)) for a in axes],
        "metadata": {KEY: {**volume.metadata, "axes": volume.axes, "affine": volume.affine, "classes": volume.classes}},
    }
    if volume.has_spacing:
        options["units"] = ["mm" if a in "zyx" else "pixel" for a in axes]
    if is_labels(volume):
        return volume.data, {**options, **_class_look(volume)}, "labels"
    if volume.low_is_bright:
        options["colormap"] = "gray_r"
    if axes != volume.axes:
        options["rgb"] = True
    elif (limits := _contrast_limits(np.asarray(volume.data))) is not None:
        options["contrast_limits"] = limits
    return volume.data, options, "image"


def _contrast_limits(data: np.ndarray) -> tuple[float, float] | None:
    """Values to show as black and white, so that a few bright voxels do not darken the rest; None if all are alike."""
    sample = data.ravel()[:: max(1, data.size // 500_000)]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return None
    low, high = np.percentile(sample, (0.2, 99.8))
    return (float(low), float(high)) if low < high else None


def volume_from_layer_data(data: Any, meta: dict[str, Any]) -> Volume:
    """The volume that a layer shows.

    Parameters
    ----------
    data : array
        Of a layer; of a multiscale layer, the finest level is taken.
    meta : dict
        As in a layer tuple. A layer that did not come from `layer_tuple` gets its affine from scale and translate,
        in mm unless its units are other lengths; with a scale of 1 and no such unit the voxel size counts as unknown.

    Returns
    -------
    Volume
        Shares the array.

    Raises
    ------
    VolumeError
        If the layer has too many axes.
    """
    data = data[0] if meta.get("multiscale") else data
    known = dict(meta.get("metadata", {}).get(KEY, {}))
    axes = known.pop("axes", "")
    drawn = None if axes else known.get(RECORD)  # labels that a person has drawn have a record and no axes
    if len(axes) == data.ndim:
        return Volume(data, axes, known.pop("affine"), known.pop("classes"), known)
    ndim = data.ndim - bool(meta.get("rgb"))
    if ndim not in _AXES:
        raise VolumeError(f"The layer has {ndim} axes; expected 2 to 5. Take a part of it as a layer of its own.")
    axes = _AXES[ndim]
    affine, has_spacing = _plain_affine(axes, meta)
    volume = Volume(data, axes + "c" * bool(meta.get("rgb")), affine, metadata={"has_spacing": has_spacing})
    return volume.made_by(drawn)


def _plain_affine(axes: str, meta: dict[str, Any]) -> tuple[np.ndarray, bool]:
    """Affine of a layer without notes, from its scale and translate, and whether that is a measured size."""
    scale = np.broadcast_to(meta.get("scale", 1.0), len(axes))
    translate = np.broadcast_to(meta.get("translate", 0.0), len(axes))
    lengths = [_millimetres(unit) for unit in meta.get("units") or [None] * len(axes)]
    affine = np.eye(4)
    for a, size, place, mm in zip(axes, scale, translate, lengths, strict=True):
        if a in "xyz":
            k = "xyz".index(a)
            affine[k, [k, 3]] = np.array([abs(size), place]) * (mm or 1.0)
    return affine, any(lengths) or not np.allclose(np.diag(affine), 1)


def _likeliest_first(folder: Path) -> list[Path]:
    """The files of a folder, those first whose names are usual among DICOM files."""
    if not os.access(folder, os.R_OK):
        return []
    files = [path for path in folder.iterdir() if path.is_file() and not formats.is_clutter(path)]

    def unusual(path: Path) -> tuple[bool, bool, str]:
        ending = path.suffix.lstrip(".")
        return formats.named(path) is None, bool(ending) and not ending.isdigit(), path.name

    return sorted(files, key=unusual)


def _first(path: str | Sequence[str]) -> Path:
    return Path(path if isinstance(path, str) else path[0])


def _read_layers(path: str | Sequence[str]) -> list[LayerData]:
    file = _first(path)
    name = readable(formats.stem(file))
    volume = read(file)
    if _named_labels(file, volume):
        volume = replace(volume, metadata={**volume.metadata, "labels": True})
    layers = [layer_tuple(volume, name)]
    if file.suffix.lower() == ".npz":
        from .arrays import read_labels

        labels = read_labels(file)
        if labels and labels.data.shape == volume.data.shape[: labels.data.ndim]:
            layers.append(layer_tuple(labels, f"{name} labels"))
    return layers


def _named_labels(file: Path, volume: Volume) -> bool:
    """Whether whole numbers are called labels by their file or folder; few programs say so inside the file."""
    whole = volume.data.dtype.kind in "iu" and "c" not in volume.axes
    return whole and bool(_LABEL_NAME.search(formats.stem(file)) or _LABEL_FOLDER.match(file.parent.name))


def _class_look(volume: Volume) -> dict[str, Any]:
    """Colours, and names for the status bar."""
    if not volume.classes:
        return {}
    return {
        "colormap": {None: _UNLISTED, 0: "transparent", **{row.id: row.colour for row in volume.classes}},
        "features": {
            "index": [0, *(row.id for row in volume.classes)],
            "class": ["background", *(row.name for row in volume.classes)],
        },
    }


def _millimetres(unit: Any) -> float | None:
    """How many mm a length unit of napari is; None for pixels and other units that are not lengths."""
    is_length = hasattr(unit, "is_compatible_with") and unit.is_compatible_with("mm")
    return float((1 * unit).to("mm").magnitude) if is_length else None
