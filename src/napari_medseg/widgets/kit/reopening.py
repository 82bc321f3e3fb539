"""A scan that napari's own reader has opened without its voxel size is opened again; what was drawn on it stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from napari.layers import Image, Labels, Layer

from ... import io
from ...files import is_folder
from ...io import formats
from ...io.contributions import KEY
from ...io.places import WORLD
from ...progress import Job, Progress
from . import reader
from .listing import add_layer, remove_layer
from .opening_job import Opened, open_job
from .records import noted

if TYPE_CHECKING:
    from napari import Viewer

_MOST_BYTES = 2**28  # of a TIFF that is read to see whether it says its voxel size
_PLACE = ("scale", "translate", "units", "axis_labels")
_OF_THE_IMAGE = ("axes", "affine", "has_spacing", "has_place", WORLD)


@dataclass(frozen=True, eq=False)
class Reopened:
    """What came of opening a file again, and whether its voxels are those of the layer, in the same order."""

    opened: Opened
    same: bool


def was_read_by_napari(layer: Layer) -> TypeGuard[Image]:
    """Whether an image comes out of a file by napari's own reader."""
    source = layer.source
    return isinstance(layer, Image) and bool(source.path) and source.reader_plugin == reader.BUILTINS


def look_job(paths: Sequence[str]) -> Job[dict[str, bool]]:
    """Which files and folders have a voxel size that our reader reads."""
    found = {}
    for number, name in enumerate(paths):
        yield Progress(number, len(paths))
        found[name] = _has_spacing(Path(name))
    return found


def _has_spacing(path: Path) -> bool:
    try:
        if is_folder(path):
            return formats.held(path) is not None
        if reader.is_scan(str(path)) or formats.is_dicom(path):
            return True
        row = formats.named(path)
        small = row is not None and row.family == "TIFF" and path.stat().st_size < _MOST_BYTES
        return small and io.read(path, lazy=True).has_spacing
    except Exception:  # then there is nothing to offer
        return False


def reopen_job(path: Path, data: Any) -> Job[Reopened]:
    """Read a file again, and compare it with the voxels of the layer that shows it."""
    opened = yield from open_job([path])
    same = len(opened.layers) > 0 and np.array_equal(np.asarray(data), opened.layers[0][0])
    return Reopened(opened, same)


def replace_layer(viewer: Viewer, old: Image, new: Layer, same: bool) -> str:
    """Put `new` in the place of `old`, in the same view; says what came of it and of the labels drawn on `old`.

    Labels on the same voxels get the place of the new layer. Where the voxels are others, or in another order, the old
    layer and its labels stay, hidden.
    """
    drawn = _drawn_on(viewer, old)
    view = _View(viewer, old)
    names = ", ".join(f"'{layer.name}'" for layer in drawn)
    place = viewer.layers.index(old)
    name = old.name
    if same or not drawn:
        remove_layer(viewer, old)
        new.name = name
    add_layer(viewer, new)
    viewer.layers.move(viewer.layers.index(new), place)
    text = f"'{new.name}' is open again with its voxel size."
    if drawn and same:
        for layer in drawn:
            _put(layer, new)
        text += f" Labels drawn on it were moved with it, and nothing in them was changed: {names}."
    elif drawn:
        for layer in (old, *drawn):
            layer.visible = False
        text += (
            f" Its voxels are in another order than those of '{name}', which stays, hidden, with its labels: {names}."
        )
    view.restore(new)
    viewer.layers.selection.active = new
    return text


def _drawn_on(viewer: Viewer, image: Image) -> list[Labels]:
    """The labels that lie voxel by voxel on an image, where it is shown."""
    found = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    shape = image.data.shape[: image.ndim]
    found = [layer for layer in found if not layer.multiscale and tuple(layer.data.shape) == tuple(shape)]
    return [
        layer
        for layer in found
        if np.allclose(layer.scale, image.scale) and np.allclose(layer.translate, image.translate)
    ]


def _put(labels: Labels, image: Layer) -> None:
    """Let labels lie on an image of the same voxels."""
    for name in _PLACE:
        setattr(labels, name, getattr(image, name))
    notes = noted(labels)
    if notes.get("axes"):
        said = {key: noted(image)[key] for key in _OF_THE_IMAGE if key in noted(image)}
        labels.metadata = {**labels.metadata, KEY: {**notes, **said}}


class _View:
    """What is shown of a layer now, to show the same of another with its voxels."""

    def __init__(self, viewer: Viewer, layer: Layer):
        self._viewer = viewer
        self._zoom = float(viewer.scene.camera.zoom) * float(layer.scale[-1])
        self._voxel = None
        if layer.ndim == viewer.dims.ndim:
            point = np.array(viewer.dims.point, float)
            shown = list(viewer.dims.displayed)
            point[shown] = viewer.scene.camera.center[-len(shown) :]
            self._voxel = np.array(layer.world_to_data(point))

    def restore(self, layer: Layer) -> None:
        """Show the same slice and the same part of `layer`; all of it where it has other axes."""
        viewer = self._viewer
        if self._voxel is None or layer.ndim != len(self._voxel) or layer.ndim != viewer.dims.ndim:
            viewer.reset_view()
            return
        world = np.array(layer.data_to_world(self._voxel))
        viewer.dims.set_point(range(layer.ndim), [float(place) for place in world])
        camera = viewer.scene.camera
        *before, row, column = (float(world[axis]) for axis in viewer.dims.displayed)
        camera.center = (before[0], row, column) if before else (row, column)
        camera.zoom = self._zoom / float(layer.scale[-1])
