"""Layers that show where results differ from a reference, all of a kind on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap

from ...recon.comparison import VIEWS, view_limits
from ..kit.layer_volumes import SIGHT, put_array
from ..kit.legend import MEANING
from ..kit.listing import add_layer, remove_layer
from .scans import Scan

if TYPE_CHECKING:
    from napari import Viewer

# black where nothing differs, as in the other views; blue is too dark, red too bright
_SIGNED = Colormap([[0.7, 0.9, 1], [0.1, 0.4, 0.9], [0, 0, 0], [0.9, 0.25, 0.1], [1, 0.9, 0.6]], name="difference")
_MAPS = {"error": "inferno", "difference": _SIGNED, "ssim": "viridis"}
_MEANINGS = {
    "error": "|result - reference|\nin units of the image",
    "difference": "result - reference\nin units of the image",
    "ssim": "SSIM\n1 alike, no unit",
}
_NAMES = {"error": "error", "difference": "difference", "ssim": "SSIM"}


class Differences:
    """The layers of every view; those of a view change together.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        self._layers: dict[str, dict[str, Image]] = {view: {} for view in VIEWS}
        self._largest = dict.fromkeys(VIEWS, 1.0)
        self._times = 1.0

    def show(self, view: str, scan: Scan, largest: float, images: Mapping[str, np.ndarray]) -> None:
        """Show `images` (slice, y, x) of the results with exactly these names, as layers of a view."""
        before = self._present(view)
        self._layers[view] = {}
        self._largest[view] = largest
        for name, image in images.items():
            title = f"{_NAMES[view]} {name.removeprefix(scan.name).strip()}"
            data, options = scan.layer(image, title, {})
            # napari takes its time to remove a layer, and the person may have hidden or moved it
            if name in before and _lies_at(before[name], data, options):
                layer = before.pop(name)
                put_array(layer, data)
            else:
                layer = self._add(view, data, options)
            self._layers[view][name] = layer
        for layer in before.values():
            remove_layer(self._viewer, layer)
        # one scale for all: the errors of a bad and of a good method must not look alike
        self._viewer.layers.link_layers(self._layers[view].values(), ("contrast_limits",))
        self.intensify(self._times)

    def _add(self, view: str, data: np.ndarray, options: Mapping[str, Any]) -> Image:
        look: dict[str, Any] = {"contrast_limits": self._limits(view), "colormap": _MAPS[view]}
        look = {**options, **look, "metadata": {SIGHT: True, MEANING: _MEANINGS[view]}}
        layer = Image(data, **look)
        others = self._layers[view].values()
        layer.colorbar.visible = not any(other.colorbar.visible for other in others)  # all have the same scale
        return add_layer(self._viewer, layer)

    def intensify(self, times: float) -> None:
        """Show errors and differences so many times stronger, those in the viewer and those to come."""
        self._times = times
        for view in VIEWS:
            for layer in self._present(view).values():
                layer.contrast_limits = self._limits(view)

    def _limits(self, view: str) -> tuple[float, float]:
        return view_limits(view, self._largest[view], self._times)

    def _present(self, view: str) -> dict[str, Image]:
        return {name: layer for name, layer in self._layers[view].items() if layer in self._viewer.layers}


def _lies_at(layer: Image, data: np.ndarray, options: Mapping[str, Any]) -> bool:
    same_scale = np.allclose(layer.scale, options["scale"])
    same_start = np.allclose(layer.translate, options["translate"])
    return layer.data.shape == data.shape and same_scale and same_start
