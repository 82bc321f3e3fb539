"""Where a dock is: a tab among the others of this plugin, in the order of the menu, in front when it is asked for."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QDockWidget, QMainWindow, QTabBar, QWidget

TABS = {
    "Segment": "Segment",
    "Batch": "Batch",
    "Reconstruct": "Recon",
    "Acceleration study": "Study",
    "Fine-tune": "Tune",
    "Review": "Review",
    "Measure": "Measure",
    "View": "View",
}
"""Texts of the tabs, which are narrow, in the order of the menu."""

_TAB_STYLE = "QTabBar::tab { padding: 2px; }"  # eight tabs are as wide as the widest form
_SUFFIX = " (napari-medseg)"  # napari adds it to the names of docks


class Place(QObject):
    """The place of one dock in the window.

    Qt calls a dock visible that is behind another tab. So napari's menu would hide it when it is chosen, its underlined
    letters would answer together with those of the dock in front, and the tabulator would lead into it.

    Parameters
    ----------
    dock : QWidget
    kind : type
        Of all docks that share the place.

    Attributes
    ----------
    in_front : bool
        Whether a person sees the dock, as far as it depends on tabs.
    """

    changed = Signal(bool)

    def __init__(self, dock: QWidget, kind: type[QWidget]):
        super().__init__(dock)
        self._dock = dock
        self._kind = kind
        self._parts: tuple[QWidget, ...] = ()
        self._frame: QDockWidget | None = None
        self.in_front = True

    def hold(self, *parts: QWidget) -> None:
        """Show these parts of the dock only while it is in front."""
        for part in parts:
            policy = part.sizePolicy()
            policy.setRetainSizeWhenHidden(True)  # the place keeps its width, whichever tab is in front
            part.setSizePolicy(policy)
        self._parts = parts

    @property
    def window(self) -> QMainWindow | None:
        """The window that the dock belongs to, also while it floats."""
        frame = self._dock.parent()
        window = frame.parent() if isinstance(frame, QDockWidget) else None
        return window if isinstance(window, QMainWindow) else None

    def settle(self) -> None:
        """Become a tab with the other docks of this plugin: below each other, none would have room for its form."""
        frame = self._dock.parent()
        window = self.window
        if not isinstance(frame, QDockWidget) or window is None or frame is self._frame:
            return
        self._frame = frame
        name = frame.windowTitle().removesuffix(_SUFFIX)
        frame.setWindowTitle(TABS.get(name, name))
        frame.installEventFilter(self)
        frame.visibilityChanged.connect(self._seen)
        if not frame.isFloating():
            self._join(frame, window)

    def come_forward(self) -> None:
        """Let the dock be seen."""
        frame = self._dock.parent()
        if isinstance(frame, QDockWidget):
            frame.show()
            frame.raise_()

    def _join(self, frame: QDockWidget, window: QMainWindow) -> None:
        """Take the place among the tabs that the menu has."""
        area = window.dockWidgetArea(frame)
        ours = [other for other in window.findChildren(QDockWidget) if isinstance(other.widget(), self._kind)]
        docked = [other for other in ours if other is not frame and not other.isFloating()]
        near = [other for other in docked if window.dockWidgetArea(other) == area]
        if not near:
            return
        first, *later = sorted([frame, *near], key=_rank)
        if len(near) > 1:
            window.tabifyDockWidget(near[0], frame)  # Qt leaves an empty bar where the last but one tab is taken out
        for other in later:
            window.tabifyDockWidget(first, other)  # at the end of the tabs
        self.come_forward()  # else the one that was in front before stays there
        QTimer.singleShot(0, partial(_fit_tabs, window, frame))  # once there are tabs

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:
        """Bring a dock to the front that is shown, or that was hidden while nobody could see it anyway."""
        frame = self._frame
        window = self.window
        if a0 is frame and frame is not None and a1 is not None and window is not None:
            was_behind = a1.type() == QEvent.Type.Hide and frame.isHidden() and not self.in_front
            if a1.type() == QEvent.Type.ShowToParent or (was_behind and window.isVisible()):
                QTimer.singleShot(0, self.come_forward)
        return super().eventFilter(a0, a1)

    def _seen(self, seen: bool) -> None:
        self.in_front = seen
        bar = None if self._frame is None else self._frame.titleBarWidget()
        for part in (*self._parts, *filter(None, (bar,))):
            part.setVisible(seen)
        self.changed.emit(seen)


def _rank(frame: QDockWidget) -> int:
    """Where the menu has this dock."""
    texts = list(TABS.values())
    return texts.index(frame.windowTitle()) if frame.windowTitle() in texts else len(texts)


def _fit_tabs(window: QMainWindow, frame: QDockWidget) -> None:
    """Let no text of a tab be cut."""
    for bar in window.children():
        if isinstance(bar, QTabBar) and frame.windowTitle() in [bar.tabText(index) for index in range(bar.count())]:
            bar.setStyleSheet(_TAB_STYLE)
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            frame.setMinimumWidth(bar.sizeHint().width())
