"""Letters at the edges of the canvas: which side of the patient lies there, whatever axes and camera do.

They are overlays of the canvas, not layers: nothing is listed, saved or hit by the pointer.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.components.overlays import TextOverlay
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, Signal

from ...errors import VolumeError
from ...io.contributions import volume_from_layer_data
from ...viewing.anatomy import (
    NO_EDGES,
    NO_PLACE,
    Anatomy,
    Edges,
    anatomy_of,
    edges,
    flat_directions,
    plane_text,
    turned_directions,
)
from .layer_volumes import finest, meta_of
from .records import noted

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SIDES = {"left": "middle_left", "right": "middle_right", "top": "top_center", "bottom": "bottom_center"}
_POINTS = 15.0  # size of a letter


@dataclass(frozen=True)
class Sight:
    """What the canvas shows.

    Parameters
    ----------
    edges : Edges
    plane : str
        Name of the plane; empty if it has none.
    layer : str
        Name of the layer whose place is meant; empty if there is none.
    why_not : str
        Why there are no letters.
    remark : str
        What a person should know of them.
    """

    edges: Edges = NO_EDGES
    plane: str = ""
    layer: str = ""
    why_not: str = ""
    remark: str = ""


def place_of(layer: Layer) -> Anatomy:
    """Where the axes of the viewer point in the patient, by what a layer says of its place.

    Raises
    ------
    VolumeError
        If it does not say so.
    """
    if not isinstance(layer, Image | Labels) or not noted(layer).get("axes"):
        raise VolumeError(NO_PLACE)
    return anatomy_of(volume_from_layer_data(finest(layer), meta_of(layer)))


class Letters(QObject):
    """Follows layers, axes and camera of a viewer.

    The letters are those of the selected layer, or else of the lowest image that says where it lies; hidden layers do
    not count.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Is not kept.

    Attributes
    ----------
    sight : Sight
        What the canvas shows now.
    layer : napari.layers.Layer or None
        Whose letters they are.
    anatomy : Anatomy or None
        Of this layer.
    """

    changed = Signal()
    """The canvas shows something else."""

    def __init__(self, viewer: ViewerModel):
        super().__init__()
        self.sight = Sight()
        self.anatomy: Anatomy | None = None
        self._layer: weakref.ref[Layer] | None = None
        self._places: dict[str, Anatomy] = {}  # of all visible layers, by name
        self._why_not = ""
        self._wanted = True
        self._viewer = weakref.ref(viewer)
        layers = viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered, layers.renamed):
            event.connect(self._layers_changed)
        viewer.layers.selection.events.active.connect(self._layers_changed)
        for event in (viewer.dims.events.order, viewer.dims.events.ndisplay, viewer.dims.events.ndim):
            event.connect(self._look)
        camera = viewer.scene.camera.events
        camera.orientation.connect(self._look)
        camera.angles.connect(self._look)
        viewer.canvas.grid.events.enabled.connect(self._look)
        self._layers_changed()

    @property
    def layer(self) -> Layer | None:
        """The layer whose letters they are."""
        return None if self._layer is None else self._layer()

    @property
    def wanted(self) -> bool:
        """Whether letters are shown where they are known."""
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: bool) -> None:
        self._wanted = wanted
        self._look()

    def _layers_changed(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        for layer in viewer.layers:
            layer.events.visible.connect(self._layers_changed)  # once, however often it is asked for
        asked = {layer: place_or_why(layer) for layer in viewer.layers if layer.visible}
        places = {layer: place for layer, place in asked.items() if isinstance(place, Anatomy)}
        found, self._why_not = _followed(asked, viewer.layers.selection.active)
        self.anatomy = None if found is None else places[found]
        self._layer = None if found is None else weakref.ref(found)
        self._places = {layer.name: place for layer, place in places.items()}
        self._look()

    def _look(self, event: Any = None) -> None:
        """Say what the canvas shows, and put the letters there."""
        viewer = self._viewer()
        if viewer is None:
            return
        sight = self._sight(viewer)
        self._show(viewer, sight.edges if self._wanted else NO_EDGES)
        if sight != self.sight:
            self.sight = sight
            self.changed.emit()

    def _sight(self, viewer: ViewerModel) -> Sight:
        anatomy = self.anatomy
        layer = self.layer
        if anatomy is None or layer is None:
            return Sight(why_not=self._why_not)
        others = [name for name, place in self._places.items() if not place.lies_like(anatomy)]
        if others and viewer.canvas.grid.enabled:
            why_not = f"'{layer.name}' and '{others[0]}' lie differently in the patient. Leave the grid to see letters."
            return Sight(layer=layer.name, why_not=why_not)
        right, down = _directions(viewer, anatomy)
        found = edges(right, down)
        if right is None or down is None:
            return Sight(found, layer=layer.name, why_not="An axis of the canvas is not one of space.")
        remark = f"'{others[0]}' lies differently: the letters do not hold for it." if others else ""
        if len(viewer.dims.displayed) == 3:
            remark = _mirror_remark(viewer, anatomy, np.cross(right, down)) or remark
        return Sight(found, plane_text(right, down), layer.name, remark=remark)

    def _show(self, viewer: ViewerModel, found: Edges) -> None:
        overlays = viewer.canvas.overlays
        for side, position in _SIDES.items():
            text = getattr(found, side)
            name = f"medseg_{side}"
            if text and name not in overlays:
                overlays[name] = TextOverlay(position=position, font_size=_POINTS, gridded=True)
            if name in overlays:
                overlays[name].text = text
                overlays[name].visible = bool(text)


def place_or_why(layer: Layer) -> Anatomy | str:
    """The place of a layer, or why it has none."""
    try:
        return place_of(layer)
    except VolumeError as error:
        return str(error)


def _followed(asked: Mapping[Layer, Anatomy | str], active: Layer | None) -> tuple[Layer | None, str]:
    """The visible layer whose letters are shown, or why there is none."""
    chosen = [layer for layer in asked if layer is active]
    images = [layer for layer in asked if isinstance(layer, Image)]
    reasons = []
    for layer in (*chosen, *images):
        place = asked[layer]
        if isinstance(place, Anatomy):
            return layer, ""
        reasons.append(place)
    return None, reasons[0] if reasons else "No image is open."


def _directions(viewer: ViewerModel, anatomy: Anatomy) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Directions in the patient that run to the right and lower edge of the canvas, as far as they are known."""
    dims = viewer.dims
    camera = viewer.scene.camera
    if len(dims.displayed) == 2:  # as of a viewer in 3-D whose last layer has gone
        return flat_directions(anatomy, dims.displayed, dims.ndim, camera.orientation2d)
    mirrored = str(camera.handedness) == "left"
    view, up = camera.view_direction, camera.up_direction
    found = turned_directions(anatomy, dims.displayed, dims.ndim, view, up, mirrored)
    return (None, None) if found is None else found


def _mirror_remark(viewer: ViewerModel, anatomy: Anatomy, away: np.ndarray) -> str:
    """A sentence if a rendering shows the patient as a mirror would; `away` runs away from the eye if it does not."""
    view = viewer.scene.camera.view_direction
    dims = viewer.dims
    columns = [anatomy.direction(dim, dims.ndim) for dim in dims.displayed]
    looks = sum(part * column for part, column in zip(view, columns, strict=True) if column is not None)
    if np.dot(looks, away) > 0:
        return ""
    return "The rendering is a mirror image of the patient: press Axial, Coronal or Sagittal."


_LETTERS: WeakKeyDictionary[ViewerModel, Letters] = WeakKeyDictionary()


def letters_of(viewer: ViewerModel) -> Letters:
    """The letters of a viewer, which live as long as the viewer: whoever has closed all docks still sees left."""
    found = _LETTERS.get(viewer)
    if found is None:
        found = Letters(viewer)
        _LETTERS[viewer] = found
    return found
