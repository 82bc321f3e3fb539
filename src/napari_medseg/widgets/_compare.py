"""The Compare page of the Reconstruct dock: metrics against a reference, per volume and slice, and error layers."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QHeaderView, QTableWidget, QTableWidgetItem

from .. import metrics
from ..acquisition import KSpace
from ..errors import FileError, MedsegError
from ..progress import Job, Progress
from ..recon.contributions import magnitude
from ..recon.reconstruct import CONVENTION, compare
from . import _job
from ._controls import Page, Paragraph, allow, beside, button, choice, fill, switch_off
from ._layers import SIGHT
from ._recon_result import report_of
from ._scans import Scan
from ._ticks import Ticks

if TYPE_CHECKING:
    from napari import Viewer

ERROR_SHARE = 0.2
"""Of the largest value of the reference: where the scale of all error layers ends."""

_MOST_ROWS = 8  # shown without scrolling
_SCAN = "scan"
_HEAD = ("", "NMSE", "PSNR\n(dB)", "SSIM", "MAE /\nmax", "Data\nresidual")
_FIELDS = ("nmse", "psnr", "ssim", "mae_share", "residual")


@dataclass(frozen=True, eq=False)
class Row:
    """Figures of one result: of the volume, and of every slice."""

    name: str
    volume: Mapping[str, float | None]
    slices: Sequence[Mapping[str, float | None]]


@dataclass(frozen=True, eq=False)
class Source:
    """What is compared: name, method, images (slice, y, x), and the data residual of the volume and by slice."""

    name: str
    method: str
    images: np.ndarray
    residual: float | None
    residuals: Sequence[float]


def reference_job(scan: Scan, images: np.ndarray | None) -> Job[np.ndarray]:
    """The reference (slice, y, x): given images, else those of the file, else those of the full k-space."""
    if images is not None:
        return np.asarray(images, np.float32).reshape(-1, *scan.size)
    found = []
    for index in range(scan.kspace.slices):
        yield Progress(index, scan.kspace.slices)
        stored = scan.kspace.reference
        found.append(magnitude(scan.kspace, index) if stored is None else np.asarray(stored[index], np.float32))
    return np.stack(found)


def compare_job(
    scan: Scan, reference: np.ndarray | None, sources: Sequence[Source], kspace: KSpace | None
) -> Job[list[Row]]:
    """Figures of `sources`, and of zero filling `kspace`, against a reference, see `reference_job`."""
    truth = yield from reference_job(scan, reference)
    if kspace is not None and kspace.mask is not None:
        images = []
        for index in range(kspace.slices):
            yield Progress(index, kspace.slices)
            images.append(magnitude(kspace, index))
        none = [0.0] * len(images)
        sources = [Source("zero-filled, mask as now", "zero-filled", np.stack(images), 0.0, none), *sources]
    rows = []
    for source in sources:
        yield Progress(len(rows), len(sources))
        volume = {**compare(truth, {source.name: source.images})[source.name], "residual": source.residual}
        slices = []
        for index, (right, image) in enumerate(zip(truth, source.images, strict=True)):
            yield Progress(len(rows), len(sources))
            residual = source.residuals[index] if index < len(source.residuals) else None
            slices.append({**_figures(right[None], image[None], float(truth.max())), "residual": residual})
        rows.append(Row(source.name, volume, slices))
    return rows


def _figures(reference: np.ndarray, image: np.ndarray, maximum: float) -> dict[str, float | None]:
    """Of one slice (1, y, x); nothing of an empty one, which has no scale."""
    if not reference.any():
        return dict.fromkeys(_FIELDS)
    return {
        "nmse": metrics.nmse(reference, image),
        "psnr": metrics.psnr(reference, image, maximum),
        "ssim": metrics.ssim(reference, image, maximum) if min(reference.shape[1:]) >= 7 else None,
        "mae_share": metrics.mae(reference, image) / maximum,
    }


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """The figures of volumes and slices as a table; its last line says how they are defined.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    head = ["result", "slice", "nmse", "psnr_db", "ssim", "mae_share_of_maximum", "data_residual"]
    table = [head]
    for row in rows:
        for place, figures in (("all", row.volume), *enumerate(row.slices)):
            table.append([row.name, place, *("" if figures[name] is None else figures[name] for name in _FIELDS)])
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([*table, [f"# {CONVENTION}"]])
    except OSError as error:
        raise FileError(f"'{path.name}' cannot be written ({error.strerror}). Save to another place.") from error


