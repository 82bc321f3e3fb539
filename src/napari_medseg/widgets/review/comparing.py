"""What has changed, and how labels differ from others: layers that are only looked at, by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from ...review.planes import Planes
from ..kit import jobs
from ..kit.controls import fill
from ..kit.layer_volumes import SIGHT
from .learning_state import count_slices
from .sights import Sight, difference

if TYPE_CHECKING:
    from napari import Viewer

    from ..kit.follower import Follower
    from ..kit.painting import Painting
    from .tools_form import ToolsForm

Part = tuple[int, int, int, np.ndarray]


class Comparing:
    """Shows differences of the labels that the dock has chosen.

    Parameters
    ----------
    viewer : napari.Viewer
    painting : Painting
    form : ToolsForm
        In which other labels are chosen.
    """

    def __init__(self, viewer: Viewer, painting: Painting, form: ToolsForm):
        self._viewer = viewer
        self._painting = painting
        self._form = form
        self._others = form.compare
        self._layer: Labels | None = None
        self._changes = Sight(viewer)
        self._compared = Sight(viewer)
        self._others.currentIndexChanged.connect(self._other_chosen)
        self._others.activated.connect(self._others.clearFocus)  # letters are keys again
        painting.painted.connect(self._painted)

    def close(self) -> None:
        """The dock is closed."""
        self._painting.painted.disconnect(self._painted)
        self._clear()
        self._layer = None

    def show(self, layer: Labels | None) -> None:
        """Compare these labels from now on."""
        if layer is not self._layer:
            self._clear()
            self._layer = layer
        fitting = [other for other in self._viewer.layers if layer is not None and _fits(other, layer)]
        before = self._others.currentData()
        chosen = before if before in fitting else next(iter(fitting), None)
        fill(self._others, [(other.name, other) for other in fitting], chosen)
        self._form.show_row(self._others, bool(fitting))
        if chosen is not before:
            self._compared.clear()

    def _clear(self) -> None:
        self._changes.clear()
        self._compared.clear()

    # ---- what keys do ----

    def outline(self) -> None:
        """Show outlines of the labels, or fill them."""
        if self._layer is not None:
            self._layer.contour = 0 if self._layer.contour else 2

    def show_changes(self) -> None:
        """Show, or hide, how the labels differ from what they were before all steps."""
        layer = self._layer
        follower = self._painting.follower(layer)
        if layer is None or follower is None:
            return
        if self._changes.shown:
            self._changes.clear()
            return
        follower.settle()
        history = follower.journal.history
        numbers = sorted({plane for step in history.steps[: history.position] for plane in step.planes})
        with jobs.errors_shown():
            self._changes.show(layer, "changes in Review (not saved)", _changes(follower, layer, numbers))
        where = count_slices(len(numbers))
        self._viewer.status = f"{where} with steps: green added, red removed, yellow another class."

    def compare(self) -> None:
        """Show, or hide, how the labels differ from the other ones."""
        layer = self._layer
        other = self._others.currentData()
        if layer is None:
            return
        if self._compared.shown:
            self._compared.clear()
            return
        if other is None:
            self._viewer.status = "There are no other labels of this shape to compare with."
            return
        count = Planes(layer.data).count
        self._compared.show(layer, f"compared with {other.name} (not saved)", _differences(layer, other, range(count)))
        self._viewer.status = f"Against '{other.name}': green added, red removed, yellow another class."

    # ---- what happens meanwhile ----

    def _other_chosen(self, index: int) -> None:
        shown = self._compared.shown
        self._compared.clear()
        if shown:
            self.compare()

    def _painted(self, layer: Any, numbers: Iterable[int]) -> None:
        other = self._others.currentData()
        if self._layer is not None and layer in (self._layer, other) and self._compared.shown and other is not None:
            self._compared.update(_differences(self._layer, other, numbers))
        follower = self._painting.follower(layer)
        if layer is self._layer and self._changes.shown and follower is not None:
            with jobs.errors_shown():
                self._changes.update(_changes(follower, layer, numbers))


def _fits(other: Any, layer: Labels) -> bool:
    if not isinstance(other, Labels) or other is layer or other.metadata.get(SIGHT) or other.multiscale:
        return False
    return tuple(other.data.shape) == tuple(layer.data.shape)


def _changes(follower: Follower, layer: Labels, numbers: Iterable[int]) -> Iterator[Part]:
    planes = Planes(layer.data)
    for number in numbers:
        yield number, 0, 0, difference(follower.journal.first(number), planes.read(number))


def _differences(layer: Labels, other: Labels, numbers: Iterable[int]) -> Iterator[Part]:
    mine = Planes(layer.data)
    theirs = Planes(other.data)
    for number in numbers:
        yield number, 0, 0, difference(theirs.read(number), mine.read(number))
