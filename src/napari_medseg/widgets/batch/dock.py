"""The Batch dock: many files at once, and one case after the other for review; a thin form over headless jobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QTimer

from ...errors import SettingsError
from ...progress import Progress
from ...runs.batch import Begun, Finished, batch_job, existing, plan_job
from ...runs.cohort import command
from ...runs.plan import Plan, Wanted
from ...runs.reviewed import Reviewed
from ...runs.worklist import WorkList
from ...segmentation.settings import InferenceSettings
from ..kit import jobs
from ..kit.card import CardDialog
from ..kit.controls import apply, fill_grouped, tell_key
from ..kit.dock import Dock
from ..kit.keys import Keys
from ..kit.offers import model_entries
from ..kit.preferences import preferences
from .choosing import Chosen
from .form import BatchForm
from .results import Results
from .state import Facts, already_text, ended_text, found_text, is_dataset, state, why_not
from .stepping import KINDS, OpenCase
from .summaries import Summaries

if TYPE_CHECKING:
    from napari import Viewer

    from ...models import ModelCard
    from ...runs.crew import Crew
    from ...runs.tasks import Outcome

_SHOW_MS = 300  # between two looks of the table at a run


class BatchWidget(Dock):
    """Segment a folder of images in processes of their own, and review the cases one after the other.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    work : WorkList
        The cases of the table.
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__(napari_viewer, ("run", "results", "write", "plan"))
        self.work = WorkList()
        self._keys = Keys(self._viewer)
        self.form = BatchForm()
        self.chosen = Chosen(self, self.form, self._changed)
        self.summaries = Summaries(
            self, self.form, self._queue, cases=lambda: self.work.cases(), changed=self._update, failed=self._failed
        )
        self._cases = jobs.Queue(self, KINDS, self._update, self._failed)
        self.opened = OpenCase(
            self,
            self._viewer,
            self._painting,
            self._cases,
            changed=self._update,
            counted=self._counted,
            say=self.form.status.say,
            failed=self._failed,
            sure=self._sure,
        )
        self.results = Results(
            self,
            self.form,
            self._queue,
            inputs=self.chosen.inputs,
            reference=self.chosen.reference,
            listed=self._show_results,
            failed=self._failed,
        )
        self._ready = False
        self._plan: Plan | None = None  # of what the form says now
        self._problem = ""
        self._crew: Crew | None = None
        self._clock = jobs.Clock()
        self._showing = QTimer(self)
        self._showing.setSingleShot(True)
        self._showing.timeout.connect(self._show_work)
        self._connect()
        keys = {"run": self.form.run, "cancel": self.form.cancel, "save": self.form.save}
        self._open_form(self.form, self.form.status, **keys)
        self._bind_keys()

    @property
    def busy(self) -> bool:
        """Whether a job is under way or about to start."""
        return super().busy or self._cases.busy

    def _connect(self) -> None:
        form = self.form
        form.card.clicked.connect(self._show_card)
        form.run.clicked.connect(self.run)
        form.cancel.clicked.connect(self.cancel)
        form.copy.clicked.connect(self._copy_command)
        form.order.currentIndexChanged.connect(self._show_work)
        form.table.doubleClicked.connect(self._open_chosen)
        form.table.when_chosen(self._show_detail)
        form.previous.clicked.connect(partial(self.step, -1))
        form.next.clicked.connect(lambda: self.step())
        form.unapproved.clicked.connect(self.next_unapproved)
        form.save.clicked.connect(lambda: self.opened.save())
        self._hear(self._painting.protected, self._layer_changed)

    def _bind_keys(self) -> None:
        """Go on from case to case while the dock of Review is in front."""
        self._keys.bind({"PageDown": self.step, "PageUp": partial(self.step, -1)})
        tell_key(self.form.next, "Page Down")
        tell_key(self.form.previous, "Page Up")

    # ---- what can be chosen ----

    def _list_models(self) -> None:
        cards = self._shelf.cards
        wanted = self._newly_accepted(cards) or self.form.model.currentData()
        first = wanted if wanted in cards else preferences().first(cards.values())
        fill_grouped(self.form.model, model_entries(cards.values()), first)
        self._ready = True
        self._changed()

    def _card(self) -> ModelCard | None:
        return self._shelf.cards.get(self.form.model.currentData())

    def _show_card(self) -> None:
        card = self._card()
        if card is not None:
            CardDialog(card, self).show()

    # ---- what is possible now, and why the rest is not ----

    def _facts(self) -> Facts:
        opened = self.opened
        return Facts(
            models_read=self._ready,
            has_inputs=bool(self.chosen.inputs()),
            has_output=bool(self.form.output.text().strip()),
            has_model=self._card() is not None,
            problem=self._problem,
            planned=self._plan is not None,
            job=self._queue.kind,
            cases=len(self.work),
            opening=self._cases.kind,
            beginning=opened.beginning,
            open=opened.name,
            unsaved=opened.unsaved,
            has_previous=self._neighbour(-1) is not None,
            has_next=self._neighbour(1) is not None,
            has_unapproved=self._unapproved() is not None,
            has_page=self.summaries.page is not None,
        )

    def _update(self, event: Any = None) -> None:
        apply(self.form, state(self._facts()))
        self._want_show()

    def _layer_changed(self, layer: Layer) -> None:
        if layer is self.opened.labels:
            self._update()

    def _changed(self) -> None:
        """Something that a run depends on was chosen anew."""
        self._plan = None
        self._problem = ""
        self.form.found.say("")
        self.form.show_row(self.form.suffix, is_dataset(self.chosen.inputs()))
        if not why_not(self._facts()):
            self._queue.want("plan", self._start_plan)
        self._update()

    # ---- plan ----

    def _start_plan(self) -> None:
        if why_not(self._facts()):
            return
        job = plan_job(self.chosen.wanted())
        self._queue.start("plan", job, title="Plan", quiet=True, on_done=self._show_plan, on_error=self._cannot)

    def _show_plan(self, found: Plan) -> None:
        self._plan = found
        if not found.sources:
            self._cannot(" ".join(failure.error for failure in found.failures))
            return
        self.form.found.say(found_text(found, existing(found)))
        self._update()

    def _cannot(self, why: str) -> None:
        self._problem = why
        self._update()

    # ---- run ----

    def run(self) -> None:
        """Segment what the form says now; results that would be made again are asked about once."""
        with jobs.errors_shown():
            if reason := state(self._facts()).run.why_not:
                raise SettingsError(reason)
            there = existing(self._plan) if self._plan is not None else 0
            resume = self.form.resume.isChecked()
            text = already_text(there)
            if there and not resume and not self._sure("Batch", text, "Make again"):
                self.form.status.say("Not started; nothing was changed.")
                return
            self._queue.want("run", partial(self._start_run, self.chosen.wanted(), self.chosen.settings(), resume))

    def _start_run(self, wanted: Wanted, settings: InferenceSettings, resume: bool) -> None:
        from ...runs.crew import local

        with jobs.errors_shown():
            crew = local(self.form.workers.value())
            self._crew = crew
            self.destroyed.connect(crew.stop)  # the window was closed, which tells a dock nothing else
            self._clock = jobs.Clock()
            self.form.bar.setRange(0, 0)
            self.form.status.say("Starting…")
            self._queue.start(
                "run",
                batch_job(wanted, settings, crew, resume=resume),
                title="Batch",
                on_step=self._show_step,
                on_done=self._show_end,
                on_error=self._run_failed,
            )

    def _show_step(self, step: Progress) -> None:
        if step.total:
            self.form.bar.setRange(0, step.total)
            self.form.bar.setValue(step.done)
            self.form.status.say(self._clock.text(step, "cases"))
        if isinstance(step.partial, Begun):
            self._list(WorkList(step.partial.tasks, step.partial.failures, self.form.workers.value()))
        elif isinstance(step.partial, Finished):
            self.work.take(step.partial)
            self._want_show()

    def _show_end(self, outcomes: list[Outcome]) -> None:
        self._let_crew_go()
        self.form.status.say(ended_text(len(self.work), len(self.work), self.work.count("failed")))
        self._show_work()
        self._changed()

    def _run_failed(self, why: str) -> None:
        self._let_crew_go()
        self.work.end()
        self._failed(why)
        self._show_work()

    def _let_crew_go(self) -> None:
        """End the processes of the run, whatever they do."""
        crew, self._crew = self._crew, None
        if crew is not None:
            self.destroyed.disconnect(crew.stop)
            crew.stop()

    def cancel(self) -> None:
        """Stop the run at once, or the reading of results; cases that are finished stay."""
        running = self._queue.kind == "run"
        self._queue.forget("run", "results")
        self._queue.stop()
        self._let_crew_go()
        if running:
            self.work.end()
            done = len(self.work) - self.work.count("not reached")
            self.form.status.say(ended_text(done, len(self.work), self.work.count("failed"), cancelled=True))
        else:
            self.form.status.say("Cancelled; nothing was changed.")
        self._show_work()

    # ---- the table ----

    def _list(self, work: WorkList) -> None:
        """Show other cases; the open one stays open."""
        self.work = work
        self._show_work()
        self.opened.list_in(work)
        self._show_work()

    def _show_results(self, work: WorkList) -> None:
        self._list(work)
        self._changed()

    def _want_show(self) -> None:
        if not self._showing.isActive():
            self._showing.start(_SHOW_MS)

    def _show_work(self, event: Any = None) -> None:
        order = self.work.order(suspicious_first=bool(self.form.order.currentData()))
        self.form.table.show_cases(self.work, order, self.opened.number)
        self.form.counts.say(self.work.summary())
        self._show_detail()

    def _show_detail(self) -> None:
        number = self.form.table.chosen()
        self.form.detail.say("" if number is None else self.work.text(number))
        apply(self.form, state(self._facts()))

    def _counted(self, number: int, reviewed: Reviewed) -> None:
        self.work.review(number, reviewed)
        self._update()

    # ---- one case after the other ----

    def _open_chosen(self) -> None:
        number = self.form.table.chosen()
        if number is None:
            return
        if self.work.can_open(number):
            self.open_case(number)
        else:
            self.form.status.say(f"'{self.work.case(number).name}' has no labels to open.")

    def open_case(self, number: int) -> None:
        """Open image and labels of a case in place of the one that is open."""
        self.form.table.choose(number)
        self.opened.open(number, self.work.case(number), self.chosen.inputs())

    def step(self, step: int = 1) -> None:
        """Open the next case of the table, or with -1 the one before."""
        now = state(self._facts())
        why = (now.next if step > 0 else now.previous).why_not
        if why:
            self._viewer.status = f"{'Next' if step > 0 else 'Previous'} case: {why}"
            return
        self._open_if(self._neighbour(step))

    def next_unapproved(self) -> None:
        """Open the next case that is not approved."""
        self._open_if(self._unapproved())

    def _neighbour(self, step: int) -> int | None:
        return self.work.next(self.form.table.cases.order, self.opened.number, step, chosen=self._beginning())

    def _unapproved(self) -> int | None:
        return self.work.next_open(self.form.table.cases.order, self.opened.number, chosen=self._beginning())

    def _beginning(self) -> int | None:
        """The chosen row, where a person without an open case begins; None where a case is open, or just was."""
        chosen = self.form.table.chosen()
        return None if self.opened.shown or chosen == self.opened.number else chosen

    def _open_if(self, number: int | None) -> None:
        if number is not None:
            self.open_case(number)

    # ---- copy ----

    def _copy_command(self) -> None:
        with jobs.errors_shown():
            wanted = self.chosen.wanted()
            self._copy(
                command(
                    self.chosen.settings(),
                    wanted.models,
                    wanted.inputs,
                    wanted.output,
                    wanted.maps.get("uncertainty"),
                    bids=wanted.bids,
                    reference=wanted.reference,
                    workers=self.form.workers.value(),
                    resume=self.form.resume.isChecked(),
                )
            )

    # ---- what happens around the form ----

    def _layer_gone(self, layer: Layer) -> None:
        self.opened.gone(layer)
        self._update()

    def _close(self) -> None:
        self._cases.close((KINDS[0],))
        super()._close()

    def _clear(self) -> None:
        self._keys.release()
        self._showing.stop()
        self._let_crew_go()
        self.opened.forget()
