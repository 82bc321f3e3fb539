"""The scan in view stands as radiologists look at it; its slices and the order of its axes stay as stored.

Layers are shown along their own axes: only those that lie alike in the patient lie on each other. So turning the canvas
for a scan that lies differently parts nothing that belongs together.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.layers import Layer
from napari.settings import get_settings

from ...errors import readable
from ...viewing.anatomy import Anatomy
from ...viewing.planes import PLANES, Arrangement, arrange, upright, why_not
from .letters import Letters, letters_of, place_or_why

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


def shows(viewer: ViewerModel, wanted: Arrangement) -> bool:
    """Whether the canvas shows axes and directions so; in 2-D, where the slices grow does not matter."""
    count = len(viewer.dims.displayed)
    axes = tuple(viewer.dims.order[-count:]) == wanted.order[-count:]
    return axes and _orientation(viewer)[-count:] == wanted.orientation[-count:]


def show(viewer: ViewerModel, wanted: Arrangement) -> None:
    """Let the canvas show axes and directions so, and all of the layers if the axes change."""
    before = tuple(viewer.dims.order)
    viewer.dims.order = wanted.order
    viewer.scene.camera.update({"orientation": wanted.orientation})
    if wanted.order != before:
        fit_view(viewer)


def fit_view(viewer: ViewerModel) -> None:
    """Show the whole of the layers in view; hidden ones, which may lie elsewhere, need no room."""
    viewer.reset_view(layers=[layer for layer in viewer.layers if layer.visible] or None)


def apart(viewer: ViewerModel, layer: Layer) -> list[Layer]:
    """The other layers in view that lie differently in the patient."""
    place = place_or_why(layer)
    if not isinstance(place, Anatomy):
        return []
    places = {other: place_or_why(other) for other in viewer.layers if other.visible}
    return [other for other, its in places.items() if isinstance(its, Anatomy) and not its.lies_like(place)]


def apart_text(layer: Layer, others: Sequence[Layer]) -> str:
    """A sentence of layers that lie differently from `layer`; empty if there are none."""
    if not others:
        return ""
    names = f"'{readable(layer.name)}' and '{readable(others[0].name)}'"
    return (
        f"{names} lie differently in the patient, so they do not fit on each other here. The one that is selected "
        "stands upright."
    )


class Upright:
    """Turns the canvas for the scan in view, and back once no scan is left.

    A NIfTI file mostly stores rows from back to front, so that napari shows the patient on the head. The scan in view
    is the one whose letters are shown, if it is selected or the one before is hidden or gone. A canvas that a person
    has turned stays; where it shows one of the planes as they are looked at, it shows the same plane of the next scan.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Is not kept.
    letters : Letters
        Of this viewer.
    """

    def __init__(self, viewer: ViewerModel, letters: Letters):
        self._viewer = weakref.ref(viewer)
        self._letters = letters
        self._layer: weakref.ref[Layer] | None = None
        self._place: Anatomy | None = None  # of the scan that the canvas was turned for
        letters.changed.connect(self._look)
        # what changes no letters: the lowest scan is selected, a hidden one goes; the letters hear of it before
        viewer.layers.selection.events.active.connect(self._look, position="last")
        viewer.layers.events.removed.connect(self._look, position="last")
        self._look()

    def _look(self, event: object = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        layer = self._letters.layer
        if layer is None:
            if not any(isinstance(place_or_why(other), Anatomy) for other in viewer.layers):
                self._let_go(viewer)
        elif layer is viewer.layers.selection.active or not self._is_in_view(viewer):
            self._follow(viewer, layer)

    def _is_in_view(self, viewer: ViewerModel) -> bool:
        """Whether the scan that the canvas was turned for can still be seen."""
        layer = None if self._layer is None else self._layer()
        return layer is not None and layer in viewer.layers and layer.visible

    def _follow(self, viewer: ViewerModel, layer: Layer) -> None:
        before = self._place
        place = self._letters.anatomy
        if place is None:
            return
        self._layer = weakref.ref(layer)
        self._place = place
        if before is None:
            untouched = Arrangement(_as_stored(viewer), stored_orientation())
            if shows(viewer, untouched):
                show(viewer, _own(viewer, place))
                viewer.reset_view()
        elif not place.lies_like(before):
            wanted = _likewise(viewer, before, place)
            if wanted is not None and not shows(viewer, wanted):
                show(viewer, wanted)

    def _let_go(self, viewer: ViewerModel) -> None:
        place = self._place
        self._layer = None
        self._place = None
        if place is not None and _orientation(viewer)[1:] in _flat_views(place):
            show(viewer, Arrangement(_as_stored(viewer), stored_orientation()))
            viewer.reset_view()


def _likewise(viewer: ViewerModel, before: Anatomy, place: Anatomy) -> Arrangement | None:
    """What shows a scan as the canvas shows the one before; None if a person has turned it in another way."""
    if shows(viewer, _own(viewer, before)):
        return _own(viewer, place)
    for name in PLANES:
        if not why_not(before, name) and shows(viewer, arrange(before, viewer.dims.ndim, name)):
            return _own(viewer, place) if why_not(place, name) else arrange(place, viewer.dims.ndim, name)
    return None


def _own(viewer: ViewerModel, place: Anatomy) -> Arrangement:
    """The slices of a scan as they are stored, upright where turning the canvas can do it."""
    return Arrangement(_as_stored(viewer), upright(place) or stored_orientation())


def _flat_views(place: Anatomy) -> set[tuple[str, ...]]:
    """Where rows and columns grow in the views of a scan as it is looked at."""
    found = [upright(place) or stored_orientation()]
    found += [arrange(place, len(place.axes), name).orientation for name in PLANES if not why_not(place, name)]
    return {orientation[1:] for orientation in found}


def _as_stored(viewer: ViewerModel) -> tuple[int, ...]:
    return tuple(range(viewer.dims.ndim))


def _orientation(viewer: ViewerModel) -> Orientation:
    depth, vertical, horizontal = map(str, viewer.scene.camera.orientation)
    return depth, vertical, horizontal


_UPRIGHT: WeakKeyDictionary[ViewerModel, Upright] = WeakKeyDictionary()


def keep_upright(viewer: ViewerModel) -> None:
    """Show the scans that a viewer has and will open upright; once for a viewer is enough."""
    if viewer not in _UPRIGHT:
        _UPRIGHT[viewer] = Upright(viewer, letters_of(viewer))
