"""Plots in the colours of the window. Imports matplotlib, which takes a second: import this where a plot is made."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.spines import Spine
from matplotlib.text import Text
from qtpy.QtCore import QEvent
from qtpy.QtGui import QPalette

_INK, _PAPER = "black", "white"  # of matplotlib, and of what is saved
_STYLE = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)


class Plot(FigureCanvasQTAgg):
    """A figure whose text and background are those of the theme; lines keep their own colours.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    """

    _ink = ""  # none while Qt makes the widget and already styles it

    def __init__(self, figure: Figure):
        super().__init__(figure)
        self._ink = _INK
        self.refresh()

    def refresh(self) -> None:
        """Draw what has changed, in the colours of the theme."""
        roles = QPalette.ColorRole
        ink, paper = (self.palette().color(role).name() for role in (roles.WindowText, roles.Window))
        self._ink = _tint(self.figure, (self._ink, _INK), ink, paper)
        self.draw_idle()

    @contextmanager
    def on_paper(self) -> Generator[Figure]:
        """The figure in black on white, as long as it is being saved."""
        self._ink = _tint(self.figure, (self._ink,), _INK, _PAPER)
        try:
            yield self.figure
        finally:
            self.refresh()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if self._ink and event.type() in _STYLE:
            self.refresh()


def _tint(figure: Figure, inks: tuple[str, ...], ink: str, paper: str) -> str:
    """Give what has one of the colours `inks` the colour `ink`, and the figure the background `paper`."""
    figure.set_facecolor(paper)
    for axes in figure.axes:
        axes.set_facecolor(paper)
        axes.tick_params(colors=ink)
    for spine in figure.findobj(Spine):
        spine.set_edgecolor(ink)
    for legend in figure.findobj(Legend):
        legend.get_frame().set_facecolor(paper)
    for text in figure.findobj(Text):
        if any(same_color(text.get_color(), each) for each in inks):
            text.set_color(ink)
    return ink
