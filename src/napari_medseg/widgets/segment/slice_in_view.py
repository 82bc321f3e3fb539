"""What the Segment form shows of the slice in view: its labels before a run, and where routers spend attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels

from ...errors import MedsegError
from ...io.contributions import layer_tuple
from ..kit import jobs, layer_volumes
from ..kit.listing import add_layer, remove_layer

if TYPE_CHECKING:
    from napari import Viewer

    from ...volume import Volume
    from ..kit.shelf import Shelf
    from .form import SegmentForm
    from .rows import Input


class SliceInView:
    """The preview, which follows the slice in view while it is ticked, and the router map.

    Parameters
    ----------
    form : SegmentForm
    viewer : napari.Viewer
    shelf : Shelf
    queue : Queue
    ask : callable
        Gives what the form says, or raises a `MedsegError`.
    cannot, failed : callable
        Called with why the image cannot be segmented; with why a job failed.
    """

    def __init__(
        self,
        form: SegmentForm,
        viewer: Viewer,
        shelf: Shelf,
        queue: jobs.Queue,
        *,
        ask: Callable[[], Input],
        cannot: Callable[[str], None],
        failed: Callable[[str], None],
    ):
        self._form, self._viewer, self._shelf, self._queue = form, viewer, shelf, queue
        self._ask, self._cannot, self._failed = ask, cannot, failed
        self._preview = Preview(viewer)

    @property
    def layer(self) -> Labels | None:
        """The layer of the preview."""
        return self._preview.layer

    def clear(self) -> None:
        """Remove the preview."""
        self._preview.clear()

    def toggled(self, ticked: bool) -> None:
        """The box of the preview was ticked, or not any more."""
        if ticked:
            self.changed()
        else:
            self._queue.forget("preview")
            self._preview.clear()

    def changed(self, event: Any = None) -> None:
        """Another slice is in view, or what the form says has changed."""
        if self._form.preview.isChecked():
            self._queue.want("preview", self._start_preview)

    def _start_preview(self) -> None:
        from .work import slice_job

        try:
            given = self._ask()
        except MedsegError:  # the plan says so
            self._form.preview.setChecked(False)
            return
        index = layer_volumes.shown_index(self._viewer, given.image, given.volume.axes)
        grid = layer_volumes.Grid.of(given.image, given.volume.axes)

        def show(found: Volume) -> None:
            if self._form.preview.isChecked() and given.image in self._viewer.layers:
                self._preview.show(found, tuple(index.values()), grid)

        job = self._shelf.job(given.cards, lambda models: slice_job(given.volume, models, given.settings, index))
        self._queue.start("preview", job, title="Preview", quiet=True, on_done=show, on_error=self._cannot)

    def want_routers(self) -> None:
        """Show the router map of the slice in view as soon as no other job is under way."""
        with jobs.errors_shown():
            self._queue.want("routers", partial(self._start_routers, self._ask()))

    def _start_routers(self, given: Input) -> None:
        from .work import router_job

        with jobs.errors_shown():
            index = layer_volumes.shown_index(self._viewer, given.image, given.volume.axes)
            place = layer_volumes.Grid.of(given.image, given.volume.axes).at(tuple(index.values()))
            name = f"{given.image.name} {given.cards[0].name}"
            show = partial(layer_volumes.add_router_map, self._viewer, place, name)
            job = self._shelf.job(given.cards, lambda models: router_job(given.volume, models, given.settings, index))
            self._queue.start("routers", job, title="Router map", on_done=show, on_error=self._failed)


class Preview:
    """One layer with the labels of the slice in view, used again for every slice."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        self.layer: Labels | None = None
        self._look: tuple[Any, ...] = ()

    def show(self, labels: Volume, index: tuple[int, ...], grid: layer_volumes.Grid) -> None:
        """Show the labels of one slice, axes ``yx``, at its `index` along the axes before y and x."""
        data = labels.data.reshape((1,) * (len(grid.options["scale"]) - 2) + labels.data.shape)
        place = grid.at(index)
        look = (place["scale"].tolist(), labels.classes)
        layer = self.layer if self.layer in self._viewer.layers else None
        if layer is not None and look == self._look:
            layer_volumes.put_array(layer, data)
            layer.translate = place["translate"]
        else:
            self.clear()
            chosen = set(self._viewer.layers.selection)
            _, options, _ = layer_tuple(layer_volumes.as_labels(labels), "preview (not saved)")
            layer = Labels(data, **{**options, **place, "metadata": {layer_volumes.SIGHT: True}})
            self.layer = add_layer(self._viewer, layer)
            self._viewer.layers.selection = chosen
            self._look = look
        layer.editable = False

    def clear(self) -> None:
        """Remove the layer."""
        remove_layer(self._viewer, self.layer)
        self.layer = None
