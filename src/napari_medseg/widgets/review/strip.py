"""The strip: one cell per slice, coloured by its state; the shown one has a frame, and a click goes there."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from ...slice_states import APPROVED, AUTO, EDITED, UNSEEN
from .state import WORDS

COLOURS = {APPROVED: "#3fa66b", EDITED: "#e0a638", AUTO: "#7f8b99", UNSEEN: "#4a525c"}
"""Of the states."""

_DOUBT = "#d6363d"
_DOUBT_SHARE = 0.5  # of the height of a cell, for the most doubtful slice
_ROW = 26  # pixels
_LOW_ROW = 8  # of several time points
_MOST_ROWS = 20
_KEYS = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}


class Strip(QWidget):
    """States of all slices in a row, or in a row per time point."""

    chosen = Signal(int)
    """A person wants to see a slice."""

    def __init__(self) -> None:
        super().__init__()
        self._states: Sequence[str] = ()
        self._doubt: Sequence[float] = ()
        self._columns = 1
        self._first_row = 0
        self._rows = 1
        self._shown = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("States of the slices")

    def show_states(self, states: Sequence[str], lead: tuple[int, ...], shown: int) -> None:
        """Show the states of slices.

        Parameters
        ----------
        states : sequence of str
        lead : tuple of int
            Lengths of the axes before y and x.
        shown : int
            Number of the slice in view.
        """
        self._states = states
        self._columns = lead[-1] if lead else 1
        rows = max(1, len(states) // self._columns)
        self._rows = rows if rows <= _MOST_ROWS else 1
        self._first_row = 0 if rows <= _MOST_ROWS else shown // self._columns
        self._shown = shown
        self.updateGeometry()
        self.update()

    def show_doubt(self, shares: Sequence[float]) -> None:
        """Show how doubtful slices are, from 0 to 1: a red bar from the top of their cells; empty for none."""
        self._doubt = shares
        self.update()

    def sizeHint(self) -> QSize:
        """As high as its rows."""
        return QSize(200, _ROW if self._rows == 1 else _LOW_ROW * self._rows)

    def minimumSizeHint(self) -> QSize:
        """As high as its rows; the width is free."""
        return QSize(60, self.sizeHint().height())

    # ---- where slices lie ----

    def number_at(self, point: QPoint) -> int:
        """The slice at a point of the widget."""
        column = point.x() * self._columns // max(1, self.width())
        row = point.y() * self._rows // max(1, self.height())
        column = min(max(column, 0), self._columns - 1)
        row = min(max(row, 0), self._rows - 1)
        return (self._first_row + row) * self._columns + column

    def cell(self, number: int) -> QRect:
        """The rectangle of a slice, at least a pixel wide."""
        row, column = divmod(number, self._columns)
        row -= self._first_row
        left = column * self.width() // self._columns
        right = (column + 1) * self.width() // self._columns
        top = row * self.height() // self._rows
        bottom = (row + 1) * self.height() // self._rows
        return QRect(left, top, max(1, right - left), max(1, bottom - top))

    # ---- what Qt calls ----

    def paintEvent(self, a0: QPaintEvent | None) -> None:
        """Draw the cells; gaps between them only where there is room."""
        painter = QPainter(self)
        wide = self.width() >= 4 * self._columns
        first = self._first_row * self._columns
        for number in range(first, min(first + self._rows * self._columns, len(self._states))):
            cell = self.cell(number)
            room = cell.adjusted(0, 0, -1, -1) if wide else cell
            painter.fillRect(room, QColor(COLOURS[self._states[number]]))
            if number < len(self._doubt):
                room.setHeight(round(room.height() * _DOUBT_SHARE * self._doubt[number]))
                painter.fillRect(room, QColor(_DOUBT))
        frame = self.cell(self._shown).adjusted(0, 0, -1, -1)
        colour = self.palette().color(self.foregroundRole())
        painter.setPen(QPen(colour, 2))
        painter.drawRect(frame.adjusted(1, 1, -1, -1) if frame.width() > 4 else frame)
        if self.hasFocus():
            painter.setPen(QPen(colour, 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def mousePressEvent(self, a0: QMouseEvent | None) -> None:
        """Go to the slice under the pointer."""
        if a0 is not None:
            self._choose(self.number_at(a0.pos()))

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        """Go there while a button is pressed."""
        if a0 is not None and a0.buttons() != Qt.MouseButton.NoButton:
            self._choose(self.number_at(a0.pos()))

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:
        """Arrows go to the next slice or time point."""
        step = _KEYS.get(a0.key()) if a0 is not None else None
        if step is None:
            super().keyPressEvent(a0)
            return
        self._choose(self._shown + step[0] * self._columns + step[1])

    def event(self, a0: QEvent | None) -> bool:
        """Say which slice is under the pointer."""
        if isinstance(a0, QHelpEvent) and a0.type() == QEvent.Type.ToolTip and self._states:
            number = self.number_at(a0.pos())
            if number < len(self._states):
                QToolTip.showText(a0.globalPos(), f"{self.words(number)}. Click to go there.", self)
            return True
        return super().event(a0)

    def words(self, number: int) -> str:
        """What there is to say of a slice."""
        row, column = divmod(number, self._columns)
        time = f"Time {row}, slice" if len(self._states) > self._columns else "Slice"
        return f"{time} {column}: {WORDS[self._states[number]]}"

    def _choose(self, number: int) -> None:
        if 0 <= number < len(self._states) and number != self._shown:
            self.chosen.emit(number)
