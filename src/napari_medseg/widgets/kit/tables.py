"""Tables that are read, not edited, as high as their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QTableWidget, QTableWidgetItem

from .controls import described

_MOST_ROWS = 8  # shown without scrolling


def table(head: Sequence[str], tooltip: str, wide: int = 0) -> QTableWidget:
    """An empty table that is read, not edited; the column of number `wide` takes the room that the others leave."""
    found = QTableWidget(0, len(head))
    found.setHorizontalHeaderLabels(list(head))
    described(found, tooltip)
    numbers_of(found).setVisible(False)
    found.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names of classes often differ at their end
    found.setWordWrap(False)  # else the first word of a name is all that is shown
    found.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    found.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    found.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    found.setTabKeyNavigation(False)  # arrows go from cell to cell, the tabulator to the next control
    titles = titles_of(found)
    titles.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    titles.setSectionResizeMode(wide, QHeaderView.ResizeMode.Stretch)
    return found


def titles_of(table: QTableView) -> QHeaderView:
    """The header above the columns."""
    return cast(QHeaderView, table.horizontalHeader())  # every table has one, which PyQt6's hints do not say


def numbers_of(table: QTableView) -> QHeaderView:
    """The header left of the rows."""
    return cast(QHeaderView, table.verticalHeader())


def fill_table(target: QTableWidget, rows: Sequence[Sequence[str]], most: int = _MOST_ROWS) -> None:
    """Replace the rows of a table by these texts; so many of them show without scrolling."""
    target.clearSpans()
    target.setRowCount(len(rows))
    for place, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(text)  # long names are cut off
            target.setItem(place, column, item)
    fit(target, most)


def fit(target: QTableWidget, most: int = _MOST_ROWS) -> None:
    """As high as the rows are, up to `most` of them."""
    rows = min(max(target.rowCount(), 1), most) * numbers_of(target).defaultSectionSize()
    target.setFixedHeight(titles_of(target).sizeHint().height() + rows + 4)