class ComparePage(Page):
    """Choose a reference and results; see their figures.

    Parameters
    ----------
    viewer : napari.Viewer
    queue : _job.Queue
        Of the dock.
    """

    def __init__(self, viewer: Viewer, queue: _job.Queue):
        super().__init__()
        self.rows_found: list[Row] = []
        self._viewer, self._queue = viewer, queue
        self._scan: Scan | None = None
        self._kspace: KSpace | None = None
        self._known: tuple[Any, ...] = ()
        self._errors: list[Image] = []
        self.reference = choice("What the results are held against.")
        self.results = Ticks("Choose results…", "Tick the results to compare.", "results")
        self.table = table(_HEAD, "Figures of the whole volume. Choose a line to see its slices.")
        self.slices = table(("Slice", *_HEAD[1:]), "Figures of every slice. Click on a line to go to the slice.")
        self.title = Paragraph()
        self.errors = button("&Error layers")
        self.export = button("Export CS&V…")
        self.status = Paragraph()
        self.caption = Paragraph()
        self.caption.say(CONVENTION[0].upper() + CONVENTION[1:] + ".")
        self._lay_out()

    def _lay_out(self) -> None:
        self.stack(
            self.rows(("Re&ference", self.reference, self.reference), ("Res&ults", self.results, self.results)),
            self.status,
            self.table,
            self.caption,
            beside(self.errors, self.export),
            self.title,
            self.slices,
        )
        self.reference.currentIndexChanged.connect(self._changed)
        self.results.changed.connect(self._changed)
        self.table.itemSelectionChanged.connect(self._show_slices)
        self.slices.cellClicked.connect(lambda row, _: self._go_to(row))
        self.errors.clicked.connect(self._start_errors)
        self.export.clicked.connect(self._ask_where_to_export)
        self.update_controls()

    def offer(self, scan: Scan | None, kspace: KSpace | None) -> None:
        """List what can be compared for `scan`; `kspace` is what its mask leaves."""
        self._scan, self._kspace = scan, kspace
        layers = [layer for layer in self._viewer.layers if isinstance(layer, Image) and not layer.rgb]
        layers = [layer for layer in layers if not layer.metadata.get(SIGHT)] if scan else []
        entries = [(layer.name, layer) for layer in layers if report_of(layer) is None]
        if scan and (scan.kspace.reference is not None or scan.kspace.mask is None):
            entries = [("Image in the file" if scan.kspace.reference is not None else "Full k-space", _SCAN), *entries]
        fitting = [value for _, value in entries if not isinstance(value, Image) or value.data.shape == scan.shape]
        current = self.reference.currentData()
        fill(self.reference, entries, current if current in fitting else next(iter(fitting), None))
        for _, value in entries:
            if value not in fitting:
                switch_off(self.reference, value, f"its shape is {value.data.shape}, needed is {scan.shape}")
        results = [layer for layer in layers if report_of(layer) is not None]
        self.results.offer({layer.name: self._why_not(layer) for layer in results})
        self._changed()

    def tick(self, name: str) -> None:
        """Tick a result."""
        for action in self.results.menu().actions():
            if action.data() == name and action.isEnabled():
                action.setChecked(True)

    def _why_not(self, layer: Image) -> str:
        if layer.data.shape != self._scan.shape:
            return f"Its shape is {layer.data.shape}; the scan gives {self._scan.shape}. Crop it first."
        return "The run was cancelled; some slices are missing." if report_of(layer).get("partial") else ""

    def _sources(self) -> list[Source]:
        found = []
        for name in self.results.ticked():
            layer = next((layer for layer in self._viewer.layers if layer.name == name), None)
            if layer is not None:
                report = report_of(layer)
                images = np.asarray(layer.data).reshape(-1, *self._scan.size)
                method = report["settings"]["method"]
                found.append(Source(name, method, images, report.get("residual"), report["residual_by_slice"]))
        return found

    def _reference(self) -> np.ndarray | None:
        chosen = self.reference.currentData()
        return chosen.data if isinstance(chosen, Image) else None  # Qt hands back a copy of a text

    def _problem(self) -> str:
        if self._scan is None:
            return "open data first."
        if self.reference.currentData() is None:
            return (
                "there is no reference: the scan was undersampled when it was measured, and no image layer has the "
                f"shape {self._scan.shape}. The data residual is known all the same."
            )
        return "" if self.results.ticked() else "tick a result; Run makes them."

    def _changed(self) -> None:
        known = (self._scan, self._kspace, self.reference.currentData(), *self.results.ticked())
        if known == self._known:
            return
        self._known = known
        self.rows_found = []
        if self._problem():
            self._show_residuals()
        else:
            self._queue.want("compare", self._start_compare)
        self.update_controls()

    def _start_compare(self) -> None:
        if self._problem():
            return
        sources = self._sources()
        kspace = None if any(source.method == "zero-filled" for source in sources) else self._kspace
        job = compare_job(self._scan, self._reference(), sources, kspace)
        self._queue.start("compare", job, title="Compare", quiet=True, on_done=self._show, on_error=self.status.say)

    def _show_residuals(self) -> None:
        """Without a reference there is still the data residual."""
        none = dict.fromkeys(_FIELDS)
        self._show(
            [
                Row(s.name, {**none, "residual": s.residual}, [{**none, "residual": r} for r in s.residuals])
                for s in (self._sources() if self._scan else [])
            ]
        )

    def _show(self, rows: list[Row]) -> None:
        self.rows_found = rows
        self.status.say("")
        lead = f"{self._scan.name} " if self._scan else ""
        _fill(self.table, [(row.name.removeprefix(lead), row.volume) for row in rows])
        self.table.selectRow(len(rows) - 1)
        self._show_slices()
        self.update_controls()

    def _show_slices(self) -> None:
        chosen = self.table.currentRow()
        row = self.rows_found[chosen] if 0 <= chosen < len(self.rows_found) else None
        self.title.say(f"Slices of {row.name}" if row else "")
        _fill(self.slices, [(str(index), figures) for index, figures in enumerate(row.slices)] if row else [])
        self.slices.setVisible(bool(row))

    def _go_to(self, number: int) -> None:
        if self._scan is not None and "z" in self._scan.axes:
            place = self._scan.grid.at((number,))["translate"][-3]
            self._viewer.dims.set_point(self._viewer.dims.ndim - 3, float(place))

    def _start_errors(self) -> None:
        with _job.told():
            scan, sources, reference = self._scan, self._sources(), self._reference()

            def work() -> Job[tuple[float, list[tuple[str, np.ndarray]]]]:
                truth = yield from reference_job(scan, reference)
                found = []
                for source in sources:
                    yield Progress(len(found), len(sources))
                    found.append((source.name, np.abs(truth - source.images)))
                return float(truth.max()), found

            def show(result: tuple[float, list[tuple[str, np.ndarray]]]) -> None:
                self._add_errors(scan, *result)

            start = {"title": "Error layers", "on_done": show, "on_error": self.status.say}
            self._queue.want("errors", lambda: self._queue.start("errors", work(), **start))

    def _add_errors(self, scan: Scan, largest: float, found: list[tuple[str, np.ndarray]]) -> None:
        for layer in self._errors:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._errors = []
        limits = (0.0, ERROR_SHARE * largest)
        for name, error in found:
            data, options = scan.layer(error, f"error {name.removeprefix(scan.name).strip()}", {})
            look = {"contrast_limits": limits, "colormap": "inferno", "metadata": {SIGHT: True}}
            self._errors.append(self._viewer.add_image(data, **{**options, **look}))
        # one scale for all: the errors of a bad and of a good method must not look alike
        self._viewer.layers.link_layers(self._errors, ("contrast_limits",))
        self.status.say(f"Error layers: all on one scale, 0 to {limits[1]:.3g} ({ERROR_SHARE:.0%} of the maximum).")

    def _ask_where_to_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Export the table", str(Path.home() / "metrics.csv"), "CSV (*.csv)")
        if path:
            try:
                write_csv(Path(path), self.rows_found)
                self.status.say(f"Saved {Path(path).name}.")
            except MedsegError as error:
                self.status.say(str(error))

    def update_controls(self) -> None:
        """Say what is possible."""
        problem = self._problem()
        allow(self.errors, problem, "Show |reference - result| of the ticked results as layers on one shared scale.")
        no_figures = "" if self.rows_found else problem or "there are no figures yet."
        allow(self.export, no_figures, "Save the figures as CSV.")
        self.results.setEnabled(self._scan is not None)
        if problem:
            self.status.say(problem[0].upper() + problem[1:])


def table(head: Sequence[str], tooltip: str) -> QTableWidget:
    """An empty table that is read, not edited."""
    found = QTableWidget(0, len(head))
    found.setHorizontalHeaderLabels(list(head))
    found.setToolTip(tooltip)
    found.verticalHeader().setVisible(False)
    found.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    found.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    found.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    found.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    found.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    return found


def _fill(target: QTableWidget, rows: Sequence[tuple[str, Mapping[str, float | None]]]) -> None:
    target.setRowCount(len(rows))
    for place, (name, figures) in enumerate(rows):
        for column, text in enumerate((name, *(_text(figures[field]) for field in _FIELDS))):
            item = QTableWidgetItem(text)
            item.setToolTip(name)
            target.setItem(place, column, item)
    fit(target)


def fit(target: QTableWidget) -> None:
    """As high as the rows are, up to `_MOST_ROWS`."""
    rows = min(max(target.rowCount(), 1), _MOST_ROWS) * target.verticalHeader().defaultSectionSize()
    target.setFixedHeight(target.horizontalHeader().sizeHint().height() + rows + 4)


def _text(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return "∞" if math.isinf(value) else f"{value:.2f}" if value >= 10 else f"{value:.4f}"
