"""The first scan of a viewer stands as radiologists look at it; its slices and the order of its axes stay as stored."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.settings import get_settings

from ...errors import VolumeError
from ...viewing.planes import upright
from .letters import place_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

Orientation = tuple[str, str, str]


def stored_orientation() -> Orientation:
    """Where depth, rows and columns of a canvas grow when nobody has turned it, by the preferences of napari."""
    wanted = get_settings().application
    return (
        str(wanted.depth_axis_orientation),
        str(wanted.vertical_axis_orientation),
        str(wanted.horizontal_axis_orientation),
    )


class Upright:
    """Turns the canvas for the first layer of an empty viewer, and back once the viewer is empty again.

    A NIfTI file mostly stores rows from back to front, so that napari shows the patient on the head. A canvas that a
    person has turned stays.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Is not kept.
    """

    def __init__(self, viewer: ViewerModel):
        self._viewer = weakref.ref(viewer)
        self._turned: Orientation | None = None
        layers = viewer.layers.events
        layers.inserted.connect(self._layer_came)
        layers.removed.connect(self._layer_went)

    def _layer_came(self, event: Any) -> None:
        viewer = self._viewer()
        if viewer is None or len(viewer.layers) != 1:
            return
        try:
            wanted = upright(place_of(viewer.layers[0]))
        except VolumeError:
            return  # it does not say how it lies
        if wanted is not None and _orientation(viewer) == stored_orientation():
            self._turned = wanted
            _turn(viewer, wanted)

    def _layer_went(self, event: Any) -> None:
        viewer = self._viewer()
        if viewer is None or len(viewer.layers) or self._turned is None:
            return
        if _orientation(viewer) == self._turned:
            _turn(viewer, stored_orientation())
        self._turned = None


def _orientation(viewer: ViewerModel) -> Orientation:
    depth, vertical, horizontal = map(str, viewer.scene.camera.orientation)
    return depth, vertical, horizontal


def _turn(viewer: ViewerModel, orientation: Orientation) -> None:
    viewer.scene.camera.update({"orientation": orientation})
    viewer.reset_view()


_UPRIGHT: WeakKeyDictionary[ViewerModel, Upright] = WeakKeyDictionary()


def keep_upright(viewer: ViewerModel) -> None:
    """Show the scans that a viewer opens from now on upright; once for a viewer is enough."""
    if viewer not in _UPRIGHT:
        _UPRIGHT[viewer] = Upright(viewer)
