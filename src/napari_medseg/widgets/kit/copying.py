"""The button that copies what a form would do: as a command, and in the menu next to it as Python."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QWidget

from .controls import ARROW, GAP, button, described

PYTHON = "Copy as Python"


class CopyButton(QWidget):
    """Pressed, it copies the command; the arrow next to it offers Python.

    Parameters
    ----------
    title : str
        With the underlined letter.
    """

    def __init__(self, title: str):
        super().__init__()
        self.command = button(title)
        self.more = button("")
        self.more.setFixedWidth(ARROW)
        described(self.more, f"{PYTHON}. A few lines that do the same without a window.")
        menu = QMenu(self.more)
        self.python = QAction(PYTHON, menu)
        menu.addAction(self.python)
        self.more.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP)
        row.addWidget(self.command)
        row.addWidget(self.more)
        self.setFocusProxy(self.command)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)

    def copies(self, command: Callable[[], None], python: Callable[[], None]) -> None:
        """What is called to copy the one and the other."""
        self.command.clicked.connect(command)
        self.python.triggered.connect(python)

    def text(self) -> str:
        """Of the button."""
        return self.command.text()

    def click(self) -> None:
        """Copy the command."""
        self.command.click()

    def setToolTip(self, a0: str | None) -> None:
        """Say what the button does, or why it cannot."""
        super().setToolTip(a0)
        self.command.setToolTip(a0)
