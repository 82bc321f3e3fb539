"""What was measured of labels layers, and whether it still holds; it outlives the dock, not the layers."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakSet, ref

from napari.layers import Labels

from ...review.measure import Measured
from ..kit.painting import Painting


@dataclass(eq=False)
class Measurement:
    """One measurement of a layer.

    Parameters
    ----------
    reference : weak reference to napari.layers.Labels, or None
        That it is scored against.
    measured : Measured or None
        None as long as it is under way.
    note : str
        What has changed since it began; empty if nothing.
    """

    reference: ref[Labels] | None = None
    measured: Measured | None = None
    note: str = ""


_KNOWN: WeakKeyDictionary[Labels, Measurement] = WeakKeyDictionary()
_UNDER_WAY: WeakKeyDictionary[Labels, Measurement] = WeakKeyDictionary()
_LISTENING: WeakSet[Painting] = WeakSet()


def listen(painting: Painting) -> None:
    """Hear of changes as long as the viewer lives, when the dock is closed, too."""
    if painting not in _LISTENING:
        _LISTENING.add(painting)
        painting.painted.connect(_painted)
        painting.replaced.connect(_changed)


def begin(layer: Labels, reference: Labels | None) -> Measurement:
    """A measurement of a layer as it is now begins."""
    found = Measurement(None if reference is None else ref(reference))
    _UNDER_WAY[layer] = found
    return found


def finish(layer: Labels, measurement: Measurement, measured: Measured) -> None:
    """It has ended, and replaces an earlier one."""
    _UNDER_WAY.pop(layer, None)
    measurement.measured = measured
    _KNOWN[layer] = measurement


def known(layer: Labels) -> tuple[Measured | None, str]:
    """What was measured of a layer, and what to know of it."""
    found = _KNOWN.get(layer)
    return (None, "") if found is None else (found.measured, found.note)


def _painted(layer: Labels, slices: set[int]) -> None:
    if slices:
        _changed(layer)


def _changed(layer: Labels) -> None:
    for measurements in (_KNOWN, _UNDER_WAY):
        for owner, measurement in list(measurements.items()):
            if owner is layer:
                measurement.note = "changed since it was measured"
            elif measurement.reference is not None and measurement.reference() is layer:
                measurement.note = measurement.note or "its reference has changed since"
