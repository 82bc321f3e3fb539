"""Results of an earlier run, listed in the table of the Batch dock without running anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from ...progress import Progress
from ...runs.batch import Listed, results_job
from ...runs.worklist import WorkList
from ..kit.jobs import Clock, Queue
from .form import BatchForm

KIND = "results"
"""Of the job, in the queue of the dock."""


class Results:
    """Asks for a folder of results, and reads it in a thread.

    Parameters
    ----------
    owner : QWidget
        Whose dialog it is.
    form : BatchForm
    queue : Queue
    inputs : callable
        Gives the files, folders and globs in which images are looked for.
    reference : callable
        Gives the folder of labels to compare with, if any.
    listed : callable
        Called with the cases.
    failed : callable
        Called with why the folder could not be read.
    """

    def __init__(
        self,
        owner: QWidget,
        form: BatchForm,
        queue: Queue,
        *,
        inputs: Callable[[], tuple[str, ...]],
        reference: Callable[[], Path | None],
        listed: Callable[[WorkList], None],
        failed: Callable[[str], None],
    ):
        self._owner, self._form, self._queue = owner, form, queue
        self._inputs, self._reference = inputs, reference
        self._listed, self._failed = listed, failed
        self._clock = Clock()
        form.results.clicked.connect(self._ask)

    def _ask(self) -> None:
        near = self._form.output.text().strip() or str(Path.home())
        name = QFileDialog.getExistingDirectory(self._owner, "Folder with results", near)
        if name:
            self.open(Path(name))

    def open(self, folder: Path) -> None:
        """List the cases of a folder that a run has written to."""
        self._queue.want(KIND, partial(self._start, folder))

    def _start(self, folder: Path) -> None:
        self._clock = Clock()
        self._form.bar.setRange(0, 0)
        self._form.status.say(f"Reading {folder.name}…")
        done = partial(self._show, folder)
        job = results_job(folder, self._inputs(), self._reference())
        self._queue.start(KIND, job, title="Results", on_step=self._show_step, on_done=done, on_error=self._failed)

    def _show_step(self, step: Progress) -> None:
        if step.total:
            self._form.bar.setRange(0, step.total)
            self._form.bar.setValue(step.done)
            self._form.status.say(self._clock.text(step, "files"))

    def _show(self, folder: Path, found: Listed) -> None:
        if not self._form.output.text().strip():
            self._form.output.setText(str(folder))
        self._form.status.say(f"Results in {folder.name}.{found.notes}")
        self._listed(WorkList.of(found.found))
