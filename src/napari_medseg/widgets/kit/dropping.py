"""Files that are dropped: on a dock, and on the canvas while a dock is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, QMimeData, QObject, Qt
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QLineEdit, QMainWindow, QWidget

from . import reader

_NAPARIS = Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier  # choose a reader; open as one stack


def dropped(data: QMimeData | None) -> list[Path]:
    """The files and folders of this computer that were dropped."""
    urls = [] if data is None else data.urls()
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]


class CanvasDrops(QObject):
    """Opens scans that are dropped on the canvas as those that are dropped on a dock.

    napari would ask which reader to take, propose its own, and could not offer the series of a DICOM folder. What is
    not a scan, has a reader that the person has chosen, or is dropped with a key that means something to napari, is
    left to it.

    Parameters
    ----------
    dock : QWidget
    take : callable
        Called with the paths of scans.
    wanted : callable
        Whether the dock is the one that a person sees.
    """

    def __init__(self, dock: QWidget, take: Callable[[Sequence[Path]], None], wanted: Callable[[], bool]):
        super().__init__(dock)
        self._take = take
        self._wanted = wanted
        self._closed = False

    def watch(self, window: QMainWindow | None) -> None:
        """See what is dropped in the middle of the window; once is enough, and more does no harm."""
        middle = None if window is None else window.centralWidget()
        for part in [] if middle is None else middle.findChildren(QWidget):
            if part.acceptDrops() and not isinstance(part, QLineEdit):  # into which text is dropped
                part.installEventFilter(self)

    def close(self) -> None:
        """Leave everything to napari."""
        self._closed = True

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:
        """Take scans."""
        if not isinstance(a1, QDropEvent) or a1.type() != QEvent.Type.Drop or self._closed or not self._wanted():
            return False
        paths = dropped(a1.mimeData())
        # those that are down now: Qt may still have the Alt with which a person went over to the folder
        if not paths or QApplication.queryKeyboardModifiers() & _NAPARIS or not all(map(reader.is_ours, paths)):
            return False
        a1.acceptProposedAction()
        self._take(paths)
        return True
