"""The Acceleration study dock: how much undersampling a segmentation bears; a form over `study.acceleration_job`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QTableWidgetItem, QVBoxLayout, QWidget

from ...errors import MedsegError, SettingsError
from ...progress import Job, Progress
from ...recon.command import study_command
from ...recon.export import save_plot, save_table
from ...recon.methods import METHODS, NEEDS_COILS
from ...recon.reconstruct import ReconSettings
from ...record import Record
from ...volume import Volume
from ..kit import jobs, layer_volumes
from ..kit.controls import Page, Paragraph, allow, beside, button, choice, fill, hint_text, line, progress_bar
from ..kit.dock import unwrapped
from ..kit.offers import offer_images
from ..kit.preferences import preferences
from ..kit.shelf import Shelf
from ..kit.tables import fit, table

if TYPE_CHECKING:
    from napari import Viewer

    from ...runs.study import Row, Study, StudySettings

_HEAD = ("Times", "Dice", "Drift\n(%)", "PSNR\n(dB)", "SSIM", "Class")
_ACCELERATIONS = "1, 2, 3, 4, 5, 6, 8, 10, 12"


class StudyForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.image = choice("The image that is measured again in simulation, ever faster.")
        self.model = choice("The model that segments every reconstruction.")
        self.method = choice("How the images are reconstructed.")
        self.accelerations = line("How many times fewer columns are measured: numbers from 1 up, with commas.")
        self.accelerations.setText(_ACCELERATIONS)
        self.run = button("&Run")
        self.cancel = button("&Cancel")
        self.bar = progress_bar()
        self.status = Paragraph()
        self.figure = Figure(figsize=(4, 3), layout="constrained")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setToolTip("Dice against the labels of the fully sampled image, and the change of their volume.")
        self.canvas.setMinimumSize(330, 250)
        self.canvas.setVisible(False)
        self.table = table(_HEAD, "One line per acceleration and class.")
        self.table.setVisible(False)
        self.save_table = button("Save &table…")
        self.save_plot = button("Save &plot…")
        self.copy = button("C&opy as command")
        self.hint = Paragraph()
        self.stack(
            self.rows(
                ("&Image", self.image, self.image),
                ("&Model", self.model, self.model),
                ("R&econstruction", self.method, self.method),
                ("&Accelerations", self.accelerations, self.accelerations),
            ),
            beside(self.run, self.cancel),
            self.bar,
            self.status,
            self.canvas,
            self.table,
            beside(self.save_table, self.save_plot),
            self.copy,
            self.hint,
        )


class StudyWidget(QWidget):
    """Simulate, reconstruct and segment an image at one acceleration after another; no layer is touched.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    study : Study or None
        What the last finished run found.
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__()
        self.study: Study | None = None
        self._found: list[Row] = []
        self._title = ""
        self._viewer = unwrapped(napari_viewer)
        self._shelf = Shelf()
        self._ready = False
        self._clock = jobs.Clock()
        self._queue = jobs.Queue(self, ("run",), self._update)
        self.form = StudyForm()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self._connect()
        self._list_images()
        self._queue.start("models", self._shelf.read_job(), title="Read models", quiet=True, on_done=self._list_models)

    @property
    def busy(self) -> bool:
        """Whether a job is under way or about to start."""
        return self._queue.busy

    def _connect(self) -> None:
        form, layers = self.form, self._viewer.layers
        for box in (form.image, form.model, form.method):
            box.currentIndexChanged.connect(self._update)
        form.accelerations.editingFinished.connect(self._update)
        form.run.clicked.connect(lambda: self._queue.want("run", self._start))
        form.cancel.clicked.connect(self.cancel)
        form.save_table.clicked.connect(lambda: self._save("table", "CSV (*.csv)", ".csv", self._write_table))
        form.save_plot.clicked.connect(lambda: self._save("plot", "PNG (*.png)", ".png", self._write_plot))
        form.copy.clicked.connect(self._copy_command)
        layers.events.inserted.connect(self._layer_added)
        layers.events.removed.connect(self._layer_removed)
        layers.events.reordered.connect(self._list_images)
        for layer in layers:
            layer.events.name.connect(self._list_images)

    # ---- what can be chosen ----

    def _list_images(self, event: Any = None) -> None:
        offer_images(self.form.image, self._viewer)
        self._update()

    def _list_models(self, _: None) -> None:
        cards, reconstructors = self._shelf.cards, self._shelf.reconstructors
        wanted = preferences().model
        fill(self.form.model, [(name, name) for name in cards], wanted if wanted in cards else next(iter(cards), None))
        methods = [(words, name) for name, words in METHODS.items() if name not in NEEDS_COILS]  # one coil is simulated
        fill(self.form.method, [*methods, *((name, name) for name in reconstructors)], ReconSettings.method)
        self._ready = True
        self._update()

    def _settings(self) -> StudySettings:
        from ...runs.study import StudySettings

        text = self.form.accelerations.text()
        try:
            numbers = tuple(float(part) for part in text.split(",") if part.strip())
        except ValueError as error:
            raise SettingsError(f"The accelerations are '{text}'; needed are numbers such as 1, 2, 4.") from error
        return StudySettings(accelerations=numbers)

    def _volume(self) -> Volume:
        image = self.form.image.currentData()
        return layer_volumes.to_volume(image, next(iter(layer_volumes.axes_choices(image)), None))

    # ---- what is possible now, and why the rest is not ----

    def _why_not(self) -> str:
        if not self._ready:
            return "the models are being read."
        if self.form.image.currentData() is None:
            return "open an image first."
        if self.form.model.currentData() is None:
            return "there is no model that segments."
        try:
            self._volume()
            self._settings()
        except MedsegError as error:
            return str(error)
        return ""

    def _update(self, event: Any = None) -> None:
        form = self.form
        why_not, busy = self._why_not(), "a study is under way." if self._queue.kind == "run" else ""
        no_file = why_not or ("" if self._file() else "the image was not opened from a file.")
        no_rows = "" if self._found else "there are no results yet; press Run."
        form.cancel.setVisible(bool(busy))
        form.bar.setVisible(bool(busy))
        allow(form.run, why_not or busy, "Simulate, reconstruct and segment at every acceleration.")
        allow(form.cancel, "", "Stop; what is found stays.")
        allow(form.save_table, no_rows or busy, "Save the table as CSV.")
        allow(form.save_plot, no_rows or busy, "Save the plot as PNG.")
        allow(form.copy, no_file, "Copy the command line that does the same without a window.")
        form.hint.say(hint_text({"Run": why_not or busy, "Save": no_rows, "Copy": no_file}))

    def _file(self) -> Path | None:
        image = self.form.image.currentData()
        return layer_volumes.source_path(image) if image is not None else None

    # ---- run ----

    def cancel(self) -> None:
        """Stop the study; the accelerations that are finished stay."""
        self._queue.stop()
        self.form.status.say(f"Cancelled after {len(self._found)} accelerations.")

    def _start(self) -> None:
        with jobs.errors_shown():
            if why_not := self._why_not():
                raise SettingsError(why_not)
            volume, settings, name = self._volume(), self._settings(), self.form.method.currentData()
            cards = [self._shelf.cards[self.form.model.currentData()]]
            cards += [self._shelf.reconstructors[name]] if name in self._shelf.reconstructors else []
            self._title = f"{self.form.image.currentText()}: {cards[0].name} after {name}"
            self._found, self.study = [], None
            self._clock = jobs.Clock()
            self.form.bar.setRange(0, 0)
            self.form.status.say("Simulating the measurement…")
            work = partial(_work, volume, settings, ReconSettings(name))
            self._queue.start(
                "run",
                self._shelf.job(cards, work),
                title="Acceleration study",
                on_step=self._show_step,
                on_done=self._show_study,
                on_error=self._failed,
            )

    def _show_step(self, step: Progress) -> None:
        self.form.bar.setRange(0, step.total)
        self.form.bar.setValue(step.done)
        self.form.status.say(self._clock.text(step, "steps"))
        if step.partial is not None:
            self._found.append(step.partial)
            self._show_rows()

    def _show_rows(self) -> None:
        from ...runs.study import plot

        form, rows = self.form, self._found
        plot(rows, form.figure, title=self._title)
        form.canvas.setVisible(True)
        form.canvas.draw_idle()
        lines = [(row, name) for row in rows for name in row.dice]
        form.table.setVisible(True)
        form.table.setRowCount(len(lines))
        form.table.setColumnHidden(len(_HEAD) - 1, len(rows[0].dice) == 1)  # the plot names it
        for place, (row, name) in enumerate(lines):
            figures = (row.effective, row.dice[name], row.drift_percent[name], row.psnr, row.ssim)
            for column, text in enumerate((*map("{:.3g}".format, figures), name)):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{name} at {row.acceleration:g} times")
                form.table.setItem(place, column, item)
        fit(form.table)

    def _show_study(self, study: Study) -> None:
        self.study = study
        self.form.status.say("Done. The k-space was simulated from the image: real measurements fare worse.")

    def _failed(self, why: str) -> None:
        self.form.status.say(why)
        show_error(why)

    # ---- save and copy ----

    def _save(self, what: str, filters: str, suffix: str, write: Any) -> None:
        suggested = str(Path.home() / f"acceleration_{what}{suffix}")
        path, _ = QFileDialog.getSaveFileName(self, f"Save the {what}", suggested, filters)
        if path:
            try:
                write(Path(path).with_suffix(suffix))
                self.form.status.say(f"Saved {Path(path).with_suffix(suffix).name}.")
            except MedsegError as error:
                self._failed(str(error))

    def _write_table(self, path: Path) -> None:
        from ...runs.study import Study

        unit = "ml" if self._volume().has_spacing else "voxels"
        study = self.study or Study(tuple(self._found), Record("study", figures={"unit": unit}))
        save_table(path, study.table())

    def _write_plot(self, path: Path) -> None:
        save_plot(path, self.form.figure)

    def _copy_command(self) -> None:
        with jobs.errors_shown():
            form, source = self.form, self._file()
            target = layer_volumes.beside(source, "acceleration.csv")
            text = study_command(source, target, form.model.currentData(), form.method.currentData(), self._settings())
            QApplication.clipboard().setText(text)
            form.status.say("The command is on the clipboard.")

    # ---- what happens around the form ----

    def _layer_added(self, event: Any) -> None:
        event.value.events.name.connect(self._list_images)
        self._list_images()

    def _layer_removed(self, event: Any) -> None:
        event.value.events.name.disconnect(self._list_images)
        self._list_images()

    def event(self, event: QEvent) -> bool:
        """Stop when the dock is closed: napari takes its widget out of it and keeps it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._queue.forget("run")
            self._queue.stop()
        return super().event(event)


def _work(volume: Volume, settings: StudySettings, recon: ReconSettings, models: list[Any]) -> Job[Study]:
    from ...runs.study import acceleration_job

    return acceleration_job(volume, models[0], settings, recon, reconstructor=models[1] if len(models) > 1 else None)
