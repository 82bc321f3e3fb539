"""The Compare page of the Reconstruct dock: figures against a reference, and where results differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QHeaderView

from ...errors import MedsegError
from ...kspace import KSpace
from ...quantities import rounded
from ...recon.comparison import ERROR_SHARE, Row, Source, compare_job, residuals_only, view_job, write_csv
from ...recon.contributions import FILE
from ...recon.figures import CONVENTION, directions, headings
from ..kit import jobs
from ..kit.controls import Page, Paragraph, apply, beside, button, choice, fill, number, switch_off
from ..kit.layer_volumes import SIGHT
from ..kit.records import noted
from ..kit.tables import fill_table, table, titles_of
from ..kit.ticks import Ticks
from .differences import Differences
from .result import is_finished_further, is_partial, is_result, reconstruction_of
from .scans import Scan
from .state import CompareFacts, compare_state, unfit_reference, unfit_result, why_no_comparison

if TYPE_CHECKING:
    from napari import Viewer

_SCAN = "scan"
_TINY = 1e-4  # figures below this are rounding errors
_OF_SLICES = "Figures of every slice, counted from 0 as the slider counts. Click a line to go to the slice."
_VIEWS = {"error": "Error (absolute)", "difference": "Difference (signed)", "ssim": "SSIM map"}


class ComparePage(Page):
    """Choose a reference and results; see their figures.

    Parameters
    ----------
    viewer : napari.Viewer
    queue : jobs.Queue
        Of the dock.
    """

    def __init__(self, viewer: Viewer, queue: jobs.Queue):
        super().__init__()
        self.rows_found: list[Row] = []
        self._viewer, self._queue = viewer, queue
        self._scan: Scan | None = None
        self._kspace: KSpace | None = None
        self._known: tuple[Any, ...] = ()
        self._differences = Differences(viewer)
        self.reference = choice("What the results are compared with.")
        self.results = Ticks("Choose results…", "Tick the results to compare.", "results")
        # the last word below the others, so that the columns are narrow
        head = ["\n".join(text.rsplit(maxsplit=1)) for text in headings().values()]
        self.table = table(head, f"Figures of the whole volume. Choose a line to see its slices. {directions()}")
        titles_of(self.table).setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.slices = table(
            ("Slice", *head),
            _OF_SLICES,
        )
        self.title = Paragraph()
        self.view = choice(
            "Error: |result - reference|. Difference: result - reference, red where the result is too bright, blue "
            "where it is too dark. SSIM map: structural similarity, 1 where nothing differs."
        )
        fill(self.view, [(title, name) for name, title in _VIEWS.items()], "error")
        stronger = (
            "How many times stronger errors and differences are shown. For all layers at once: 1x ends at "
            f"{ERROR_SHARE:.0%} of the largest value of the reference, 20x at 1%."
        )
        self.times = number(1, 20, 1, 1, stronger, "x", 0)
        self.show_view = button("Show la&yers")
        self.export = button("E&xport CSV…")
        self.status = Paragraph()
        self.caption = Paragraph()
        self.caption.say(CONVENTION[0].upper() + CONVENTION[1:] + ".")
        self._lay_out()

    def _lay_out(self) -> None:
        self.stack(
            self.rows(("&Reference", self.reference, self.reference), ("Res&ults", self.results, self.results)),
            self.status,
            self.table,
            self.caption,
            self.rows(("V&iew", self.view, beside(self.view, self.times))),
            beside(self.show_view, self.export),
            self.title,
            self.slices,
        )
        self.reference.currentIndexChanged.connect(self._changed)
        self.results.changed.connect(self._changed)
        self.table.itemSelectionChanged.connect(self._show_slices)
        self.slices.cellClicked.connect(lambda row, _: self._go_to(row))
        self.view.currentIndexChanged.connect(self.update_controls)
        self.times.valueChanged.connect(self._differences.intensify)
        self.show_view.clicked.connect(self._start_view)
        self.export.clicked.connect(self._ask_where_to_export)
        self.update_controls()

    def offer(self, scan: Scan | None, kspace: KSpace | None) -> None:
        """List what can be compared for `scan`; `kspace` is what its mask leaves."""
        self._scan = scan
        self._kspace = kspace
        layers = self._layers() if scan else []
        shape = scan.shape if scan else ()
        self._offer_references(_own_reference(scan), layers, shape)
        self.results.offer({layer.name: _unfit(layer, shape) for layer in layers if reconstruction_of(layer)})
        self._changed()

    def _layers(self) -> list[Image]:
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        return [layer for layer in images if not layer.rgb and not layer.metadata.get(SIGHT)]

    def _offer_references(self, own: str, layers: list[Image], shape: tuple[int, ...]) -> None:
        entries: list[tuple[str, Any]] = [(own, _SCAN)] if own else []
        # zero-filled images of raw data are not a truth to compare a result with
        images = [layer for layer in layers if not is_result(layer) and FILE not in noted(layer)]
        entries += [(layer.name, layer) for layer in images]
        unfit = {layer: unfit_reference(layer.data.shape, shape) for layer in images}
        fitting = [value for _, value in entries if not unfit.get(value)]
        current = self.reference.currentData()
        fill(self.reference, entries, current if current in fitting else next(iter(fitting), None))
        for layer, reason in unfit.items():
            if reason:
                switch_off(self.reference, layer, reason)

    def clear(self) -> None:
        """Let go of the data."""
        self._scan = None
        self._kspace = None
        self._known = ()

    def tick(self, name: str) -> None:
        """Tick a result."""
        for action in self.results.entries.actions():
            if action.data() == name and action.isEnabled():
                action.setChecked(True)

    def _sources(self, scan: Scan) -> list[Source]:
        found = []
        for name in self.results.ticked():
            if name not in self._viewer.layers:
                continue
            layer = self._viewer.layers[name]
            record = reconstruction_of(layer)
            if record is not None:
                images = np.asarray(layer.data).reshape(-1, *scan.size)
                method = record.settings.get("method", "")
                figures = record.figures
                residuals = figures.get("residual_by_slice", [])
                found.append(Source(name, method, images, figures.get("residual"), residuals))
        return found

    def _reference(self) -> np.ndarray | None:
        chosen = self.reference.currentData()
        return chosen.data if isinstance(chosen, Image) else None  # Qt hands back a copy of a text

    def _facts(self) -> CompareFacts:
        return CompareFacts(
            shape=self._scan.shape if self._scan else None,
            has_reference=self.reference.currentData() is not None,
            has_results=bool(self.results.ticked()),
            has_figures=bool(self.rows_found),
            view=self.view.currentData(),
        )

    def _changed(self) -> None:
        known = (self._scan, self._kspace, self.reference.currentData(), *self.results.ticked())
        if known == self._known:
            return
        self._known = known
        self.rows_found = []
        if why_no_comparison(self._facts()):
            # without a reference there is still the data residual
            self._show(residuals_only(self._sources(self._scan)) if self._scan else [])
        else:
            self._queue.want("compare", self._start_compare)
        self.update_controls()

    def _start_compare(self) -> None:
        scan = self._scan
        if scan is None or why_no_comparison(self._facts()):
            return
        sources = self._sources(scan)
        has_zero_filled = "zero-filled" in {source.method for source in sources}
        kspace = None if has_zero_filled else self._kspace
        job = compare_job(scan.kspace, self._reference(), sources, kspace)
        self._queue.start("compare", job, title="Compare", quiet=True, on_done=self._show, on_error=self.status.say)

    def _show(self, rows: list[Row]) -> None:
        self.rows_found = rows
        self.status.say("")
        lead = f"{self._scan.name} " if self._scan else ""
        lines = []
        for row in rows:
            lines.append([row.name.removeprefix(lead)])
            lines.append(_texts(row.volume))
        fill_table(self.table, lines, most=len(lines))
        for place in range(0, len(lines), 2):
            self.table.setSpan(place, 0, 1, self.table.columnCount())
        self.table.selectRow(len(lines) - 1)
        self._show_slices()
        self.update_controls()

    def _show_slices(self) -> None:
        chosen = self.table.currentRow() // 2  # a name, and the figures below it
        row = self.rows_found[chosen] if 0 <= chosen < len(self.rows_found) else None
        slices = row.slices if row else ()
        self.title.say(f"Slices of {row.name}" if row else "")
        fill_table(self.slices, [[str(number), *_texts(figures)] for number, figures in enumerate(slices)])
        self.slices.setVisible(row is not None)

    def _go_to(self, number: int) -> None:
        if self._scan is None:
            return
        index = self._scan.index(number)
        places = self._scan.grid.at(index)["translate"][: len(index)]
        last = self._viewer.dims.ndim - 2
        for axis, place in enumerate(places, last - len(index)):
            self._viewer.dims.set_point(axis, float(place))

    def _start_view(self) -> None:
        scan = self._scan
        if scan is None:
            return
        sources = self._sources(scan)
        names = [source.name for source in sources]
        view = self.view.currentData()
        job = view_job(view, scan.kspace, self._reference(), sources)

        def show(found: tuple[float, list[np.ndarray]]) -> None:
            largest, images = found
            self._differences.show(view, scan, largest, dict(zip(names, images, strict=True)))
            self.status.say(f"{_VIEWS[view]}: all on one scale. The grid of napari shows layers side by side.")

        start = {"title": "Difference layers", "quiet": True, "on_done": show, "on_error": self.status.say}
        self._queue.want("view", lambda: self._queue.start("view", job, **start))

    def _ask_where_to_export(self) -> None:
        suggested = str(Path.home() / "metrics.csv")
        path, _ = QFileDialog.getSaveFileName(self, "Export the table", suggested, "CSV (*.csv)")
        if not path:
            return
        try:
            write_csv(Path(path), self.rows_found)
            self.status.say(f"Saved {Path(path).name}.")
        except MedsegError as error:
            self.status.say(str(error))

    def update_controls(self, event: Any = None) -> None:
        """Say what is possible."""
        facts = self._facts()
        apply(self, compare_state(facts))
        self.results.setEnabled(self._scan is not None)
        if problem := why_no_comparison(facts):
            self.status.say(problem[0].upper() + problem[1:])


def _unfit(layer: Image, shape: tuple[int, ...]) -> str:
    return unfit_result(layer.data.shape, shape, is_partial(layer), is_finished_further(layer))


def _own_reference(scan: Scan | None) -> str:
    """What the data themselves offer to hold results against; empty if nothing."""
    if scan is None:
        return ""
    if scan.kspace.reference is not None:
        return "Image in the file"
    return "Full k-space" if scan.kspace.mask is None else ""


def _texts(figures: Mapping[str, float | None]) -> list[str]:
    return [_text(figures[key]) for key in headings()]


def _text(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞"
    if 0 < value < _TINY:
        return f"<{_TINY:g}"
    return rounded(value, 2 if value >= 10 else 4)
