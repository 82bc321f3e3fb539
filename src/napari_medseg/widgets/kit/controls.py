"""Controls that the docks have in common: lists, boxes, text that says why something is off, a page that scrolls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol, cast

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QAction, QKeyEvent, QPaintEvent, QStandardItem, QStandardItemModel
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from ...errors import escaped
from .state import Control

_WIDEST = 560  # pixels of an open list
_SCROLL_BAR = 20
ARROW = 22
"""Pixels of a button that shows nothing but the arrow of its menu."""
GAP = 2
"""Pixels between such a button and the one that it belongs to."""
_KEY = "medseg_key"
# napari's style hardly shows which control has the keys; the colour is 3.5 times as bright or dark as either theme
_FOCUS = "QComboBox:focus, QListWidget:focus, QPushButton:focus, QCheckBox:focus {border: 1px solid #2f7de1;}"
_MARGIN = 8  # pixels around a control that is scrolled to


class Page(QScrollArea):
    """A column of controls that scrolls when there is no room for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[QWidget, tuple[QWidget, ...]] = {}
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the tabulator goes to its controls, and they scroll into view
        self.setStyleSheet(_FOCUS)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._show_focus)

    def stack(self, *parts: QWidget | QGridLayout | None) -> None:
        """Put `parts` below each other; None is a gap."""
        page = QWidget()
        column = QVBoxLayout(page)
        for part in parts:
            if part is None:
                column.addSpacing(8)
            elif isinstance(part, QGridLayout):
                column.addLayout(part)
            else:
                column.addWidget(part)
        column.addStretch()
        self.setWidget(page)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        """As wide as the controls need with a scroll bar next to them; the height is free."""
        hint = super().minimumSizeHint()
        page = self.widget()
        bar = self.verticalScrollBar()
        if page is not None and bar is not None:
            hint.setWidth(page.minimumSizeHint().width() + bar.sizeHint().width())
        return hint

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:
        """Ask for another width when rows appear or the style changes."""
        if a0 is self.widget() and a1 is not None and a1.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(a0, a1)

    def _show_focus(self, before: QWidget | None, now: QWidget | None) -> None:
        """Scroll to the control that an underlined letter has led to; what is clicked stays under the pointer."""
        clicked = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if now is not None and not clicked and self.isVisible() and self.isAncestorOf(now):
            self.ensureWidgetVisible(now, _MARGIN, _MARGIN)

    def rows(self, *rows: tuple[str, QWidget, QWidget]) -> QGridLayout:
        """A grid of rows: title, the control that its underlined letter leads to, and what is next to it."""
        # a form layout would leave gaps for hidden rows
        grid = QGridLayout()
        for title, control, field in rows:
            label = QLabel(title)
            label.setBuddy(control)
            if title:
                control.setAccessibleName(title.replace("&", ""))
            self._rows[control] = label, field
            grid.addWidget(label, grid.rowCount(), 0)
            grid.addWidget(field, grid.rowCount() - 1, 1)
        return grid

    def show_row(self, control: QWidget, shown: bool) -> None:
        """Show or hide `control`, with its whole row where it has one."""
        for part in self._rows.get(control, (control,)):
            part.setVisible(shown)


def described(control: QWidget, tooltip: str) -> None:
    """Say what `control` does: as its tooltip, and the first sentence as the name that screen readers speak."""
    control.setToolTip(tooltip)
    control.setAccessibleName(tooltip.split(". ")[0].rstrip("."))


class Box(QComboBox):
    """A drop-down list that takes letters for the beginning of an entry, but leaves Ctrl+Z to whoever undoes."""

    def keyPressEvent(self, e: QKeyEvent | None) -> None:
        """Take the key, unless it is one with Ctrl."""
        if e is not None and e.modifiers() & Qt.KeyboardModifier.ControlModifier:
            e.ignore()
            return
        super().keyPressEvent(e)


