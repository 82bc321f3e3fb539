"""Layers and volumes: what a job gets of a layer, and the layers its result becomes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap
from napari.utils.transforms import Affine

from ...errors import VolumeError
from ...io import contributions, places
from ...io.contributions import KEY, layer_tuple, volume_from_layer_data
from ...io.formats import stem
from ...record import Record, UsedModel
from ...slice_states import KEY as SLICES
from ...volume import LabelClass, Volume, in_pieces
from .legend import DISAGREEMENT, MEANING, ROUTERS, UNCERTAINTY
from .listing import Selection, add_layer, remove_layer
from .records import check_ledger, noted, put_record, record_of, settle
from .slices import place_in_view

if TYPE_CHECKING:
    from napari import Viewer
    from napari.components import ViewerModel

    from ...segmentation.inference import Part

SIGHT = "medseg_sight"
"""Key in the metadata of layers that are only looked at, such as log k-space and error images."""

_REFRESH_SECONDS = 0.25
_SAME_VOXEL = 0.01  # of a voxel: files hold positions in 32 bits
_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_DOUBT = Colormap([[1, 0.8, 0, 0], [1, 0.8, 0, 1]], name="uncertainty")  # sure is transparent, on any image
_DOUBT_LOOK: dict[str, Any] = {"colormap": _DOUBT, "contrast_limits": (0, 255), "blending": "translucent"}
_PACKAGE = Path(__file__).parents[2]


def axes_choices(layer: Image) -> tuple[str, ...]:
    """What the axes of `layer` can mean; a single choice where its file says or nothing else is possible."""
    return contributions.axes_choices(finest(layer), meta_of(layer))


def to_volume(layer: Image, axes: str | None) -> Volume:
    """What a job gets of an image layer, at its finest resolution; shares its array, or reads from it piece by piece.

    Parameters
    ----------
    axes : str or None
        One of `axes_choices`; None if it has none.

    Raises
    ------
    VolumeError
        If the layer has too many axes, or lies where no volume can.
    """
    if axes is None:
        raise VolumeError(f"'{layer.name}' cannot be used. {places.why_no_axes(layer.ndim, meta_of(layer))}")
    data = in_pieces(finest(layer))
    return volume_from_layer_data(data[..., :3] if layer.rgb else data, meta_of(layer), axes)


def finest(layer: Layer) -> Any:
    """The array of a layer; of one with several resolutions that with the most voxels, which is read piece by piece."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def labels_volume(layer: Labels, image: Image | None, axes: str | None) -> Volume:
    """What is saved of a labels layer: a copy of its voxels, on the grid of the image it was made from.

    Labels with several resolutions cannot be painted on, and are not copied.

    Parameters
    ----------
    image : napari.layers.Image or None
        Says where in the patient labels lie that were drawn by hand next to it; on it, they get its grid.
    axes : str or None
        Axes of `image`.

    Raises
    ------
    VolumeError
        If the layer has too many axes, or lies where no volume can.
    """
    settle(layer)
    check_ledger(layer)
    if image is not None and axes is not None and not noted(layer).get("axes"):
        volume = _drawn(layer, image, axes)
    else:
        volume = volume_from_layer_data(finest(layer), meta_of(layer))
    if not layer.multiscale:
        volume = replace(volume, data=np.array(layer.data))  # the person may go on painting
    where = volume.channel_axis
    if where is not None and volume.data.shape[where] == 1:  # see `Grid`
        volume = volume.select("c", 0)
    return as_labels(volume)


def was_moved(image: Image, axes: str | None) -> bool:
    """Whether an image was turned, mirrored, scaled or moved since its file was opened; a cropped one was not."""
    notes = noted(image)
    if not notes.get("axes"):
        return False
    volume = to_volume(image, axes)
    change = np.abs(volume.affine - notes["affine"]) > _SAME_VOXEL * min(volume.spacing)
    whole = tuple(notes.get("shape", ())) == tuple(image.data.shape)
    return bool(change[:3, :3].any() or (whole and change.any()))


