"""The only listener to changes of labels: strokes, undo and whatever else changes them, for all who need to know.

Layers that are protected (`Painting.protect`) have a journal: every change becomes a step that can be undone and that
survives a crash. Of the others only strokes are heard.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from ...errors import MedsegError
from ...progress import run
from ...review.journal import Change, Journal
from ...review.opening import resume
from ...review.planes import checksum
from . import jobs, layer_volumes, records
from .follower import Follower
from .protecting import Begun, begin_job, changed_text, converted_text, is_converted, opened_elsewhere, why_not
from .slices import go_to_slice, shown_plane, touched

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...review.recovery import Recovered

_AT_ONCE = 2**23  # bytes of labels that are compared and compressed without a thread
_SYNC_MS = 2000
_SEEN = ("visible", "opacity", "editable")  # events that decide whether a layer can be corrected
_DESCRIBED = ("name", "scale", "translate", "rotate", "shear", "affine", "units", "metadata")  # events of a layer


class Painting(QObject):
    """Hears what happens to every labels layer of a viewer, and notes the slices that change.

    A stroke is a judgement of its slice: where slices count as reviewed only if a person said so, it says so.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Is not kept.
    """

    painted = Signal(object, object)
    """Labels of a layer have changed on a set of slices; the layer has noted them already."""
    stepped = Signal(object, object, str)
    """A step was made on a protected layer, or with ``undo`` or ``redo`` taken back or made again; before `painted`."""
    approved = Signal(object, object)
    """Slices of a protected layer were approved, or that was taken back."""
    replaced = Signal(object)
    """The whole array of a layer is another one."""
    redrawn = Signal(object)
    """A layer shows another slice, or its labels in view have changed."""
    protected = Signal(object)
    """A layer has a journal now, or the facts about it have changed."""

    def __init__(self, viewer: ViewerModel):
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._left: WeakKeyDictionary[Labels, Path | None] = WeakKeyDictionary()  # taken out of the viewer
        self._beginning: WeakKeyDictionary[Labels, bool] = WeakKeyDictionary()
        self._image_taken: weakref.ref[Image] | None = None  # out of the viewer, last
        self._converted: WeakKeyDictionary[Labels, str] = WeakKeyDictionary()  # the image that napari made them of
        self._settling = self._timer(0, self._settle)
        self._syncing = self._timer(_SYNC_MS, self._sync)
        viewer.layers.events.inserted.connect(self._added)
        viewer.layers.events.removed.connect(self._removed)
        for layer in viewer.layers:
            self._follow(layer)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.aboutToQuit.connect(self._close)
            application.applicationStateChanged.connect(self._left_alone)

    def _timer(self, milliseconds: int, call: Any) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(call)
        return timer

    # ---- layers come and go ----

    def _added(self, event: Any) -> None:
        self._follow(event.value)

    def _note_origin(self, layer: Labels) -> None:
        """Labels that napari has made of an image were not drawn: if it came from a file, nobody has looked at them."""
        viewer = self._viewer()
        if viewer is None or records.is_judged(layer):
            return
        taken = None if self._image_taken is None else self._image_taken()
        images = [image for image in (taken, *viewer.layers) if isinstance(image, Image)]
        converted = [image for image in images if is_converted(image, layer)]
        if any(records.is_opened(image) for image in converted):
            records.say_opened(layer)
        elif converted:
            self._converted[layer] = converted[0].name

    def _follow(self, layer: Layer) -> None:
        if isinstance(layer, Labels):
            self._note_origin(layer)
            layer.events.paint.connect(self._painted)
            layer.events.labels_update.connect(self._moved)
            layer.events.data.connect(self._replaced)
            layer.events.set_data.connect(self._redrawn)
            for name in _SEEN:
                layer.events[name].connect(self._seen)
            for name in _DESCRIBED:
                layer.events[name].connect(self._described)
            if layer in self._left:
                self._go_on(layer, self._left.pop(layer))

    def _removed(self, event: Any) -> None:
        layer = event.value
        if isinstance(layer, Image):
            self._image_taken = weakref.ref(layer)
        if isinstance(layer, Labels):
            layer.events.paint.disconnect(self._painted)
            layer.events.labels_update.disconnect(self._moved)
            layer.events.data.disconnect(self._replaced)
            layer.events.set_data.disconnect(self._redrawn)
            for name in _SEEN:
                layer.events[name].disconnect(self._seen)
            for name in _DESCRIBED:
                layer.events[name].disconnect(self._described)
            follower = self.follower(layer)
            if follower is not None:
                self._left[layer] = follower.journal.folder
                self._end(follower)

    def _go_on(self, layer: Labels, folder: Path | None) -> None:
        """The layer is back: so is its journal."""
        with suppress(MedsegError):
            if folder is not None:
                journal, _ = resume(folder)
                if journal.fits(layer.data):
                    self._attach(layer, journal, [], None, None)  # the layer itself still knows its states
                    return
                journal.close()
        self.protect(layer)

    # ---- what happens to them ----

    def _painted(self, event: Any) -> None:
        layer = event.source
        slices = touched(event.value, layer.data.shape)
        follower = self.follower(layer)
        if follower is not None:  # the stroke of a function call is drawn after this event
            follower.painted(slices)
            self._settling.start()
            return
        if records.is_judged(layer):
            records.note_changes(layer, dict.fromkeys(slices))
        self.painted.emit(layer, slices)

    def _moved(self, event: Any) -> None:
        follower = self.follower(event.source)
        if follower is not None:
            follower.stroke_moves()

    def _replaced(self, event: Any) -> None:
        self._touch(event.source, None)
        self.replaced.emit(event.source)

    def _redrawn(self, event: Any) -> None:
        layer = event.source
        viewer = self._viewer()
        if viewer is not None and self.follower(layer) is not None and layer_volumes.shows_slices(viewer):
            self._touch(layer, {shown_plane(viewer, layer)})
        self.redrawn.emit(layer)

    def _seen(self, event: Any) -> None:
        """A layer was hidden or locked, or is not any more."""
        self.protected.emit(event.source)

    def _described(self, event: Any) -> None:
        self._syncing.start()

    def _touch(self, layer: Labels, numbers: set[int] | None) -> None:
        follower = self.follower(layer)
        if follower is not None:
            follower.touch(numbers)
            self._settling.start()

    def follower(self, layer: Any) -> Follower | None:
        """Who follows a layer; None if it is not protected."""
        found = records.FOLLOWERS.get(layer) if isinstance(layer, Labels) else None
        return found if isinstance(found, Follower) else None

    def _followers(self) -> Iterator[Follower]:
        viewer = self._viewer()
        for layer in list(viewer.layers) if viewer is not None else ():
            follower = self.follower(layer)
            if follower is not None:
                yield follower

    def _settle(self) -> None:
        for follower in self._followers():
            if not follower.fits():
                self._begin_anew(follower)
                continue
            with jobs.errors_shown():
                follower.settle()

    def settle_all(self) -> None:
        """Find what nobody has announced on any layer."""
        for follower in self._followers():
            with jobs.errors_shown():
                follower.settle_all()

    def _left_alone(self, now: Any) -> None:
        """The person has gone to another program: there is time to look at everything."""
        if now != Qt.ApplicationState.ApplicationActive:
            self.settle_all()

    def _changed(self, layer: Labels, slices: set[int]) -> None:
        self._syncing.start()
        self.painted.emit(layer, slices)
        self.protected.emit(layer)

    def _undone(self, layer: Labels, change: Change | None, word: str) -> None:
        """Go to where an undo has changed something that is not in view, and say what it was."""
        viewer = self._viewer()
        if viewer is None:
            return
        if change is None:
            viewer.status = "There is nothing to undo." if word == "Undid" else "There is nothing to do again."
            return
        viewer.status = f"{word}: {change.step.name}"
        if change.planes and shown_plane(viewer, layer) not in change.planes:
            go_to_slice(viewer, layer, change.planes[0])

    # ---- protection ----

    def protect(self, layer: Labels, image: Image | None = None, axes: str | None = None) -> str:
        """Keep a journal of a layer from now on, as long as it is there; why that is not possible, or nothing.

        Parameters
        ----------
        layer : napari.layers.Labels
        image : napari.layers.Image, optional
            That the labels lie on.
        axes : str, optional
            Its axes.
        """
        reason = why_not(layer)
        if reason or layer in self._beginning or self.follower(layer) is not None:
            return reason
        self._beginning[layer] = True
        if records.is_opened(layer):  # where it comes from is not known any more after a crash
            records.say_opened(layer)
        lies_on = None if image is None else weakref.ref(image)

        def done(begun: Begun) -> None:
            self._begun(layer, begun, lies_on, axes)

        def failed(why: str) -> None:
            self._beginning.pop(layer, None)
            show_error(why)

        if isinstance(layer.data, np.ndarray) and layer.data.nbytes <= _AT_ONCE:
            with jobs.errors_shown():
                done(run(begin_job(layer, image)))
        else:
            title = f"Protect {layer.name}"
            jobs.start(begin_job(layer, image), owner=self, title=title, quiet=True, on_done=done, on_error=failed)
        return ""

    def _begun(self, layer: Labels, begun: Begun, image: Any, axes: str | None) -> None:
        viewer = self._viewer()
        self._beginning.pop(layer, None)
        if viewer is None or layer not in viewer.layers:
            begun.journal.close()
            return
        notes = []
        if begun.array is not layer.data and not begun.journal.fits(layer.data):
            begun.journal.close()  # replaced meanwhile
            self.protect(layer, image and image(), axes)
            return
        if begun.copied:
            layer.data = begun.array
            notes.append("The labels were copied into memory, so that every change can be noted.")
        ledger = records.ledger_of(layer)
        if not records.is_judged(layer):
            ledger.begin(begun.filled, records.EDITED)
            if layer in self._converted:
                notes.append(converted_text(self._converted[layer], len(begun.filled)))
        differing = ledger.check(begun.sums.__getitem__, range(len(begun.sums)))
        if differing:
            notes.append(changed_text(len(differing)))
        self._attach(layer, begun.journal, notes, image, axes)
        records.put_ledger(layer, ledger)

    def restore(
        self,
        layer: Labels,
        journal: Journal,
        found: Recovered,
        image: Image | None = None,
        axes: str | None = None,
    ) -> None:
        """Go on with a journal: `layer` holds the labels that were found, or newer ones."""
        ledger = records.ledger_of(layer)
        if not records.is_judged(layer):
            empty = checksum(np.zeros(layer.data.shape[-2:], np.uint8))
            filled = [number for number, crc in enumerate(found.sums) if crc != empty]
            ledger.begin(filled, records.EDITED)
        offered = found.history.offered
        ledger.begin(found.history.folded - set(offered), records.EDITED)
        for number, model in offered.items():
            ledger.begin([number], records.AUTO, model)
        ledger.check(found.sums.__getitem__, range(len(found.sums)))
        for approval in found.history.approvals.values():
            ledger.take(approval)
        ledger.changed({number: journal.checksum(number) for number in range(len(ledger))})
        for number, model in found.history.proposed.items():
            ledger.propose(number, journal.checksum(number), model)
        self._attach(layer, journal, [], None if image is None else weakref.ref(image), axes)
        records.put_ledger(layer, ledger)

    def _attach(self, layer: Labels, journal: Journal, notes: list[str], image: Any, axes: str | None) -> None:
        follower = Follower(layer, journal, self._changed, self._undone)
        follower.stepped = self.stepped.emit
        follower.approved = self.approved.emit
        follower.notes = [*notes, *opened_elsewhere(journal.folder)]
        follower.image = image
        follower.axes = axes
        follower.touch(None)  # it may have changed while the journal began
        follower.settle()
        self.protected.emit(layer)

    def _begin_anew(self, follower: Follower) -> None:
        """The layer has another array: what was noted of the old one stays on the disk."""
        layer = follower.layer
        image = follower.image() if follower.image else None
        self._end(follower)
        if layer is not None:
            self.protect(layer, image, follower.axes)

    def _end(self, follower: Follower) -> None:
        with jobs.errors_shown():
            follower.close()

    def _close(self) -> None:
        for follower in self._followers():
            self._end(follower)

    def _sync(self) -> None:
        """Bring what was written to the disk, in a thread: it may take long, and a power cut is rare."""
        for follower in self._followers():
            follower.describe()
            handle = follower.journal.sync_handle()
            if handle is not None:
                job = jobs.once(_to_disk, handle)
                jobs.start(job, owner=self, title="Write the journal", quiet=True, on_error=_not_said)


def _to_disk(handle: int) -> None:
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_said(_: str) -> None:
    """The next record says what is wrong with the disk."""


_LISTENERS: WeakKeyDictionary[ViewerModel, Painting] = WeakKeyDictionary()


def painting_of(viewer: ViewerModel) -> Painting:
    """The listener of a viewer, which lives as long as the viewer: strokes count when all docks are closed, too."""
    found = _LISTENERS.get(viewer)
    if found is None:
        found = Painting(viewer)
        _LISTENERS[viewer] = found
    return found