def choice(tooltip: str = "", kind: type[QComboBox] = Box) -> QComboBox:
    """A drop-down list that long entries do not widen."""
    box = kind()
    described(box, tooltip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(10)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def fill(box: QComboBox, entries: Sequence[tuple[str, Any]], current: Any) -> None:
    """Replace the entries (text, value) of `box` without a signal; choose the one whose value is `current`."""
    box.blockSignals(True)
    box.clear()
    for index, (title, value) in enumerate(entries):
        box.addItem(title, value)
        box.setItemData(index, title, Qt.ItemDataRole.ToolTipRole)  # long ones are cut off
    box.setCurrentIndex(next((i for i, (_, value) in enumerate(entries) if value is current or value == current), -1))
    box.blockSignals(False)


class ShortBox(Box):
    """A drop-down list that, closed, shows only what stands before the first comma of its entry."""

    def paintEvent(self, e: QPaintEvent | None) -> None:
        """Draw the box with the short text."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = option.currentText.split(",")[0]
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def fill_grouped(box: QComboBox, groups: Mapping[str, Sequence[tuple[str, Any]]], current: Any) -> None:
    """As `fill`, with the entries of each of `groups` below the lines of its title, which cannot be chosen.

    The list opens as wide as its entries need; closed, the box keeps its width.
    """
    rows: list[tuple[str, Any]] = []
    for title, entries in groups.items():
        rows += [(line, None) for line in title.splitlines()]
        rows += entries
    fill(box, rows, current)
    for index in range(box.count()):
        if box.itemData(index) is None:
            _forbid(box, index)
            font = box.font()
            font.setBold(True)
            box.setItemData(index, font, Qt.ItemDataRole.FontRole)
    if (view := box.view()) is not None:
        view.setMinimumWidth(min(view.sizeHintForColumn(0) + _SCROLL_BAR, _WIDEST))


def switch_off(box: QComboBox, value: Any, why: str) -> None:
    """Make one entry of `box` impossible to choose, and say why."""
    index = box.findData(value)
    box.setItemText(index, f"{box.itemText(index)}: {why}")
    box.setItemData(index, why, Qt.ItemDataRole.ToolTipRole)
    _forbid(box, index)


def _forbid(box: QComboBox, index: int) -> None:
    entry = _entry(box, index)
    if entry is not None:
        entry.setEnabled(False)


def can_choose(box: QComboBox, index: int) -> bool:
    """Whether there is an entry at this place, and nobody has switched it off."""
    entry = _entry(box, index)
    return entry is not None and entry.isEnabled()


def _entry(box: QComboBox, index: int) -> QStandardItem | None:
    model = cast(QStandardItemModel, box.model())  # no list here is given another model
    return model.item(index)


def check(title: str, tooltip: str = "") -> QCheckBox:
    """A box to tick."""
    box = QCheckBox(title)
    box.setToolTip(tooltip)
    return box


class Paragraph(QLabel):
    """Text that can be selected, takes no more width than there is, and no room when empty."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setVisible(False)

    def say(self, text: str) -> None:
        """Show `text`."""
        self.setText(escaped(text, lines=True))
        self.setVisible(bool(text))


def beside(*controls: QWidget) -> QWidget:
    """Controls in one row."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for control in controls:
        layout.addWidget(control)
    return row


def allow(control: QWidget, why_not: str, tooltip: str) -> None:
    """Enable `control` if there is nothing against it; its tooltip says what it does or why it cannot."""
    control.setEnabled(not why_not)
    key = control.property(_KEY)
    control.setToolTip(why_not or (f"{tooltip.rstrip('.')} ({key})." if key and tooltip else tooltip))


def tell_key(control: QWidget, key: str) -> None:
    """Have the tooltip of `control` name the key that presses it."""
    control.setProperty(_KEY, key)
    allow(control, "" if control.isEnabled() else control.toolTip(), control.toolTip())


class Rows(Protocol):
    """A form, or a part of one, with its controls as attributes."""

    def show_row(self, control: QWidget, shown: bool) -> None:
        """Show or hide `control`, with its whole row where it has one."""


def apply(form: Rows, state: Any) -> None:
    """Show what a `state.py` found: the fields of this dataclass are named after the controls of `form`.

    A `Control` can be used or says why not, a bool shows or hides, and a text is what a `Paragraph` says.
    """
    for field in fields(state):
        control = getattr(form, field.name)
        wanted = getattr(state, field.name)
        if isinstance(wanted, Control):
            allow(control, wanted.why_not, wanted.tooltip)
            form.show_row(control, wanted.visible)
            if wanted.title:
                control.setText(wanted.title)
        elif isinstance(wanted, bool):
            form.show_row(control, wanted)
        else:
            control.say(wanted)


def button(title: str, tooltip: str = "") -> QPushButton:
    """A button to press."""
    found = QPushButton(title)
    found.setToolTip(tooltip)
    return found


def menu_entry(menu: QMenu, title: str) -> QAction:
    """A new entry at the end of a menu, which deletes it when it is cleared."""
    entry = QAction(title, menu)
    menu.addAction(entry)
    return entry


def progress_bar() -> QProgressBar:
    """A bar without figures: the status line has them."""
    bar = QProgressBar()
    bar.setTextVisible(False)
    bar.setVisible(False)
    return bar


def line(tooltip: str = "") -> QLineEdit:
    """A field for a line of text."""
    field = QLineEdit()
    described(field, tooltip)
    return field


def number(
    low: float, high: float, value: float, step: float, tooltip: str, unit: str, decimals: int = 2
) -> QDoubleSpinBox:
    """A field for a number."""
    field = QDoubleSpinBox()
    field.setDecimals(decimals)
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setValue(value)
    field.setSuffix(unit)
    described(field, tooltip)
    field.setKeyboardTracking(False)
    return field