def as_labels(volume: Volume) -> Volume:
    """The same volume, marked as one that holds class or object numbers."""
    return replace(volume, metadata={**volume.metadata, "labels": True})


def source_path(layer: Image) -> Path | None:
    """File or folder that `layer` was read from, if any."""
    source = noted(layer).get("source") or layer.source.path
    return Path(source) if source else None


def suggested_path(volume: Volume, name: str) -> Path:
    """Where to save labels made from `volume`: next to its file, or at home where that cannot be written."""
    source = Path(volume.metadata.get("source") or Path.home() / name)
    return beside(source, f"labels{'.nii.gz' if volume.has_spacing else '.tif'}")


def beside(source: Path, ending: str) -> Path:
    """Where to save what was made of the file `source`: next to it, or at home where that cannot be written."""
    folder = source.parent if os.access(source.parent, os.W_OK) and _PACKAGE not in source.parents else Path.home()
    name = stem(source)
    return folder / f"{source.stem if name == source.name else name}_{ending}"


def _drawn(layer: Labels, image: Image, axes: str) -> Volume:
    """The volume of labels whose place is known from that of an image in the same viewer alone."""
    volume = to_volume(image, axes)
    flat = axes.replace("c", "")
    # napari's own new labels have the channels of their image
    own = flat if layer.ndim <= len(flat) else axes.removesuffix("c")
    made = volume.made_by(record_of(layer)).with_slices(noted(layer).get(SLICES))
    classes = noted(layer).get("classes", ())
    notes = {**made.metadata, "axes": own, "affine": volume.affine, "classes": classes}
    meta = {**meta_of(layer), "metadata": {KEY: notes}}
    if not any(unit.is_compatible_with("mm") for unit in layer.units):
        meta["units"] = image.units[-layer.ndim :]
    return volume_from_layer_data(finest(layer), meta)


def lies_on(layer: Labels, image: Image, axes: str) -> bool:
    """Whether labels lie voxel by voxel on an image, whose axes are `axes`.

    Raises
    ------
    VolumeError
        If one of them has too many axes, or lies where no volume can.
    """
    shape = [n for n, axis in zip(image.data.shape, axes, strict=True) if axis != "c"]
    if list(layer.data.shape) != shape:
        return False
    theirs = to_volume(image, axes)
    both = noted(layer).get("axes") and noted(image).get("axes")
    mine = volume_from_layer_data(finest(layer), meta_of(layer)) if both else _drawn(layer, image, axes)
    return np.abs(mine.affine - theirs.affine).max() < _SAME_VOXEL * min(theirs.spacing)


def meta_of(layer: Layer) -> dict[str, Any]:
    """What a layer says of its place, its axes and its making, as in its layer tuple."""
    found = {name: getattr(layer, name) for name in ("metadata", *_PLACE)}
    return {**found, "rgb": getattr(layer, "rgb", False)}


def shown_index(viewer: Viewer, layer: Layer, axes: str) -> dict[str, int]:
    """Position of the slice of `layer` in view along time and slices.

    Parameters
    ----------
    axes : str
        Axes of the layer, for example ``tzyx``; a trailing ``c`` (RGB) is not an axis of a layer.
    """
    place = place_in_view(viewer, layer)
    return {axis: place[i] for i, axis in enumerate(axes.removesuffix("c")) if axis in "tz"}


def shown_slice(viewer: Viewer, layer: Layer, axes: str) -> int:
    """Number of the slice in view, counted over time and slices."""
    index = shown_index(viewer, layer, axes)
    shape = [layer.data.shape[axes.index(axis)] for axis in index]
    return int(np.ravel_multi_index(list(index.values()), shape)) if index else 0


def shows_slices(viewer: ViewerModel) -> bool:
    """Whether the canvas shows one slice (y, x) after the other rather than another plane or a rendering."""
    return viewer.dims.ndisplay == 2 and tuple(viewer.dims.displayed) == (viewer.dims.ndim - 2, viewer.dims.ndim - 1)


