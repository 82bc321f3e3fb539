"""A button whose menu has entries to tick."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QMenu, QPushButton, QSizePolicy

from .controls import menu_entry

_TICKING = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)


class TickMenu(QMenu):
    """A menu that stays open while entries are ticked."""

    def mouseReleaseEvent(self, a0: QMouseEvent | None) -> None:
        """Tick instead of closing."""
        if not self._tick():
            super().mouseReleaseEvent(a0)

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:
        """Tick with space or Return; Escape closes as usual."""
        ticks = a0 is not None and a0.key() in _TICKING
        if not ticks or not self._tick():
            super().keyPressEvent(a0)

    def _tick(self) -> bool:
        action = self.activeAction()
        if action is None or not action.isEnabled():
            return False
        action.trigger()
        return True


class Ticks(QPushButton):
    """Says which entries are ticked, and opens the menu to tick others.

    Parameters
    ----------
    invitation : str
        The text while nothing is ticked.
    tooltip : str
    noun : str
        What the ticked entries are called, if they do not come on top of another one.
    """

    changed = Signal()

    def __init__(self, invitation: str, tooltip: str, noun: str = ""):
        super().__init__()
        self._invitation, self._tooltip, self._noun = invitation, tooltip, noun
        self.entries = TickMenu(self)
        self.entries.setToolTipsVisible(True)
        self.setMenu(self.entries)
        # a long name is cut off, the tooltip has it; the form keeps its width
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._describe()

    def ticked(self) -> list[str]:
        """Names of the ticked entries."""
        return [action.data() for action in self.entries.actions() if action.isChecked()]

    def offer(self, entries: Mapping[str, str]) -> None:
        """Replace the entries, name and why it cannot be ticked (or nothing); ticks stay where they can."""
        before = self.ticked()
        self.entries.clear()
        for name, why_not in entries.items():
            action = menu_entry(self.entries, name)
            action.setData(name)
            action.setCheckable(True)
            action.setEnabled(not why_not)
            action.setToolTip(why_not or (f"Compare {name}." if self._noun else f"Run {name} as well."))
            action.setChecked(name in before and not why_not)
            action.toggled.connect(self._toggled)
        self._describe()

    def _toggled(self, ticked: bool) -> None:
        self._describe()
        self.changed.emit()

    def _describe(self) -> None:
        names = self.ticked()
        more = names[0] if len(names) == 1 else f"{len(names)} {self._noun or 'others'}"
        self.setText((more if self._noun else f"and {more}") if names else self._invitation)
        self.setToolTip("\n".join([self._tooltip, *names]))
