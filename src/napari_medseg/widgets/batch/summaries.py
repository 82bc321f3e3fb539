"""The table and the page of the cases in the Batch dock, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QWidget

from ...progress import Job, Progress
from ...runs import page
from ...runs.cases import Case
from ...runs.summary import write_csv
from ..kit.jobs import Queue
from .form import BatchForm

KIND = "write"
"""Of the job, in the queue of the dock."""


class Summaries:
    """Asks where table and page go, and writes them in a thread.

    Parameters
    ----------
    owner : QWidget
        Whose dialogs they are.
    form : BatchForm
    queue : Queue
    cases : callable
        Gives the cases.
    changed : callable
        Called when a page was written.
    failed : callable
        Called with why a file could not be written.

    Attributes
    ----------
    page : pathlib.Path or None
        That was written last.
    """

    def __init__(
        self,
        owner: QWidget,
        form: BatchForm,
        queue: Queue,
        *,
        cases: Callable[[], list[Case]],
        changed: Callable[[], None],
        failed: Callable[[str], None],
    ):
        self._owner, self._form, self._queue = owner, form, queue
        self._cases, self._changed, self._failed = cases, changed, failed
        self.page: Path | None = None
        form.save_table.clicked.connect(partial(self._ask_where, "Save the table", "table.csv", "CSV (*.csv)"))
        form.save_page.clicked.connect(partial(self._ask_where, "Save the page", "page.html", "HTML (*.html)"))
        form.open_page.clicked.connect(self._open_page)

    def _ask_where(self, title: str, name: str, filters: str, pressed: bool = False) -> None:
        folder = Path(self._form.output.text().strip() or Path.home())
        given, _ = QFileDialog.getSaveFileName(self._owner, title, str(folder / name), filters)
        if given:
            ending = Path(name).suffix
            self._queue.want(KIND, partial(self._start, Path(given).with_suffix(ending)))

    def _start(self, path: Path) -> None:
        self._form.bar.setRange(0, 0)
        job = write_job(path, self._cases())
        self._queue.start(KIND, job, title="Write", quiet=True, on_done=self._written, on_error=self._failed)

    def _written(self, path: Path) -> None:
        if path.suffix == ".html":
            self.page = path
        self._form.status.say(f"Wrote {path.name}.")
        self._changed()

    def _open_page(self) -> None:
        if self.page is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.page)))


def write_job(path: Path, cases: Sequence[Case]) -> Job[Path]:
    """Write the table, or with the ending ``.html`` the page.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    yield Progress(0, 1)
    if path.suffix == ".html":
        ended = any(case.outcome.state == "not reached" for case in cases)
        page.write_page(path, cases, path.stem, interrupted=ended)
    else:
        write_csv(path, cases)
    return path