@dataclass(frozen=True)
class Grid:
    """Where the labels of an image lie in the viewer.

    Parameters
    ----------
    options : mapping
        Arguments of a new layer: scale, translate and the like.
    channel : int or None
        Position of a length-one axis that stands for the channels, where they are not the first axis.
    """

    options: Mapping[str, Any]
    channel: int | None = None

    @classmethod
    def of(cls, layer: Image, axes: str) -> Grid:
        """The grid of `layer`, whose axes are `axes`, without its channels."""
        where = axes.removesuffix("c").find("c")
        kept = [i for i in range(layer.ndim) if i != where or where > 0]
        square = np.ix_(kept, kept)
        scale, translate = layer.scale.copy(), layer.translate.copy()
        if where > 0:  # one long voxel along the channels: the labels belong to all of them
            count = layer.data.shape[where]
            translate[where] += scale[where] * (count - 1) / 2
            scale[where] *= count
        # a layer that is turned between channels and space cannot be segmented, see `to_volume`: nothing is cut off
        options = {
            "scale": scale[kept],
            "translate": translate[kept],
            "rotate": layer.rotate[square],
            "shear": Affine(scale=np.ones(layer.ndim), shear=layer.shear).linear_matrix[square],
            "affine": layer.affine.set_slice(kept).affine_matrix,
            "units": [layer.units[i] for i in kept],
            "axis_labels": [layer.axis_labels[i] for i in kept],
        }
        return cls(options, where if where > 0 else None)

    def view(self, array: np.ndarray) -> np.ndarray:
        """`array` (axes of the image without channels) with the axes of the layer; shares its memory."""
        return array if self.channel is None else np.expand_dims(array, self.channel)

    def at(self, index: tuple[int, ...]) -> Mapping[str, Any]:
        """`options` for a single slice that lies at `index` along the axes before y and x."""
        ndim = len(self.options["scale"])
        step = np.zeros(ndim)
        step[[i for i in range(ndim - 2) if i != self.channel]] = index
        return self.at_step(step)

    def at_step(self, step: Sequence[float] | np.ndarray) -> Mapping[str, Any]:
        """`options` for what begins so many voxels farther along every axis."""
        turn = {name: self.options[name] for name in ("rotate", "shear") if name in self.options}
        linear = Affine(scale=self.options["scale"], **turn).linear_matrix
        return {**self.options, "translate": self.options["translate"] + linear @ np.asarray(step, float)}

    def with_first(self, name: str) -> Grid:
        """The same with another axis called `name` before the others, such as one of coils."""
        turn = {name: self.options[name] for name in ("scale", "translate", "rotate", "shear") if name in self.options}
        whole = Affine(**turn)
        if "affine" in self.options:
            whole = Affine(affine_matrix=self.options["affine"]).compose(whole)
        options: dict[str, Any] = {"affine": whole.expand_dims([0]).affine_matrix}
        for key, first in (("units", "pixel"), ("axis_labels", name)):
            if key in self.options:
                options[key] = [first, *self.options[key]]
        return Grid(options)


def put_array(layer: Layer, array: np.ndarray) -> None:
    """Have a layer show other voxels of the same shape."""
    layer.data = array  # what napari says of images and labels has no place for an array of numpy


