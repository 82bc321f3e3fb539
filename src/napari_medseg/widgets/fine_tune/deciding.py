"""What becomes of a training that has ended: figures, what has changed in the image, accept, discard, roll back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Labels

from ...io.contributions import layer_tuple
from ...models.library import remove
from ...progress import Progress
from ...replay.recording import PLANNED
from ..kit import jobs, layer_volumes
from ..kit.listing import add_layer, remove_layer
from ..kit.recorder import recorder_of
from ..kit.tuning import Run, training
from .view import doubtful, verdict_text

if TYPE_CHECKING:
    from napari import Viewer

    from ...training.comparison import Comparison
    from ...volume import Volume
    from .form import FineTuneForm
    from .sources import Sources

_ACCEPTED = "{} is one of your models now, and chosen here and in Segment. Roll back takes it back."


class Deciding:
    """Compares a finished run with the model that it began with, and does with it what the person says.

    Parameters
    ----------
    viewer : napari.Viewer
    form : FineTuneForm
    queue : jobs.Queue
        Of the dock.
    sources : Sources
    sure : callable
        Asks a question: title, text, and what is done on a yes.
    changed, failed : callable
        Called when something else is possible, and with why a job failed.

    Attributes
    ----------
    comparison : Comparison or None
        Of the run that waits for a decision.
    """

    def __init__(
        self,
        viewer: Viewer,
        form: FineTuneForm,
        queue: jobs.Queue,
        sources: Sources,
        sure: Callable[[str, str, str], bool],
        changed: Callable[[], None],
        failed: Callable[[str], None],
    ):
        self.comparison: Comparison | None = None
        self._viewer = viewer
        self._form = form
        self._queue = queue
        self._sources = sources
        self._sure = sure
        self._changed = changed
        self._failed = failed
        self._training = training()
        form.difference.clicked.connect(lambda: queue.want("difference", self._start_difference))
        form.accept.clicked.connect(self._ask_to_accept)
        form.discard.clicked.connect(self._ask_to_discard)

    @property
    def is_doubtful(self) -> bool:
        """Whether there are figures, and they do not speak for the new model."""
        return self.comparison is not None and doubtful(self.comparison)

    def show_run(self) -> None:
        """Compare, once the run has ended."""
        run = self._training.run
        if run is None:
            self.comparison = None
        elif self._can_compare() and run.weights.exists():
            self._queue.want("compare", self._start_compare)
        self._show_comparison()

    def _can_compare(self) -> bool:
        """Whether a run has ended that there are no figures of."""
        ended = self._training.run is not None and not self._training.running
        return ended and self.comparison is None

    def _start_compare(self) -> None:
        from ...training.gain import before_and_after

        run = self._training.run
        if run is None or not self._can_compare():
            return

        def done(found: Comparison) -> None:
            if self._training.run is run and not self._training.running:
                self.comparison = found
                self._show_comparison()

        self._form.bar.setRange(0, 0)
        job = jobs.once(before_and_after, run.folder)
        self._queue.start("compare", job, title="Compare", on_done=done, on_error=self._failed)

    def _show_comparison(self) -> None:
        run = self._training.run
        found = self.comparison
        self._form.figures.show_figures(found, run.classes if run else ())
        self._form.verdict.say(verdict_text(found, run) if found and run else "")
        self._changed()

    def _start_difference(self) -> None:
        from . import work

        run = self._training.run
        image, axes = self._sources.image()
        with jobs.errors_shown():
            if run is None or image is None or axes is None:
                return
            name = f"{image.name} {run.name} {'changes' if run.base else 'labels'}"
            device = self._form.device.currentData()
            volume = layer_volumes.to_volume(image, axes)
            job = work.difference_job(volume, run.base, run.weights, device)
            show = partial(self._add_sight, name, layer_volumes.Grid.of(image, axes))
            self._form.bar.setRange(0, 0)
            self._queue.start(
                "difference", job, title=name, on_step=self._show_step, on_done=show, on_error=self._failed
            )

    def _add_sight(self, name: str, grid: layer_volumes.Grid, found: Volume) -> None:
        """Show what changed in a layer that is looked at; what is selected stays so."""
        layers = self._viewer.layers
        if name in layers:
            remove_layer(self._viewer, layers[name])
        chosen = set(layers.selection)
        active = layers.selection.active
        _, options, _ = layer_tuple(layer_volumes.as_labels(found), name)
        options = {**options, **grid.options, "metadata": {layer_volumes.SIGHT: True}}
        add_layer(self._viewer, Labels(grid.view(found.data), **options))
        layers.selection = chosen
        layers.selection.active = active

    def _show_step(self, step: Progress) -> None:
        self._form.bar.setRange(0, step.total)
        self._form.bar.setValue(step.done)

    def _ask_to_accept(self) -> None:
        run = self._training.run
        found = self.comparison
        if run is None or found is None:
            return
        text = f"{verdict_text(found, run)} Add {run.name} to your models all the same?"
        if not doubtful(found) or self._sure("Accept", text, "Accept anyway"):
            self._finish_with("accept", run, _ACCEPTED.format(run.name))

    def _ask_to_discard(self) -> None:
        run = self._training.run
        if run is None:
            return
        text = f"Delete {run.name} and the copy of the data it was trained on? Your layers stay."
        if self._sure("Discard", text, "Delete"):
            self._finish_with("discard", run, f"{run.name} is discarded; nothing else has changed.")

    def _finish_with(self, what: str, run: Run, words: str) -> None:
        from . import work

        figures = self.comparison

        def done(_: None) -> None:
            self._training.forget()
            if what == "accept":
                self._training.accepted = run.name
                plan = {name: run.settings.get(name) for name in PLANNED}
                recorder_of(self._viewer).tuned(run.name, run.base, plan=plan, done=run.step, figures=figures)
            self._training.models_changed.emit()
            self._form.status.say(words)

        step = {"accept": work.accept, "discard": work.discard}[what]
        start = {"title": what.capitalize(), "on_done": done, "on_error": self._failed}
        self._queue.want(what, lambda: self._queue.start(what, jobs.once(step, run), **start))

    def ask_to_roll_back(self, name: str) -> None:
        """Take a model from the user's own, if the person is sure."""
        text = f"Take {name} from your models? Its files move to the folder 'removed' there."
        if not self._sure("Roll back", text, "Roll back"):
            return

        def done(path: Path) -> None:
            self._training.models_changed.emit()
            self._form.status.say(f"{name} was removed from your models. To restore it, import '{path}'.")

        start = {"title": f"Remove {name}", "on_done": done, "on_error": self._failed}
        self._queue.want("remove", lambda: self._queue.start("remove", jobs.once(remove, name), **start))
