"""The offer to teach a new model, once enough slices of a class that no model finds are edited or approved."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels

from ...progress import Job, Progress
from ...review.planes import Planes
from ..kit import jobs, records
from ..kit.controls import apply
from ..kit.dock import bring_dock
from .palette import class_names, nameless
from .teaching_state import ENOUGH, TeachingFacts, teaching_state

if TYPE_CHECKING:
    from napari import Viewer

    from ..kit.shelf import Shelf
    from .form import ReviewForm

KIND = "teach"

Seen = dict[int, tuple[int | None, frozenset[int]]]
"""Checksum and classes of slices."""


def look_job(planes: Planes, wanted: dict[int, int | None]) -> Job[Seen]:
    """The classes on slices, with the checksums given."""
    found: Seen = {}
    for done, (number, crc) in enumerate(wanted.items()):
        yield Progress(done, len(wanted))
        found[number] = crc, frozenset(np.unique(planes.read(number)).tolist()) - {0}
    return found


class Teaching:
    """Counts the slices of each class in a thread, a slice once as long as it stays as it is.

    Parameters
    ----------
    viewer : napari.Viewer
    shelf : Shelf
    form : ReviewForm
    """

    def __init__(self, viewer: Viewer, shelf: Shelf, form: ReviewForm):
        self._viewer = viewer
        self._shelf = shelf
        self._form = form
        self._queue = jobs.Queue(form, (KIND,), self.update)
        self._layer: Labels | None = None
        self._image: Image | None = None
        self._problem = ""
        self._seen: WeakKeyDictionary[Labels, Seen] = WeakKeyDictionary()
        form.teach.clicked.connect(self.teach)

    @property
    def busy(self) -> bool:
        """Whether slices are being looked at."""
        return self._queue.busy

    def close(self) -> None:
        """The dock is closed."""
        self._queue.close()
        self._layer = None
        self._image = None

    def show(self, layer: Labels | None, image: Image | None, problem: str) -> None:
        """Go on with these labels, which lie on `image`."""
        self._layer = layer
        self._image = image
        self._problem = problem
        if layer is not None and not problem and self._stale(layer):
            self._queue.want(KIND, self._look)
        self.update()

    def _stale(self, layer: Labels) -> dict[int, int | None]:
        """Slices to look at, with their checksums, if there are enough to teach from."""
        ledger = records.ledger_of(layer)
        reviewed = ledger.reviewed()
        if len(reviewed) < ENOUGH:
            return {}
        seen = self._seen.get(layer, {})
        now = {number: ledger.entry(number).content for number in reviewed}
        return {number: crc for number, crc in now.items() if number not in seen or seen[number][0] != crc}

    def _look(self) -> None:
        layer = self._layer
        wanted = {} if layer is None else self._stale(layer)
        if layer is not None and wanted:
            job = look_job(Planes(layer.data), wanted)
            options: dict[str, Any] = {"title": "Look for classes", "quiet": True}
            self._queue.start(KIND, job, on_done=partial(self._saw, layer), **options)

    def _saw(self, layer: Labels, found: Seen) -> None:
        self._seen[layer] = {**self._seen.get(layer, {}), **found}
        self.update()

    # ---- what is possible ----

    def update(self) -> None:
        """Say what is possible."""
        apply(self._form, teaching_state(self._facts()))

    def _facts(self) -> TeachingFacts:
        layer = self._layer
        if layer is None or not self._shelf.cards:
            return TeachingFacts(self._problem)
        found = {row.name for card in self._shelf.cards.values() for row in card.classes}
        return TeachingFacts(self._problem, self._image is not None, layer.ndim, self._counts(layer), found)

    def _counts(self, layer: Labels) -> dict[str, int]:
        record = records.record_of(layer)
        if record is not None and record.settings.get("split_objects"):
            return {}  # numbers of objects are not classes
        seen = self._seen.get(layer, {})
        numbers = Counter[int]()
        for number in records.ledger_of(layer).reviewed():
            _, classes = seen.get(number, (None, frozenset[int]()))
            numbers.update(classes)
        names = class_names(layer)
        return {names.get(number) or nameless(number): count for number, count in sorted(numbers.items())}

    def teach(self) -> None:
        """Open Fine-tune with the labels that are chosen."""
        if self._layer is not None and self._image is not None:
            bring_dock(self._viewer, "Fine-tune").teach(self._layer, self._image)
