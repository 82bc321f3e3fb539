"""How many steps the chosen time will buy, said before a training begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import MedsegError
from ...training.comparison import held_back
from ..kit import jobs, layer_volumes
from .data import stack

if TYPE_CHECKING:
    from ...training.fine_tune import FineTuneSettings
    from ...training.forecast import Pace
    from .form import FineTuneForm
    from .sources import Sources

KIND = "forecast"
"""Of the job that measures the pace."""

_ENOUGH_TO_CHOOSE = 5  # held-back slices


class Forecasting:
    """Measures the pace once for a model, a device and a size of slices; what it says follows time and slices at once.

    Parameters
    ----------
    form : FineTuneForm
    queue : jobs.Queue
        Of the dock.
    sources : Sources
    settings : callable
        What the form says; raises a `MedsegError` if something is missing.
    changed : callable
        Called when there is something else to say.
    """

    def __init__(
        self,
        form: FineTuneForm,
        queue: jobs.Queue,
        sources: Sources,
        settings: Callable[[], FineTuneSettings],
        changed: Callable[[], None],
    ):
        self._form = form
        self._queue = queue
        self._sources = sources
        self._settings = settings
        self._changed = changed
        self._key: tuple[Any, ...] = ()
        self._found: tuple[Pace, int] | None = None
        self._problem = ""

    def look(self) -> None:
        """A training could begin as the form is now: find out how fast it would be."""
        shapes = [pair.image.data.shape for pair in self._sources.pairs()]
        key = (self._form.model.currentData(), self._form.device.currentData(), *shapes)
        if key != self._key and shapes:
            self._key = key
            self._found = None
            self._problem = ""
            self._queue.want(KIND, self._start)

    def stop(self) -> None:
        """Something that the person waits for is to be done."""
        self._queue.forget(KIND)
        if self._queue.kind == KIND:
            self._queue.stop()
            self._key = ()

    def _start(self) -> None:
        try:
            settings = self._settings()
        except MedsegError:  # the form has changed since
            self._key = ()
            return
        from ...training.trial import pace_job

        pairs = self._sources.pairs()
        images = [stack(layer_volumes.to_volume(pair.image, pair.axes)) for pair in pairs]
        options = {"title": "Forecast", "quiet": True, "on_done": self._done, "on_error": self._failed}
        self._queue.start(KIND, pace_job(images, settings), **options)

    def _done(self, found: tuple[Pace, int] | None) -> None:
        self._found = found
        self._changed()

    def _failed(self, why: str) -> None:
        self._problem = f"⚠ {why}"
        self._changed()

    @property
    def text(self) -> str:
        """What there is to say; empty as long as nothing is known."""
        if self._found is None:
            return self._problem
        from ...training import forecast  # loaded by the job

        pace, size = self._found
        reviewed = sum(len(self._sources.reviews.reviewed(pair.labels)) for pair in self._sources.pairs())
        held = len(held_back(range(reviewed)))
        judging = held if held >= _ENOUGH_TO_CHOOSE else reviewed

        def steps(seconds: float) -> int:
            return pace.steps(seconds, reviewed - held, judging, size)

        box = self._form.time
        times = [(box.itemText(row), box.itemData(row)) for row in range(box.count())]
        enough = next((name for name, seconds in times if steps(seconds) >= forecast.ENOUGH), "")
        return forecast.text(steps(box.currentData()), box.currentText(), enough)
