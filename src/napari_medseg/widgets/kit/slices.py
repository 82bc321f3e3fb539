"""Which slice of a layer is in view, how to go to another one, and which ones a stroke changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer

if TYPE_CHECKING:
    from napari.components import ViewerModel


def place_in_view(viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
    """Where the shown slice of a layer lies along the axes before its last two."""
    if viewer.dims.ndim < layer.ndim:  # it is being taken out
        return (0,) * (layer.ndim - 2)
    point = viewer.dims.point[-layer.ndim :]
    units = viewer.dims.units
    if units is not None:  # those of the viewer, when its layers have different ones
        pairs = zip(point, units[-layer.ndim :], layer.units, strict=True)
        point = [_converted(value, theirs, ours) for value, theirs, ours in pairs]
    place = np.round(layer.world_to_data(point)[: layer.ndim - 2]).astype(int)
    last = np.array(layer.data.shape[: layer.ndim - 2]) - 1
    return tuple(np.clip(place, 0, last).tolist())


def _converted(value: float, unit: Any, wanted: Any) -> float:
    """A length in another unit; most are the same, and comparing is a hundred times faster."""
    return value if unit == wanted else float((value * unit).to(wanted).magnitude)


def is_seen(layer: Layer) -> bool:
    """Whether a layer is shown at all."""
    return bool(layer.visible) and layer.opacity > 0


def shown_plane(viewer: ViewerModel, layer: Layer) -> int:
    """Number of the slice in view, counted over all axes before the last two."""
    lead = layer.data.shape[: layer.ndim - 2]
    return int(np.ravel_multi_index(place_in_view(viewer, layer), lead)) if lead else 0


def go_to_slice(viewer: ViewerModel, layer: Layer, number: int) -> None:
    """Show a slice of a layer."""
    lead = layer.data.shape[: layer.ndim - 2]
    if not lead:
        return
    place = (*np.unravel_index(number, lead), 0, 0)
    point = layer.data_to_world(place)
    units = viewer.dims.units
    first = viewer.dims.ndim - layer.ndim
    for axis in range(len(lead)):
        value = float(point[axis])
        if units is not None:
            value = _converted(value, layer.units[axis], units[first + axis])
        viewer.dims.set_point(first + axis, value)


def touched(item: Sequence[tuple[Any, ...]], shape: tuple[int, ...]) -> set[int]:
    """The slices that a stroke changes: each of its parts begins with an index of the array, of the given shape."""
    lead = tuple(shape[:-2])
    found: set[int] = set()
    for part in item:
        places = [_places(where, length) for where, length in zip(part[0], lead, strict=False)]
        if any(isinstance(where, slice) for where in part[0][: len(lead)]):
            grid = np.meshgrid(*places, indexing="ij")
        else:
            grid = np.broadcast_arrays(*places) if places else []
        found |= set(np.ravel_multi_index(grid, lead).ravel().tolist()) if lead else {0}
    return found


def _places(where: Any, length: int) -> np.ndarray:
    if isinstance(where, slice):
        return np.arange(*where.indices(length))
    return np.unique(where) if np.ndim(where) == 0 else np.asarray(where).ravel()
