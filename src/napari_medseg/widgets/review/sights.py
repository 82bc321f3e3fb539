"""Layers that are only looked at: what a tool would change, and how labels differ from others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from ...review.planes import Planes
from ..kit.layer_volumes import SIGHT
from ..kit.listing import Selection, add_layer, remove_layer
from ..kit.protecting import place_of

if TYPE_CHECKING:
    from napari import Viewer

ADDED = 1
REMOVED = 2
CHANGED = 3
COLOURS = {None: "transparent", 0: "transparent", ADDED: "#35c46a", REMOVED: "#e64b35", CHANGED: "#f0b428"}
_WORDS = {"index": [0, ADDED, REMOVED, CHANGED], "class": ["the same", "added", "removed", "another class"]}


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What has become of every voxel: added, removed, another class, or 0 where it is the same."""
    found = np.zeros(before.shape, np.uint8)
    found[(before != after) & (before == 0)] = ADDED
    found[(before != after) & (after == 0)] = REMOVED
    found[(before != after) & (before != 0) & (after != 0)] = CHANGED
    return found


class Sight:
    """One layer at a time that shows differences of a labels layer.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        self._layer: Labels | None = None

    @property
    def shown(self) -> bool:
        """Whether it is in the viewer."""
        return self._layer in self._viewer.layers

    def show(self, labels: Labels, name: str, parts: Iterable[tuple[int, int, int, np.ndarray]]) -> None:
        """Show differences on the grid of `labels`: number of a slice, first row and column, and `difference`."""
        self.clear()
        data = np.zeros(labels.data.shape, np.uint8)
        _write(data, parts)
        place: dict[str, Any] = place_of(labels)
        look = {"name": name, "colormap": COLOURS, "features": _WORDS, "opacity": 0.8, "metadata": {SIGHT: True}}
        chosen = Selection(self._viewer)
        self._layer = add_layer(self._viewer, Labels(data, **place, **look))
        self._layer.editable = False
        chosen.restore()

    def update(self, parts: Iterable[tuple[int, int, int, np.ndarray]]) -> None:
        """Show other differences on some slices."""
        if self._layer is not None and self.shown:
            _write(self._layer.data, parts)
            self._layer.refresh(extent=False, highlight=False)

    def clear(self) -> None:
        """Remove the layer."""
        layer = self._layer
        self._layer = None
        if layer is not None:
            remove_layer(self._viewer, layer)


def _write(data: Any, parts: Iterable[tuple[int, int, int, np.ndarray]]) -> None:
    planes = Planes(data)
    for number, top, left, codes in parts:
        planes.write(number, top, left, np.ones(codes.shape, bool), codes.ravel())