class Result:
    """The layers of one run: they appear with its first slices and vanish when it is given up.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
        The layer that the run starts from; it may change or vanish afterwards.
    volume : Volume
        What the run gets of it.
    model : str
        Name of the model, or ``consensus`` of several.
    classes : tuple of LabelClass
        Class table of the labels; empty when they number objects.
    """

    def __init__(self, viewer: Viewer, image: Image, volume: Volume, model: str, classes: tuple[LabelClass, ...]):
        self.labels: Labels | None = None
        self._doubts: list[Image] = []
        self._viewer = viewer
        self._volume = volume
        self._classes = classes
        self._image = image.name
        self._model = model
        self._grid = Grid.of(image, volume.axes)
        self._axes = volume.axes.removesuffix("c") if self._grid.channel else volume.axes.replace("c", "")
        self._selection = Selection(viewer)
        self._refreshed = 0.0

    @property
    def layers(self) -> list[Layer]:
        """The layers of the run that are in the viewer."""
        return [layer for layer in (self.labels, *self._doubts) if layer is not None and layer in self._viewer.layers]

    def show(self, part: Part) -> None:
        """Show what is finished; the layers share the arrays of the job."""
        if self.labels is None:
            self._add(part)
        elif self._in_view(self.labels, part.indices):
            self._refreshed = time.monotonic()
            for layer in self.layers:
                layer.refresh(extent=False, highlight=False, thumbnail=False)

    def finish(self, record: Record | None = None) -> Labels:
        """Hand the finished layers over to the person, with the record of the run."""
        for layer in self.layers:
            if record is not None:
                put_record(layer, record)
            layer.editable = True
            layer.refresh()
        return cast(Labels, self.labels)  # they came with the first slices

    def discard(self) -> None:
        """Leave the viewer as it was before the run."""
        for layer in self.layers:
            remove_layer(self._viewer, layer)
        self._selection.restore()

    def _add(self, part: Part) -> None:
        name = f"{self._image} {self._model}"
        if part.uncertainty is not None:
            self._add_doubt(part.uncertainty, f"{name} uncertainty", UNCERTAINTY)
        unfinished = Record("segment", models=(UsedModel(self._model),))
        labels = self._layer_volume(part.labels, self._classes).made_by(unfinished)
        data, options, _ = layer_tuple(as_labels(labels), name)
        self.labels = add_layer(self._viewer, Labels(data, **{**options, **self._grid.options}))
        self.labels.editable = False  # strokes made while slices arrive would be overwritten
        if part.disagreement is not None:
            # above the labels, or their colours would hide where most models but not all found them
            self._add_doubt(part.disagreement, f"{name} disagreement", DISAGREEMENT, opacity=0.7)
            self._viewer.layers.selection.active = self.labels

    def _add_doubt(self, array: np.ndarray, name: str, meaning: str, **look: Any) -> None:
        data, options, _ = layer_tuple(self._layer_volume(array), name)
        options["metadata"] = {**options["metadata"], MEANING: meaning}
        layer = Image(data, **{**options, **self._grid.options, **_DOUBT_LOOK, **look})
        layer.colorbar.visible = True
        self._doubts.append(add_layer(self._viewer, layer))

    def _layer_volume(self, array: np.ndarray, classes: tuple[LabelClass, ...] = ()) -> Volume:
        volume = self._volume.like(array, classes)
        if self._grid.channel is None:
            return volume
        return replace(volume, data=self._grid.view(array), axes=self._volume.axes)

    def _in_view(self, labels: Labels, indices: list[int]) -> bool:
        if self._viewer.dims.ndisplay == 3:
            return False  # a rendering is redrawn once, at the end
        if shows_slices(self._viewer):
            return bool(self.layers) and shown_slice(self._viewer, labels, self._axes) in indices
        return time.monotonic() - self._refreshed > _REFRESH_SECONDS


def add_router_map(viewer: Viewer, place: Mapping[str, Any], name: str, gates: Volume) -> None:
    """Show the gates of one slice, axes ``yx``, at the `place` that `Grid.at` says; what is selected stays so."""
    data = gates.data.reshape((1,) * (len(place["scale"]) - 2) + gates.data.shape)
    chosen = set(viewer.layers.selection)
    look: dict[str, Any] = {"colormap": "inferno", "blending": "additive", "opacity": 0.7}
    image = Image(data, **place, **look, name=f"{name} router map", metadata={MEANING: ROUTERS})
    image.colorbar.visible = True
    add_layer(viewer, image)
    viewer.layers.selection = chosen
