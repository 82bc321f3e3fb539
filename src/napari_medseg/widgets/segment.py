"""The Segment dock: choose an image and a model, preview, run, save; a thin form over `inference.segment_job`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QVBoxLayout, QWidget

from .. import io
from ..errors import MedsegError, SettingsError
from ..progress import Job, Progress
from ..volume import Volume
from . import _job, _layers
from ._card import CardDialog
from ._segment_form import SegmentForm, allow, axes_text, fill, hint_text, plan_text, result_text, switch_off
from ._settings import preferences
from ._shelf import Shelf

if TYPE_CHECKING:
    from napari import Viewer

    from ..inference import InferenceSettings, Plan, Segmentation
    from ..models import ModelCard, TrainedModel

# PyTorch is imported by the first job, in its thread; what needs it is imported where it is used.

_FILTERS = "NIfTI (*.nii.gz *.nii);;TIFF (*.tif *.tiff);;NumPy (*.npz)"


@dataclass(frozen=True)
class _Input:
    """What the form says, taken down when a job starts."""

    image: Image
    volume: Volume
    card: ModelCard
    settings: InferenceSettings


class SegmentWidget(QWidget):
    """Segment an image layer with a model; labels appear slice by slice in a new layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    labels : napari.layers.Labels or None
        What the last finished run made, while it is in the viewer.
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__()
        self.labels: Labels | None = None
        self._viewer = napari_viewer
        self._shelf = Shelf()
        self._ready = False
        self._problem = "the models are being read."
        self._result: _layers.Result | None = None
        self._preview = _layers.Preview(napari_viewer)
        self._clock = _job.Clock()
        self._queue = _job.Queue(self, ("run", "save", "preview", "plan"), self._job_changed)
        self.form = SegmentForm()
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
        form.image.currentIndexChanged.connect(self._list_axes)
        for box in (form.axes, form.channel, form.model, form.device):
            box.currentIndexChanged.connect(self._changed)
        for box in (form.uncertainty, form.split):
            box.toggled.connect(self._changed)
        form.preview.toggled.connect(self._preview_toggled)
        form.card.clicked.connect(self._show_card)
        form.run.clicked.connect(self.run)
        form.cancel.clicked.connect(self.cancel)
        form.save.clicked.connect(self._ask_where_to_save)
        form.copy.clicked.connect(self._copy_command)
        layers.events.inserted.connect(self._layer_added)
        layers.events.removed.connect(self._layer_removed)
        layers.events.reordered.connect(self._list_images)
        layers.selection.events.active.connect(self._update)
        self._viewer.dims.events.current_step.connect(self._scrolled)
        for layer in layers:
            layer.events.name.connect(self._list_images)

    # ---- what can be chosen ----

    def _list_images(self, event: Any = None) -> None:
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        before = current = self.form.image.currentData()
        if current not in images:
            active = self._viewer.layers.selection.active
            current = active if active in images else next(iter(reversed(images)), None)
        fill(self.form.image, [(layer.name, layer) for layer in images], current)
        if current is not before:
            self._list_axes()
        self._update()

    def _list_axes(self) -> None:
        image = self.form.image.currentData()
        choices = _layers.axes_choices(image) if image else ()
        fill(self.form.axes, [(axes_text(axes), axes) for axes in choices], next(iter(choices), None))
        self._changed()

    def _list_channels(self) -> None:
        image, axes = self.form.image.currentData(), self.form.axes.currentData() or ""
        where = axes.removesuffix("c").find("c")
        count = image.data.shape[where] if image and where >= 0 else 0
        if count != self.form.channel.count():
            fill(self.form.channel, [(str(i), i) for i in range(count)], 0)

    def _list_models(self, _: None) -> None:
        form, shelf, wanted = self.form, self._shelf, preferences()
        names = [*shelf.cards, *shelf.broken]
        model = wanted.model if wanted.model in shelf.cards else next(iter(shelf.cards), None)
        fill(form.model, [(name, name) for name in names], model)
        for name, why in shelf.broken.items():
            switch_off(form.model, name, why)
        devices = [("Automatic", "auto"), ("CPU", "cpu"), ("CUDA", "cuda"), ("MPS", "mps")]
        fill(form.device, devices, wanted.device if shelf.devices.get(wanted.device, True) else "auto")
        for device in (name for name, present in shelf.devices.items() if not present):
            switch_off(form.device, device, "not found on this computer")
        self._ready, self._problem = True, ""
        self._changed()

    def _card(self) -> ModelCard | None:
        return self._shelf.cards.get(self.form.model.currentData())

    def _show_card(self) -> None:
        CardDialog(self._card(), self).show()

    def _input(self) -> _Input:
        """What the form says.

        Raises
        ------
        MedsegError
            If there is no image or model, or the layer cannot be segmented.
        """
        from ..inference import InferenceSettings

        form, image, card = self.form, self.form.image.currentData(), self._card()
        if image is None or card is None:
            raise SettingsError("There is no image or no model. Open an image and choose a model first.")
        volume = _layers.to_volume(image, form.axes.currentData())
        settings = InferenceSettings(
            device=form.device.currentData(),
            channel=form.channel.currentData(),
            uncertainty=form.uncertainty.isChecked(),
            split_objects=card.objects and form.split.isChecked(),
        )
        return _Input(image, volume, card, settings)

    # ---- what is possible now, and why the rest is not ----

    def _changed(self) -> None:
        """Something that a run depends on was chosen anew."""
        self._list_channels()
        if self._ready:
            self._queue.want("plan", self._start_plan)
            self._scrolled()
        self._update()

    def _job_changed(self) -> None:
        if not self._queue.kind:
            self._give_up()
        self._update()

    def _update(self, event: Any = None) -> None:
        form, kind = self.form, self._queue.kind
        image, card, target = form.image.currentData(), self._card(), self._save_target()
        why_not = self._problem or ("" if image else "open an image first.") or ("" if card else "choose a model.")
        busy = {"run": "a run is under way.", "save": "labels are being written."}.get(kind, "")
        no_run = why_not or busy
        no_save = busy or ("" if target else "no labels yet; run, or select a labels layer.")
        no_copy = why_not or ("" if _layers.source_path(image) else "the image was not opened from a file.")
        form.show_row(form.axes, form.axes.count() > 1)
        form.show_row(form.channel, form.channel.count() > 1)
        form.split.setVisible(bool(card and card.objects))
        form.cancel.setVisible(kind == "run")
        form.bar.setVisible(bool(busy))
        for box in (form.model, form.device):
            box.setEnabled(self._ready)
        allow(form.card, "" if card else "No model is chosen.", "What the model is for, from what data, and how good.")
        allow(form.preview, no_run, "Label the slice in view, and the next ones while you scroll.")
        allow(form.run, no_run, "Label the whole image in a new layer; existing layers are left alone.")
        allow(form.cancel, "" if self._result else "Stopping.", "Stop the run and remove its labels.")
        allow(form.save, no_save, f"Save '{target.name if target else ''}' with the geometry of its image.")
        allow(form.copy, no_copy, "Copy the command line that does the same without a window.")
        form.hint.say(hint_text({"Run": no_run, "Preview": no_run, "Save": no_save, "Copy": no_copy}))

    # ---- plan ----

    def _start_plan(self) -> None:
        from ..inference import plan

        if self._card() is None or self.form.image.currentData() is None:
            self.form.plan.say("")
            return
        try:
            given = self._input()
        except MedsegError as error:
            self._cannot(str(error))
            return

        def work(model: TrainedModel) -> Job[Plan]:
            yield Progress(0, 1)
            return plan(given.volume, model, given.settings)

        job = self._shelf.job(given.card, work)
        self._queue.start("plan", job, title="Plan", quiet=True, on_done=self._show_plan, on_error=self._cannot)

    def _show_plan(self, plan: Plan) -> None:
        self._problem = ""
        self.form.plan.say(plan_text(plan))

    def _cannot(self, why: str) -> None:
        self._problem = why
        self.form.plan.say("")
        self._update()

    # ---- preview ----

    def _preview_toggled(self, ticked: bool) -> None:
        if ticked:
            self._scrolled()
        else:
            self._queue.forget("preview")
            self._preview.clear()

    def _scrolled(self, event: Any = None) -> None:
        if self.form.preview.isChecked():
            self._queue.want("preview", self._start_preview)

    def _start_preview(self) -> None:
        from ..inference import segment_job

        try:
            given = self._input()
        except MedsegError:  # the plan says so
            self.form.preview.setChecked(False)
            return
        index = _layers.shown_index(self._viewer, given.image, given.volume.axes)
        grid = _layers.Grid.of(given.image, given.volume.axes)
        volume, settings = given.volume, replace(given.settings, uncertainty=False)
        for axis, position in index.items():
            volume = volume.select(axis, position)

        def show(found: Segmentation) -> None:
            if self.form.preview.isChecked() and given.image in self._viewer.layers:
                self._preview.show(found.labels, tuple(index.values()), grid)

        job = self._shelf.job(given.card, lambda model: segment_job(volume, model, settings))
        self._queue.start("preview", job, title="Preview", quiet=True, on_done=show, on_error=self._cannot)

    # ---- run ----

    def run(self) -> None:
        """Segment the chosen image; a preview ends, and a plan in the making is dropped."""
        self.form.preview.setChecked(False)
        self._queue.stop()
        self._queue.want("run", self._start_run)

    def cancel(self) -> None:
        """Stop the run: its layers vanish at once, its thread ends with the slices it is working on."""
        self._queue.stop()
        self._give_up()
        self.form.status.say("Cancelled; nothing was changed.")
        self._update()

    def _give_up(self) -> None:
        result, self._result = self._result, None
        if result is not None:
            result.discard()

    def _start_run(self) -> None:
        from ..inference import segment_job

        with _job.told():
            given = self._input()
            classes = () if given.settings.split_objects else given.card.classes
            start = _layers.shown_slice(self._viewer, given.image, given.volume.axes)
            self._result = _layers.Result(self._viewer, given.image, given.volume, given.card.name, classes)
            self._clock = _job.Clock()
            self.form.bar.setRange(0, 0)
            self.form.status.say(f"Starting with {given.image.name}…")
            self._queue.start(
                "run",
                self._shelf.job(
                    given.card, lambda model: segment_job(given.volume, model, given.settings, start=start)
                ),
                title=f"Segment {given.image.name}",
                on_step=self._show_step,
                on_done=self._show_result,
                on_error=self._failed,
            )

    def _show_step(self, step: Progress) -> None:
        self.form.bar.setRange(0, step.total)
        self.form.bar.setValue(step.done)
        self.form.status.say(self._clock.text(step, "slices"))
        if step.partial is not None:
            self._result.show(step.partial)

    def _show_result(self, found: Segmentation) -> None:
        result, self._result = self._result, None
        result.finish()
        self.labels = result.labels
        self.form.status.say(result_text(found))

    def _failed(self, why: str) -> None:
        self.form.status.say(why)
        show_error(why)

    # ---- save and copy ----

    def _save_target(self) -> Labels | None:
        """The labels layer selected in the layer list, or the newest result."""
        for layer in (self._viewer.layers.selection.active, self.labels):
            if isinstance(layer, Labels) and layer in self._viewer.layers and layer is not self._preview.layer:
                return layer
        return None

    def _ask_where_to_save(self) -> None:
        layer = self._save_target()
        with _job.told():
            volume = _layers.labels_volume(layer, self.form.image.currentData(), self.form.axes.currentData())
            suggested = str(_layers.suggested_path(volume, layer.name))
            path, _ = QFileDialog.getSaveFileName(self, "Save labels", suggested, _FILTERS)
            if path:
                self._queue.want("save", partial(self._start_save, volume, Path(path)))

    def _start_save(self, volume: Volume, path: Path) -> None:
        def work() -> Job[Path]:
            yield Progress(0, 1)
            return io.write(volume, path)

        def done(written: Path) -> None:
            self.form.status.say(f"Saved {written.name}; read back and compared voxel by voxel.")

        self.form.bar.setRange(0, 0)
        self._queue.start("save", work(), title=f"Save {path.name}", on_done=done, on_error=self._failed)

    def _copy_command(self) -> None:
        from ..cohort import command

        with _job.told():
            given = self._input()
            source = _layers.source_path(given.image)
            output = _layers.suggested_path(given.volume, source.name)
            axes = given.volume.axes if self.form.axes.count() > 1 else None  # else the file tells them
            QApplication.clipboard().setText(command(given.settings, given.card.name, [source], output, axes=axes))
            self.form.status.say("The command is on the clipboard.")

    # ---- what happens around the form ----

    def _layer_added(self, event: Any) -> None:
        event.value.events.name.connect(self._list_images)
        self._list_images()

    def _layer_removed(self, event: Any) -> None:
        layer = event.value
        layer.events.name.disconnect(self._list_images)
        if self._result is not None and layer is self._result.labels:
            self.cancel()
        if layer is self._preview.layer:
            self.form.preview.setChecked(False)
        if layer is self.labels:
            self.labels = None
        self._list_images()

    def event(self, event: QEvent) -> bool:
        """Stop when the dock is closed: napari takes its widget out of it and keeps it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._queue.forget("run", "save", "preview", "plan")
            self._queue.stop()
            self._give_up()
            self._preview.clear()
        return super().event(event)
