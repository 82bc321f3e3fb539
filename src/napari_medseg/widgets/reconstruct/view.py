"""What the Reconstruct dock shows of the slice in view, anew after each change: k-space with its mask, a preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error

from ...io import items
from ...kspace import KSpace
from ...progress import Job, Progress
from ...recon.grid import image_volume, shown
from ...recon.point_spread import in_words, point_spread, worst_side_lobe
from ...recon.probe import Probe, probe_job
from ...recon.reconstruct import Reconstruction, reconstruct_job
from ...recon.router_map import router_map_job
from ...recon.settings import FinishSettings, ProbeSettings, ReconSettings
from ...recon.suggest import Hint, hint_job
from ...replay import lines
from ...volume import Volume
from ..kit.shelf import Shelf
from . import scans
from .kspace_layers import KSpaceView, SliceImage
from .scans import Scan

if TYPE_CHECKING:
    from napari import Viewer

    from ...models import ModelCard, TrainedModel
    from ..kit.jobs import Queue
    from .form import ReconstructForm


class Shown(NamedTuple):
    """What is to be shown of one slice, the method it was made by, and what it says in a sentence, if anything."""

    image: Volume
    method: str
    words: str


@dataclass(frozen=True, eq=False)
class Input:
    """What the form says, taken down when a job starts."""

    scan: Scan
    kspace: KSpace
    settings: ReconSettings
    card: ModelCard | None
    shelf: Shelf
    finish: FinishSettings
    origin: Image | None  # whose measurement is simulated
    reading: Mapping[str, Any]  # of the file of raw data

    @property
    def _cards(self) -> list[ModelCard]:
        return [self.card] if self.card else []

    def job(self, **where: Any) -> Job[Reconstruction]:
        """Reconstruct, after the network was loaded; `where` are options of `reconstruct_job`."""
        options: dict[str, Any] = {"finished": self.finish, **where}
        return self.shelf.job(
            self._cards,
            lambda models: reconstruct_job(self.kspace, self.settings, model=next(iter(models), None), **options),
        )

    def recorded(self) -> dict[str, Any]:
        """What a session says of a run, next to its record: how the file was read, or the image, and a chosen mask."""
        fields: dict[str, Any] = {"reading": self.reading}
        if self.scan.kspace.simulated:
            fields["item"] = items.of_result(self.scan.image)
        if self.kspace.mask is not None and self.kspace.mask is not self.scan.kspace.mask:
            fields["mask"] = lines.pack(self.kspace.mask)
        return fields

    def view_job(self, number: int, name: str) -> Job[Shown]:
        """One of `views.VIEWS` of the slice of this number, before filter and interpolation."""
        if name == "point-spread":
            # no method has to be run for that
            yield Progress(0, 1)
            spread = shown(self.kspace, point_spread(self.kspace.mask_of(number), self.kspace.matrix))
            return Shown(image_volume(self.kspace, spread[None]), "", in_words(worst_side_lobe(self.kspace, [number])))
        found = yield from self.job(indices=[number], also=[name], finished=FinishSettings())
        return Shown(found.views[name], found.record.figures["used"]["method"], "")

    def router_job(self, number: int) -> Job[Volume]:
        """Where the network spends its heavy attention in the slice of this number."""
        return self.shelf.job(self._cards, lambda models: router_map_job(self.kspace, self.settings, models[0], number))

    def probe_job(self, number: int, shows: str) -> Job[Probe]:
        """What repeated reconstructions of the slice of this number show, see `ProbeSettings`."""
        probe = ProbeSettings(shows=shows)

        def work(models: list[TrainedModel]) -> Job[Probe]:
            return probe_job(self.kspace, self.settings, probe, model=next(iter(models), None), indices=[number])

        return self.shelf.job(self._cards, work)

    def hint_job(self, number: int, names: Sequence[str]) -> Job[Hint]:
        """Which of the methods of these names best predicts samples that are hidden in the slice of this number."""
        learned = [name for name in names if name in self.shelf.reconstructors]

        def work(models: list[TrainedModel]) -> Job[Hint]:
            known = dict(zip(learned, models, strict=True))
            alone = replace(self.settings, together=False)
            candidates = [(replace(alone, method=name), known.get(name)) for name in names]
            return hint_job(self.kspace, candidates, indices=[number])

        return self.shelf.job([self.shelf.reconstructors[name] for name in learned], work)


class SliceView:
    """Layers of the slice in view.

    Parameters
    ----------
    form : ReconstructForm
    viewer : napari.Viewer
    queue : Queue
        Runs jobs of the kinds ``picture`` and ``preview``.
    given : callable
        Says what to show; None while nothing can be shown.
    painted : callable
        Called with a mask that was painted, and the number of its slice.
    """

    def __init__(
        self,
        form: ReconstructForm,
        viewer: Viewer,
        queue: Queue,
        given: Callable[[], Input | None],
        painted: Callable[[np.ndarray, int], None],
    ):
        self._form, self._viewer, self._queue, self._given = form, viewer, queue, given
        self._preview = SliceImage(viewer)
        self._tuned: tuple[KSpace, ReconSettings, ReconSettings] | None = None
        self._kspace = KSpaceView(viewer, painted)
        form.view.toggled.connect(self._view_toggled)
        form.preview.toggled.connect(self._preview_toggled)

    def update(self, event: Any = None) -> None:
        """Something that is shown has changed: the slice, the mask, the method."""
        for box, kind, begin in (
            (self._form.view, "picture", self._start_picture),
            (self._form.preview, "preview", self._start_preview),
        ):
            if box.isChecked():
                if self._queue.kind == kind:
                    self._queue.stop()  # the newest wish wins
                self._queue.want(kind, begin)

    def number(self, scan: Scan) -> int:
        """Of the slice in view; the middle one while the viewer shows no layers along slices."""
        lead = len(scan.axes) - 2
        dims, place = self._viewer.dims, scan.grid.options
        if not lead:
            return 0
        if dims.ndim < lead + 2 or not len(self._viewer.layers):
            return scan.kspace.slices // 2
        along = slice(-lead - 2, -2)
        points = np.array(dims.point[along])
        return scan.number((points - place["translate"][along]) / np.array(place["scale"][along]))

    def removed(self, layer: Layer) -> None:
        """A layer was taken out of the viewer."""
        if layer is self._preview.layer:
            self._form.preview.setChecked(False)
        if layer is self._kspace.mask:
            self._form.view.setChecked(False)

    def painted(self, layer: Labels, slices: set[int] | None = None) -> None:
        """A person has painted on a layer, or undone it."""
        self._kspace.read(layer)

    def clear(self) -> None:
        """Remove the layers."""
        self._preview.clear()
        self._kspace.clear()

    def _view_toggled(self, ticked: bool) -> None:
        if ticked:
            self.update()
        else:
            self._queue.forget("picture")
            self._kspace.clear()

    def _preview_toggled(self, ticked: bool) -> None:
        if ticked:
            self.update()
        else:
            self._queue.forget("preview")
            self._preview.clear()

    def _start_picture(self) -> None:
        if (given := self._given()) is None:
            return
        number = self.number(given.scan)

        def show(picture: scans.Picture) -> None:
            if self._form.view.isChecked():
                self._kspace.show(given.scan, given.kspace.mask_of(number), picture, number)

        job = scans.picture_job(given.kspace, number)
        self._queue.start("picture", job, title="k-space", quiet=True, on_done=show, on_error=self._failed)

    def _start_preview(self) -> None:
        if (given := self._given()) is None:
            return
        asked = (given.kspace, given.settings)
        if self._tuned is not None and self._tuned[0] is given.kspace and self._tuned[1] == given.settings:
            given = replace(given, settings=self._tuned[2])
        number = self.number(given.scan)
        place = given.scan.place(given.finish.finer).at(given.scan.index(number))

        def show(found: Reconstruction) -> None:
            if self._form.preview.isChecked():
                used = found.report["used"]
                # the next slices need not choose again
                self._tuned = (*asked, replace(given.settings, method=used["method"], strength=used["strength"]))
                name = f"preview {used['method']} (not saved)"
                self._preview.show(found.image.data[0], place, name, given.scan.limits)
                seconds = found.report["seconds"]
                self._form.status.say(f"Preview: data residual {found.residual:.3f}, {seconds:.1f} s.")

        job = given.job(indices=[number])
        self._queue.start("preview", job, title="Preview", quiet=True, on_done=show, on_error=self._failed)

    def _failed(self, why: str) -> None:
        self._form.status.say(why)
        show_error(why)
