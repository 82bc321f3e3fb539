"""Readers and writers for napari's own Open and Save: volumes to layer tuples and back, without importing napari."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, VolumeError, readable
from ..files import is_folder
from ..grey_values import opening_window
from ..reference import KEY as REFERENCE
from ..reference import Reference
from ..volume import LEVELS, Volume
from . import formats, places, read_all, write
from .kspace import is_kspace
from .notes import NAME, is_labels
from .places import Place

LayerData = tuple[Any, dict[str, Any], str]
"""Array, arguments of the layer, and ``image`` or ``labels``."""

KEY = "medseg"
"""Name under which a layer's metadata keep axes, affine, classes and metadata of its volume."""

RANGE = "range"
"""Name among them of the lowest and the highest value that were seen."""

_OF_THE_ARRAY = ("axes", "affine", "classes", "shape", RANGE)  # notes that are fields of a volume, not its metadata
_LABEL_NAME = re.compile(r"(^|[^a-z])(labels?|seg|segmentation|mask)$", re.IGNORECASE)
_LABEL_FOLDER = re.compile(r"(labels?|seg|segmentations?|masks?)($|tr$|ts$)", re.IGNORECASE)
UNLISTED = "#9a9a9a"
"""Colour of a number that is not in the class table."""

_SAMPLE = 500_000  # values that decide about contrast
_SAMPLED_SLICES = 20  # of an array that is read piece by piece
_SAMPLED_SIDE = 2048  # pixels in the middle of them
HIGHEST_COLOURED = 2**16
"""The highest class that napari draws in a chosen colour without numba; of a table with higher ones it chooses all."""


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
    first, alone = formats.whole(_first(path)), isinstance(path, str) or len(path) == 1
    if is_folder(first):
        known = formats.held(first) is not None
    else:
        # raw data have a reader of their own
        known = formats.is_dicom(first) or (alone and formats.named(first) is not None and not is_kspace(first))
    return _read_layers if known else None


def write_labels(path: str, data: Any, meta: dict[str, Any], reference: str | None = None) -> list[str]:
    """Save a labels layer with its geometry and classes, for napari; `reference` as of `write`.

    Raises
    ------
    MedsegError
        If it cannot be saved; an earlier file is then unchanged.
    """
    volume = volume_from_layer_data(data, meta)
    return [str(write(replace(volume, metadata={**volume.metadata, "labels": True}), path, reference))]


