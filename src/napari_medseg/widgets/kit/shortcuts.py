"""Keys that all docks have alike: run, preview, cancel and save of the dock in front, none of them a key of napari.

Escape leaves the dock: letters and arrows are keys of the viewer again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractButton, QApplication, QShortcut, QToolTip, QWidget

from .controls import tell_key

KEYS = {"run": "Ctrl+Return", "preview": "Ctrl+Shift+Return", "cancel": "Ctrl+.", "save": "Ctrl+Shift+S"}
"""As Qt writes them: on a Mac, Ctrl is the command key."""


def bind(form: QWidget, buttons: Mapping[str, QAbstractButton]) -> None:
    """Let the keys press buttons of a form while it is seen; their tooltips say so.

    Parameters
    ----------
    form : QWidget
        Answers only while it is visible.
    buttons : mapping of str to QAbstractButton
        What is pressed, for some of the names in `KEYS`.
    """
    for name, button in buttons.items():
        keys = QKeySequence(KEYS[name])
        shortcut = QShortcut(keys, form)
        shortcut.activated.connect(partial(_press, button))
        shortcut.activatedAmbiguously.connect(partial(_press_near, form, button))
        tell_key(button, keys.toString(QKeySequence.SequenceFormat.NativeText))
    leave = QShortcut(QKeySequence(Qt.Key.Key_Escape), form)
    leave.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    leave.activated.connect(_leave)


def _leave() -> None:
    """Let the viewer have the keys."""
    focus = QApplication.focusWidget()
    if focus is not None:
        focus.clearFocus()


def _press(button: QAbstractButton) -> None:
    """Press a button, or say why it is off."""
    if button.isEnabled() and not button.isHidden():
        button.click()
    elif not button.isHidden():
        QToolTip.showText(button.mapToGlobal(QPoint(0, button.height())), button.toolTip(), button)


def _press_near(form: QWidget, button: QAbstractButton) -> None:
    """Of several docks that are seen at once, the one that has the keys answers."""
    focus = QApplication.focusWidget()
    if focus is not None and form.isAncestorOf(focus):
        _press(button)
