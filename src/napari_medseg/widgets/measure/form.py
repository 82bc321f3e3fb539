"""The controls of the Measure dock and where they stand; what they do is in `dock.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from qtpy.QtCore import Qt
from qtpy.QtGui import QFont, QFontMetrics, QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QGridLayout, QHeaderView, QScrollBar, QVBoxLayout, QWidget

from ..kit.controls import Page, Paragraph, beside, button, choice, fill, progress_bar
from ..kit.tables import fill_table, table, titles_of
from .state import OBJECTS, WHOLE

_NAMES = 110  # pixels that names of classes get at least; longer ones are cut off, and their tooltip has them whole
_MARGIN = 16  # around a text
_WIDE = 720  # pixels from which on the table stands next to the controls, as in a dock at the bottom


class MeasureForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = choice("The labels to measure.")
        self.image = choice("The image whose intensities are measured under the labels.")
        self.reference = choice("Labels of the same image to score these against.")
        self.what = choice(
            "Classes as a whole; or each object of the label that is selected in the layer controls. Voxels that share "
            "a face belong to one object."
        )
        fill(self.what, [("Classes", WHOLE), ("Objects of the selected label", OBJECTS)], WHOLE)
        self.measure = button("&Measure")
        self.cancel = button("Cancel")
        self.bar = progress_bar()
        self.table = table(("class",), "Click a line to go to the slice that holds the most of it.")
        self._names: list[str] = []
        self._titles: list[str] = []
        self.cine = Paragraph()
        self.notes = Paragraph()
        self.export = button("E&xport CSV…")
        self.copy = button("C&opy table")
        self.status = Paragraph()
        self.hint = Paragraph()
        self._lay_out()

    def _lay_out(self) -> None:
        choices = self.rows(
            ("La&bels", self.labels, self.labels),
            ("&Image", self.image, self.image),
            ("&Reference", self.reference, self.reference),
            ("Meas&ure", self.what, self.what),
        )
        asked = _column(choices, beside(self.measure, self.cancel), self.bar)
        out = beside(self.export, self.copy)
        found = _column(self.table, self.cine, self.notes, self.status, self.hint)
        both = QWidget()
        self._parts = QBoxLayout(QBoxLayout.Direction.TopToBottom, both)
        self._parts.setContentsMargins(0, 0, 0, 0)
        self._parts.addWidget(asked, 1, Qt.AlignmentFlag.AlignTop)
        self._parts.addWidget(found, 2, Qt.AlignmentFlag.AlignTop)
        # next to the table in a low dock, and not below it, out of sight
        self._parts.addWidget(out, 0, Qt.AlignmentFlag.AlignTop)
        self.stack(both)

    def show_table(self, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show rows below a heading; one with a single cell is the name of a layer and takes the whole line."""
        self.table.setColumnCount(len(heading))
        # the unit below the name, so that the columns are narrow
        self.table.setHorizontalHeaderLabels(["\n".join(title.rsplit(maxsplit=1)) for title in heading])
        header = titles_of(self.table)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        fill_table(self.table, rows)
        bar = cast(QScrollBar, self.table.horizontalScrollBar())
        self.table.setFixedHeight(self.table.maximumHeight() + bar.sizeHint().height())
        self._names = [cells[0] for cells in rows if len(cells) > 1]
        self._titles = [cells[0] for cells in rows if len(cells) == 1]
        self._fit_names()
        for place, cells in enumerate(rows):
            if len(cells) == 1:
                self._make_title(place, len(heading))

    def resizeEvent(self, a0: QResizeEvent | None) -> None:
        """Names of classes take the room that numbers leave; a wide dock is a low one."""
        super().resizeEvent(a0)
        directions = QBoxLayout.Direction
        self._parts.setDirection(directions.LeftToRight if self.width() >= _WIDE else directions.TopToBottom)
        self._fit_names()

    def _fit_names(self) -> None:
        header = titles_of(self.table)
        others = header.length() - header.sectionSize(0)
        names = _widest(self._names, self.table.font())
        titles = _widest(self._titles, _bold(self.table.font()))  # over all columns
        wanted = max(names, titles - others)
        viewport = cast(QWidget, self.table.viewport())
        header.resizeSection(0, min(wanted, max(viewport.width() - others, _NAMES)))

    def _make_title(self, place: int, columns: int) -> None:
        if columns > 1:
            self.table.setSpan(place, 0, 1, columns)
        title = self.table.item(place, 0)
        if title is not None:
            title.setFont(_bold(self.table.font()))


def _bold(font: QFont) -> QFont:
    found = QFont(font)
    found.setBold(True)
    return found


def _widest(texts: Sequence[str], font: QFont) -> int:
    """Pixels that the longest of the texts needs."""
    return max(map(QFontMetrics(font).horizontalAdvance, texts), default=0) + _MARGIN


def _column(*parts: QWidget | QGridLayout) -> QWidget:
    """Parts below each other."""
    found = QWidget()
    column = QVBoxLayout(found)
    column.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        if isinstance(part, QGridLayout):
            column.addLayout(part)
        else:
            column.addWidget(part)
    return found
