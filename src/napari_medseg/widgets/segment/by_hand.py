"""Labels without a model: an empty layer on the grid of an image, ready to be painted, and the dock that helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from ..kit import layer_volumes
from ..kit.dock import bring_dock
from ..kit.listing import add_layer

if TYPE_CHECKING:
    from napari import Viewer


def label_by_hand(viewer: Viewer, image: Image, axes: str) -> None:
    """Add empty labels on the grid of `image`, whose axes are `axes`, with the brush in hand, and open Review.

    Raises
    ------
    MedsegError
        If the layer cannot be labelled.
    """
    from ...segmentation.slices import label_shape

    volume = layer_volumes.to_volume(image, axes)
    grid = layer_volumes.Grid.of(image, axes)
    empty = grid.view(np.zeros(label_shape(volume), np.uint8))
    labels = add_layer(viewer, Labels(empty, **{**grid.options, "name": f"{image.name} labels"}))
    viewer.layers.selection.active = labels
    bring_dock(viewer, "Review").choose(labels)
    labels.mode = "paint"
