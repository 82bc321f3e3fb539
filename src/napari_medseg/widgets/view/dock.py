"""The View dock: planes as radiologists look at them, letters at the edges, grey windows, colour bars."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image
from napari.settings import get_settings

from ...errors import readable
from ...grey_values import CT_WINDOWS, percentile_window, sample, why_not_ct
from ...progress import Job
from ...viewing.planes import PLANES, Arrangement, arrange, why_not
from ...viewing.playing import frame_seconds, is_cine, play_text, true_fps
from ..kit.controls import apply
from ..kit.dock import Dock
from ..kit.layer_volumes import SIGHT
from ..kit.legend import meaning_of
from ..kit.records import noted
from ..kit.slices import place_in_view
from ..kit.upright import fit_view, show, shows, stored_orientation
from .form import ViewForm
from .state import Facts, state

if TYPE_CHECKING:
    from napari import Viewer


class ViewWidget(Dock):
    """Show images as radiologists look at them; data and labels stay as they are.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__(napari_viewer, ())
        self.form = ViewForm()
        self._no_ct: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        self._connect()
        self._open_form(self.form, self.form.status)
        self._update()

    def _connect(self) -> None:
        form = self.form
        for name, pressed in form.planes.items():
            pressed.clicked.connect(partial(self.show_plane, name))
        for name, pressed in form.windows.items():
            pressed.clicked.connect(partial(self.show_window, name))
        form.stored.clicked.connect(self.show_as_stored)
        form.percentiles.clicked.connect(self.show_percentiles)
        form.letters.setChecked(self._letters.wanted)
        form.letters.toggled.connect(self._want_letters)
        form.bar.clicked.connect(self._show_bar)
        form.true_speed.clicked.connect(self._play_at_true_speed)
        viewer = self._viewer
        camera = viewer.scene.camera.events
        for event in (viewer.dims.events.order, viewer.dims.events.ndisplay, camera.orientation, camera.angles):
            self._hear(event, self._update)
        self._hear(viewer.layers.selection.events.active, self._update)
        self._hear(self._letters.changed, self._update)
        self._hear(get_settings().application.events.playback_fps, self._update)

    def _models_job(self) -> Job[None]:
        """No models are needed here."""
        yield from ()

    def _list_layers(self) -> None:
        self._update()

    # ---- planes ----

    def show_plane(self, name: str) -> None:
        """Show one of `PLANES` of the image whose letters are shown."""
        anatomy = self._letters.anatomy
        if anatomy is None or why_not(anatomy, name):
            self._update()
            return
        self._arrange(arrange(anatomy, self._viewer.dims.ndim, name))

    def show_as_stored(self) -> None:
        """Show the axes as napari does when nobody has turned them."""
        self._arrange(Arrangement(tuple(range(self._viewer.dims.ndim)), stored_orientation()))

    def _arrange(self, arrangement: Arrangement) -> None:
        show(self._viewer, arrangement)
        fit_view(self._viewer)
        self._update()

    def _is_shown(self, name: str) -> bool:
        """Whether the canvas shows a plane as the button of it does."""
        anatomy = self._letters.anatomy
        if anatomy is None or why_not(anatomy, name):
            return False
        viewer = self._viewer
        frontal = viewer.dims.ndisplay == 2 or np.allclose(viewer.scene.camera.angles, 0)
        return shows(viewer, arrange(anatomy, viewer.dims.ndim, name)) and frontal

    def _want_letters(self, wanted: bool) -> None:
        self._letters.wanted = wanted

    # ---- grey values ----

    def _grey(self) -> Image | None:
        """The image whose grey values are chosen: the selected one, or else the lowest."""
        active = self._viewer.layers.selection.active
        return next((layer for layer in (active, *self._viewer.layers) if _is_grey(layer)), None)

    def show_window(self, name: str) -> None:
        """Show the grey values of one of `CT_WINDOWS`."""
        image = self._grey()
        if image is not None:
            image.contrast_limits = CT_WINDOWS[name].limits

    def show_percentiles(self) -> None:
        """Show the grey values between two percentiles."""
        image = self._grey()
        if image is None:
            return
        limits = percentile_window(self._values(image))
        if limits is None:
            self.form.status.say(f"Nearly all values of '{image.name}' are alike: there is no window to choose.")
            return
        self.form.status.say("")
        image.contrast_limits = limits

    def _values(self, image: Image) -> np.ndarray:
        """A sample of an image; of one that is not in memory, the slice in view."""
        data: Any = image.data[-1] if image.multiscale else image.data
        if not isinstance(data, np.ndarray) and not image.multiscale:
            data = data[tuple(place_in_view(self._viewer, image)[:-2])]
        return sample(np.asarray(data))

    def _why_not_ct(self, image: Image) -> str:
        if image not in self._no_ct:
            self._no_ct[image] = why_not_ct(_modality(image), self._values(image))
        return self._no_ct[image]

    # ---- colour bar ----

    def _show_bar(self, shown: bool) -> None:
        layer = self._viewer.layers.selection.active
        if _has_bar(layer):
            layer.colorbar.visible = shown
        self._update()

    # ---- cine ----

    def _cine(self) -> Image | None:
        """The selected image, or else the lowest one, that has time points."""
        active = self._viewer.layers.selection.active
        return next((layer for layer in (active, *self._viewer.layers) if _is_cine(layer)), None)

    def _cine_text(self, image: Image, seconds: float) -> str:
        axes = noted(image)["axes"]
        place = axes.index("t")
        dims = self._viewer.dims
        axis = dims.ndim - image.ndim + place
        slider = "" if axis in dims.displayed else dims.axis_labels[axis]
        fps = get_settings().application.playback_fps
        return play_text(readable(image.name), image.data.shape[place], slider, seconds, fps)

    def _play_at_true_speed(self) -> None:
        image = self._cine()
        fps = 0 if image is None else true_fps(frame_seconds(noted(image)))
        if fps:
            get_settings().application.playback_fps = fps

    # ---- what is possible now, and why the rest is not ----

    def _update(self, event: object = None) -> None:
        apply(self.form, state(self._facts()))
        for name, pressed in self.form.planes.items():
            pressed.setChecked(self._is_shown(name))
        layer = self._viewer.layers.selection.active
        self.form.bar.setChecked(_has_bar(layer) and layer.colorbar.visible)

    def _facts(self) -> Facts:
        sight = self._letters.sight
        anatomy = self._letters.anatomy
        image = self._grey()
        no_ct = "" if image is None else self._why_not_ct(image)
        active = self._viewer.layers.selection.active
        cine = self._cine()
        seconds = math.nan if cine is None else frame_seconds(noted(cine))
        fps = true_fps(seconds)
        return Facts(
            place=f"'{sight.layer}': {sight.plane}." if sight.plane else sight.why_not,
            why_no_place="" if anatomy is not None else sight.why_not,
            why_no_plane={} if anatomy is None else {name: why_not(anatomy, name) for name in PLANES},
            remark=sight.remark,
            why_no_grey="" if image is not None else "no image of grey values is open.",
            why_no_ct=no_ct,
            grey="" if image is None else _grey_text(image, no_ct),
            meaning=_meaning(active) if _has_bar(active) else "",
            has_bar=_has_bar(active),
            cine="" if cine is None else self._cine_text(cine, seconds),
            fps=0 if fps == get_settings().application.playback_fps else fps,
        )


