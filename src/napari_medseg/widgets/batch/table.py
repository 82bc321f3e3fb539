"""The table of cases: it asks the work list only for the rows that are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtGui import QFont, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QScrollBar,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from ...errors import escaped
from ...runs.worklist import LOOK, WorkList
from ..kit.controls import described
from ..kit.tables import numbers_of, titles_of

_WIDTHS = {"Case": 74, "State": 55, "Dice": 44, "HD95": 58, "F1": 44, "Approved": 64, "Size": 76, "s": 44}  # pixels
_LEAST = 112  # of the column with the reasons, which takes what the others leave
_ROWS = 7  # seen without scrolling
_TIPS = {
    "Case": "Name of the image.",
    "State": "What the run has come to.",
    LOOK: "Why the case failed, or ⚠ how it differs from the others: an order for looking, not a measure of quality. "
    "Below the table, and where the pointer rests on a row, are all reasons in full.",
    "Dice": "Against the reference labels, mean of the classes; below the table are all.",
    "HD95": "95th percentile of the distances to the reference labels, mean of the classes.",
    "F1": "Of objects, against the reference labels: one is found where they overlap by more than half of their union.",
    "Approved": "Slices that a person has approved. ✓: none with labels is left.",
    "Size": "All classes together; below the table is each of them.",
    "s": "Seconds that the case took.",
}
_RIGHT = ("Dice", "HD95", "F1", "Size", "s")  # columns of numbers
_ALIGNED = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_NUMBER = getattr(_ALIGNED, "value", None) or int(_ALIGNED)  # bindings differ in what a flag is
_TEXT = int(Qt.ItemDataRole.DisplayRole)
_TIP = int(Qt.ItemDataRole.ToolTipRole)
_FONT = int(Qt.ItemDataRole.FontRole)
_ALIGN = int(Qt.ItemDataRole.TextAlignmentRole)


class CaseModel(QAbstractTableModel):
    """The rows of a work list, in an order; the name of the open case is bold."""

    def __init__(self) -> None:
        super().__init__()
        self.work = WorkList()
        self.head = self.work.head
        self.order: list[int] = []
        self.opened: int | None = None

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Number of cases."""
        return 0 if parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Number of titles."""
        return 0 if parent.isValid() else len(self.head)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _TEXT) -> Any:
        """Titles of the columns, and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        title = self.head[section]
        return {_TEXT: title, _TIP: _TIPS[title]}.get(role)

    def data(self, index: QModelIndex, role: int = _TEXT) -> Any:
        """Text, tooltip and look of a cell."""
        number = self.order[index.row()]
        if role == _TEXT:
            return escaped(self.work.cells(number)[self.head[index.column()]])
        if role == _TIP:
            return escaped(self.work.text(number), lines=True)
        if role == _ALIGN and self.head[index.column()] in _RIGHT:
            return _NUMBER
        if role == _FONT and number == self.opened and index.column() == 0:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def show(self, work: WorkList, order: list[int], opened: int | None) -> bool:
        """Show these rows; whether they are others than before, or in another order."""
        moved = work is not self.work or order != self.order
        if moved:
            self.beginResetModel()
        self.work = work
        self.head = work.head
        self.order = order
        self.opened = opened
        if moved:
            self.endResetModel()
        elif order:
            self.dataChanged.emit(self.index(0, 0), self.index(len(order) - 1, len(self.head) - 1))
        return moved


class _FromTheStart(QStyledItemDelegate):
    """Cuts long texts at their end."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:
        """As Qt does it, but for the place of the dots."""
        super().initStyleOption(option, index)
        if option is not None:
            option.textElideMode = Qt.TextElideMode.ElideRight


class CaseTable(QTableView):
    """A table that is read, not edited, of which one row is chosen."""

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.cases = CaseModel()
        self.setModel(self.cases)
        self.setItemDelegateForColumn(self.cases.head.index(LOOK), _FromTheStart(self))
        described(self, tooltip)
        corner = self.findChild(QAbstractButton)  # Qt's own, where the two headers meet
        if corner is not None:
            described(corner, "Select all rows.")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names often differ at their end
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self._lay_out()

    def _lay_out(self) -> None:
        rows = numbers_of(self)
        head = titles_of(self)
        rows.setVisible(False)
        head.setHighlightSections(False)
        bar = cast(QScrollBar, self.horizontalScrollBar())
        height = head.sizeHint().height() + _ROWS * rows.defaultSectionSize() + bar.sizeHint().height() + 4
        self.setFixedHeight(height)
        self.setMinimumWidth(200)
        self._share_width()

    def resizeEvent(self, e: QResizeEvent | None) -> None:
        """Give the reasons the width that the other columns leave."""
        super().resizeEvent(e)
        self._share_width()

    def _share_width(self) -> None:
        titles = self.cases.head
        room = cast(QWidget, self.viewport()).width()
        others = sum(_WIDTHS[title] for title in titles if title != LOOK)
        for column, title in enumerate(titles):
            self.setColumnWidth(column, _WIDTHS.get(title) or max(_LEAST, room - others))

    def show_cases(self, work: WorkList, order: list[int], opened: int | None) -> None:
        """Show the rows of a work list; of the same list the chosen row stays chosen."""
        chosen = self.chosen() if work is self.cases.work else None
        titles = self.cases.head
        moved = self.cases.show(work, order, opened)
        if self.cases.head != titles:
            self._share_width()
        if moved and chosen is not None:
            self.choose(chosen)

    def chosen(self) -> int | None:
        """Number of the case of the chosen row."""
        row = self.currentIndex().row()
        return self.cases.order[row] if 0 <= row < len(self.cases.order) else None

    def choose(self, number: int) -> None:
        """Choose the row of a case, and bring it into view."""
        if number not in self.cases.order:
            return
        index = self.cases.index(self.cases.order.index(number), 0)
        flags = QItemSelectionModel.SelectionFlag
        self._selection().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
        self.scrollTo(index)

    def when_chosen(self, call: Callable[[], None]) -> None:
        """Call when another row is chosen."""
        self._selection().currentRowChanged.connect(lambda *_: call())

    def _selection(self) -> QItemSelectionModel:
        return cast(QItemSelectionModel, self.selectionModel())
