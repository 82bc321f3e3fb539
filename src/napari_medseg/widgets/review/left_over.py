"""What a crash has left: sessions with steps that no file has are offered, and restored or deleted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer

from ...files import is_locked
from ...io.contributions import layer_tuple
from ...review.recovery import Unfinished, unfinished
from ...review.sessions import discard, root
from ..kit import jobs
from ..kit.listing import add_layer
from ..kit.protecting import restored_layer
from ..kit.saving import image_of
from .restoring import Restored, offer_of, restore_job
from .state import Offer

if TYPE_CHECKING:
    from napari import Viewer

    from ..kit.painting import Painting


class LeftOver:
    """The sessions that can be restored, offered one after the other.

    Parameters
    ----------
    viewer : napari.Viewer
    painting : Painting
    queue : Queue
    sure : callable
        Asks a question (title, text, answer).
    changed : callable
        Called when another session is offered.
    restored : callable
        Called with the restored layer and what to know of it.
    failed : callable
        Called with why a session could not be read.
    """

    def __init__(
        self,
        viewer: Viewer,
        painting: Painting,
        queue: jobs.Queue,
        *,
        sure: Callable[[str, str, str], bool],
        changed: Callable[[], None],
        restored: Callable[[Labels, str], None],
        failed: Callable[[str], None],
    ):
        self._viewer, self._painting, self._queue = viewer, painting, queue
        self._sure, self._changed, self._restored, self._failed = sure, changed, restored, failed
        self._left: list[Unfinished] = []

    @property
    def offer(self) -> Offer | None:
        """What is said of the first session."""
        return offer_of(self._left[0]) if self._left else None

    def look(self) -> None:
        """Look for sessions as soon as no other job is under way."""
        self._queue.want("offers", self._start_look)

    def _start_look(self) -> None:
        options = {"title": "Look for unsaved labels", "quiet": True, "on_error": self._failed}
        self._queue.start("offers", jobs.once(unfinished, root()), on_done=self._show, **options)

    def _show(self, found: list[Unfinished]) -> None:
        self._left = list(found)
        self._changed()

    def close(self) -> None:
        """Let go of all of them; they stay on disk."""
        self._left.clear()

    def later(self) -> None:
        """Offer the next session."""
        self._left = self._left[1:]
        self._changed()

    def ask_to_discard(self) -> None:
        """Delete the first session, if the person is sure."""
        if not self._left:
            return
        left = self._left[0]
        text = f"Delete the unsaved steps of '{left.session.layer}' for good? They cannot be restored then."
        if self._sure("Discard", text, "Delete"):
            if not is_locked(left.folder):  # another window may have restored it meanwhile
                discard(left.folder)
            self.later()

    def restore(self) -> None:
        """Open the labels of the first session."""
        if self._left:
            self._queue.want("restore", partial(self._start_restore, self._left[0]))

    def _start_restore(self, left: Unfinished) -> None:
        images = [layer.data for layer in self._viewer.layers if isinstance(layer, Image)]
        arrays = [data for data in images if isinstance(data, np.ndarray)]
        title = f"Restore {left.session.layer}"
        job = restore_job(left, arrays)
        self._queue.start("restore", job, title=title, on_done=self._open, on_error=self._failed)

    def _open(self, restored: Restored) -> None:
        session = restored.found.session
        self._left = [left for left in self._left if left.folder != restored.journal.folder]
        if restored.volume is not None:
            add_layer(self._viewer, Layer.create(*layer_tuple(restored.volume, session.image)))
        layer = restored_layer(session, restored.found.labels)
        pair = image_of(self._viewer, layer)
        # before the layer is listed: its journal would begin anew there
        self._painting.restore(layer, restored.journal, restored.found, *(pair or (None, None)))
        add_layer(self._viewer, layer)
        lost = " The last step was cut off by the crash and is lost." if restored.found.lost_bytes else ""
        self._restored(layer, f"Restored '{layer.name}'. {restored.note}{lost}".strip())