def labels_on_series(layers: Sequence[LayerData]) -> tuple[LayerData, LayerData, str]:
    """Of layers that are saved together as a DICOM segmentation: the image, the labels, and the path of its series.

    Raises
    ------
    VolumeError
        If they are not one image and one labels layer.
    FileError
        If the image was not opened from DICOM files that say where it lies.
    """
    images = [layer for layer in layers if layer[2] == "image"]
    labels = [layer for layer in layers if layer[2] == "labels"]
    if len(images) != 1 or len(labels) != 1:
        raise VolumeError(
            f"The layers to save are {len(images)} images and {len(labels)} labels; a DICOM segmentation is made of "
            "one image and one labels layer. Select one of each, or only the labels."
        )
    known = _notes(images[0][1]).get(REFERENCE)
    if not isinstance(known, Reference):
        name = images[0][1].get("name", "image")
        raise FileError(
            f"'{name}' was not opened from DICOM files with positions, which a DICOM segmentation refers to. "
            "Select the image of the DICOM series, or save the labels as .nii.gz or .seg.nrrd."
        )
    return images[0], labels[0], known.path


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save an image layer with its geometry, for napari.

    Raises
    ------
    MedsegError
        If it cannot be saved; an earlier file is then unchanged.
    """
    return [str(write(image_to_write(data, meta), path))]


def image_to_write(data: Any, meta: Mapping[str, Any]) -> Volume:
    """What `write_image` saves."""
    volume = volume_from_layer_data(data, meta)
    return replace(volume, classes=(), metadata={**volume.metadata, "labels": False})


def layer_tuple(volume: Volume, name: str) -> LayerData:
    """The layer that shows a volume.

    The layer is scaled and moved, and turned only if the volume comes from a layer that a person has turned. It is
    moved by the position of its first voxel as measured along its own axes, so that layers of one grid coincide, and
    so do crops or other resolutions of equal orientation. The true affine is in the layer's metadata.

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
    place = Place.noted(volume.axes, volume.affine, volume.metadata)
    notes = {"axes": volume.axes, "affine": volume.affine, "classes": volume.classes, "shape": tuple(volume.data.shape)}
    kept = {key: value for key, value in volume.metadata.items() if key != LEVELS}
    options: dict[str, Any] = {
        "name": name,
        "axis_labels": list(axes),
        **place.layer_options(),
        "metadata": {KEY: {**kept, **notes}},
    }
    levels = [volume.data, *volume.metadata.get(LEVELS, ())]
    data = volume.data
    if len(levels) > 1:
        data = levels
        options["multiscale"] = True
    if volume.has_spacing:
        options["units"] = ["mm" if a in "zyx" else "pixel" for a in axes]
    if is_labels(volume):
        return data, {**options, **_class_look(volume)}, "labels"
    if volume.low_is_bright:
        options["colormap"] = "gray_r"
    if axes != volume.axes:
        options["rgb"] = True
    else:
        values = sampled(levels[-1])
        values = values[np.isfinite(values)]
        limits = opening_window(str(volume.metadata.get("modality") or ""), values)
        if limits is not None:
            options["contrast_limits"] = limits
            options["metadata"][KEY][RANGE] = float(values.min()), float(values.max())
    return data, options, "image"


