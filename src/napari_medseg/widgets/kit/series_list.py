"""The series of a folder in a small window of their own: looked at, chosen, opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...errors import escaped
from ...io.dicom_list import ListedSeries, Listing
from ...progress import Progress
from . import jobs
from .controls import Paragraph, button
from .opening_job import pictures_job
from .tables import numbers_of, titles_of

_HEAD = ("", "Series", "Kind", "Images", "Voxel (z, y, x)", "Date")
_PICTURE = 56  # pixels of the screen
_WIDTH, _HEIGHT = 760, 480
_RUN = "Open it, and segment it with the model that was made for such images."
_REASON = 600  # width of a line that says why something cannot be opened


class SeriesList(QDialog):
    """Series to choose from, without holding up the window; what is chosen is handed to a function.

    Parameters
    ----------
    listing : Listing
    choose : callable
        Called with the series that are to be opened, and whether the model is to be run then.
    parent : qtpy.QtWidgets.QWidget
    runs : bool
        Whether there is something to run.
    """

    def __init__(
        self,
        listing: Listing,
        choose: Callable[[Sequence[ListedSeries], bool], None],
        parent: QWidget,
        *,
        runs: bool = False,
    ):
        super().__init__(parent)
        self._listing = listing
        self._choose = choose
        self._row_of: list[int] = []
        self.setWindowTitle(f"Series in {escaped(listing.folder.name)}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.table = QTableWidget(0, len(_HEAD))
        self.table.setAccessibleName("Series of the folder")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.accept_button = button("Open")
        self.buttons.addButton(self.accept_button, QDialogButtonBox.ButtonRole.AcceptRole)
        self.run_button = button("Open and run")
        self.run_button.setVisible(runs)
        if runs:
            self.buttons.addButton(self.run_button, QDialogButtonBox.ButtonRole.ActionRole)
        words = Paragraph()
        words.say("Choose one series, or several with Ctrl or Shift.")
        column = QVBoxLayout(self)
        for part in (words, self.table, self.buttons):
            column.addWidget(part)
        self._fill()
        self.buttons.accepted.connect(self._accept)
        self.run_button.clicked.connect(lambda: self._accept(run=True))
        self.buttons.rejected.connect(self.reject)
        self.table.itemSelectionChanged.connect(self._selected)
        self.table.itemDoubleClicked.connect(lambda _: self._accept())
        self._select_largest()
        self._selected()
        self.resize(_WIDTH, _HEIGHT)
        self._worker = jobs.start(
            pictures_job(listing), owner=self, title="Pictures of series", quiet=True, on_step=self._show_picture
        )
        self.finished.connect(lambda _: self._worker.quit())

    def chosen(self) -> list[ListedSeries]:
        """The series that are selected."""
        rows = {item.row() for item in self.table.selectedItems()}
        return [series for series, row in zip(self._listing.series, self._row_of, strict=True) if row in rows]

    def _fill(self) -> None:
        table = self.table
        table.setHorizontalHeaderLabels(_HEAD)
        numbers_of(table).hide()
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setIconSize(QSize(_PICTURE, _PICTURE))
        table.setWordWrap(True)
        table.setTabKeyNavigation(False)
        for series in self._listing.series:
            self._row_of.append(table.rowCount())
            texts = (series.title, series.series.modality, series.size, series.voxel, series.series.time)
            self._add_row(("", *texts), str(series.files[0]), not series.problem)
            if series.problem:
                self._add_reason(series.problem)
        for file in self._listing.unreadable:
            self._add_reason(file.reason)
        header = titles_of(table)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.resizeSection(0, _PICTURE + 10)
        for row in self._row_of:
            table.setRowHeight(row, _PICTURE + 4)

    def _add_row(self, texts: Sequence[str], tooltip: str, possible: bool) -> None:
        row = self.table.rowCount()
        self.table.insertRow(row)
        for column, text in enumerate(texts):
            item = QTableWidgetItem(escaped(text))
            item.setToolTip(escaped(tooltip))
            if not possible:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
                item.setTextAlignment(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
            self.table.setItem(row, column, item)

    def _add_reason(self, reason: str) -> None:
        """A line over all columns that says why something cannot be opened."""
        row = self.table.rowCount()
        self._add_row(("", f"⚠ {reason}"), reason, False)
        self.table.setSpan(row, 1, 1, len(_HEAD) - 1)
        room = self.table.fontMetrics().boundingRect(0, 0, _REASON, _HEIGHT, Qt.TextFlag.TextWordWrap, reason)
        self.table.setRowHeight(row, room.height() + 12)

    def _select_largest(self) -> None:
        """Choose the series with the most images: it is the one most often wanted."""
        possible = [number for number, series in enumerate(self._listing.series) if not series.problem]
        if possible:
            images = [times * slices for times, slices, _, _ in (series.shape for series in self._listing.series)]
            self.table.selectRow(self._row_of[max(possible, key=images.__getitem__)])

    def _selected(self) -> None:
        count = len(self.chosen())
        self.accept_button.setEnabled(count > 0)
        self.accept_button.setText(f"Open {count} series" if count > 1 else "Open")
        self.accept_button.setToolTip("" if count else "Choose a series first.")
        self.run_button.setEnabled(count == 1)
        self.run_button.setToolTip(_RUN if count == 1 else "Choose one series: a run is of one image.")

    def _accept(self, *, run: bool = False) -> None:
        chosen = self.chosen()
        if chosen:
            self.accept()
            self._choose(chosen, run)

    def _show_picture(self, step: Progress) -> None:
        number, image = step.partial
        series = self._listing.series[number]
        item = self.table.item(self._row_of[number], 0)
        if image is not None and item is not None:
            item.setIcon(QIcon(_pixmap(image, series.middle.spacing)))


def _pixmap(image: np.ndarray, spacing: tuple[float, float] | None) -> QPixmap:
    """A picture (y, x) or (y, x, 3), uint8, as large as the list shows it, and as wide as it is in mm."""
    rows, columns = image.shape[:2]
    kind = QImage.Format.Format_RGB888 if image.ndim == 3 else QImage.Format.Format_Grayscale8
    shown = QImage(image.tobytes(), columns, rows, image.strides[0], kind)
    dy, dx = spacing or (1.0, 1.0)
    factor = _PICTURE / max(rows * dy, columns * dx)
    width = max(1, round(columns * dx * factor))
    height = max(1, round(rows * dy * factor))
    modes = Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
    return QPixmap.fromImage(shown.scaled(width, height, *modes))
