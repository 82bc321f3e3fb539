"""The Fine-tune dock: corrected slices make a model better while the person goes on; a form over a child process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from ... import options
from ...errors import SettingsError
from ...models.library import check_new_name
from ...progress import Job
from ...replay.lessons import Pair, describe
from ...training.run_folder import RECIPE
from ..kit import jobs
from ..kit.card import CardDialog
from ..kit.controls import apply, fill_grouped, switch_off
from ..kit.dock import Dock
from ..kit.offers import model_entries, offer_devices
from ..kit.preferences import preferences
from ..kit.recorder import recorder_of
from ..kit.tuning import Run, runs_folder, training, was_tuned
from .deciding import Deciding
from .forecasting import KIND as FORECAST
from .forecasting import Forecasting
from .form import LAYERS, NOTHING, ONE_MINUTE, TEN_MINUTES, FineTuneForm, first_name, new_name
from .sources import Sources
from .state import Facts, RunFacts, problem, state, why_not
from .view import doubts_text, status_text

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Labels

    from ...models import ModelCard
    from ...training.fine_tune import FineTuneSettings
    from .data import Marked

# PyTorch is imported by the first job, in its thread; what needs it is imported where it is used.

_LASTING = ("accept", "discard", "remove")  # what the person has decided upon is done, even without the dock
_KINDS = (*_LASTING, "look", "check", "prepare", "save", "difference", "compare", FORECAST)
_FROM_NOTHING = "nothing: a new LiteNeXt"


class FineTuneWidget(Dock):
    """Train a model on corrected slices in a child process, compare it with the one before, accept or discard it.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    deciding : Deciding
        About the run that has ended.
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__(napari_viewer, _KINDS, _LASTING)
        self._training = training()
        self._ready = False
        self.form = FineTuneForm()
        self._sources = Sources(self.form, self._viewer, self._data_changed)
        self.deciding = Deciding(
            self._viewer, self.form, self._queue, self._sources, self._sure, self._update, self._failed
        )
        self._forecasting = Forecasting(self.form, self._queue, self._sources, self._settings, self._update)
        self._wanted_model = ""
        self._begins_with = ""
        self._suggested = ""
        self._connect()
        keys = {"run": self.form.start, "cancel": self.form.stop, "save": self.form.save}
        self._open_form(self.form, self.form.status, self.form.image, self.form.labels, **keys)
        self._show_run()

    def _connect(self) -> None:
        form = self.form
        form.model.currentIndexChanged.connect(self._model_chosen)
        form.name.textChanged.connect(self._update)
        for box in (form.time, form.device):
            box.currentIndexChanged.connect(self._update)
        form.card.clicked.connect(self._show_card)
        form.roll_back.clicked.connect(lambda: self.deciding.ask_to_roll_back(self._name()))
        form.browse.clicked.connect(self._browse)
        form.start.clicked.connect(self.start)
        form.stop.clicked.connect(self.stop)
        form.resume.clicked.connect(self._resume)
        form.copy.copies(self._copy_command, self._copy_python)
        form.save.clicked.connect(lambda: self._queue.want("save", self._save_settings))
        self._hear(self._training.changed, self._show_run)
        self._hear(self._viewer.dims.events.current_step, self._sources.show_slice)
        self._hear(self._painting.painted, self._sources.painted)
        self._hear(self._painting.replaced, self._sources.replaced)
        self._hear(self._painting.redrawn, self._sources.redrawn)

    # ---- what can be chosen ----

    def _list_layers(self) -> None:
        self._sources.offer()

    def _models_job(self) -> Job[None]:
        # in the thread, because they take seconds to load
        import matplotlib.backends.backend_qtagg  # noqa: F401

        from . import work  # noqa: F401

        yield from self._shelf.read_job()

    def _list_models(self) -> None:
        form = self.form
        cards = self._shelf.cards
        wanted = self._wanted_model or self._newly_accepted(cards) or form.model.currentData()
        self._wanted_model = ""
        offered = {**model_entries(cards.values()), "None": [(_FROM_NOTHING, NOTHING)]}
        first = preferences().first(cards.values()) or NOTHING
        fill_grouped(form.model, offered, wanted if wanted in (*cards, NOTHING) else first)
        if not self._ready:
            offer_devices(form.device, self._shelf, preferences())
            if self._shelf.devices.get("mps"):
                switch_off(form.device, "mps", "no training there")
        self._ready = True
        self._model_chosen()

    def _model_chosen(self) -> None:
        self._suggest_time()
        self._data_changed()
        self._suggest_name()

    def _suggest_name(self) -> None:
        taken = self._shelf.cards.keys() | {path.name for path in runs_folder().glob("*")}
        card = self._card()
        if card is not None:
            self._suggested = new_name(card.name, taken)
        elif self._is_new():
            self._suggested = first_name(self._sources.new_class(), taken)
        self.form.name.setText(self._suggested)

    def _suggest_time(self) -> None:
        """A new model takes longer than one that knows something; what the person chooses then stays."""
        before = self._begins_with
        self._begins_with = self.form.model.currentData() or ""
        if NOTHING in (before, self._begins_with) and before != self._begins_with:
            time = TEN_MINUTES if self._is_new() else ONE_MINUTE
            self.form.time.setCurrentIndex(self.form.time.findData(time))

    def teach(self, labels: Labels, image: Image) -> None:
        """Prepare to learn the classes of these labels, from nothing."""
        form = self.form
        form.source.setCurrentIndex(form.source.findData(LAYERS))
        form.image.setCurrentIndex(form.image.findData(image))
        form.labels.setCurrentIndex(form.labels.findData(labels))
        if self._ready:
            form.model.setCurrentIndex(form.model.findData(NOTHING))
        else:
            self._wanted_model = NOTHING

    def _is_new(self) -> bool:
        """Whether the training is to begin with nothing."""
        return self.form.model.currentData() == NOTHING

    def _name(self) -> str:
        """Of the model to begin with; empty if there is none."""
        return "" if self._is_new() else self.form.model.currentData() or ""

    def _card(self) -> ModelCard | None:
        return self._shelf.cards.get(self._name())

    def _show_card(self) -> None:
        card = self._card()
        if card is not None:
            CardDialog(card, self).show()

    def _browse(self) -> None:
        suggested = self.form.path.text() or str(Path.home())
        path = QFileDialog.getExistingDirectory(self, "Folder of a data set", suggested)
        if path:
            self.form.path.setText(path)

    def _data_changed(self) -> None:
        """Other layers, slices or labels are to be learnt from, or another model."""
        if self._sources.stale():
            self._queue.want("look", self._start_look)
        self._sources.show_classes(self._card())
        if self._is_new() and self.form.name.text() == self._suggested:
            self._suggest_name()  # after the class that is painted now
        self._update()

    def _start_look(self) -> None:
        if self._sources.stale():
            start = {"title": "Look at labels", "quiet": True, "on_done": self._sources.saw}
            self._queue.start("look", self._sources.look_job(), **start)

    def _settings(self) -> FineTuneSettings:
        """What the form says.

        Raises
        ------
        MedsegError
            If something is missing or impossible.
        """
        from ...training.fine_tune import FineTuneSettings

        if reason := why_not(self._facts()):
            raise SettingsError(reason)
        classes, ignore = self._sources.classes()
        return FineTuneSettings(
            base=self._name(),
            name=self._new_name(),
            classes=classes,
            seconds=self.form.time.currentData(),
            ignore=ignore,
            device=self.form.device.currentData(),
        )

    def _new_name(self) -> str:
        return self.form.name.text().strip()

    # ---- what is possible now, and why the rest is not ----

    def _facts(self) -> Facts:
        name = self._new_name()
        return Facts(
            models_read=self._ready,
            has_model=self._card() is not None,
            from_nothing=self._is_new(),
            was_tuned=was_tuned(self._name()),
            layers=self._sources.layer_facts(),
            folder=self._sources.folder_facts(),
            name=name,
            name_problem=problem(check_new_name, name),
            name_used=bool(name) and (runs_folder() / name).exists(),
            classes_problem=problem(self._sources.classes),
            forecast=self._forecasting.text,
            has_plan=bool(self.form.plan.text()),
            job=self._queue.kind,
            run=self._run_facts(),
        )

    def _run_facts(self) -> RunFacts | None:
        run = self._training.run
        if run is None:
            return None
        return RunFacts(
            run.name,
            running=self._training.running,
            stopping=self._training.stopping,
            complete=run.complete,
            has_weights=run.weights.exists(),
            has_figures=self.deciding.comparison is not None,
            doubtful=self.deciding.is_doubtful,
            begins_with_chosen=bool(run.base) and run.base == self._name(),
            from_nothing=not run.base,
        )

    def _update(self, event: Any = None) -> None:
        facts = self._facts()
        if facts.run is None and facts.folder is None and not facts.job and not why_not(facts):
            self._forecasting.look()
        apply(self.form, state(facts))
        self._sources.show_reviewed()

    # ---- train ----

    def start(self) -> None:
        """Take down what the form says now; write the data of the run, then start the child."""
        from . import work

        self._forecasting.stop()
        if self._sources.stale():  # scrolled or painted since; the look comes first
            self._queue.want("look", self._start_look)
            self._queue.want("prepare", self.start)
            return
        with jobs.errors_shown():
            if self._training.run is not None:
                raise SettingsError(f"Decide about {self._training.run.name} first: accept or discard it.")
            settings = self._settings()
            folder = runs_folder() / settings.name
            marked, source = self._sources.take(self._card())
            self._write_down(settings, marked)
            job = work.prepare_job(marked, source, settings, folder)
            begin = partial(self._begin, Run(folder), tied=not self.form.go_on.isChecked())
            prepare = partial(self._start_prepare, job, begin)
            ask = partial(self._ask_to_train, (settings.base, *(part.name for part in marked)), prepare)
            if self._is_new():  # there is no card to compare the images with
                self._queue.want("prepare", prepare)
            else:
                self._queue.want("check", partial(self._start_check, marked, source, ask))

    def _write_down(self, settings: FineTuneSettings, marked: list[Marked]) -> None:
        """Tell a session that is being recorded what is learnt from."""
        recorder = recorder_of(self._viewer)
        if recorder.path is None:
            return
        parts = zip(self._sources.pairs(), marked, strict=False)  # nothing is marked in the folder of a data set
        taken = [(pair, part) for pair, part in parts if part.reviewed]
        pairs = [describe(Pair(part.image, part.translated(), part.reviewed), part.table) for _, part in taken]
        recorder.taught(settings, [(pair.image, pair.labels) for pair, _ in taken], pairs)

    def _start_check(self, marked: list[Marked], source: Path | None, on_done: Callable[[Any], None]) -> None:
        """Compare the images with the card of the model, as Segment does before a run."""
        from . import work

        job = work.doubts_job(marked, source, self._shelf.cards[self._name()])
        self._queue.start("check", job, title="Check", quiet=True, on_done=on_done, on_error=self._failed)

    def _ask_to_train(self, names: tuple[str, ...], prepare: Callable[[], None], doubts: tuple[str, ...]) -> None:
        if doubts and not self._agreed((*names, *doubts), "Train", doubts_text(doubts), "Train anyway"):
            self.form.status.say("Not started; nothing was changed.")
            return
        self._queue.want("prepare", prepare)

    def _start_prepare(self, job: Job[None], begin: Callable[[], None]) -> None:
        self.form.bar.setRange(0, 0)
        self.form.status.say("Writing the data to learn from…")
        start = {"title": "Prepare", "on_done": lambda _: begin(), "on_error": self._failed}
        self._queue.start("prepare", job, **start)

    def _begin(self, run: Run, *, tied: bool) -> None:
        with jobs.errors_shown():
            self.deciding.comparison = None
            self._training.begin(run, tied=tied)

    def _resume(self) -> None:
        run = self._training.run
        if run is not None:
            self._begin(run, tied=not self.form.go_on.isChecked())

    def stop(self) -> None:
        """End the training with the best weights, or give up what is being written for it."""
        if self._queue.kind == "prepare":
            self._queue.stop()
            self.form.status.say("Cancelled; nothing was trained.")
        self._training.stop()

    def _show_run(self) -> None:
        run = self._training.run
        if run is None:
            self.form.curves.show_lines((), 0)
        else:
            self._show_progress(run)
        self.deciding.show_run()

    def _show_progress(self, run: Run) -> None:
        train = self._training
        self.form.bar.setRange(0, run.steps)
        self.form.bar.setValue(run.step)
        text = status_text(run, train.running, train.stopping)
        lead = f"{run.name}, from {run.base or 'nothing'}."
        self.form.status.say(f"{lead} {text}\n{train.problem}".strip())
        self.form.curves.show_lines(run.lines, run.steps)

    def _failed(self, why: str) -> None:
        super()._failed(why)
        self._update()

    # ---- copy and save ----

    def _copy_command(self) -> None:
        run = self._training.run
        if run is None:  # the button is off
            return
        folder = run.folder
        text = options.command("train", folder / RECIPE, run=folder, root=folder)
        self._copy(text, "The command is on the clipboard. It goes on from the last figures.")

    def _copy_python(self) -> None:
        from ...runs import script

        run = self._training.run
        if run is None:
            return
        self._copy_text(script.train(run.folder / RECIPE, run.folder), "It goes on from the last figures.")

    def _save_settings(self) -> None:
        from . import work

        if self._sources.stale():  # as before a start
            self._queue.want("look", self._start_look)
            self._queue.want("save", self._save_settings)
            return
        with jobs.errors_shown():
            settings = self._settings()
            suggested = str(Path.home() / f"{settings.name}.json")
            path, _ = QFileDialog.getSaveFileName(self, "Save settings", suggested, "JSON (*.json)")
            if path:
                job = work.save_job(*self._sources.take(self._card()), settings, Path(path))
                words = f"Saved. To train without a window: {options.join(['napari-medseg', 'train', path])}"
                start = {"title": "Save settings", "on_done": lambda _: self.form.status.say(words)}
                self._queue.start("save", job, on_error=self._failed, **start)
