"""Layers that follow the slice in view: k-space next to its image, the mask to paint on, zero-filled image, preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from ...recon.sampling import direction
from ..kit.layer_volumes import SIGHT, put_array
from ..kit.listing import add_layer, remove_layer
from .scans import Picture, Scan

if TYPE_CHECKING:
    from napari import Viewer

_GAP = 1.05  # k-space stands to the right of its image, so many widths away
_MASK_COLOURS = {None: "transparent", 0: "transparent", 1: "#00c8ff"}


class SliceImage:
    """One image layer that shows the slice in view, used again for every slice.

    Parameters
    ----------
    viewer : napari.Viewer
    colormap : str
    """

    def __init__(self, viewer: Viewer, colormap: str = "gray"):
        self.layer: Image | None = None
        self._viewer = viewer
        self._colormap = colormap

    def show(self, image: np.ndarray, place: Mapping[str, Any], name: str, limits: tuple[float, float]) -> None:
        """Show `image` (y, x) at a `place` that `Grid.at` says."""
        data = image.reshape((1,) * (len(place["scale"]) - 2) + image.shape)
        layer = self.layer if self.layer in self._viewer.layers else None
        if layer is not None and layer.data.shape == data.shape and np.allclose(layer.scale, place["scale"]):
            put_array(layer, data)
            layer.name = name
            layer.translate = place["translate"]
            layer.contrast_limits = limits
            return
        self.clear()
        chosen = set(self._viewer.layers.selection)
        look: dict[str, Any] = {"contrast_limits": limits, "colormap": self._colormap, "metadata": {SIGHT: True}}
        self.layer = add_layer(self._viewer, Image(data, **place, name=name, **look))
        self._viewer.layers.selection = chosen

    def clear(self) -> None:
        """Remove the layer."""
        layer, self.layer = self.layer, None
        remove_layer(self._viewer, layer)


class KSpaceView:
    """Log magnitude of k-space next to its image, the sampling mask over it, and the zero-filled image.

    A mask of whole columns (or rows) stays one: a column in which a pixel is painted is measured, one in which a pixel
    is erased is not. Other masks change pixel by pixel.

    Parameters
    ----------
    viewer : napari.Viewer
    edited : callable
        Called with the new mask, (x,) or (y, x), and the number of its slice after each stroke.
    """

    def __init__(self, viewer: Viewer, edited: Callable[[np.ndarray, int], None]):
        self.mask: Labels | None = None
        self._viewer = viewer
        self._edited = edited
        self._kspace = SliceImage(viewer, "magma")
        self._zero_filled = SliceImage(viewer)
        self._painted: np.ndarray | None = None
        self._way = ""
        self._number = 0

    @property
    def layers(self) -> list[Image | Labels]:
        """Those in the viewer."""
        found = (self._kspace.layer, self._zero_filled.layer, self.mask)
        return [layer for layer in found if layer is not None and layer in self._viewer.layers]

    def show(self, scan: Scan, mask: np.ndarray, picture: Picture, number: int) -> None:
        """Show the slice of this `number` under its `mask`."""
        new = not self.layers
        place = scan.grid.at(scan.index(number))
        self._zero_filled.show(picture.zero_filled, place, f"{scan.name} zero-filled slice", scan.limits)
        beside = _beside(scan, place)
        self._kspace.show(picture.log, beside, f"{scan.name} k-space (log)", picture.limits)
        self._number = number
        self._show_mask(mask, beside, scan)
        if new:
            self._viewer.reset_view()

    def clear(self) -> None:
        """Remove the layers."""
        mask, self.mask = self.mask, None
        remove_layer(self._viewer, mask)
        self._kspace.clear()
        self._zero_filled.clear()

    def _show_mask(self, mask: np.ndarray, place: Mapping[str, Any], scan: Scan) -> None:
        self._way = direction(mask)
        self._painted = np.broadcast_to(mask, scan.kspace.matrix).astype(np.uint8)
        data = self._painted.reshape((1,) * (len(place["scale"]) - 2) + self._painted.shape)
        layer = self.mask if self.mask in self._viewer.layers else None
        if layer is not None and layer.data.shape == data.shape:
            if not np.array_equal(np.asarray(layer.data), data):
                put_array(layer, data.copy())
            layer.translate = place["translate"]
            return
        chosen = set(self._viewer.layers.selection)
        name = f"{scan.name} sampling mask"
        look: dict[str, Any] = {"opacity": 0.35, "colormap": _MASK_COLOURS, "metadata": {SIGHT: True}}
        self.mask = add_layer(self._viewer, Labels(data.copy(), **place, name=name, **look))
        self._viewer.layers.selection = chosen

    def read(self, layer: Labels) -> None:
        """A layer was painted on, or drawn again: if it is the mask, hand it on as far as it has changed."""
        if layer is not self.mask or self._painted is None:
            return
        array = np.asarray(layer.data)
        labels = array.reshape(self._painted.shape)
        now = (labels > 0).astype(np.uint8)
        changed = now != self._painted
        if not changed.any():
            return
        if self._way:
            along = 0 if self._way == "x" else 1
            lines = np.any(self._painted, axis=along)
            touched = np.any(changed, axis=along)
            # pixels of a line that changed all went the same way
            lines[touched] = ~lines[touched]
            whole = np.broadcast_to(np.expand_dims(lines, along), now.shape)
            now = whole.astype(np.uint8)
        self._painted = now
        array[...] = now.reshape(array.shape)
        layer.refresh()
        self._edited(now[0] > 0 if self._way == "x" else now > 0, self._number)


def _beside(scan: Scan, place: Mapping[str, Any]) -> dict[str, Any]:
    """Place of k-space: a rectangle as large as the image, to the right of it."""
    scale = np.array(place["scale"], float)
    translate = np.array(place["translate"], float)
    image = np.array(scan.size)
    new = scale[-2:] * image / np.array(scan.kspace.matrix)
    translate[-2:] += (new - scale[-2:]) / 2
    translate[-1] += _GAP * image[1] * scale[-1]
    scale[-2:] = new
    found: dict[str, Any] = {"scale": scale, "translate": translate}
    for name in ("units", "axis_labels"):
        if name in place:
            found[name] = place[name]
    return found
