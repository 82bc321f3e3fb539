"""The rows of the Reconstruct form that decide what is reconstructed: the data, and the mask over them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFileDialog

from ...errors import MedsegError, SettingsError
from ...io.contributions import KEY
from ...kspace import KSpace
from ...recon.contributions import FILE as KSPACE_FILE
from ...recon.sampling import KINDS, load_mask, save_mask
from ...recon.settings import Sampling
from ..kit import layer_volumes
from ..kit.controls import fill
from ..kit.offers import offer_images
from . import scans
from .form import ReconstructForm
from .result import is_result
from .state import FILE, GIVEN, OWN

if TYPE_CHECKING:
    from napari import Viewer

    from ..kit.jobs import Queue

_ALL = -1  # in the list of frames
_FILTERS = "Raw k-space (*.h5 *.hdf5 *.mrd *.cfl *.hdr *.ra *.npy *.npz *.mat);;All files (*)"


class DataRows:
    """Where the k-space comes from.

    Parameters
    ----------
    form : ReconstructForm
    viewer : napari.Viewer
    queue : Queue
        Opens the data as jobs of the kind ``open``.
    changed : callable
        Called when other data were chosen, have been opened, or cannot be.

    Attributes
    ----------
    scan : Scan or None
        The data, once they are open.
    problem : str
        Why there are none.
    """

    def __init__(self, form: ReconstructForm, viewer: Viewer, queue: Queue, changed: Callable[[], None]):
        self.scan: scans.Scan | None = None
        self.problem = ""
        self._form, self._viewer, self._queue, self._tell = form, viewer, queue, changed
        self._opened: tuple[Any, ...] = ()
        self._several = False
        self._frames: list[dict[str, int]] = []  # those of which one can be chosen
        form.source.currentIndexChanged.connect(self._chosen)
        form.conjugate.toggled.connect(self._chosen)
        for field in (form.path, form.axes):
            field.editingFinished.connect(self._typed)
        form.browse.clicked.connect(self._ask)
        form.frames.currentIndexChanged.connect(self._frame_chosen)

    @property
    def has_frames(self) -> bool:
        """Whether the data have several frames."""
        return self._several

    def frame(self) -> dict[str, int] | None:
        """The frame that is chosen, as the file counts; None for all."""
        place = self._form.frames.currentData()
        return self._frames[place] if self._frames and place is not None and place >= 0 else None

    def offer(self) -> None:
        """List the image layers."""
        box = self._form.source
        files = [("Raw k-space from a file", FILE)]
        if box.currentData() == FILE and self.raw_file() is None:
            fill(box, [], None)  # no file was chosen yet, so an image may take its place
        if offer_images(box, self._viewer, files, lambda layer: not is_result(layer)):
            self._chosen()

    def open(self, path: Path) -> None:
        """Open a file of raw data."""
        self._form.path.setText(str(path))
        self._form.source.blockSignals(True)
        self._form.source.setCurrentIndex(self._form.source.findData(FILE))
        self._form.source.blockSignals(False)
        self._chosen()

    def clear(self) -> None:
        """Let go of the data."""
        self.scan = None
        self._opened = ()

    def raw_file(self) -> Path | None:
        """The file of raw data that is chosen: typed, or remembered by a layer."""
        source = self._form.source.currentData()
        typed = self._form.path.text().strip()
        if isinstance(source, Image):
            typed = source.metadata.get(KEY, {}).get(KSPACE_FILE)
        return Path(typed) if typed else None

    def file(self) -> Path | None:
        """The file that the data come from, raw or image."""
        source = self._form.source.currentData()
        return self.raw_file() or (layer_volumes.source_path(source) if isinstance(source, Image) else None)

    def opened_file(self) -> Path:
        """The file that the data come from.

        Raises
        ------
        SettingsError
            If the data come from none.
        """
        file = self.file()
        if file is None:
            raise SettingsError("The image was not opened from a file. Save it and open it, to copy what reads it.")
        return file

    def image(self) -> Image | None:
        """The layer whose measurement is simulated; None for raw data."""
        source = self._form.source.currentData()
        return source if isinstance(source, Image) and self.raw_file() is None else None

    def reading(self) -> dict[str, Any]:
        """How the file of raw data is read."""
        form = self._form
        return {"axes": form.axes.text().strip(), "conjugate": form.conjugate.isChecked(), "first": self.frame()}

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._form, "Open raw k-space", self._form.path.text(), _FILTERS)
        if path:
            self._form.axes.clear()
            self.open(Path(path))

    def _says(self) -> tuple[Any, ...]:
        form = self._form
        return form.source.currentData(), form.path.text(), form.axes.text(), form.conjugate.isChecked()

    def _typed(self) -> None:
        if self._says() != self._opened:  # leaving a field is not a change
            self._chosen()

    def _chosen(self, _: Any = None) -> None:
        self._frames = []
        self._several = False
        self._open()

    def _frame_chosen(self, _: Any = None) -> None:
        self._open()

    def _open(self) -> None:
        self._opened = self._says()
        self.scan = None
        self.problem = ""
        self._form.facts.say("")
        self._queue.forget("mask", "preview", "picture")
        if self._queue.kind in ("open", "mask", "preview", "picture"):
            self._queue.stop()
        source = self._form.source.currentData()
        raw = self.raw_file()
        if raw is not None or isinstance(source, Image):
            self._queue.want("open", partial(self._start, source, raw))
        else:
            self._queue.forget("open")
            self.problem = "open raw k-space or an image first."
        self._tell()

    def _start(self, source: Any, raw: Path | None) -> None:
        form = self._form
        try:
            if raw is None:
                job = scans.layer_job(source)
            else:
                grid = layer_volumes.Grid.of(source, "tzyx"[-source.ndim :]) if isinstance(source, Image) else None
                first = self.frame()
                job = scans.open_job(raw, form.axes.text().strip(), form.conjugate.isChecked(), grid, first)
        except MedsegError as error:
            self._failed(str(error))
            return
        self._queue.start("open", job, title="Open k-space", quiet=True, on_done=self._done, on_error=self._failed)

    def _done(self, scan: scans.Scan) -> None:
        self.scan = scan
        if not self._several and scan.kspace.frames > 1:
            self._several = True
            self._offer_frames(scan)
        self._form.facts.say(scans.facts(scan))
        self._tell()

    def _offer_frames(self, scan: scans.Scan) -> None:
        self._frames = list(scan.kspace.metadata.get("frames", ()))
        entries = [(f"all {scan.kspace.frames}", _ALL)]
        entries += [(text, place) for place, text in enumerate(scans.frame_texts(scan.kspace))]
        fill(self._form.frames, entries, _ALL)

    def _failed(self, why: str) -> None:
        self.problem = why
        self._tell()


class MaskRows:
    """Which samples of a scan count as measured.

    Parameters
    ----------
    form : ReconstructForm
    queue : Queue
        Draws masks as jobs of the kind ``mask``.
    changed : callable
        Called when another mask was chosen, has been drawn, or cannot be.

    Attributes
    ----------
    kspace : KSpace or None
        What the mask leaves, once it is drawn.
    problem : str
        Why there is none.
    pending : bool
        Whether a mask is yet to be drawn.
    file : pathlib.Path or None
        Where the mask lies that was loaded, or painted and saved.
    """

    def __init__(self, form: ReconstructForm, queue: Queue, changed: Callable[[], None]):
        self.kspace: KSpace | None = None
        self.problem = ""
        self.pending = False
        self.file: Path | None = None
        self._form, self._queue, self._tell = form, queue, changed
        self._scan: scans.Scan | None = None
        self._given: np.ndarray | None = None
        form.mask_kind.currentIndexChanged.connect(self._kind_chosen)
        for field in (form.acceleration, form.centre):
            field.valueChanged.connect(self._chosen)
        form.seed.editingFinished.connect(self._chosen)
        form.direction.currentIndexChanged.connect(self._chosen)
        form.load.clicked.connect(self._ask_for_file)
        form.save_mask.clicked.connect(self._ask_where_to_save)

    def of(self, scan: scans.Scan | None) -> None:
        """Offer masks for other data."""
        self._scan = scan
        self._given = None
        self.file = None
        self.kspace = None
        if scan is not None:
            self._offer(scan, OWN)
        self._chosen()

    def clear(self) -> None:
        """Let go of the data."""
        self._scan = None
        self.kspace = None

    def give(self, mask: np.ndarray, path: Path | None) -> None:
        """Take a mask that was painted or loaded."""
        if self._scan is None:
            return
        self._given = mask
        self.file = path
        self._offer(self._scan, GIVEN)
        self._chosen()

    def paint(self, mask: np.ndarray, number: int) -> None:
        """Take the mask that was painted on a slice: for all slices, or for that one where their masks differ."""
        before = self.kspace.mask if self.kspace is not None else None
        if before is not None and before.ndim == 3:
            whole = before.copy()
            whole[number] = mask
            mask = whole
        self.give(mask, None)

    def sampling(self) -> Sampling | None:
        """The rules for the mask, if there are any that can be met."""
        try:
            return self._form.sampling()
        except MedsegError:  # the form says so
            return None

    def _offer(self, scan: scans.Scan, wanted: str) -> None:
        entries = [("of the scan: all measured" if scan.kspace.mask is None else "of the scan", OWN)]
        if self._given is not None:
            entries.append(("as painted or loaded", GIVEN))
        entries += [(kind.replace("_", " "), kind) for kind in KINDS]
        fill(self._form.mask_kind, entries, wanted)

    def _kind_chosen(self) -> None:
        self._form.forget_centre()
        self._chosen()

    def _chosen(self, _: Any = None) -> None:
        self.problem = ""
        if self._queue.kind in ("mask", "preview", "picture"):
            self._queue.stop()  # the newest wish wins
        self.pending = self._scan is not None
        if self._scan is not None:
            self._queue.want("mask", partial(self._start, self._scan))
        else:
            self._queue.forget("mask")
            self._form.read_out.say("")
        self._tell()

    def _start(self, scan: scans.Scan) -> None:
        given = self._given if self._form.mask_kind.currentData() == GIVEN else None
        try:
            job = scans.mask_job(scan, self._form.sampling(), given)
        except MedsegError as error:
            self._failed(str(error))
            return
        self._queue.start("mask", job, title="Mask", quiet=True, on_done=self._done, on_error=self._failed)

    def _done(self, kspace: KSpace) -> None:
        self.kspace = kspace
        self.pending = False
        self._form.read_out.say(scans.mask_text(kspace))
        self._tell()

    def _failed(self, why: str) -> None:
        self.kspace = None
        self.pending = False
        self.problem = why
        self._form.read_out.say("")
        self._tell()

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._form, "Load a sampling mask", "", "Masks (*.npy)")
        if path:
            self._with_file(lambda: self.give(load_mask(Path(path)), Path(path)))

    def _ask_where_to_save(self) -> None:
        mask = self.kspace.mask if self.kspace else None
        if self._scan is None or mask is None:
            return
        suggested = str(Path.home() / f"{self._scan.name}_mask.npy")
        path, _ = QFileDialog.getSaveFileName(self._form, "Save the sampling mask", suggested, "Masks (*.npy)")
        if path:
            self._with_file(lambda: self._save(mask, Path(path).with_suffix(".npy")))

    def _save(self, mask: np.ndarray, path: Path) -> None:
        save_mask(mask, path)
        if self._form.mask_kind.currentData() == GIVEN:
            self.file = path
        self._form.status.say(f"Saved {path.name}.")
        self._tell()

    def _with_file(self, step: Callable[[], None]) -> None:
        try:
            step()
        except MedsegError as error:
            self._form.status.say(str(error))
            show_error(str(error))
