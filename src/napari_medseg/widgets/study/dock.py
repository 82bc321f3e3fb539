"""The Acceleration study dock: how much undersampling a segmentation tolerates; a form over a headless job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from ... import files, options
from ...errors import MedsegError, SettingsError
from ...progress import Job, Progress
from ...recon.methods import METHODS, NEEDS_COILS
from ...recon.settings import ReconSettings
from ...record import Record
from ...volume import Volume
from ..kit import jobs, layer_volumes
from ..kit.controls import apply, fill, fill_grouped
from ..kit.dock import Dock
from ..kit.offers import model_entries, offer_images
from ..kit.preferences import preferences
from ..kit.recorder import recorder_of
from .form import StudyForm
from .state import Facts, parse_accelerations, state, why_not

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

    from ...models import ModelCard
    from ...runs.settings import StudySettings
    from ...runs.study import Row, Study


class StudyWidget(Dock):
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
        super().__init__(napari_viewer, ("run",))
        self.study: Study | None = None
        self._found: list[Row] = []
        self._title = ""
        self._ready = False
        self._clock = jobs.Clock()
        self.form = StudyForm()
        self._connect()
        keys = {"run": self.form.run, "cancel": self.form.cancel, "save": self.form.save_table}
        self._open_form(self.form, self.form.status, self.form.image, **keys)

    def _connect(self) -> None:
        form = self.form
        for box in (form.image, form.model, form.method):
            box.currentIndexChanged.connect(self._update)
        form.accelerations.editingFinished.connect(self._update)
        form.run.clicked.connect(self._want_run)
        form.cancel.clicked.connect(self.cancel)
        form.save_table.clicked.connect(lambda: self._save("table", "CSV (*.csv)", ".csv", self._write_table))
        form.save_plot.clicked.connect(lambda: self._save("plot", "PNG (*.png)", ".png", self._write_plot))
        form.copy.copies(self._copy_command, self._copy_python)

    # ---- what can be chosen ----

    def _list_layers(self) -> None:
        offer_images(self.form.image, self._viewer)
        self._update()

    def _list_models(self) -> None:
        cards = self._shelf.cards
        wanted = self.form.model.currentData()
        first = wanted if wanted in cards else preferences().first(cards.values())
        fill_grouped(self.form.model, model_entries(cards.values()), first)
        method = self.form.method.currentData() or "tv"
        methods = [(words, name) for name, words in METHODS.items() if name not in NEEDS_COILS]  # one coil is simulated
        methods += [(name, name) for name in self._shelf.reconstructors]
        fill(self.form.method, methods, method)
        self._ready = True
        self._update()

    def _settings(self) -> StudySettings:
        from ...runs.settings import StudySettings

        return StudySettings(accelerations=parse_accelerations(self.form.accelerations.text()))

    def _volume(self) -> Volume:
        image = self.form.image.currentData()
        return layer_volumes.to_volume(image, next(iter(layer_volumes.axes_choices(image)), None))

    # ---- what is possible now, and why the rest is not ----

    def _facts(self) -> Facts:
        form = self.form
        return Facts(
            models_read=self._ready,
            has_image=form.image.currentData() is not None,
            has_model=form.model.currentData() is not None,
            problem=self._problem(),
            has_file=self._file() is not None,
            running=self._queue.kind == "run",
            has_rows=bool(self._found),
        )

    def _problem(self) -> str:
        if not self._ready or self.form.image.currentData() is None:
            return ""
        try:
            self._volume()
            self._settings()
        except MedsegError as error:
            return str(error)
        return ""

    def _update(self, event: Any = None) -> None:
        apply(self.form, state(self._facts()))

    def _file(self) -> Path | None:
        image = self.form.image.currentData()
        return layer_volumes.source_path(image) if image is not None else None

    # ---- run ----

    def cancel(self) -> None:
        """Stop the study; the accelerations that are finished stay."""
        self._queue.stop()
        count = len(self._found)
        self.form.status.say(f"Cancelled after {count} {'acceleration' if count == 1 else 'accelerations'}.")

    def _want_run(self) -> None:
        """Take down what the form says now; the run begins when it is its turn."""
        with jobs.errors_shown():
            if reason := why_not(self._facts()):
                raise SettingsError(reason)
            method = self.form.method.currentData()
            cards = [self._shelf.cards[self.form.model.currentData()]]
            if method in self._shelf.reconstructors:
                cards.append(self._shelf.reconstructors[method])
            title = f"{self.form.image.currentText()}: {cards[0].name} after {method}"
            work = partial(_work, self._volume(), self._settings(), ReconSettings(method))
            image = self.form.image.currentData()
            self._queue.want("run", partial(self._start, title, cards, work, image))

    def _start(self, title: str, cards: list[ModelCard], work: Callable[[list[Any]], Job[Study]], image: Layer) -> None:
        with jobs.errors_shown():
            self._title = title
            self._found = []
            self.study = None
            self._clock = jobs.Clock()
            self.form.bar.setRange(0, 0)
            self.form.status.say("Simulating the measurement…")
            self._queue.start(
                "run",
                self._shelf.job(cards, work),
                title="Acceleration study",
                on_step=self._show_step,
                on_done=partial(self._show_study, image),
                on_error=self._failed,
            )

    def _show_step(self, step: Progress) -> None:
        self.form.bar.setRange(0, step.total)
        self.form.bar.setValue(step.done)
        self.form.status.say(self._clock.text(step, "steps"))
        if step.partial is not None:
            self._found.append(step.partial)
            self.form.show_rows(self._found, self._title)

    def _show_study(self, image: Layer, study: Study) -> None:
        self.study = study
        recorder_of(self._viewer).studied(study.record, image)
        self.form.status.say("Done. The k-space was simulated from the image: real measurements give worse results.")

    # ---- save and copy ----

    def _save(self, what: str, filters: str, suffix: str, write: Any) -> None:
        suggested = str(Path.home() / f"acceleration_{what}{suffix}")
        path, _ = QFileDialog.getSaveFileName(self, f"Save the {what}", suggested, filters)
        if not path:
            return
        target = Path(path).with_suffix(suffix)
        try:
            write(target)
            self.form.status.say(f"Saved {target.name}.")
        except MedsegError as error:
            self._failed(str(error))

    def _write_table(self, path: Path) -> None:
        from ...runs.study import Study, size_unit

        unit = size_unit(self._volume())
        study = self.study or Study(tuple(self._found), Record("study", figures={"unit": unit}))
        files.save_table(path, study.table())

    def _write_plot(self, path: Path) -> None:
        with self.form.canvas.on_paper() as figure:
            files.save_plot(path, figure)

    def _copy_command(self) -> None:
        with jobs.errors_shown():
            source = self._file()
            if source is None:  # the button is off
                return
            target = layer_volumes.beside(source, "acceleration.csv")
            model = self.form.model.currentData()
            recon = ReconSettings(self.form.method.currentData())
            settings = self._settings()
            text = options.command(
                "study acceleration", source, output=target, model=model, recon=recon, settings=settings
            )
            self._copy(text)

    def _copy_python(self) -> None:
        from ...runs import script

        with jobs.errors_shown():
            source = self._file()
            if source is None:
                return
            method = self.form.method.currentData()
            models = [self.form.model.currentData(), *([method] if method in self._shelf.reconstructors else [])]
            target = layer_volumes.beside(source, "acceleration.csv")
            self._copy_text(script.study(self._settings(), ReconSettings(method), models, source, target))


def _work(volume: Volume, settings: StudySettings, recon: ReconSettings, models: list[Any]) -> Job[Study]:
    from ...runs.study import acceleration_job

    return acceleration_job(volume, models[0], settings, recon, reconstructor=models[1] if len(models) > 1 else None)
