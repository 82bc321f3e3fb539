"""Which models were made for the chosen image: looked at in a thread whenever another one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Image

from ...errors import MedsegError
from ..kit import layer_volumes
from ..kit.preferences import preferences

if TYPE_CHECKING:
    from ..kit.jobs import Queue
    from ..kit.shelf import Shelf
    from .form import SegmentForm
    from .rows import ModelRows
    from .state import Suited


class Comparison:
    """The chosen image next to all models: those made for others are listed last, all say how long they take.

    Parameters
    ----------
    form : SegmentForm
    models : ModelRows
    shelf : Shelf
    queue : Queue
    chose : callable
        Called with the name of a model that is now chosen because it was made for such images.
    update, run : callable
        Called after each comparison; to run for an image that was opened for that.
    """

    def __init__(
        self,
        form: SegmentForm,
        models: ModelRows,
        shelf: Shelf,
        queue: Queue,
        *,
        chose: Callable[[str], None],
        update: Callable[[], None],
        run: Callable[[], None],
    ):
        self._form, self._models, self._shelf, self._queue = form, models, shelf, queue
        self._chose, self._update, self._run = chose, update, run
        self._awaited: Image | None = None

    def want(self) -> None:
        """Compare, as soon as nothing more urgent is under way."""
        if self._form.image.currentData() is not None:
            self._queue.want("suited", self._start)

    def then_run(self, image: Image) -> None:
        """Run for an image that was just opened, as soon as it is compared, unless every model was made for others."""
        if self._form.image.currentData() is image:
            self._awaited = image
            self.want()

    def forget(self) -> None:
        """Run for no image that was opened earlier."""
        self._awaited = None

    def _start(self) -> None:
        from .work import suited_job

        image = self._form.image.currentData()
        if image is None:  # it was removed meanwhile
            return
        with suppress(MedsegError):  # the plan says so
            volume = layer_volumes.to_volume(image, self._form.axes.currentData())
            job = suited_job(volume, dict(self._shelf.cards), self._models.settings([]))
            self._queue.start("suited", job, title="Compare", quiet=True, on_done=partial(self._show, image))

    def _show(self, image: Image, found: dict[str, Suited]) -> None:
        if image is not self._form.image.currentData():
            return  # another one was chosen meanwhile, and is compared next
        chosen = self._models.show_suited(found, preferences())
        if chosen:
            self._chose(chosen)
        self._update()
        awaited, self._awaited = self._awaited, None
        if image is awaited and not self._models.unsuited:
            self._run()
