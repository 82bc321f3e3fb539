"""The order of the review: which slice comes next, where its doubtful regions are, and how long the rest will take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer

from ...quantities import duration
from ...review.order import Aim, Region, doubtful, next_slice, regions, score_slices
from ...review.pace import Pace, rest
from ...slice_states import APPROVED, AUTO
from ..kit import jobs, layer_volumes, records
from ..kit.controls import fill
from ..kit.slices import go_to_slice, shown_plane
from .opinions import refused, refused_text

if TYPE_CHECKING:
    from napari import Viewer

    from .form import ReviewForm

KIND = "order"
"""Of the job that looks for doubt."""

_AIMS = (("failed first", "failed"), ("most voxels", "voxels"))


@dataclass(frozen=True, eq=False)
class Found:
    """Scores of the slices, and the doubtful regions in their order."""

    scores: np.ndarray
    regions: list[Region]


def look(labels: Any, other: Any, uncertainty: Any, aim: Aim) -> Found:
    """Where labels differ from others, or are uncertain."""
    scores = score_slices(labels, other, uncertainty, aim)
    return Found(scores, regions(doubtful(labels, other, uncertainty), scores))


class Ordering:
    """What comes next in the labels that are chosen.

    Parameters
    ----------
    viewer : napari.Viewer
    form : ReviewForm
    queue : jobs.Queue
        Of the dock.
    failed : callable
        Called with why doubt could not be looked for.
    """

    def __init__(self, viewer: Viewer, form: ReviewForm, queue: jobs.Queue, failed: Callable[[str], None]):
        self._viewer = viewer
        self._form = form
        self._queue = queue
        self._failed = failed
        self._layer: Labels | None = None
        self._known: tuple[Any, ...] = ()
        self._found: Found | None = None
        self._goal: int | None = None  # where the order has led to
        self._region = -1
        self._pace = Pace()
        fill(form.aim, _AIMS, "failed")
        form.order.currentIndexChanged.connect(self._changed)
        form.aim.currentIndexChanged.connect(self._changed)

    def close(self) -> None:
        """Let go of the layers."""
        self._leave()
        self._layer = None
        self._known = ()
        self._found = None

    # ---- what the order follows ----

    def offer(self, layer: Labels | None) -> None:
        """List what the chosen labels can be compared with: other labels of the same shape, and maps of doubt."""
        sources = [] if layer is None else [other for other in self._viewer.layers if _can_compare(layer, other)]
        box = self._form.order
        before = box.currentData()
        entries: list[tuple[str, Layer | None]] = [("one after the other", None)]
        for source in sources:
            entries.append((self._words(source), source))
        kept = layer is self._layer and (before in sources or (before is None and box.count() == len(entries)))
        fill(box, entries, before if kept else _best(layer, sources))
        if layer is not self._layer:
            self._leave()
            self._layer = layer
        self._changed()

    def _words(self, source: Layer) -> str:
        """A source in few words; the names of results begin with that of their image."""
        name = source.name
        for lead in (self._form.labels.currentText(), self._form.image.currentText()):
            name = name.removeprefix(f"{lead} ") if lead else name
        return f"{name} differs" if isinstance(source, Labels) else name

    def _changed(self, event: Any = None) -> None:
        source = self._form.order.currentData()
        self._form.aim.setVisible(source is not None)
        known = (self._layer, source, self._form.aim.currentData())
        if known == self._known:
            return
        self._known = known
        self._found = None
        self._goal = None
        self._region = -1
        self._form.strip.show_doubt(())
        self._queue.forget(KIND)
        if self._layer is not None and source is not None:
            self._queue.want(KIND, partial(self._start, known))

    def _start(self, known: tuple[Any, ...]) -> None:
        layer, source, aim = known
        if known != self._known:
            return
        other = source.data if isinstance(source, Labels) else None
        uncertainty = source.data if isinstance(source, Image) else None
        job = jobs.once(look, layer.data, other, uncertainty, aim)

        def done(found: Found) -> None:
            if known == self._known:
                self._found = found
                largest = found.scores.max(initial=0) or 1.0
                self._form.strip.show_doubt((found.scores / largest).tolist())

        self._queue.start(KIND, job, title="Order", quiet=True, on_done=done, on_error=self._failed)

    # ---- what comes next ----

    def next_slice(self, shown: int, backwards: bool) -> int | None:
        """The next slice to review, or the one before; None if all others are approved."""
        if self._layer is None:
            return None
        ledger = records.ledger_of(self._layer)
        if self._found is None or len(self._found.scores) != len(ledger):
            return ledger.next_open(shown, backwards)
        number = next_slice(self._found.scores, ledger.states(), self._goal, backwards, shown)
        if number is not None:
            self._goal = number
        return number

    def next_region(self, backwards: bool = False) -> None:
        """Show the next doubtful region, in the order of the slices, or the one before."""
        layer = self._layer
        places = self._open_regions()
        if layer is None or self._found is None or not places:
            self._viewer.status = "There is no doubtful region. 'Next by' says what the labels are compared with."
            return
        walk = places[::-1] if backwards else places
        before = self._region
        ahead = [place for place in walk if (place < before if backwards else place > before)]
        self._region = ahead[0] if ahead else walk[0]
        region = self._found.regions[self._region]
        go_to_slice(self._viewer, layer, region.plane)
        lead = np.unravel_index(region.plane, layer.data.shape[:-2]) if layer.ndim > 2 else ()
        self._viewer.scene.camera.center = tuple(layer.data_to_world((*lead, *region.centre))[-2:])
        number = places.index(self._region) + 1
        self._viewer.status = f"Doubtful region {number} of {len(places)}: {region.voxels} voxels."

    def _open_regions(self) -> list[int]:
        """Places in the list of those regions whose slice nobody has approved."""
        if self._found is None or self._layer is None:
            return []
        states = records.ledger_of(self._layer).states()
        found = enumerate(self._found.regions)
        return [place for place, region in found if region.plane < len(states) and states[region.plane] != APPROVED]

    # ---- how long it takes ----

    def sign(self, shown: int) -> None:
        """The person does something while a slice is in view."""
        self._spend(self._pace.sign(shown))

    def _spend(self, spent: tuple[int, float] | None) -> None:
        if spent is not None and self._layer is not None:
            records.spend(self._layer, *spent)

    def _leave(self) -> None:
        """The labels are not looked at any more."""
        self._spend(self._pace.sign(None))
        if self._layer is not None:
            records.note_seconds(self._layer)

    def painted(self, layer: Labels, slices: set[int]) -> None:
        """Labels have changed."""
        if layer is self._layer:
            self.sign(shown_plane(self._viewer, layer))

    def say_rest(self, there: bool) -> None:
        """Say how many slices are left, how long they will take, and which labels are not followed by themselves."""
        if not there or self._layer is None:
            self._form.rest.say("")
            return
        ledger = records.ledger_of(self._layer)
        counts = ledger.counts()
        left = sum(counts.values()) - counts[APPROVED]
        no_model = not counts[AUTO]  # there is nothing to call a second one then
        comparable = self._form.order.count() > 1 or no_model
        text = rest_text(left, rest(ledger.paces(), left), comparable)
        box = self._form.order
        if left and not isinstance(box.currentData(), Labels):
            others = [box.itemData(row) for row in range(1, box.count())]
            text = f"{text} {refused_text(refused(self._layer, other) for other in others)}".strip()
        self._form.rest.say(text)


def rest_text(left: int, seconds: float, comparable: bool) -> str:
    """What is left to review, in words.

    Parameters
    ----------
    left : int
        Slices that nobody has approved.
    seconds : float
        That they will take; NaN if not known.
    comparable : bool
        Whether there is anything that says where to look first, or no model that could differ from another.
    """
    text = "Every slice is approved." if not left else f"{left} {'slice' if left == 1 else 'slices'} to review"
    if left:
        text += "." if math.isnan(seconds) else f", about {duration(seconds)} at your pace."
    if left > 1 and not comparable:
        text += (
            " One after the other: to see the doubtful ones first, run a second model, or Segment with an uncertainty "
            "layer."
        )
    return text


def _can_compare(layer: Labels, other: Layer) -> bool:
    if other is layer or other.metadata.get(layer_volumes.SIGHT) or getattr(other, "multiscale", False):
        return False
    if isinstance(other, Labels):
        return other.data.shape == layer.data.shape
    record = records.record_of(other)
    made = record is not None and record.what in ("segment", "consensus")
    return isinstance(other, Image) and made and other.data.shape == layer.data.shape and other.data.dtype == np.uint8


def _best(layer: Labels | None, sources: Sequence[Layer]) -> Layer | None:
    """What to follow unless a person says otherwise: a second opinion, else a map of doubt."""
    models = [source for source in sources if isinstance(source, Labels) and records.is_made_by_model(source)]
    models = [source for source in models if not refused(layer, source)]
    doubts = [source for source in sources if isinstance(source, Image)]
    return next(iter([*models, *doubts]), None)
