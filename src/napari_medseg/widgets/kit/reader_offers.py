"""Lines below Open scan…: which reader napari is to use, scans to open again with their voxel size, bad preferences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.layers import Image
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ...errors import readable
from . import reader
from .controls import Paragraph, beside, button
from .preferences import use_cache_folder
from .reopening import was_read_by_napari

if TYPE_CHECKING:
    from napari import Viewer

_QUESTION = "napari-medseg for File > Open?"
_WHY = "napari asks each time which reader to use for scans, or takes its own, which drops the voxel size."
_LOST = "Voxel size lost."


class ReaderOffers(QWidget):
    """One line, shown while there is something to offer: first the voxel size, then the reader.

    Parameters
    ----------
    viewer : napari.Viewer
    reopen : callable
        Called with the image that is to be opened again.
    """

    def __init__(self, viewer: Viewer, reopen: Callable[[Image], None]):
        super().__init__()
        self._viewer = viewer
        self._reopen = reopen
        self._image: Image | None = None
        self._left: WeakSet[Image] = WeakSet()
        self._with_spacing: dict[str, bool] = {}
        self._was_asked = False
        self.problem = Paragraph()
        self.question = QLabel(_QUESTION)
        self.question.setToolTip(_WHY)
        self.always = button("Always", f"{_WHY} For File > Open, and for files dropped on the canvas.")
        self.never = button("No", "Do not ask again. File > Preferences and the menu next to Open scan… change it.")
        self.answers = beside(self.question, self.always, self.never)
        self.lost = QLabel(_LOST)
        self.again = button("Reopen with voxel size", "Read the file again; labels drawn on it are kept.")
        self.leave = button("Leave it", "Go on without the voxel size.")
        self.choices = beside(self.lost, self.again, self.leave)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.problem, self.answers, self.choices):
            column.addWidget(part)
        self.always.clicked.connect(self._use)
        self.never.clicked.connect(self._decline)
        self.again.clicked.connect(self._open_again)
        self.leave.clicked.connect(self._leave)
        self.show_for({})

    def show_for(self, with_spacing: dict[str, bool]) -> None:
        """Offer what fits the layers there are; `with_spacing` says which files have a voxel size."""
        self._with_spacing = with_spacing
        images = [layer for layer in self._viewer.layers if was_read_by_napari(layer) and layer not in self._left]
        self._image = next((layer for layer in reversed(images) if with_spacing.get(layer.source.path)), None)
        lost = self._image is not None
        if self._image is not None:
            self.lost.setToolTip(f"napari's own reader opened '{readable(self._image.name)}' without its voxel size.")
        self._was_asked = self._was_asked or self._has_asked()  # also of a scan that was reopened since
        asks = self._was_asked and reader.is_open()
        self.choices.setVisible(lost)
        self.answers.setVisible(asks and not lost)
        self.setVisible(lost or asks or bool(self.problem.text()))

    def follow(self, event: object = None) -> None:
        """Put into force what the page of preferences says of readers and the cache, and say what is wrong with it."""
        reader.settle()
        self.problem.say(use_cache_folder())
        self.show_for(self._with_spacing)

    def _has_asked(self) -> bool:
        """Whether napari has opened a scan, so that it asked for a reader or took its own."""
        sources = [layer.source for layer in self._viewer.layers]
        ours = [source.path for source in sources if source.reader_plugin in (reader.OURS, reader.BUILTINS)]
        return any(path and reader.is_scan(path) for path in ours)

    def _use(self) -> None:
        reader.use()
        self.show_for(self._with_spacing)

    def _decline(self) -> None:
        reader.undo()
        self.show_for(self._with_spacing)

    def _open_again(self) -> None:
        if self._image is not None:
            self._reopen(self._image)

    def _leave(self) -> None:
        if self._image is not None:
            self._left.add(self._image)
        self.show_for(self._with_spacing)
