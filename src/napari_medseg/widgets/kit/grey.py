"""In which window of grey values an image was opened, and that all others can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from ...errors import readable
from ...grey_values import CT_WINDOWS, OPENING
from ...io.contributions import RANGE
from .records import noted

if TYPE_CHECKING:
    from napari import Viewer


def let_sliders_reach(viewer: Viewer) -> None:
    """Let the sliders of contrast reach all values seen, not only those of the window in which an image was opened."""
    viewer.layers.events.inserted.connect(_layer_came)  # once, however often it is asked for
    for layer in viewer.layers:
        _let_reach(layer)


def _layer_came(event: Any) -> None:
    _let_reach(event.value)


def _let_reach(layer: Layer) -> None:
    seen = noted(layer).get(RANGE)
    if isinstance(layer, Image) and seen and tuple(layer.contrast_limits_range) == tuple(layer.contrast_limits):
        low, high = layer.contrast_limits
        layer.contrast_limits_range = (min(low, seen[0]), max(high, seen[1]))


def window_text(layer: Layer) -> str:
    """A sentence if an image was opened in the window of a CT; empty if not."""
    low, high = CT_WINDOWS[OPENING].limits
    if not isinstance(layer, Image) or tuple(layer.contrast_limits) != (low, high):
        return ""
    known = "is a CT" if noted(layer).get("modality") == "CT" else "is taken for a CT, by its values"
    return f"'{readable(layer.name)}' {known}: {OPENING} window, {low:g} to {high:g} HU. View has others."
