"""The Measure dock: sizes, intensities and scores of labels; what runs and measurements found stays, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari.layers import Image, Labels
from qtpy.QtWidgets import QFileDialog

from ... import files
from ...errors import MedsegError, VolumeError
from ...progress import Progress
from ...review.measure import Measured, measure_job
from ...review.measure_table import cine_text, csv_rows, joined, shown
from ...review.regions import Row
from ...review.run_figures import of_run
from ...volume import Volume
from ..kit import jobs, layer_volumes
from ..kit.controls import apply, fill
from ..kit.dock import Dock
from ..kit.offers import offer_images
from ..kit.records import record_of
from ..kit.saving import image_of
from ..kit.slices import go_to_slice
from . import memory
from .form import MeasureForm
from .memory import Measurement
from .state import OBJECTS, Facts, state

if TYPE_CHECKING:
    from napari import Viewer

_LISTED = 500  # rows of a layer: more would take long to fill in, and the file has them all


@dataclass(frozen=True)
class _Table:
    """What is known of the labels of a layer, and what to know of that."""

    name: str
    measured: Measured
    note: str = ""

    @property
    def title(self) -> str:
        return f"{self.name}: {self.note}" if self.note else self.name

    def csv(self) -> list[list[Any]]:
        heading, *rows = csv_rows(self.measured)
        return [[*heading, "note"], *([*row, self.note] for row in rows)]


class MeasureWidget(Dock):
    """Measure labels layers; rows of all of them stay in one table, under the names of the layers.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__(napari_viewer, ("measure",))
        memory.listen(self._painting)
        self.form = MeasureForm()
        self._lines: list[tuple[ref[Labels], Row] | None] = []
        self._known: list[_Table] | None = None
        self._connect()
        keys = {"run": self.form.measure, "cancel": self.form.cancel, "save": self.form.export}
        self._open_form(self.form, self.form.status, self.form.labels, self.form.image, **keys)

    def _connect(self) -> None:
        form = self.form
        form.labels.currentIndexChanged.connect(self._labels_chosen)
        for box in (form.image, form.reference, form.what):
            box.currentIndexChanged.connect(self._update)
        form.measure.clicked.connect(self.measure)
        form.cancel.clicked.connect(self.cancel)
        form.table.cellClicked.connect(lambda line, _: self._go_to(line))
        form.table.cellActivated.connect(lambda line, _: self._go_to(line))
        form.export.clicked.connect(self._ask_where_to_export)
        form.copy.clicked.connect(self._copy_table)
        self._hear(self._painting.painted, self._painted)
        self._hear(self._painting.replaced, self._update)
        self._hear(self._painting.protected, self._update)

    # ---- what can be chosen ----

    def _list_layers(self) -> None:
        box = self.form.labels
        layers = self._labels_layers()
        before = box.currentData()
        active = self._viewer.layers.selection.active
        newest = next(iter(reversed(layers)), None)
        chosen = before if before in layers else active if active in layers else newest
        fill(box, [(layer.name, layer) for layer in layers], chosen)
        offer_images(self.form.image, self._viewer, [("none", None)])
        self._offer_references()
        if chosen is not before:
            self._labels_chosen()
        self._update()

    def _labels_layers(self) -> list[Labels]:
        found = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        return [layer for layer in found if not layer.multiscale and not layer.metadata.get(layer_volumes.SIGHT)]

    def _offer_references(self) -> None:
        box = self.form.reference
        others = [layer for layer in self._labels_layers() if layer is not self.form.labels.currentData()]
        before = box.currentData()
        fill(box, [("none", None), *((layer.name, layer) for layer in others)], before if before in others else None)

    def _labels_chosen(self) -> None:
        layer = self.form.labels.currentData()
        pair = None if layer is None else image_of(self._viewer, layer)
        image = pair[0] if pair is not None and _is_grey(*pair) and _lies_on(layer, *pair) else None
        self.form.image.setCurrentIndex(max(0, self.form.image.findData(image)))
        self._offer_references()
        self._update()

    def choose(self, layer: Labels) -> None:
        """Choose a labels layer."""
        self.form.labels.setCurrentIndex(self.form.labels.findData(layer))

    # ---- what is possible now, and why the rest is not ----

    def _facts(self) -> Facts:
        form = self.form
        return Facts(
            has_labels=form.labels.currentData() is not None,
            running=self._queue.kind == "measure",
            objects=form.what.currentData() == OBJECTS,
            has_reference=form.reference.currentData() is not None,
            rows=len(self._lines),
        )

    def _update(self, event: Any = None) -> None:
        self._show_tables()
        apply(self.form, state(self._facts()))
        self.form.bar.setVisible(self._queue.kind == "measure")

    def _painted(self, layer: Labels, slices: set[int]) -> None:
        if slices:
            self._update()

    # ---- measure ----

    def measure(self) -> None:
        """Measure the chosen labels as they are now."""
        self._queue.want("measure", self._start)

    def _start(self) -> None:
        with jobs.errors_shown():
            form = self.form
            layer = form.labels.currentData()
            if layer is None:
                return
            labels = self._volume(layer)
            image = form.image.currentData()
            grey = None if image is None else layer_volumes.to_volume(image, _axes(image))
            other = form.reference.currentData()
            reference = None if other is None else self._volume(other)
            wanted = int(layer.selected_label) if form.what.currentData() == OBJECTS else None
            form.bar.setRange(0, 0)
            form.status.say("")
            job = measure_job(labels, grey, reference=reference, objects=wanted)
            done = partial(self._measured, ref(layer), memory.begin(layer, other))
            options = {"on_step": self._show_step, "on_done": done, "on_error": self._failed}
            self._queue.start("measure", job, title=f"Measure {layer.name}", **options)

    def _volume(self, layer: Labels) -> Volume:
        return layer_volumes.labels_volume(layer, *(image_of(self._viewer, layer) or (None, None)))

    def _show_step(self, step: Progress) -> None:
        self.form.bar.setRange(0, step.total)
        self.form.bar.setValue(step.done)

    def _measured(self, layer: ref[Labels], measurement: Measurement, measured: Measured) -> None:
        found = layer()
        if found is not None:
            memory.finish(found, measurement, measured)
        self._update()

    # ---- the table ----

    def _tables(self) -> dict[Labels, _Table]:
        """What is known of each layer."""
        found = {}
        for layer in self._labels_layers():
            measured, note = memory.known(layer)
            if measured is None:
                measured = of_run(record_of(layer))
                note = "as the run left it"
            if measured is not None:
                found[layer] = _Table(layer.name, measured, note)
        return found

    def _show_tables(self) -> None:
        tables = self._tables()
        known = list(tables.values())
        if known == self._known:  # a stroke changes nothing here
            return
        self._known = known
        whole = joined({table.name: shown(table.measured, _LISTED) for table in known})
        self._lines = []
        lines: list[list[str]] = []
        for layer, table in tables.items():
            self._lines.append(None)
            lines.append([table.title])
            self._lines += [(ref(layer), row) for row in table.measured.rows[:_LISTED]]
            lines += [line[1:] for line in whole[1:] if line[0] == table.name]
        self.form.show_table(whole[0][1:] or ["class"], lines)
        self._say_notes([table.measured for table in known])

    def _say_notes(self, tables: list[Measured]) -> None:
        cines = [cine_text(cine, measured.unit != "px") for measured in tables for cine in measured.cines]
        self.form.cine.say("\n".join(filter(None, cines)))
        notes = list(dict.fromkeys(note for measured in tables for note in measured.notes))
        left_out = sum(max(0, len(measured.rows) - _LISTED) for measured in tables)
        if left_out:
            notes.append(f"{left_out} more rows are in the exported table.")
        self.form.notes.say("\n".join(notes))

    def _go_to(self, line: int) -> None:
        """Show the slice that a line is about, and an object in the middle of the canvas."""
        there = self._lines[line]
        layer = None if there is None else there[0]()
        if there is None or layer is None or layer not in self._viewer.layers:
            return
        row = there[1]
        if row.plane is None:
            self.form.status.say(f"'{row.name}' is on no slice of '{layer.name}'.")
            return
        go_to_slice(self._viewer, layer, row.plane)
        if row.object is not None and self._viewer.dims.ndisplay == 2:
            place = (0,) * (layer.ndim - len(row.centre)) + row.centre
            self._viewer.scene.camera.center = tuple(layer.data_to_world(place)[-2:])

    # ---- out of the dock ----

    def _whole(self) -> list[list[Any]]:
        return joined({table.name: table.csv() for table in self._tables().values()})

    def _copy_table(self) -> None:
        lines = ["\t".join(map(str, row)) for row in self._whole()]
        self._copy("\n".join(lines), "The table is on the clipboard.")

    def _ask_where_to_export(self) -> None:
        suggested = str(Path.home() / "measured.csv")
        path, _ = QFileDialog.getSaveFileName(self, "Export the table", suggested, "CSV (*.csv)")
        if not path:
            return
        target = Path(path).with_suffix(".csv")
        try:
            files.save_table(target, self._whole())
            self.form.status.say(f"Saved {target.name}.")
        except MedsegError as error:
            self._failed(str(error))


def _axes(image: Image) -> str | None:
    return next(iter(layer_volumes.axes_choices(image)), None)


def _is_grey(image: Image, axes: str) -> bool:
    """Whether an image has one intensity per voxel, which can be measured."""
    return "c" not in axes or image.data.shape[axes.index("c")] == 1


def _lies_on(layer: Labels, image: Image, axes: str) -> bool:
    try:
        return layer_volumes.lies_on(layer, image, axes)
    except VolumeError:
        return False
