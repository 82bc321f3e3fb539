"""The Reconstruct dock: raw or simulated k-space, mask, method, run, compare; a thin form over headless jobs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtWidgets import QTabWidget

from ... import options
from ...errors import SettingsError
from ...progress import Progress
from ...recon.cautions import warnings
from ...recon.frames import cannot_share
from ...recon.hidden_lines import cannot_thin
from ...recon.methods import HAVE_STRENGTH, METHODS, has_maps, unfit
from ...recon.partial_choice import is_one_sided
from ...recon.reconstruct import Reconstruction
from ...recon.settings import AUTO, FinishSettings, ReconSettings
from ...recon.views import VIEWS, cannot_show
from ..kit import jobs, layer_volumes
from ..kit.card import CardDialog
from ..kit.controls import apply, can_choose, fill, switch_off
from ..kit.dock import Dock, bring_dock
from ..kit.offers import offer_devices
from ..kit.preferences import preferences
from ..kit.recorder import recorder_of
from . import scans
from .compare import ComparePage
from .form import ReconstructForm
from .maps import SliceMaps, has_routers
from .result import Result, done_text, is_partial, is_result
from .rows import DataRows, MaskRows
from .state import GIVEN, Facts, state, why_not
from .view import Input, SliceView

if TYPE_CHECKING:
    from napari import Viewer

    from ...models import ModelCard

_KINDS = ("open", "mask", "run", "probe", "hint", "routers", "preview", "picture", "compare", "view")


class ReconstructWidget(Dock):
    """Reconstruct raw k-space, or simulated k-space of an image layer; every result is a new layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    result : napari.layers.Image or None
        What the last run made, while it is in the viewer.
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__(napari_viewer, _KINDS)
        self.result: Image | None = None
        self._running: Result | None = None
        self._clock = jobs.Clock()
        self.form = ReconstructForm()
        self.compare = ComparePage(self._viewer, self._queue)
        self._data = DataRows(self.form, self._viewer, self._queue, self._data_changed)
        self._mask = MaskRows(self.form, self._queue, self._mask_changed)
        self._view = SliceView(self.form, self._viewer, self._queue, self._slice_input, self._painted)
        self._maps = SliceMaps(self.form, self._viewer, self._queue, self._input, self._view.number)
        self.tabs = QTabWidget()
        self.tabs.addTab(self.form, "Reconstruct")
        self.tabs.addTab(self.compare, "Compare")
        self._connect()
        self._list_models()
        keys = {"run": self.form.run, "preview": self.form.preview, "cancel": self.form.cancel}
        column = self._open_form(self.tabs, self.form.status, self.form.source, **keys)
        column.setContentsMargins(0, 6, 0, 0)  # else the bar above cuts the tabs

    def _connect(self) -> None:
        form = self.form
        for box in (form.method, form.consistency, form.partial, form.device):
            box.currentIndexChanged.connect(self._method_changed)
        for field in (form.weight, form.strength, form.iterations, form.gibbs):
            field.valueChanged.connect(self._method_changed)
        for tick in (form.together, form.interpolate):
            tick.toggled.connect(self._method_changed)
        form.shows.currentIndexChanged.connect(self._update)
        form.card.clicked.connect(self._show_card)
        form.run.clicked.connect(self.run)
        form.cancel.clicked.connect(self.cancel)
        form.copy.copies(self._copy_command, self._copy_python)
        form.segment.clicked.connect(self._segment_result)
        self._hear(self._viewer.dims.events.current_step, self._view.update)
        self._hear(self._painting.painted, self._view.painted)
        self._hear(self._painting.redrawn, self._view.painted)

    # ---- data and mask ----

    def open(self, path: Path) -> None:
        """Open a file of raw data, as if its path had been typed."""
        self._data.open(path)

    def _list_layers(self) -> None:
        self._data.offer()
        self._offer_results()
        self._update()

    def _data_changed(self) -> None:
        """Other data were chosen, or have been opened, or cannot be."""
        self._mask.of(self._data.scan)
        self._list_models()
        self._offer_results()

    def _mask_changed(self) -> None:
        """Another mask was chosen, or has been drawn, or cannot be."""
        if not self._mask.pending:
            self._offer_results()
            self._view.update()
        self._update()

    def _painted(self, mask: np.ndarray, number: int) -> None:
        self._mask.paint(mask, number)
        # what a stroke does to the image is what one paints for
        self.form.preview.setChecked(self._queue.kind != "run")

    def _offer_results(self) -> None:
        self.compare.offer(self._data.scan, self._mask.kspace)

    # ---- method ----

    def _list_models(self) -> None:
        box = self.form.method
        cards = self._shelf.reconstructors
        entries = [("Automatic", AUTO)]
        entries += [(words.split(" (")[0], name) for name, words in METHODS.items()]
        entries += [(name, name) for name in cards]
        fill(box, entries, box.currentData() or AUTO)
        for name, reason in self._unfit_methods().items():
            switch_off(box, name, reason)
        if not can_choose(box, box.currentIndex()):
            box.setCurrentIndex(box.findData(AUTO))
        offer_devices(self.form.device, self._shelf, preferences())
        self._method_changed()

    def _unfit_methods(self) -> dict[str, str]:
        """Methods that cannot take the data, and why."""
        if self._data.scan is None:
            return {}
        coils = self._data.scan.kspace.coils
        cards = self._shelf.reconstructors
        reasons = {name: unfit(name, coils, cards.get(name)) for name in (*METHODS, *cards)}
        return {name: reason for name, reason in reasons.items() if reason}

    def _method_changed(self, _: Any = None) -> None:
        self._view.update()
        self._update()

    def _card(self) -> ModelCard | None:
        if self._is_together():
            return None
        return self._shelf.reconstructors.get(self.form.method.currentData())

    def _show_card(self) -> None:
        card = self._card()
        if card is not None:
            CardDialog(card, self).show()

    def _input(self) -> Input:
        """What the form says.

        Raises
        ------
        SettingsError
            If there is nothing to reconstruct.
        """
        if self._data.scan is None or self._mask.kspace is None:
            raise SettingsError(why_not(self._facts()) or "The data are still being read.")
        return Input(
            self._data.scan,
            self._mask.kspace,
            self._settings(),
            self._card(),
            self._shelf,
            FinishSettings(self.form.gibbs.value(), self.form.interpolate.isChecked()),
            origin=self._data.image(),
            reading=self._data.reading(),
        )

    def _settings(self) -> ReconSettings:
        form = self.form
        consistency = form.consistency.currentData()
        settings = ReconSettings(form.method.currentData(), consistency, together=self._is_together())
        if settings.together or form.method.currentData() in HAVE_STRENGTH:
            # the lowest value of either field stands for leaving it open
            strength = form.strength.value() or None
            settings = replace(settings, strength=strength, iterations=int(form.iterations.value()) or None)
        if consistency == "soft":
            settings = replace(settings, dc_weight=form.weight.value())
        if self._is_partial():
            settings = replace(settings, partial=form.partial.currentData())
        if self._card():
            settings = replace(settings, device=form.device.currentData())
        return settings

    def _is_together(self) -> bool:
        return self.form.together.isChecked() and not self._together_problem()

    def _together_problem(self) -> str:
        """Why frames cannot be reconstructed together; empty if they can."""
        if self._data.frame() is not None:
            return "one frame is chosen; choose all of them."
        return cannot_share(self._mask.kspace) if self._mask.kspace is not None else ""

    def _is_partial(self) -> bool:
        kspace = self._mask.kspace
        return kspace is not None and is_one_sided(kspace, [kspace.slices // 2])

    def _slice_input(self) -> Input | None:
        return None if why_not(self._facts()) else self._input()

    def _warnings(self) -> list[str]:
        if self._data.scan is None or self._mask.kspace is None:
            return []
        sampling = self._mask.sampling()
        found = warnings(self._mask.kspace, self._settings(), self._card(), sampling)
        share = self._data.scan.empty.get(sampling.direction if sampling else "x", 0)
        if share > scans.MANY_EMPTY:
            found.append(
                f"{share:.0%} of the outer k-space of the image is empty: it has fewer details than pixels, so "
                "undersampling looks easier than it is."
            )
        return found

    # ---- what is possible now, and why the rest is not ----

    def _job_changed(self) -> None:
        if not self._queue.kind:
            self._give_up()
        self._update()

    def _facts(self) -> Facts:
        form = self.form
        card = self._card()
        kspace = self._mask.kspace
        mask = kspace.mask if kspace else None
        raw = self._data.raw_file()
        source = form.source.currentData()
        shows = form.shows.currentData()
        return Facts(
            data_problem=self._data.problem,
            mask_problem=self._mask.problem,
            has_scan=self._data.scan is not None,
            has_kspace=kspace is not None,
            undersampled=mask is not None,
            thin_problem=cannot_thin(mask),
            shows=shows,
            has_frames=self._data.has_frames,
            source=source if isinstance(source, str) else "",
            suffix=raw.suffix.lower() if raw else "",
            mask=form.mask_kind.currentData() or "",
            consistency=form.consistency.currentData(),
            method=form.method.currentData() or "",
            together_problem=self._together_problem(),
            together=self._is_together(),
            view_problem=cannot_show(shows, kspace, self._settings(), self._card())
            if kspace and shows in VIEWS
            else "",
            is_partial=self._is_partial(),
            has_mask_file=self._mask.file is not None,
            has_file=self._data.file() is not None,
            has_maps=kspace is not None and has_maps(kspace, self._settings(), card),
            learned=card is not None,
            has_routers=has_routers(card),
            warnings=tuple(self._warnings()),
            job=self._queue.kind,
            has_begun=self._running is not None,
            has_result=self._finished() is not None,
        )

    def _update(self, event: Any = None) -> None:
        apply(self.form, state(self._facts()))

    # ---- run ----

    def run(self) -> None:
        """Reconstruct all slices as the form says now; a preview ends."""
        with jobs.errors_shown():
            pending = self._data.scan is None or self._mask.kspace is None or self._mask.pending
            given = None if pending else self._input()
            self.form.preview.setChecked(False)
            if self._queue.kind not in ("models", "open", "mask"):
                self._queue.stop()
            self._queue.want("run", partial(self._start_run, given))

    def _give_up(self) -> None:
        running = self._running
        self._running = None
        if running is not None:
            running.discard()

    def _start_run(self, given: Input | None) -> None:
        """Begin with what the form said at the click, or says now that the mask it asked for is drawn."""
        with jobs.errors_shown():
            given = given or self._input()
            estimated = given.card is not None
            finer = given.finish.finer
            running = Result(self._viewer, given.scan, given.settings.method, estimated, finer)
            self._running = running
            self._clock = jobs.Clock()
            self.form.bar.setRange(0, 0)
            self.form.status.say(f"Starting with {given.scan.name}…")
            self._queue.start(
                "run",
                given.job(start=self._view.number(given.scan)),
                title=f"Reconstruct {given.scan.name}",
                on_step=partial(self._show_step, running),
                on_done=partial(self._show_result, running, given),
                on_error=self._failed,
            )

    def _show_step(self, running: Result, step: Progress) -> None:
        self.form.bar.setRange(0, step.total if step.total > 1 else 0)
        self.form.bar.setValue(step.done)
        self.form.status.say(self._clock.text(step, "slices"))
        if step.partial is not None:
            running.show(step.partial)

    def _show_result(self, running: Result, given: Input, found: Reconstruction) -> None:
        self._running = None
        layer = running.finish(found)
        self.result = layer
        recorder_of(self._viewer).ran(found.record, layer, given.origin, **given.recorded())
        self.form.status.say(done_text(found))
        self._offer_results()
        self.compare.tick(layer.name)

    def _finished(self) -> Image | None:
        """The newest result in the viewer that has all its slices."""
        layers = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        finished = [layer for layer in layers if is_result(layer) and not is_partial(layer)]
        return finished[-1] if finished else None

    # ---- what comes after ----

    def _segment_result(self) -> None:
        layer = self._finished()
        bring_dock(self._viewer, "Segment").choose(layer)

    def _copy_command(self) -> None:
        with jobs.errors_shown():
            given = self._input()
            source = self._data.opened_file()
            text = options.command(
                "reconstruct",
                source,
                output=layer_volumes.beside(source, f"{given.settings.method}.nii.gz"),
                settings=given.settings,
                finish=given.finish,
                sampling=self.form.sampling(),
                mask_file=self._mask.file if self.form.mask_kind.currentData() == GIVEN else None,
                axes=self.form.axes.text().strip(),
                conjugate=self.form.conjugate.isChecked(),
                first=[f"{name}={number}" for name, number in (self._data.frame() or {}).items()],
                simulate=given.scan.kspace.simulated,
            )
            self._copy(text)

    def _copy_python(self) -> None:
        from ...runs import script

        with jobs.errors_shown():
            given = self._input()
            source = self._data.opened_file()
            self._copy_text(
                script.reconstruct(
                    given.settings,
                    source,
                    layer_volumes.beside(source, f"{given.settings.method}.nii.gz"),
                    finish=given.finish,
                    sampling=self.form.sampling(),
                    mask_file=self._mask.file if self.form.mask_kind.currentData() == GIVEN else None,
                    reading=self._data.reading(),
                    simulated=given.scan.kspace.simulated,
                )
            )

    # ---- what happens around the form ----

    def _layer_gone(self, layer: Layer) -> None:
        if self._running is not None and layer is self._running.layer:
            self.cancel()
        self._view.removed(layer)
        if layer is self.result:
            self.result = None

    def _clear(self) -> None:
        self._give_up()
        self.result = None
        for part in (self._view, self._data, self._mask, self.compare):
            part.clear()
