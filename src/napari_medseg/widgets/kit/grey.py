"""In which window of grey values an image was opened, and that all others can be set."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Layer

from ...errors import readable
from ...grey_values import CT_WINDOWS, OPENING
from ...io.contributions import RANGE
from .records import noted


def let_reach(event: Any) -> None:
    """Let the slider of contrast of a layer that was inserted reach all values seen, not only those of its window."""
    layer = event.value
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
