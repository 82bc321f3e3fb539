"""Save of napari: labels drawn by hand lie where their image does, and it says so where another writer saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_warning

from ... import io
from ...errors import VolumeError
from ...io import contributions, formats
from ...io.contributions import LayerData
from ...io.places import Place
from . import layer_volumes
from .recorder import recorder_of
from .records import last_step, note_saved, noted

if TYPE_CHECKING:
    from napari.components import ViewerModel

Pair = tuple[Image, str]
"""An image and its axes."""


_written: set[int] = set()
"""Identities of the arrays that were written here since napari began its last save."""


def watch_saves(viewer: ViewerModel) -> None:
    """Say so where napari's Save lets another writer have layers of ours: it lists its own formats first.

    napari has no event for it, so that its public method is wrapped, once for a viewer.
    """
    layers = viewer.layers
    if "save" in vars(layers):
        return
    plain = layers.save

    def save(path: str, *, selected: bool = False, **options: Any) -> list[str]:
        chosen = [layer for layer in (layers.selection if selected else layers) if noted(layer).get("axes")]
        _written.clear()
        found = plain(path, selected=selected, **options)
        lost = [layer for layer in chosen if id(layer.data) not in _written]
        if lost and found:
            names = ", ".join(f"'{layer.name}'" for layer in lost)
            show_warning(_LOST.format(names=names, ending=formats.ending(Path(path)) or "another writer's format"))
        return found

    layers.save = save


_LOST = (
    "{names}: saved by another plugin as {ending}, without the place in the patient, classes and what was approved. "
    "Save again with Save labels… in Segment or Review, or choose 'labels with geometry and classes' as the type."
)


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save an image layer with its geometry, for napari.

    Raises
    ------
    MedsegError
        If it cannot be saved; an earlier file is then unchanged.
    """
    viewer, layer = _layer_of(data)
    if viewer is not None and isinstance(layer, Image) and not layer.multiscale:
        recorder_of(viewer).saved(layer, contributions.image_to_write(data, meta), Path(path))
    found = contributions.write_image(path, data, meta)
    _written.add(id(data))
    return found


def _layer_of(data: Any) -> tuple[ViewerModel | None, Layer | None]:
    """The viewer in front, and its layer that shows the array `data`."""
    viewer = napari.current_viewer()
    return viewer, next((layer for layer in viewer.layers if layer.data is data), None) if viewer else None


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a labels layer with its geometry and classes, for napari.

    Labels from napari's own *New labels* say nothing of the patient; the image that they were drawn on does.

    Raises
    ------
    MedsegError
        If it cannot be saved; an earlier file is then unchanged.
    """
    return _save_labels(path, data, meta)


def write_on_image(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Save labels as a DICOM segmentation of the series that an image layer shows, for napari.

    Raises
    ------
    MedsegError
        If it cannot be saved, or the layers are not one image and one labels layer; an earlier file is then unchanged.
    """
    image, (data, meta, _), series = contributions.labels_on_series(layers)
    found = _save_labels(path, data, meta, image[0], series)
    _written.add(id(image[0]))
    return found


def _save_labels(path: str, data: Any, meta: dict[str, Any], image: Any = None, series: str | None = None) -> list[str]:
    """Save labels; on the image layer of an array and the DICOM series at a path, if these are given."""
    viewer, layer = _layer_of(data)
    if viewer is None or not isinstance(layer, Labels):
        found = contributions.write_labels(path, data, meta, series)
        _written.add(id(data))
        return found
    _, shown = _layer_of(image)
    pair = image_of(viewer, layer, _pair(shown))
    volume = layer_volumes.labels_volume(layer, *(pair or (None, None)))
    number = last_step(layer)
    recorder_of(viewer).saved(layer, volume, Path(path), pair[0] if pair else None)
    written = io.write(volume, path, series, say=show_warning)
    note_saved(layer, number, written)
    _written.add(id(data))
    if pair is not None and (text := moved_text(*pair)):
        show_warning(text)
    return [str(written)]


def moved_text(image: Image, axes: str | None) -> str:
    """What to know of saved labels whose image was moved in the viewer; empty if it was not."""
    if not layer_volumes.was_moved(image, axes):
        return ""
    return (
        f"'{image.name}' was moved or turned in the viewer: the labels lie where it is shown now, not where its file "
        "lies. Save the image too, or reset its place and save again."
    )


def image_of(viewer: ViewerModel, layer: Labels, chosen: Pair | None = None) -> Pair | None:
    """The image that says where in the patient labels lie, with its axes.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    layer : napari.layers.Labels
    chosen : (napari.layers.Image, str), optional
        Is preferred to others.

    Returns
    -------
    (napari.layers.Image, str) or None
        `chosen` or another image on which the labels lie voxel by voxel; else `chosen` or, if the images of the viewer
        agree about its axes, one of them.
    """
    pairs = [chosen] if chosen else []
    pairs += [found for found in map(_pair, viewer.layers) if found]
    for pair in pairs:
        if _lies_on(layer, *pair):
            return pair
    if chosen or not pairs:
        return chosen
    worlds = [_world(*pair) for pair in pairs]
    agreed = all(np.allclose(worlds[0], world, atol=1e-4) for world in worlds)
    return pairs[0] if agreed else None


def is_labelled(viewer: ViewerModel, image: Image | None, axes: str | None) -> bool:
    """Whether any labels of the viewer lie voxel by voxel on an image, whose axes are `axes`."""
    if image is None or not axes:
        return False
    return any(isinstance(layer, Labels) and _lies_on(layer, image, axes) for layer in viewer.layers)


def _pair(layer: Layer | None) -> Pair | None:
    """A layer and its axes, if it is an image that says something of the patient."""
    if not isinstance(layer, Image) or not noted(layer).get("axes"):
        return None
    axes = next(iter(layer_volumes.axes_choices(layer)), None)
    try:
        layer_volumes.to_volume(layer, axes)
    except VolumeError:
        return None
    return None if axes is None else (layer, axes)


def _lies_on(layer: Labels, image: Image, axes: str) -> bool:
    try:
        return layer_volumes.lies_on(layer, image, axes)
    except VolumeError:
        return False


def _world(image: Image, axes: str) -> np.ndarray:
    volume = layer_volumes.to_volume(image, axes)
    return Place.noted(volume.axes, volume.affine, volume.metadata).world
