"""What colour bars on the canvas stand for, with the unit: napari's own bar has numbers only."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.components.canvas import Orientation
from napari.components.overlays import TextOverlay
from napari.layers import Image, Layer

if TYPE_CHECKING:
    from napari.components import ViewerModel

MEANING = "medseg_meaning"
"""Key in the metadata of layers whose colours stand for something: what, and in which unit, in short lines."""

UNCERTAINTY = "uncertainty\n0 certain\n255 undecided"
DISAGREEMENT = "disagreement\n0 all models agree\n255 no two agree"
ROUTERS = "share of the\nheavy attention\n0 to 1"

_NAME = "medseg_legend"
_POINTS = 10.0


def meaning_of(layer: Layer) -> str:
    """What the colours of a layer stand for; empty if that is not known."""
    return str(layer.metadata.get(MEANING, ""))


class Legend:
    """Follows the layers of a viewer that have a colour bar.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Is not kept.
    """

    def __init__(self, viewer: ViewerModel):
        self._viewer = weakref.ref(viewer)
        layers = viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            event.connect(self._layers_changed)
        viewer.canvas.grid.events.enabled.connect(self._look)
        self._layers_changed()

    def _layers_changed(self, event: Any = None) -> None:
        viewer = self._viewer()
        for layer in () if viewer is None else viewer.layers:
            if isinstance(layer, Image):
                layer.colorbar.events.visible.connect(self._look, unique=True)
                layer.events.visible.connect(self._look)
        self._look()

    def _look(self, event: Any = None) -> None:
        """Put on the canvas what the bars stand for that are shown."""
        viewer = self._viewer()
        if viewer is None:
            return
        bars = [layer for layer in viewer.layers if isinstance(layer, Image) and layer.visible]
        meanings = dict.fromkeys(meaning_of(layer) for layer in bars if layer.colorbar.visible)
        text = "\n".join(filter(None, meanings))
        if viewer.canvas.grid.enabled:  # the words have one place, and every bar is in its own part of the grid
            text = ""
        overlays = viewer.canvas.overlays
        if text and _NAME not in overlays:
            viewer.canvas.overlay_tiling.top_right = Orientation.VERTICAL  # the words above the bar
            overlays[_NAME] = TextOverlay(position="top_right", font_size=_POINTS)
        if _NAME in overlays:
            overlays[_NAME].text = text
            overlays[_NAME].visible = bool(text)


_LEGENDS: WeakKeyDictionary[ViewerModel, Legend] = WeakKeyDictionary()


def legend_of(viewer: ViewerModel) -> Legend:
    """The legend of a viewer, which lives as long as the viewer."""
    found = _LEGENDS.get(viewer)
    if found is None:
        found = Legend(viewer)
        _LEGENDS[viewer] = found
    return found
