"""The Segment dock: choose an image and models, preview, run, save; a thin form over headless jobs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer

from ...errors import MedsegError, SettingsError
from ...progress import Progress
from ...segmentation.settings import decided
from ..kit import jobs, layer_volumes
from ..kit.card import CardDialog
from ..kit.controls import apply
from ..kit.dock import Dock
from ..kit.preferences import preferences
from ..kit.recorder import recorder_of
from ..kit.save_labels import KIND as SAVE
from ..kit.save_labels import LabelSaver
from ..kit.saving import image_of, is_labelled
from .by_hand import label_by_hand
from .comparing import Comparison
from .form import SegmentForm, doubts_text, plan_text, result_text
from .rows import ImageRows, Input, ModelRows
from .slice_in_view import SliceInView
from .state import Facts, state

if TYPE_CHECKING:
    from napari import Viewer

    from ...segmentation.inference import Plan, Segmentation

# PyTorch is imported by the first job, in its thread; what needs it is imported where it is used.


class SegmentWidget(Dock):
    """Segment an image layer with a model, or with several that vote; labels appear slice by slice in a new layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    labels : napari.layers.Labels or None
        What the last finished run made, while it is in the viewer.
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__(napari_viewer, ("run", "check", SAVE, "routers", "preview", "suited", "plan"), (SAVE,))
        self.labels: Labels | None = None
        self._ready = False
        self._problem = ""
        self._plan: Plan | None = None  # of what the form says now
        self._result: layer_volumes.Result | None = None
        self._clock = jobs.Clock()
        self.form = SegmentForm()
        self._images = ImageRows(self.form, self._viewer)
        self._models = ModelRows(self.form, self._shelf)
        self._slice = SliceInView(
            self.form, self._viewer, self._shelf, self._queue, ask=self._input, cannot=self._cannot, failed=self._failed
        )
        self._comparison = Comparison(
            self.form,
            self._models,
            self._shelf,
            self._queue,
            chose=self._suited_chosen,
            update=self._update,
            run=self.run,
        )
        self._saver = LabelSaver(
            self, self._viewer, self._queue, say=self.form.status.say, failed=self._failed, sure=self._sure
        )
        self._connect()
        keys = {"run": self.form.run, "preview": self.form.preview, "cancel": self.form.cancel, "save": self.form.save}
        self._open_form(self.form, self.form.status, self.form.image, **keys)
        self.opener.run = self._comparison.then_run

    def choose(self, image: Image) -> None:
        """Choose an image layer."""
        self.form.image.setCurrentIndex(self.form.image.findText(image.name))

    def _connect(self) -> None:
        form = self.form
        form.image.currentIndexChanged.connect(self._image_chosen)
        for box in (form.axes, form.channel, form.vote, form.context, form.device):
            box.currentIndexChanged.connect(self._changed)
        form.device.currentIndexChanged.connect(self._want_suited)
        form.model.currentIndexChanged.connect(self._model_picked)
        form.others.changed.connect(self._changed)
        for box in (form.uncertainty, form.split):
            box.toggled.connect(self._changed)
        form.preview.toggled.connect(self._slice.toggled)
        form.card.clicked.connect(self._show_card)
        form.routers.clicked.connect(self._slice.want_routers)
        form.by_hand.clicked.connect(self._label_by_hand)
        form.run.clicked.connect(self.run)
        form.cancel.clicked.connect(self.cancel)
        form.save.clicked.connect(self._ask_where_to_save)
        form.copy.copies(self._copy_command, self._copy_python)
        self._hear(self._viewer.layers.selection.events.active, self._update)
        self._hear(self._viewer.dims.events.current_step, self._slice.changed)

    # ---- what can be chosen ----

    def _list_layers(self) -> None:
        if self._images.offer_images():
            self._models.forget_image()
            self._list_axes()
            self._want_suited()
        self._update()

    def _image_chosen(self) -> None:
        self._comparison.forget()
        if not self._queue.busy:
            self.form.status.say("")  # what was found in another image
        self._models.forget_image()
        self._list_axes()
        self._want_suited()

    def _list_axes(self) -> None:
        self._images.offer_axes()
        self._changed()

    def _list_models(self) -> None:
        self._models.fill(preferences(), self._newly_accepted(self._shelf.cards))
        self._ready = True
        self._problem = ""
        self._model_chosen()
        self._want_suited()

    def _want_suited(self) -> None:
        if self._ready:
            self._comparison.want()

    def _suited_chosen(self, name: str) -> None:
        self.form.status.say(f"{name} was chosen, which was made for images like this one.")
        self._model_chosen()

    def _model_picked(self) -> None:
        self._models.picked()
        self._model_chosen()

    def _model_chosen(self) -> None:
        self._models.offer_others()
        self._changed()

    def _show_card(self) -> None:
        CardDialog(self._models.chosen()[0], self).show()

    def _input(self) -> Input:
        """What the form says.

        Raises
        ------
        MedsegError
            If there is no image or model, or the layer cannot be segmented.
        """
        image, cards = self.form.image.currentData(), self._models.chosen()
        if image is None or not cards:
            raise SettingsError("There is no image or no model. Open an image and choose a model first.")
        volume = layer_volumes.to_volume(image, self.form.axes.currentData())
        return Input(image, volume, cards, self._models.settings(cards))

    # ---- what is possible now, and why the rest is not ----

    def _changed(self) -> None:
        """Something that a run depends on was chosen anew."""
        self._plan = None
        self._images.offer_channels()
        self._models.offer_vote()
        self._models.offer_context(self._images.axes(), self._images.along(self._models.chosen()))
        if self._ready:
            self._queue.want("plan", self._start_plan)
            self._slice.changed()
        self._update()

    def _job_changed(self) -> None:
        if not self._queue.kind:
            self._give_up()
        if self._queue.kind == SAVE:
            self.form.bar.setRange(0, 0)
        self._update()

    def _facts(self) -> Facts:
        form, cards, target = self.form, self._models.chosen(), self._save_target()
        image = form.image.currentData()
        unsuited = self._models.unsuited
        return Facts(
            models_read=self._ready,
            problem=self._problem,
            has_image=image is not None,
            meanings=form.axes.count(),
            channels=form.channel.count(),
            has_file=image is not None and layer_volumes.source_path(image) is not None,
            models=len(cards),
            routed=bool(cards) and cards[0].name in self._shelf.routed,
            objects=bool(cards) and cards[0].objects,
            unsuited=unsuited,
            labelled=unsuited and is_labelled(self._viewer, image, form.axes.currentData()),
            job=self._queue.kind,
            has_result=self._result is not None,
            target=target.name if target else "",
        )

    def _update(self, event: Any = None) -> None:
        apply(self.form, state(self._facts()))
        for box in (self.form.model, self.form.others, self.form.device):
            box.setEnabled(self._ready)

    def _label_by_hand(self) -> None:
        image = self.form.image.currentData()
        if image is not None:
            with jobs.errors_shown():
                label_by_hand(self._viewer, image, self.form.axes.currentData())

    # ---- plan ----

    def _start_plan(self) -> None:
        from .work import plan_job

        if not self._models.chosen() or self.form.image.currentData() is None:
            self.form.plan.say("")
            return
        try:
            given = self._input()
        except MedsegError as error:
            self._cannot(str(error))
            return

        job = self._shelf.job(given.cards, lambda models: plan_job(given.volume, models, given.settings))
        done = partial(self._show_plan, given)
        self._queue.start("plan", job, title="Plan", quiet=True, on_done=done, on_error=self._cannot)

    def _show_plan(self, given: Input, plan: Plan) -> None:
        self._problem = ""
        self._plan = plan
        self.form.plan.say(plan_text(plan, len(given.cards)))

    def _cannot(self, why: str) -> None:
        self._problem = why
        self._plan = None
        self.form.plan.say("")
        self._update()

    # ---- run ----

    def run(self) -> None:
        """Segment what the form says now; a preview ends, and a plan in the making is dropped.

        For an image that is far outside of what a model was trained on, the form asks once before.
        """
        with jobs.errors_shown():
            given = self._input()
            plan = self._plan
            self.form.preview.setChecked(False)
            if self._queue.kind != "models":
                self._queue.stop()
            if plan is None:
                self._queue.want("check", partial(self._start_check, given))
            else:
                self._ask(given, plan.doubts)

    def _start_check(self, given: Input) -> None:
        """Plan, but do not try how long it takes: that is known soon."""
        from .work import plan_job

        def go_on(plan: Plan) -> None:
            self._show_plan(given, plan)
            self._ask(given, plan.doubts)

        job = self._shelf.job(given.cards, lambda models: plan_job(given.volume, models, given.settings, trial=False))
        self._queue.start("check", job, title="Check", quiet=True, on_done=go_on, on_error=self._failed)

    def _ask(self, given: Input, doubts: tuple[str, ...]) -> None:
        """Run, unless there are doubts that the person shares; they are named once for an image and its models."""
        subject = (given.image.unique_id, *(card.name for card in given.cards), *doubts)
        if doubts and not self._agreed(subject, "Segment", doubts_text(doubts), "Run anyway"):
            self.form.status.say("Not started; nothing was changed.")
            return
        self._queue.want("run", partial(self._start_run, given))

    def _give_up(self) -> None:
        result, self._result = self._result, None
        if result is not None:
            result.discard()

    def _start_run(self, given: Input) -> None:
        from .work import run_job

        with jobs.errors_shown():
            numbered = decided(given.settings, given.cards).split_objects
            classes = () if numbered else given.cards[0].classes
            name = given.cards[0].name if len(given.cards) == 1 else "consensus"
            start = layer_volumes.shown_slice(self._viewer, given.image, given.volume.axes)
            result = layer_volumes.Result(self._viewer, given.image, given.volume, name, classes)
            self._result = result
            self._clock = jobs.Clock(self._plan.seconds if self._plan else math.nan)
            known = self._plan.warnings if self._plan else ()
            self.form.bar.setRange(0, 0)
            self.form.status.say(f"Starting with {given.image.name}…")
            self._queue.start(
                "run",
                self._shelf.job(given.cards, lambda models: run_job(given.volume, models, given.settings, start)),
                title=f"Segment {given.image.name}",
                on_step=partial(self._show_step, result),
                on_done=partial(self._show_result, result, known, given.image),
                on_error=self._failed,
            )

    def _show_step(self, result: layer_volumes.Result, step: Progress) -> None:
        self.form.bar.setRange(0, step.total)
        self.form.bar.setValue(step.done)
        self.form.status.say(self._clock.text(step, "slices"))
        if step.partial is not None:
            result.show(step.partial)

    def _show_result(
        self, result: layer_volumes.Result, known: tuple[str, ...], image: Image, found: Segmentation
    ) -> None:
        self._result = None
        labels = result.finish(found.labels.record)
        self.labels = labels
        recorder_of(self._viewer).ran(found.record, labels, image, found.labels.data)
        self._painting.protect(labels, *(image_of(self._viewer, labels) or (None, None)))
        self.form.status.say(f"{result_text(found, known)}\nLayer: {labels.name}")
        self._queue.want("plan", self._start_plan)  # now it is known how long such a run takes
        self._want_suited()

    # ---- save and copy ----

    def _save_target(self) -> Labels | None:
        """The labels layer selected in the layer list, or the newest result."""
        for layer in (self._viewer.layers.selection.active, self.labels):
            if isinstance(layer, Labels) and layer in self._viewer.layers and layer is not self._slice.layer:
                return layer
        return None

    def _ask_where_to_save(self) -> None:
        layer, image, axes = self._save_target(), self.form.image.currentData(), self.form.axes.currentData()
        if layer is not None:
            self._saver.ask(layer, (image, axes) if image is not None and axes else None)

    def _copy_command(self) -> None:
        from ...runs.cohort import command

        def write(given: Input, names: list[str], source: Path, output: Path, axes: str | None) -> str:
            return command(given.settings, names, [source], output, axes=axes)

        self._copy_as("The command", write)

    def _copy_python(self) -> None:
        from ...runs import script

        def write(given: Input, names: list[str], source: Path, output: Path, axes: str | None) -> str:
            return script.segment(given.settings, names, source, output, axes)

        self._copy_as("The Python text", write)

    def _copy_as(self, what: str, write: Callable[..., str]) -> None:
        with jobs.errors_shown():
            given = self._input()
            source = layer_volumes.source_path(given.image)
            if source is None:  # the button is off
                return
            output = layer_volumes.suggested_path(given.volume, source.name)
            axes = given.volume.axes if self.form.axes.count() > 1 else None  # else the file names them
            names = [card.name for card in given.cards]
            text = write(given, names, source, output, axes)
            self._copy(text, f"{what} is on the clipboard. {_moved(given)}".rstrip())

    # ---- what happens around the form ----

    def _layer_gone(self, layer: Layer) -> None:
        if self._result is not None and layer is self._result.labels:
            self.cancel()
        if layer is self._slice.layer:
            self.form.preview.setChecked(False)
        if layer is self.labels:
            self.labels = None
            self.form.status.say("")

    def _clear(self) -> None:
        self._give_up()
        self._slice.clear()
        self.labels = None


def _moved(given: Input) -> str:
    """What to know of a copied text if the image was moved in the viewer; empty if it was not."""
    if not layer_volumes.was_moved(given.image, given.volume.axes):
        return ""
    return f"It takes the file as it lies, not as '{given.image.name}' was moved in the viewer."
