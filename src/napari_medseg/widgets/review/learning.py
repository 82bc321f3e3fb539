"""Live learning: the slices that a model made follow what the person has corrected of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from ... import files
from ...errors import MedsegError
from ...models.card import ModelCard
from ...progress import Job, Progress
from ...record import Record, UsedModel
from ...review.history import PROPOSED
from ...review.planes import Planes, checksum
from ...segmentation.settings import InferenceSettings
from ..kit import jobs, layer_volumes, records
from ..kit.controls import apply
from ..kit.slices import shown_plane
from .learning_state import (
    ENOUGH,
    LearningFacts,
    cannot_learn,
    corrections,
    count_slices,
    learning_state,
    model_of,
    own_slices,
)

if TYPE_CHECKING:
    from napari import Viewer

    from ...models import TrainedModel
    from ...segmentation.locating import Places
    from ...training.adapt import Adapted
    from ..kit.follower import Follower
    from ..kit.painting import Painting
    from ..kit.shelf import Shelf
    from .form import ReviewForm

KIND = "learn"
_KEPT = ("channel", "context", "precision")  # settings of the run that decide what the model sees

Slices = frozenset[tuple[int, int | None]]


@dataclass(frozen=True, eq=False)
class _Task:
    """What is learnt from, and which slices are to follow with what checksums."""

    layer: Labels
    model: UsedModel
    corrected: Slices
    others: Mapping[int, int | None]


class Learning:
    """Updates the labels that are chosen, as long as the person wants it.

    It has a queue of its own: no tool waits for it.

    Parameters
    ----------
    viewer : napari.Viewer
    painting : Painting
    shelf : Shelf
    form : ReviewForm
    """

    def __init__(self, viewer: Viewer, painting: Painting, shelf: Shelf, form: ReviewForm):
        self._viewer = viewer
        self._painting = painting
        self._shelf = shelf
        self._form = form
        self._queue = jobs.Queue(form, (KIND,), self.update, self._failed)
        self._layer: Labels | None = None
        self._image: Image | None = None
        self._problem = ""
        self._learnt: Slices = frozenset()
        self._places: Places | None = None
        self._report = ""
        form.learn.clicked.connect(self._ticked)

    @property
    def busy(self) -> bool:
        """Whether something is being learnt, or about to be."""
        return self._queue.busy

    def close(self) -> None:
        """The dock is closed."""
        self._queue.close()
        self._layer = None
        self._image = None

    def show(self, layer: Labels | None, image: Image | None, problem: str) -> None:
        """Go on with these labels, which lie on `image`."""
        if layer is not self._layer or image is not self._image:
            self._stop()
            self._report = ""
            self._form.learn.setChecked(False)
        self._layer = layer
        self._image = image
        self._problem = problem
        self.look()

    def _ticked(self, ticked: bool) -> None:
        self._stop()
        self._report = ""
        self.look()

    def _stop(self) -> None:
        self._queue.forget(KIND)
        self._queue.stop()
        self._learnt = frozenset()
        self._places = None

    def look(self) -> None:
        """Learn, if the person wants it and has corrected more since."""
        task = self._task() if self._form.learn.isChecked() and not self._problem else None
        if task is not None and len(task.corrected) >= ENOUGH and not task.corrected <= self._learnt:
            self._queue.want(KIND, self._start)
        self.update()

    # ---- what is possible ----

    def _model(self) -> UsedModel | None:
        return None if self._layer is None else model_of(records.record_of(self._layer))

    def _task(self) -> _Task | None:
        model = self._model()
        layer = self._layer
        if layer is None or model is None or self._image is None or cannot_learn(model, self._shelf.cards):
            return None
        ledger = records.ledger_of(layer)
        corrected = corrections(ledger, shown_plane(self._viewer, layer))
        return _Task(layer, model, corrected, own_slices(ledger, model))

    def update(self) -> None:
        """Say what is possible."""
        apply(self._form, learning_state(self._facts()))

    def _facts(self) -> LearningFacts:
        model = self._model()
        if self._layer is None or model is None:
            return LearningFacts()
        ledger = records.ledger_of(self._layer)
        return LearningFacts(
            problem=self._problem,
            model=model.name,
            cannot=cannot_learn(model, self._shelf.cards),
            has_image=self._image is not None,
            reviewed=len(ledger.reviewed()),
            others=len(own_slices(ledger, model)),
            ticked=self._form.learn.isChecked(),
            report=self._report,
        )

    # ---- learn ----

    def _start(self) -> None:
        follower = self._painting.follower(self._layer)
        if follower is not None:
            follower.settle()
        task = self._task()
        image = self._image
        if task is None or image is None or not self._form.learn.isChecked():
            return
        if len(task.corrected) < ENOUGH or not task.others:
            return
        card = self._shelf.cards[task.model.name]
        job = self._job(task, card, image)
        self._learnt = task.corrected
        self._report = f"Learning from {count_slices(len(task.corrected))}…"
        title = "Update from corrections"
        options: dict[str, Any] = {"on_step": self._show_step, "on_error": self._failed, "quiet": True}
        self._queue.start(KIND, job, title=title, on_done=partial(self._write, task), **options)

    def _job(self, task: _Task, card: ModelCard, image: Image) -> Job[Adapted]:
        from ...training.adapt import Corrected, adapt_job

        axes = next(iter(layer_volumes.axes_choices(image)), None)
        volume = layer_volumes.to_volume(image, axes)
        settings = settings_of(records.record_of(task.layer))
        reviewed = tuple(sorted(number for number, _ in task.corrected))
        corrected = Corrected(task.layer.data, reviewed, tuple(task.others))
        places = self._places

        def work(models: list[TrainedModel]) -> Job[Adapted]:
            return adapt_job(volume, models[0], corrected, settings, places=places)

        return self._shelf.job([card], work)

    def _show_step(self, step: Progress) -> None:
        share = round(100 * step.done / max(1, step.total))
        head = self._report.partition("…")[0]
        self._report = f"{head}… {share}%"
        self.update()

    def _failed(self, why: str) -> None:
        self._report = why
        self._form.learn.setChecked(False)
        self.update()

    # ---- write ----

    def _write(self, task: _Task, found: Adapted) -> None:
        layer = self._layer
        follower = self._painting.follower(layer)
        if layer is not task.layer or follower is None or not self._form.learn.isChecked():
            return
        with jobs.errors_shown():
            follower.settle()
            if not follower.fits():
                return
            self._places = found.places
            self._report = self._written(task, layer, follower, found.labels)
        self.look()

    def _written(self, task: _Task, layer: Labels, follower: Follower, found: Mapping[int, np.ndarray]) -> str:
        """Write the slices that nobody has changed or approved meanwhile; what came of it, in a sentence."""
        planes = Planes(layer.data)
        own = own_slices(records.ledger_of(layer), task.model)
        changed = []
        for number, plane in found.items():
            if own.get(number, -1) != task.others[number]:
                continue
            before = planes.read(number)
            differs = before != plane
            if differs.any() and checksum(before) == task.others[number]:
                _put(planes, number, differs, plane)
                changed.append(number)
        corrected = len(task.corrected)
        if not changed:
            return f"Nothing else changes after learning from {count_slices(corrected)}."
        name = f"update from {corrected} corrected"
        follower.touch(changed)
        step = follower.settle(name, {"tool": KIND, PROPOSED: f"{task.model.name} + {count_slices(corrected)}"})
        layer.refresh(extent=False, highlight=False)
        if step is None:
            return "The rules for protected classes and intensities allow none of the update."
        return f"Done: {step.name}. Ctrl+Z takes it back."


def _put(planes: Planes, number: int, differs: np.ndarray, plane: np.ndarray) -> None:
    try:
        planes.write(number, 0, 0, differs, plane[differs])
    except OSError as error:  # labels that lie on the disk
        raise MedsegError(jobs.failure("The update", error)) from error


def settings_of(record: Record | None) -> InferenceSettings:
    """Settings of a run that decide what the model sees, from its record."""
    known = {} if record is None else record.settings
    kept = {name: known[name] for name in _KEPT if name in known}
    return files.typed(InferenceSettings, kept, "The record of the labels")