def sampled(data: Any) -> np.ndarray:
    """Half a million values of an array; of one that is read piece by piece, from some slices of it.

    Parameters
    ----------
    data : array, shape (..., y, x)

    Returns
    -------
    numpy.ndarray, shape (values,)
    """
    if isinstance(data, np.ndarray):
        return data.ravel()[:: max(1, data.size // _SAMPLE)]
    lead = data.shape[:-2]
    count = math.prod(lead)
    numbers = np.unique(np.linspace(0, count - 1, min(count, _SAMPLED_SLICES)).round().astype(int))
    window = tuple(slice((n - min(n, _SAMPLED_SIDE)) // 2, (n + min(n, _SAMPLED_SIDE)) // 2) for n in data.shape[-2:])
    planes = []
    for number in numbers:
        place = tuple(map(int, np.unravel_index(number, lead))) if lead else ()
        planes.append(np.asarray(data[(*place, *window)]).ravel())
    found = np.concatenate(planes)
    return found[:: max(1, found.size // _SAMPLE)]


def volume_from_layer_data(data: Any, meta: Mapping[str, Any], axes: str | None = None) -> Volume:
    """The volume that a layer shows, which lies in the patient where the layer lies in the viewer.

    Parameters
    ----------
    data : array
        Of a layer; of a multiscale layer, the finest level is taken.
    meta : mapping
        As in a layer tuple. A layer from `layer_tuple` that was not moved has the affine of its volume, exactly; one
        that a person has moved, scaled, turned, mirrored or cropped has it composed with that. Where the layer says
        nothing of the patient, the axes of the viewer count as his, in mm unless its units are other lengths; with a
        scale of 1 and no such unit the voxel size counts as unknown.
    axes : str, optional
        One of `axes_choices`, by default the first.

    Returns
    -------
    Volume
        Shares the array.

    Raises
    ------
    VolumeError
        If the layer has too many axes, they are in another order than in a `Volume` or than they were read in, or the
        layer is turned between space and time.
    """
    data = data[0] if meta.get("multiscale") else data
    notes = _notes(meta)
    kept = {key: value for key, value in notes.items() if key not in _OF_THE_ARRAY}
    if axes is None:
        axes = next(iter(axes_choices(data, meta)), None)
    if axes is None:
        raise VolumeError(places.why_no_axes(_ndim(data, meta), meta))
    _refuse_reordered(data.shape, notes)
    place = _noted_place(notes).of_layer(axes, meta)
    volume = Volume(data, axes, place.affine, notes.get("classes", ()), place.metadata(kept))
    if not _has_other_slices(volume, notes):
        return volume
    record = volume.record
    return volume.with_slices(()).made_by(record.with_reviewed(()) if record else None)


def axes_choices(data: Any, meta: Mapping[str, Any]) -> tuple[str, ...]:
    """What the axes of a layer of `data` can mean, the likeliest first; a single one where it says so itself."""
    return places.axes_choices(_ndim(data, meta), meta, _noted_place(_notes(meta)))


def _notes(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    return (meta.get("metadata") or {}).get(KEY, {})


def _noted_place(notes: Mapping[str, Any]) -> Place:
    # labels that a person has drawn have a record and no place
    return Place.noted(notes["axes"], notes["affine"], notes) if notes.get("axes") else Place()


def _ndim(data: Any, meta: Mapping[str, Any]) -> int:
    return data.ndim - bool(meta.get("rgb"))


def _refuse_reordered(shape: tuple[int, ...], notes: Mapping[str, Any]) -> None:
    """Refuse an array whose axes were put in another order: which is which is not known any more."""
    before = tuple(notes.get("shape", shape))
    if before != tuple(shape) and sorted(before) == sorted(shape):
        raise VolumeError(
            f"The layer was made with {before} voxels along its axes and now has {tuple(shape)}: they are in another "
            "order. Put them back, or open the array as a layer of its own."
        )


def _has_other_slices(volume: Volume, notes: Mapping[str, Any]) -> bool:
    """Whether the slices of a layer are others than those that its record counts."""
    before = (notes.get("axes", volume.axes), tuple(notes.get("shape", volume.data.shape))[:-2])
    return before != (volume.axes, tuple(volume.data.shape)[:-2])


def _first(path: str | Sequence[str]) -> Path:
    return Path(path if isinstance(path, str) else path[0])


def _read_layers(path: str | Sequence[str]) -> list[LayerData]:
    file = formats.whole(_first(path))
    name = readable(formats.stem(file))
    volumes = read_all(file)
    if _named_labels(file, volumes[0]):
        volumes[0] = replace(volumes[0], metadata={**volumes[0].metadata, "labels": True})
    return layers_of(volumes, name)


def layers_of(volumes: Sequence[Volume], name: str) -> list[LayerData]:
    """The layers that show what one file, folder or series holds.

    Parameters
    ----------
    volumes : sequence of Volume
        As of `read_all`.
    name : str
        Of the first.
    """
    layers = [layer_tuple(volumes[0], name)]
    for number, volume in enumerate(volumes[1:], 2):
        # an image has one further volume, its labels; overlapping labels have several layers
        further = f"{name} {number}" if is_labels(volumes[0]) else f"{name} {volume.metadata.get(NAME, 'labels')}"
        layers.append(layer_tuple(volume, further))
    return layers


def _named_labels(file: Path, volume: Volume) -> bool:
    """Whether whole numbers are called labels by their file or folder; few programs say so inside the file."""
    whole = volume.data.dtype.kind in "iu" and "c" not in volume.axes
    return whole and bool(_LABEL_NAME.search(formats.stem(file)) or _LABEL_FOLDER.match(file.parent.name))


def _class_look(volume: Volume) -> dict[str, Any]:
    """Colours, and names for the status bar."""
    if not volume.classes:
        return {}
    numbers = [row.id for row in volume.classes]
    look: dict[str, Any] = {
        "features": {"index": [0, *numbers], "class": ["background", *(row.name for row in volume.classes)]},
    }
    if min(numbers) >= 0 and max(numbers) <= HIGHEST_COLOURED:
        look["colormap"] = {None: UNLISTED, 0: "transparent", **{row.id: row.colour for row in volume.classes}}
    return look
