"""The only listener to strokes: what a person does to the labels of a viewer, for everybody who needs to know it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Signal

from .records import is_judged, record_of, say_reviewed

if TYPE_CHECKING:
    from napari.components import ViewerModel


def touched(item: Sequence[tuple[Any, ...]], ndim: int) -> set[int]:
    """The slices that a step of napari's undo history changed: each of its parts begins with an index of the array."""
    if ndim < 3:
        return {0}
    found: set[int] = set()
    for where in (part[0][-3] for part in item):
        found |= set(range(where.start, where.stop)) if isinstance(where, slice) else set(np.unique(where).tolist())
    return found


class Painting(QObject):
    """Hears the strokes on every labels layer of a viewer, and notes the slices that they touch as reviewed.

    A stroke is a judgement of its slice: where slices count as reviewed only if a person said so, it says so.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Is not kept.
    """

    painted = Signal(object, object)
    """A person has painted on a layer, on a set of slices; the layer has noted them already."""
    replaced = Signal(object)
    """The whole array of a layer is another one."""
    redrawn = Signal(object)
    """A layer shows another slice, or an undo has changed the one in view."""

    def __init__(self, viewer: ViewerModel):
        super().__init__()
        viewer.layers.events.inserted.connect(self._added)
        viewer.layers.events.removed.connect(self._removed)
        for layer in viewer.layers:
            self._follow(layer)

    def _added(self, event: Any) -> None:
        self._follow(event.value)

    def _follow(self, layer: Layer) -> None:
        if isinstance(layer, Labels):
            layer.events.paint.connect(self._painted)
            layer.events.data.connect(self._replaced)
            layer.events.set_data.connect(self._redrawn)

    def _removed(self, event: Any) -> None:
        layer = event.value
        if isinstance(layer, Labels):
            layer.events.paint.disconnect(self._painted)
            layer.events.data.disconnect(self._replaced)
            layer.events.set_data.disconnect(self._redrawn)

    def _painted(self, event: Any) -> None:
        layer = event.source
        slices = touched(event.value, layer.ndim)
        if layer.ndim in (2, 3) and is_judged(layer):
            record = record_of(layer)
            earlier = record.reviewed if record else ()
            say_reviewed(layer, {*earlier, *slices})
        self.painted.emit(layer, slices)

    def _replaced(self, event: Any) -> None:
        self.replaced.emit(event.source)

    def _redrawn(self, event: Any) -> None:
        self.redrawn.emit(event.source)


_LISTENERS: WeakKeyDictionary[ViewerModel, Painting] = WeakKeyDictionary()


def painting_of(viewer: ViewerModel) -> Painting:
    """The listener of a viewer, which lives as long as the viewer: strokes count when all docks are closed, too."""
    found = _LISTENERS.get(viewer)
    if found is None:
        found = Painting(viewer)
        _LISTENERS[viewer] = found
    return found