def _has_bar(layer: object) -> TypeGuard[Image]:
    return isinstance(layer, Image) and not layer.rgb


def _is_grey(layer: object) -> TypeGuard[Image]:
    return isinstance(layer, Image) and not layer.rgb and not layer.metadata.get(SIGHT) and not meaning_of(layer)


def _is_cine(layer: object) -> TypeGuard[Image]:
    if not isinstance(layer, Image) or not layer.visible or layer.multiscale or layer.metadata.get(SIGHT):
        return False
    notes = noted(layer)
    axes = str(notes.get("axes", ""))
    return len(axes.removesuffix("c" * layer.rgb)) == layer.ndim and is_cine(axes, notes)


def _modality(image: Image) -> str:
    return str(noted(image).get("modality") or "")


def _grey_text(image: Image, no_ct: str) -> str:
    if no_ct:
        return f"Grey values of '{image.name}'."
    if _modality(image) == "CT":
        return f"Grey values of '{image.name}' in Hounsfield units (HU)."
    return f"'{image.name}' is taken for a CT in Hounsfield units (HU), by how its values are spread."


def _meaning(layer: Image) -> str:
    """What the colours of a layer stand for."""
    known = meaning_of(layer).replace("\n", ", ")
    return f"Its colours: {known}." if known else ""
