"""Two lines below Open scan…: which reader napari is to use for scans, and opening a scan again with its voxel size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.layers import Image
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...errors import readable
from . import reader, recent
from .controls import Paragraph, beside, button
from .reopening import was_read_by_napari

if TYPE_CHECKING:
    from napari import Viewer

_QUESTION = "napari asks each time which reader to use for scans, or takes its own, which drops the voxel size."


class ReaderOffers(QWidget):
    """Shown while there is something to offer.

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
        self.question = Paragraph()
        self.always = button("Always use napari-medseg", "For File > Open and for files dropped on the canvas.")
        self.never = button("No", "Do not ask again. The menu of Open scan… can change it later.")
        self.answers = beside(self.always, self.never)
        self.lost = Paragraph()
        self.again = button("Reopen with voxel size", "Read the file again; labels drawn on it are kept.")
        self.leave = button("Leave it", "Go on without the voxel size.")
        self.choices = beside(self.again, self.leave)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.question, self.answers, self.lost, self.choices):
            column.addWidget(part)
        self.always.clicked.connect(self._use)
        self.never.clicked.connect(self._decline)
        self.again.clicked.connect(self._open_again)
        self.leave.clicked.connect(self._leave)
        self.show_for({})

    def show_for(self, with_spacing: dict[str, bool]) -> None:
        """Offer what fits the layers there are; `with_spacing` says which files have a voxel size."""
        images = [layer for layer in self._viewer.layers if was_read_by_napari(layer) and layer not in self._left]
        self._image = next((layer for layer in reversed(images) if with_spacing.get(layer.source.path)), None)
        lost = ""
        if self._image is not None:
            lost = f"napari's own reader opened '{readable(self._image.name)}' without its voxel size."
        self.lost.say(lost)
        self.choices.setVisible(bool(lost))
        asks = self._was_asked() and not reader.is_used() and not recent.remembered().reader_declined
        self.question.say(_QUESTION if asks else "")
        self.answers.setVisible(asks)
        self.setVisible(bool(lost) or asks)

    def _was_asked(self) -> bool:
        """Whether napari has opened a scan, so that it asked for a reader or took its own."""
        sources = [layer.source for layer in self._viewer.layers]
        ours = [source.path for source in sources if source.reader_plugin in (reader.OURS, reader.BUILTINS)]
        return any(path and reader.is_scan(path) for path in ours)

    def _use(self) -> None:
        reader.use()
        self._answered()

    def _decline(self) -> None:
        recent.decline_reader()
        self._answered()

    def _answered(self) -> None:
        self.question.say("")
        self.answers.setVisible(False)

    def _open_again(self) -> None:
        if self._image is not None:
            self._reopen(self._image)

    def _leave(self) -> None:
        if self._image is not None:
            self._left.add(self._image)
        self._image = None
        self.lost.say("")
        self.choices.setVisible(False)
