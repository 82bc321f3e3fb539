"""Open scan…: the line at the top of every dock that opens files and folders with the reader of this plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.layers import Image, Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from ...errors import MedsegError
from ...io import formats
from ...io.dicom_list import ListedSeries, Listing
from ...progress import Job, Progress
from ...replay.lines import SUFFIX
from . import reader, recent
from .controls import ARROW, GAP, Paragraph, button, described, menu_entry
from .grey import window_text
from .jobs import Queue
from .listing import add_layer, go_to
from .opening_job import Opened, chosen_job, open_job
from .reader_offers import ReaderOffers
from .recorder import recorder_of
from .reopening import Reopened, look_job, reopen_job, replace_layer, was_read_by_napari
from .series_list import SeriesList
from .upright import apart, apart_text, fit_view

if TYPE_CHECKING:
    from napari import Viewer

_KSPACE = (".h5", ".hdf5", ".mrd", ".cfl", ".hdr", ".ra")
_OPEN = "Open files of images or labels with their voxel size. They can also be dropped here, and scans on the canvas."
_FOLDER = (
    "Open a folder: DICOM files, of which you choose a series if there are several, or an OME-Zarr store. It can also "
    "be dropped here."
)
_MORE = "Recent scans; recording of a session; the reader of File > Open."


class Opener(QWidget):
    """Buttons for files and folders, a menu, and a line that says what happens; reading is done in a thread.

    Parameters
    ----------
    viewer : napari.Viewer
    take : callable
        Called with the layers that were opened.

    Attributes
    ----------
    run : callable or None
        What the dock does with an image that a person opens to be segmented at once.
    """

    def __init__(self, viewer: Viewer, take: Callable[[Sequence[Layer]], None]):
        super().__init__()
        self._viewer = viewer
        self._take = take
        self.run: Callable[[Image], None] | None = None
        self._waiting: list[Path] = []
        self.series_list: SeriesList | None = None
        self._queue = Queue(self, ("open", "chosen", "again", "look"), self._changed, self.say)
        self.button = button("Open scan…", _OPEN)
        self.folder = button("Folder…", _FOLDER)
        self.more = button("")
        described(self.more, _MORE)
        self.more.setFixedWidth(ARROW)
        self.menu = QMenu(self.more)
        self.menu.setToolTipsVisible(True)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.more.setMenu(self.menu)
        self.alone = button("Hide the others", "Hide what lies differently from the scan that was opened last.")
        self.alone.clicked.connect(self._hide_others)
        self.alone.setVisible(False)
        self._others: WeakSet[Layer] = WeakSet()
        for part in (self.button, self.more, self.folder, self.alone):
            part.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys with the canvas
        self.button.clicked.connect(self._ask_for_files)
        self.folder.clicked.connect(self._ask_for_folder)
        self.cancel = button("Cancel", "Stop opening; what is open already stays.")
        self.cancel.setVisible(False)
        self.cancel.clicked.connect(self._give_up)
        self.status = Paragraph()
        self._looked_at: dict[str, bool] = {}
        self.offers = ReaderOffers(viewer, self._reopen)
        self._lay_out()

    @property
    def busy(self) -> bool:
        """Whether something is being opened."""
        return self._queue.busy

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        both = QHBoxLayout()
        both.setSpacing(GAP)
        both.addWidget(self.button)
        both.addWidget(self.more)
        row.addLayout(both)
        row.addWidget(self.folder)
        row.addWidget(self.cancel)
        row.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(9, 6, 9, 0)
        column.addLayout(row)
        column.addWidget(self.status)
        column.addWidget(self.alone)
        column.addWidget(self.offers)

    # ---- what to open ----

    def open(self, paths: Sequence[Path]) -> None:
        """Open files and folders, as soon as what is being opened is there."""
        self._waiting += paths
        self._queue.want("open", self._start)

    def _fill_menu(self) -> None:
        menu = self.menu
        menu.clear()
        known = [Path(name) for name in recent.remembered().recent]
        for path in known:
            there = path.exists()
            text = path.name if there else f"{path.name}: not found"
            action = menu_entry(menu, text.replace("&", "&&"))
            action.triggered.connect(lambda *_, path=path: self.open([path]))
            action.setEnabled(there)
            action.setToolTip(str(path) if there else f"'{path}' was moved, renamed or removed, or its disk is away.")
        if not known:
            menu_entry(menu, "Recent scans appear here").setEnabled(False)
        menu.addSeparator()
        self._offer_recording(menu)
        always = menu_entry(menu, "Use napari-medseg for File > Open")
        always.setToolTip("napari takes this reader for scans and does not ask. Readers that you have chosen stay.")
        always.setCheckable(True)
        always.setChecked(reader.is_used())
        always.toggled.connect(self._use_reader)

    def _offer_recording(self, menu: QMenu) -> None:
        recorder = recorder_of(self._viewer)
        if recorder.path is None:
            title = "Record session…"
            act = self._ask_where_to_record
        else:
            title = f"Stop recording ({recorder.count} steps)"
            act = self._stop_recording
        action = menu_entry(menu, title)
        action.triggered.connect(act)
        action.setToolTip(
            "Writes down what is opened, run, painted and saved from now on; 'napari-medseg replay' repeats it."
        )

    def _ask_where_to_record(self) -> None:
        suggested = str(Path(_last_folder()) / f"session{SUFFIX}")
        name, _ = QFileDialog.getSaveFileName(
            self, "Record session", suggested, f"Sessions (*{SUFFIX})", options=QFileDialog.Option.DontConfirmOverwrite
        )
        if name:
            self.record(Path(name))

    def record(self, path: Path) -> None:
        """Record what is done from now on, into a new file."""
        path = path if path.name.endswith(SUFFIX) else path.with_name(path.name.split(".")[0] + SUFFIX)
        try:
            recorder_of(self._viewer).start(path)
        except MedsegError as error:
            self.say(str(error))
            return
        self.say(f"Recording to {path.name}. Stop in the menu next to Open scan….")

    def _stop_recording(self) -> None:
        recorder = recorder_of(self._viewer)
        path = recorder.path
        count = recorder.count
        recorder.stop()
        if path is not None:
            self.say(f"Recorded {count} steps. To repeat them: napari-medseg replay {path.name} -o DIR --inputs DIR")

    def _use_reader(self, wanted: bool) -> None:
        if wanted:
            reader.use()
        else:
            reader.undo()
        self.offers.show_for(self._looked_at)

    def _ask_for_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Open scan", _last_folder(), ";;".join(_filters()))
        if names:
            self.open([Path(name) for name in names])

    def _ask_for_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a DICOM folder or an OME-Zarr store", _last_folder())
        if name:
            self.open([Path(name)])

    # ---- reading ----

    def _start(self) -> None:
        paths, self._waiting = self._waiting, []
        if paths:
            self._read("open", open_job(paths), self._show)

    def _start_chosen(self, folder: Path, chosen: Sequence[ListedSeries], run: bool) -> None:
        self._read("chosen", chosen_job(folder, chosen), self._show_and_run if run else self._show)

    def _read(self, kind: str, job: Job[Opened], show: Callable[[Opened], object]) -> None:
        self.say("Opening…")
        self._queue.start(kind, job, title="Open", quiet=True, on_step=self._show_step, on_done=show, on_error=self.say)

    def _show_step(self, step: Progress) -> None:
        self.say(step.partial or "Opening…")

    def _show_and_run(self, opened: Opened) -> None:
        image = next((layer for layer in self._show(opened) if isinstance(layer, Image)), None)
        if image is not None and self.run is not None:
            self.run(image)

    def _show(self, opened: Opened) -> list[Layer]:
        self.say("\n".join(opened.problems))
        layers = [add_layer(self._viewer, Layer.create(*entry)) for entry in opened.layers]
        if opened.paths:
            recent.remember(opened.paths)
        if layers:
            self._take(layers)
            go_to(self._viewer, layers[-1])  # another patient lies elsewhere
            others = apart(self._viewer, layers[0])
            remarks = (*map(window_text, layers), apart_text(layers[0], others))
            self.say("\n".join(filter(None, (*opened.problems, *remarks))))
            self._offer_to_hide(others)
        for listing in opened.choices:
            self._offer(listing)
        return layers

    def _offer_to_hide(self, others: list[Layer]) -> None:
        self._others = WeakSet(others)
        self.alone.setVisible(bool(others))

    def _hide_others(self) -> None:
        for layer in self._others:
            layer.visible = False
        fit_view(self._viewer)
        self.say("")

    def _offer(self, listing: Listing) -> None:
        """Show the series of a folder, so that one can be chosen."""

        def choose(chosen: Sequence[ListedSeries], run: bool) -> None:
            self._queue.want("chosen", partial(self._start_chosen, listing.folder, chosen, run))

        self.series_list = SeriesList(listing, choose, self, runs=self.run is not None)
        self.series_list.destroyed.connect(self._forget_list)
        self.series_list.show()

    def _forget_list(self) -> None:
        self.series_list = None

    # ---- scans that napari has opened ----

    def look_at_layers(self) -> None:
        """Layers have come or gone: offer what fits those that napari has opened."""
        self.offers.show_for(self._looked_at)
        paths = [str(layer.source.path) for layer in self._viewer.layers if was_read_by_napari(layer)]
        new = [path for path in dict.fromkeys(paths) if path not in self._looked_at]
        if new:
            self._queue.want("look", partial(self._start_look, new))

    def _start_look(self, paths: Sequence[str]) -> None:
        def done(found: dict[str, bool]) -> None:
            self._looked_at |= found
            self.offers.show_for(self._looked_at)

        self._queue.start("look", look_job(paths), title="Look", quiet=True, on_done=done, on_error=self.say)

    def _reopen(self, image: Image) -> None:
        self._queue.want("again", partial(self._start_again, image))

    def _start_again(self, image: Image) -> None:
        self.say(f"Opening '{image.name}' again…")
        job = reopen_job(Path(str(image.source.path)), image.data)
        done = partial(self._show_again, image)
        self._queue.start(
            "again", job, title="Open", quiet=True, on_step=self._show_step, on_done=done, on_error=self.say
        )

    def _show_again(self, image: Image, found: Reopened) -> None:
        layers = [Layer.create(*entry) for entry in found.opened.layers]
        if not layers or image not in self._viewer.layers:
            self._show(found.opened)
            return
        self.say(replace_layer(self._viewer, image, layers[0], found.same))
        recent.remember(found.opened.paths)
        self._take([layers[0], *(add_layer(self._viewer, layer) for layer in layers[1:])])

    def _give_up(self) -> None:
        self._waiting.clear()
        self._queue.stop()
        self.say("Cancelled; nothing was opened.")

    # ---- what is shown ----

    def say(self, text: str) -> None:
        """Say something below the buttons."""
        self._offer_to_hide([])
        self.status.say(text)

    def _changed(self) -> None:
        self.cancel.setVisible(self._queue.kind not in ("", "look"))

    def close_down(self) -> None:
        """The dock is closed: stop reading."""
        self._waiting.clear()
        self._queue.close()
        if self.series_list is not None:
            self.series_list.close()


def _filters() -> list[str]:
    *scans, everything = formats.file_filters()
    raw = " ".join(f"*{suffix}" for suffix in _KSPACE)
    return [*scans, f"Raw k-space ({raw})", everything]


def _last_folder() -> str:
    """Folder of the scan that was opened last."""
    known = recent.remembered().recent
    return str(Path(known[0]).parent) if known else str(Path.home())
