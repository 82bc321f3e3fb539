"""One case after the other: image and labels come in place of those before, and nothing that was changed is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMessageBox, QWidget

from ...errors import FileError
from ...review.history import Mark
from ...runs.cases import Case
from ...runs.reviewed import Reviewed, of_states
from ...runs.worklist import WorkList
from ..kit import jobs, layer_volumes, records
from ..kit.listing import add_layer, remove_layer
from ..kit.protecting import why_not
from ..kit.save_labels import KIND as SAVE
from ..kit.save_labels import LabelSaver
from ..kit.saving import Pair
from ..kit.slices import go_to_slice
from .state import unsaved_text
from .work import Contents, Stamp, case_job, stamp_of

if TYPE_CHECKING:
    from napari import Viewer

    from ..kit.painting import Painting

OPEN = "open"
"""Of the job, next to `SAVE`."""

_ANSWERS = QMessageBox.StandardButton


class OpenCase:
    """The case that is open in the viewer, if any, and the way to another one.

    Parameters
    ----------
    owner : QWidget
        Whose questions are asked.
    viewer : napari.Viewer
    painting : Painting
    queue : Queue
        With the kinds of jobs `SAVE` and `OPEN`.
    changed : callable
        Called when something is opened, changed, saved or let go of.
    counted : callable
        Called with the number of a case and what is approved of it.
    say, failed : callable
        Called with what was done; with why it was not.

    Attributes
    ----------
    number : int or None
        Of the open case, if it is one of those that are listed.
    labels : napari.layers.Labels or None
        While they are in the viewer.
    """

    def __init__(
        self,
        owner: QWidget,
        viewer: Viewer,
        painting: Painting,
        queue: jobs.Queue,
        *,
        changed: Callable[[], None],
        counted: Callable[[int, Reviewed], None],
        say: Callable[[str], None],
        failed: Callable[[str], None],
        sure: Callable[[str, str, str], bool],
    ):
        self._owner, self._viewer, self._painting, self._queue = owner, viewer, painting, queue
        self._changed, self._counted, self._say, self._failed = changed, counted, say, failed
        self._saver = LabelSaver(owner, viewer, queue, say=say, failed=failed, sure=sure)
        self.number: int | None = None
        self.labels: Labels | None = None
        self._image: Image | None = None
        self._path = Path()
        self._stamp: Stamp = (0, 0)
        self._in_file: Reviewed | None = None
        self._left: Mark | None = None  # changes that the person does not want to save
        self._counting = QTimer(owner)  # a stroke notes several things in a row
        self._counting.setSingleShot(True)
        self._counting.timeout.connect(self._count)

    # ---- what is open ----

    @property
    def name(self) -> str:
        """Name of the labels that are open; empty if none are."""
        return self._path.name if self.labels is not None else ""

    @property
    def shown(self) -> bool:
        """Whether image or labels of a case that is listed are in the viewer."""
        return self.number is not None and (self.labels is not None or self._image is not None)

    @property
    def beginning(self) -> bool:
        """Whether the journal of the open labels is yet to come."""
        labels = self.labels
        return labels is not None and self._painting.follower(labels) is None and not why_not(labels)

    @property
    def unsaved(self) -> bool:
        """Whether the labels hold steps or approvals that no file has."""
        follower = self._painting.follower(self.labels)
        return follower is not None and follower.journal.history.pending

    def gone(self, layer: Layer) -> None:
        """A layer was removed by whoever it was; the journal of labels keeps what was not saved."""
        if layer is self._image:
            self._image = None
        if layer is self.labels:
            self._let_go()

    def _let_go(self) -> None:
        labels, self.labels = self.labels, None
        if labels is not None:
            labels.events.metadata.disconnect(self._noted)
        if labels is not None and self.number is not None and self._in_file is not None:
            self._counted(self.number, self._in_file)

    def list_in(self, work: WorkList) -> None:
        """Other cases are listed now, perhaps with the open one among them; it stays until another one is opened."""
        self.number = work.number_of(self._path) if self.labels is not None else None
        self._counting.start(0)

    def forget(self) -> None:
        """Let go of the open case: the layers stay, and are the person's."""
        self._let_go()
        self.number = None
        self._image = None

    # ---- to another case ----

    def open(self, number: int, case: Case, inputs: Sequence[str]) -> None:
        """Open a case in place of the one that is open, after asking what to do with changes that were not saved."""
        if number == self.number and self.labels is not None:
            self._viewer.layers.selection.active = self.labels
            return
        begin = partial(self._want, number, case, inputs)
        self._settle()
        if not self.unsaved:
            begin()
            return
        answer = self._ask()
        if answer == _ANSWERS.Save:
            self.save(begin)
        elif answer == _ANSWERS.Discard:
            self._left = self._mark()
            begin()

    def _mark(self) -> Mark | None:
        """Steps and approvals that the labels end with now."""
        return None if self.labels is None else records.last_step(self.labels)

    def _ask(self) -> Any:
        """What to do with changes that were not saved; whoever just presses Enter saves them."""
        follower = self._painting.follower(self.labels)
        kept = follower is not None and follower.journal.folder is not None
        text = unsaved_text(self._path.name, kept=kept)
        box = QMessageBox(QMessageBox.Icon.Question, "Next case", text, parent=self._owner)
        box.setTextFormat(Qt.TextFormat.PlainText)  # a name may hold what looks like HTML
        box.setStandardButtons(_ANSWERS.Save | _ANSWERS.Discard | _ANSWERS.Cancel)
        box.setDefaultButton(_ANSWERS.Save)
        leave = box.button(_ANSWERS.Discard)
        if leave is not None:
            leave.setText("Do not save")
        return _ANSWERS(box.exec())  # of some bindings a number

    def _want(self, number: int, case: Case, inputs: Sequence[str]) -> None:
        self._queue.want(OPEN, partial(self._start, number, case, inputs))

    def _start(self, number: int, case: Case, inputs: Sequence[str]) -> None:
        task = case.outcome.task
        self._say(f"Opening {case.name}…")
        job = case_job(task, case.name, case.outcome.record, inputs)
        done = partial(self._show, number, task.target)
        self._queue.start(OPEN, job, title=f"Open {case.name}", quiet=True, on_done=done, on_error=self._failed)

    def _show(self, number: int, path: Path, found: Contents) -> None:
        self._settle()
        if self.unsaved and self._mark() != self._left:  # painted while the other case was read
            self._say(f"'{self._path.name}' was changed meanwhile, and stays open.")
            return
        self._leave()
        # napari must have drawn that the layers are gone before others come
        QTimer.singleShot(0, partial(self._put, number, path, found))

    def _leave(self) -> None:
        """Take the layers of the open case out of the viewer; others stay."""
        image, labels = self._image, self.labels
        for layer in (labels, image):
            remove_layer(self._viewer, layer)
        self.forget()

    def _put(self, number: int, path: Path, found: Contents) -> None:
        if found.image is not None:
            image = add_layer(self._viewer, Layer.create(*found.image))
            self._image = image if isinstance(image, Image) else None
        self.number = number
        if found.labels is not None:
            self._put_labels(Layer.create(*found.labels), path, found)
        self._viewer.reset_view()
        self._say(" ".join(found.notes))
        self._changed()

    def _put_labels(self, layer: Layer, path: Path, found: Contents) -> None:
        labels = add_layer(self._viewer, layer)
        if not isinstance(labels, Labels):
            return
        self.labels = labels
        self._path = path
        self._stamp = found.stamp
        self._in_file = found.reviewed
        self._viewer.layers.selection.active = labels
        go_to_slice(self._viewer, labels, found.start)
        self._painting.protect(labels, *(self._pair() or (None, None)))
        labels.events.metadata.connect(self._noted)

    def _pair(self) -> Pair | None:
        image = self._image
        axes = next(iter(layer_volumes.axes_choices(image)), None) if image is not None else None
        return (image, axes) if image is not None and axes else None

    # ---- what a person does with it ----

    def _settle(self) -> None:
        """Have the journal see every stroke."""
        if self.labels is not None:
            with jobs.errors_shown():
                records.settle(self.labels)

    def _noted(self, event: Any = None) -> None:
        """The labels say something else of their slices."""
        self._counting.start(0)

    def _count(self) -> None:
        reviewed = self._reviewed()
        if reviewed is not None and self.number is not None:
            self._counted(self.number, reviewed)

    def _reviewed(self) -> Reviewed | None:
        """What is approved of the open labels, saved or not."""
        labels = self.labels
        if labels is None:
            return None
        follower = self._painting.follower(labels)
        if follower is None:
            return self._in_file
        return of_states(records.ledger_of(labels).states(), follower.filled())

    def save(self, then: Callable[[], None] = lambda: None) -> None:
        """Write the labels into their file, unless somebody else has written it meanwhile; `then` is called after."""
        labels = self.labels
        if labels is None:
            return
        with jobs.errors_shown():
            self._refuse_changed()
            self._saver.save(labels, self._path, self._pair(), partial(self._saved, then))

    def _saved(self, then: Callable[[], None]) -> None:
        with jobs.errors_shown():
            self._stamp = stamp_of(self._path)
        self._in_file = self._reviewed() or self._in_file
        self._changed()
        then()

    def _refuse_changed(self) -> None:
        """Make sure that the file is the one that was opened."""
        if stamp_of(self._path) != self._stamp:
            raise FileError(
                f"'{self._path.name}' was written again since it was opened; saving would replace that. Save the "
                "labels under another name with Save labels… in Review."
            )


KINDS = (SAVE, OPEN)
"""Kinds of jobs in the queue of an `OpenCase`, the most urgent first."""
