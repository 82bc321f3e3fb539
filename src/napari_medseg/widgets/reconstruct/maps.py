"""What the Reconstruct dock says about a slice on request: router map, stability, the method that suits it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error

from ...progress import Job, Progress
from ...recon.probe import NAMES, Probe
from ...recon.suggest import Hint
from ...recon.views import VIEWS
from ...volume import Volume
from ..kit import jobs
from ..kit.layer_volumes import SIGHT, Grid, add_router_map
from ..kit.legend import MEANING
from ..kit.listing import add_layer
from ..kit.recorder import recorder_of
from .state import MAPS
from .view import Input, Shown

if TYPE_CHECKING:
    from napari import Viewer

    from ...models import ModelCard
    from .form import ReconstructForm
    from .scans import Scan

_BRIGHTEST = 0.05  # of the scale of the images: where those of sensitivity and noise end, for every method alike
_MEANINGS = {
    "sensitivity": "sensitivity\nin units of the image",
    "noise": "noise, standard deviation\nin units of the image",
    "g-factor": "g-factor\ntimes the noise, no unit",
}
_MOST_G = 3.0  # where the scale of g-factors ends
_TURN = (-math.pi, math.pi)
_LOOKS: dict[str, tuple[str, tuple[float, float] | None]] = {
    "phase": ("twilight", _TURN),
    "coils": ("gray", None),
    "maps": ("viridis", (0.0, 1.0)),
    "map-phases": ("twilight", _TURN),
    "point-spread": ("magma", (-60.0, 0.0)),
}
"""Colours and limits of views; None where these are to follow from the data."""
_MOST = 99.8  # percentile of coil images where their scale ends


def has_routers(card: ModelCard | None) -> bool:
    """Whether the network of a model that reconstructs is a conditional one."""
    if card is None:
        return False
    from ...models import architecture  # imports PyTorch; whoever read the card has done that already

    return architecture(card.architecture).routed


class SliceMaps:
    """New layers over the slice in view, and which method suits it.

    Parameters
    ----------
    form : ReconstructForm
    viewer : napari.Viewer
    queue : Queue
        Runs jobs of the kinds ``routers``, ``probe`` and ``hint``.
    given : callable
        Says what is reconstructed how.
    number : callable
        Says the number of the slice in view of a scan.
    """

    def __init__(
        self,
        form: ReconstructForm,
        viewer: Viewer,
        queue: jobs.Queue,
        given: Callable[[], Input],
        number: Callable[[Scan], int],
    ):
        self._form, self._viewer, self._queue, self._given, self._number = form, viewer, queue, given, number
        self._clock = jobs.Clock()
        form.routers.clicked.connect(lambda: queue.want("routers", self._start_routers))
        form.probe.clicked.connect(lambda: queue.want("probe", self._start_probe))
        form.suggest.clicked.connect(lambda: queue.want("hint", self._start_hint))

    def _start_routers(self) -> None:
        with jobs.errors_shown():
            given = self._given()
            number = self._number(given.scan)
            place = given.scan.grid.at(given.scan.index(number))

            def show(gates: Volume) -> None:
                add_router_map(self._viewer, place, f"{given.scan.name} {given.settings.method}", gates)

            start = {"title": "Router map", "on_done": show, "on_error": self._failed}
            self._queue.start("routers", given.router_job(number), **start)

    def _start_probe(self) -> None:
        with jobs.errors_shown():
            given = self._given()
            number = self._number(given.scan)
            shows = self._form.shows.currentData()
            if shows in VIEWS:
                self._start_view(given, number, shows)
                return
            self._start_counted(
                "probe",
                given.probe_job(number, shows),
                "Repeating the reconstruction…",
                title=f"{MAPS[shows]} of {given.scan.name}",
                on_done=lambda found: self._show_probe(given, number, shows, found),
            )

    def _start_view(self, given: Input, number: int, name: str) -> None:
        self._form.bar.setRange(0, 0)
        self._form.status.say("Reconstructing the slice…")
        self._queue.start(
            "probe",
            given.view_job(number, name),
            title=f"{MAPS[name]} of {given.scan.name}",
            on_done=lambda found: self._show_view(given, number, name, found),
            on_error=self._failed,
        )

    def _show_view(self, given: Input, number: int, name: str, found: Shown) -> None:
        scan = given.scan
        view = VIEWS[name]
        place = scan.grid.at(scan.index(number))
        data = np.asarray(found.image.data)
        coils = len(data) if found.image.axes.startswith("c") else 0
        lead = (1,) * (len(place["scale"]) - 2)
        data = data.reshape((*((coils,) if coils else ()), *lead, *data.shape[-2:]))
        words = [scan.name, found.method, view.title[0].lower() + view.title[1:]]
        title = " ".join(word for word in words if word) + (f" ({view.unit})" if view.unit else "")
        colours, limits = _LOOKS[name]
        if limits is None:
            limits = (0.0, float(np.percentile(data, _MOST)) or 1.0)
        look = {"name": title, "colormap": colours, "contrast_limits": limits}
        where = Grid(place).with_first("coil").options if coils else place
        meaning = f"{view.title}\nin {view.unit}" if view.unit else view.title
        self._add(Image(data, **where, **look, metadata={SIGHT: True, MEANING: meaning}))
        text = f"{view.title}, {scan.words(number)}{f', in {view.unit}' if view.unit else ''}."
        if coils:
            text += f" The slider 'coil' goes through the {coils} coils."
        self._form.status.say(" ".join(part for part in (text, found.words) if part))

    def _add(self, layer: Image) -> None:
        """Show a layer with a colour bar; what is selected stays so."""
        chosen = set(self._viewer.layers.selection)
        layer.colorbar.visible = True
        add_layer(self._viewer, layer)
        self._viewer.layers.selection = chosen

    def _start_hint(self) -> None:
        with jobs.errors_shown():
            given = self._given()
            number = self._number(given.scan)
            names = [name for name in self._form.methods() if name != "zero-filled"]
            self._start_counted(
                "hint",
                given.hint_job(number, names),
                "Hiding lines…",
                title=f"Methods for {given.scan.name}",
                on_done=lambda found: self._show_hint(given, number, found),
            )

    def _start_counted(self, kind: str, job: Job[Any], words: str, **options: Any) -> None:
        self._clock = jobs.Clock()
        self._form.bar.setRange(0, 0)
        self._form.status.say(words)
        self._queue.start(kind, job, on_step=self._show_step, on_error=self._failed, **options)

    def _show_step(self, step: Progress) -> None:
        self._form.bar.setRange(0, step.total)
        self._form.bar.setValue(step.done)
        self._form.status.say(self._clock.text(step, "reconstructions"))

    def _show_probe(self, given: Input, number: int, shows: str, found: Probe) -> None:
        place = given.scan.grid.at(given.scan.index(number))
        image = found.image.data[0]
        data = image.reshape((1,) * (len(place["scale"]) - 2) + image.shape)
        layer = Image(
            data,
            **place,
            name=f"{given.scan.name} {given.settings.method} {NAMES[shows]}",
            contrast_limits=(0, _MOST_G if shows == "g-factor" else _BRIGHTEST * given.scan.limits[1]),
            colormap="inferno",
            metadata={SIGHT: True, MEANING: _MEANINGS[shows], "probe": found.report},
        )
        self._add(layer)
        self._form.status.say(_probe_text(given.scan.words(number), shows, found.report))

    def _show_hint(self, given: Input, number: int, found: Hint) -> None:
        recorder_of(self._viewer).studied(found.record, given.origin, **given.recorded())
        place = given.scan.words(number)
        self._form.status.say(f"{place[0].upper()}{place[1:]}: {found.verdict}\n⚠ {found.caution}\n{found.figures}")

    def _failed(self, why: str) -> None:
        self._form.status.say(why)
        show_error(why)


def _probe_text(place: str, shows: str, report: Mapping[str, Any]) -> str:
    """A map of a slice in one or two sentences."""
    if shows == "sensitivity":
        return (
            f"Sensitivity of {place}: the image moves by {report['share']:.2%} of its maximum (root mean "
            "square) with noise and lost lines. Errors that all repeats share do not show."
        )
    values = f"{report['median']:.3g} in the median of the bright pixels, {report['most']:.3g} in the worst 1%"
    if shows == "noise":
        return f"Noise of {place}, as standard deviation in the units of the image: {values}."
    return f"g-factor of {place}: {values}. It is the noise that the method adds; less than 1 is smoothing."
