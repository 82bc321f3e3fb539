"""The voxel size of a labels layer in millimetres, and whether the layer lies on an image."""

from __future__ import annotations

from dataclasses import dataclass

from napari.layers import Image, Labels, Layer

from ...errors import VolumeError
from ...quantities import MICROSCOPY_MM
from ..kit import layer_volumes
from ..kit.records import noted


@dataclass(frozen=True)
class Spacing:
    """A voxel size.

    Parameters
    ----------
    mm : (float, float, float)
        Along z, y and x; of what has no slices in space, 1 along z.
    known : bool
        Whether it was measured: otherwise a voxel counts as 1.
    flat : bool
        Whether there is no axis of slices in space before y.
    """

    mm: tuple[float, float, float]
    known: bool
    flat: bool

    @property
    def unit(self) -> str:
        """In which lengths can be read: µm for what a microscope sees; empty if none is known."""
        if not self.known:
            return ""
        return "µm" if max(self.mm[-2:]) < MICROSCOPY_MM else "mm"

    @property
    def sizes(self) -> tuple[float, float, float]:
        """Along z, y and x in this unit; of what has no slices in space, 1 along z."""
        z, y, x = self.mm
        if self.unit != "µm":
            return self.mm
        return (z if self.flat else z * 1000), y * 1000, x * 1000


def spacing_of(layer: Labels, image: Layer | None = None) -> Spacing:
    """The voxel size of a layer, from its scale and units.

    Parameters
    ----------
    layer : napari.layers.Labels
    image : napari.layers.Layer, optional
        That lies on it, voxel by voxel: it knows the size where the labels were drawn by hand.
    """
    flat = layer.ndim < 3 or _is_time(layer)
    axes = (-2, -1) if flat else (-3, -2, -1)
    source = next((found for found in (layer, image) if found is not None and _is_measured(found, axes)), None)
    sizes = [1.0 if source is None else _length(source, axis) for axis in axes]
    z, y, x = [1.0, *sizes] if flat else sizes
    return Spacing((z, y, x), source is not None, flat)


def _is_measured(layer: Layer, axes: tuple[int, ...]) -> bool:
    return all(layer.units[axis].is_compatible_with("mm") for axis in axes)


def _is_time(layer: Labels) -> bool:
    axes = noted(layer).get("axes", "")
    said = axes[-3] if len(axes) == layer.ndim else str(layer.axis_labels[-3])
    return said.lower() in ("t", "time")


def _length(layer: Layer, axis: int) -> float:
    """Of a voxel along an axis in mm."""
    size = abs(float(layer.scale[axis]))
    return float((size * layer.units[axis]).to("mm").magnitude)


def misfit(layer: Labels, image: Image | None) -> str:
    """Why labels do not lie on an image, voxel by voxel; empty if they do, or there is none."""
    axes = next(iter(layer_volumes.axes_choices(image)), None) if image is not None else None
    if image is None or axes is None:
        return ""
    try:
        if layer_volumes.lies_on(layer, image, axes):
            return ""
    except VolumeError as error:
        return str(error)
    return (
        f"'{layer.name}' {tuple(layer.data.shape)} does not lie on '{image.name}' {tuple(image.data.shape)}, voxel "
        "by voxel. Its changes are kept all the same; choose the image that it was drawn on."
    )
