"""Layers enter and leave the viewer, whatever napari stumbles over on the way.

Listing a layer makes napari draw it, select it and ask the layers what lies under the pointer. Any of that may fail, in
a rendering for example, or where another layer cannot be read any more, and the error is raised after the layer is
listed: whoever takes it for a failure loses sight of the layer, and adds it again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from napari.layers import Layer

if TYPE_CHECKING:
    from napari import Viewer

_log = logging.getLogger(__name__)

L = TypeVar("L", bound=Layer)


def add_layer(viewer: Viewer, layer: L) -> L:
    """Add a layer and return it; errors are raised only if it is not in the viewer."""
    try:
        viewer.add_layer(layer)
    except Exception:
        if layer not in viewer.layers:
            raise
        _log.exception("napari has listed '%s' and failed afterwards", layer.name)
    return layer


def go_to(viewer: Viewer, layer: Layer) -> None:
    """Move the sliders to the middle of a layer that the slice in view misses; the whole of it is shown then."""
    lowest, highest = layer.extent.world
    first = viewer.dims.ndim - layer.ndim  # axis of the viewer that is the first one of the layer
    missed = False
    for axis in viewer.dims.not_displayed:
        if axis < first:
            continue
        low = lowest[axis - first]
        high = highest[axis - first]
        if not low <= viewer.dims.point[axis] <= high:
            viewer.dims.set_point(axis, (low + high) / 2)
            missed = True
    if missed:
        viewer.reset_view()


def remove_layer(viewer: Viewer, layer: Layer | None) -> None:
    """Remove a layer if it is there; errors are raised only if it is still in the viewer."""
    try:
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)
    except Exception:
        if layer in viewer.layers:
            raise
        _log.exception("napari has removed '%s' and failed afterwards", layer)


class Selection:
    """What is selected in a viewer now, to be selected again later.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        self._chosen = set(viewer.layers.selection)
        self._active = viewer.layers.selection.active

    def restore(self) -> None:
        """Select what was selected, as far as it is there."""
        layers = self._viewer.layers
        layers.selection = self._chosen & set(layers)
        layers.selection.active = self._active if self._active in layers else None
