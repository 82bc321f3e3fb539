"""How a result looks: figures of every class that need no reference, and a small picture with contours.

Everything is read from the files that a task has made, so that what is shown is what a person will open.
"""

from __future__ import annotations

import base64
import io as streams
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from .. import files, io
from ..volume import LabelClass, Volume
from . import outputs
from .tasks import Look, LookOfClass, Task

_SLICES = 7
_SIDE = 112  # pixels of a slice in the picture
_MARGIN = 0.5  # of the box around the labels, that is shown around it
_SMALLEST = 48  # voxels of a side that is shown
_QUALITY = 80
_RANGE = (1, 99)  # percentiles that become black and white
_ONE = (LabelClass(1, "objects", "#e64b35"),)


@dataclass(frozen=True)
class _Shown:
    """What a picture is made of.

    Parameters
    ----------
    image : Volume or None
        Without it the labels are filled.
    labels : numpy.ndarray or None, shape (t, z, y, x)
    classes : tuple of LabelClass
    aspect : float
        Height of a pixel by its width.
    """

    image: Volume | None
    labels: np.ndarray | None
    classes: tuple[LabelClass, ...]
    aspect: float


def of_task(task: Task) -> Look | None:
    """How the outputs of a finished task look; None for kinds of work that have no picture."""
    make = LOOKS.get(task.what)
    return make(task) if make else None


def of_labels(labels: Volume, image: Volume | None = None, uncertainty: Volume | None = None) -> Look:
    """Figures of labels and their picture.

    Parameters
    ----------
    labels : Volume
        Classes; without a class table every number above 0 counts as one class, as the numbers of objects do.
    image : Volume, optional
        On the grid of the labels.
    uncertainty : Volume, optional
        Likewise; 0 sure, 255 undecided.
    """
    array = _stacks(labels)
    doubt = None if uncertainty is None else _stacks(uncertainty)
    classes = labels.classes
    if not classes or _has_objects(labels):
        classes = classes[:1] or _ONE
        array = np.where(array > 0, classes[0].id, 0)
    found = tuple(_of_class(row, labels, array, doubt) for row in classes)
    return Look(found, _picture(_Shown(image, array, classes, _aspect(labels))))


def of_image(image: Volume) -> Look:
    """The picture of an image without labels."""
    return Look((), _picture(_Shown(image, None, (), _aspect(image))))


def _has_objects(labels: Volume) -> bool:
    """Whether the numbers of labels are those of objects."""
    return labels.record is not None and "objects" in labels.record.figures


def _of_class(row: LabelClass, labels: Volume, array: np.ndarray, doubt: np.ndarray | None) -> LookOfClass:
    mask = array == row.id
    voxels = int(np.count_nonzero(mask))
    volume_ml = area_mm2 = None
    if labels.has_spacing and labels.spatial_axes == "zyx":
        volume_ml = voxels * labels.voxel_size / 1000 / len(array)
    elif labels.has_spacing:
        area_mm2 = voxels * labels.voxel_size / len(array)
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return LookOfClass(row.id, row.name, row.colour, voxels, volume_ml, area_mm2)
    inside = mask[boxes[0]]
    return LookOfClass(
        row.id,
        row.name,
        row.colour,
        voxels,
        volume_ml,
        area_mm2,
        area_jump=_area_jump(inside),
        parts=max(ndimage.label(stack)[1] for stack in inside),
        touches_border=_touches(mask),
        uncertainty=None if doubt is None else _at_border(inside, doubt[boxes[0]]),
    )


def _area_jump(mask: np.ndarray) -> float | None:
    """Largest change of the area (t, z, y, x) between neighbouring slices by the largest area; the ends do not count.

    None where there are fewer than three slices.
    """
    areas = np.count_nonzero(mask, axis=(2, 3))
    if areas.shape[1] < 3:
        return None
    found = 0.0
    for row in areas:
        there = np.flatnonzero(row)
        if there.size:
            between = row[there[0] : there[-1] + 1].astype(float)
            found = max(found, float(np.abs(np.diff(between)).max(initial=0.0)))
    return found / float(areas.max())


def _touches(mask: np.ndarray) -> bool:
    """Whether labels (t, z, y, x) reach the end of a slice; a stack often ends within an organ."""
    ends = (mask[..., 0, :], mask[..., -1, :], mask[..., :, 0], mask[..., :, -1])
    return any(bool(end.any()) for end in ends)


def _at_border(mask: np.ndarray, doubt: np.ndarray) -> float:
    """Mean uncertainty, from 0 to 1, of the outer pixels of labels (t, z, y, x) in each slice."""
    cross = ndimage.generate_binary_structure(2, 1)[None, None]
    border = mask & ~ndimage.binary_erosion(mask, cross)
    return float(doubt[border].mean()) / 255


def _stacks(volume: Volume) -> np.ndarray:
    """The array of labels with the axes (t, z, y, x)."""
    array = np.asarray(volume.data)
    for place, axis in enumerate("tz"):
        if axis not in volume.axes:
            array = np.expand_dims(array, place)
    return array


def _aspect(volume: Volume) -> float:
    height, width = volume.spacing[-2:]
    return float(np.clip(height / width, 0.2, 5))


def _picture(shown: _Shown) -> str:
    """Slices across the extent of the labels next to each other, as JPEG in base64."""
    stack = _stack_of(shown)
    box = _box(shown.labels[stack]) if shown.labels is not None else None
    numbers = _numbers(shown, box)
    ranges = (slice(None), slice(None)) if box is None else box[1:]
    labels = [None if shown.labels is None else shown.labels[stack, number][ranges] for number in numbers]
    planes: list[np.ndarray | None] = [None] * len(numbers)
    if shown.image is not None:
        planes = _grey([_plane(shown.image, stack, number)[ranges] for number in numbers], shown.image.low_is_bright)
    tiles = [_tile(plane, found, shown) for plane, found in zip(planes, labels, strict=True)]
    whole = Image.new("RGB", (sum(tile.width + 2 for tile in tiles) - 2, max(tile.height for tile in tiles)))
    left = 0
    for tile in tiles:
        whole.paste(tile, (left, 0))
        left += tile.width + 2
    content = streams.BytesIO()
    whole.save(content, "JPEG", quality=_QUALITY, subsampling=0)  # thin lines keep their colours
    return base64.b64encode(content.getvalue()).decode()


def _stack_of(shown: _Shown) -> int:
    """The time point with the most labels."""
    if shown.labels is None:
        return 0
    return int(np.count_nonzero(shown.labels, axis=(1, 2, 3)).argmax())


def _box(labels: np.ndarray) -> tuple[slice, slice, slice] | None:
    """The box around labels (z, y, x), in y and x with a margin; None where there are none."""
    found = ndimage.find_objects((labels > 0).astype(np.uint8))
    if not found:
        return None
    depth, *sides = found[0]
    around = []
    for side, length in zip(sides, labels.shape[1:], strict=True):
        wanted = max(_SMALLEST, round((side.stop - side.start) * (1 + 2 * _MARGIN)))
        centre = (side.start + side.stop) // 2
        first = min(max(0, centre - wanted // 2), max(0, length - wanted))
        around.append(slice(first, min(length, first + wanted)))
    return depth, around[0], around[1]


def _numbers(shown: _Shown, box: tuple[slice, slice, slice] | None) -> list[int]:
    """The slices that are shown, evenly across the labels."""
    if box is not None:
        first, end = box[0].start, box[0].stop
    elif shown.labels is not None:
        first, end = 0, shown.labels.shape[1]
    else:
        lengths = dict(zip(shown.image.axes, shown.image.data.shape, strict=True)) if shown.image else {}
        first, end = 0, lengths.get("z", 1)
    wanted = np.linspace(first, end - 1, min(_SLICES, end - first))
    return [round(number) for number in wanted]


def _plane(image: Volume, stack: int, number: int) -> np.ndarray:
    """A slice of an image, (y, x), or (y, x, 3) if it is in colour; of several channels the first one."""
    data = image.data
    place: list[int | slice] = []
    for axis, length in zip(image.axes, data.shape, strict=True):
        where = {"t": min(stack, length - 1), "z": min(number, length - 1)}
        colours = axis == "c" and image.axes.endswith("c") and length in (3, 4)
        place.append(slice(0, 3) if colours else where.get(axis, 0 if axis == "c" else slice(None)))
    plane = np.asarray(data[tuple(place)])
    return np.abs(plane) if np.iscomplexobj(plane) else plane


def _grey(planes: list[np.ndarray], low_is_bright: bool) -> list[np.ndarray | None]:
    """Slices as bytes of one range of values."""
    together = np.concatenate([plane.reshape(-1) for plane in planes]).astype(np.float32)
    together = together[np.isfinite(together)]
    low, high = np.percentile(together, _RANGE) if together.size else (0.0, 1.0)
    span = max(float(high - low), np.finfo(np.float32).tiny)
    found: list[np.ndarray | None] = []
    for plane in planes:
        scaled = np.nan_to_num((plane.astype(np.float32) - low) / span)
        shades = (255 * scaled.clip(0, 1)).astype(np.uint8)
        found.append(255 - shades if low_is_bright else shades)
    return found


def _tile(plane: np.ndarray | None, labels: np.ndarray | None, shown: _Shown) -> Image.Image:
    """A slice with the contours of its labels; the labels filled where there is no image."""
    like = plane if plane is not None else labels
    size = _size(like.shape[:2] if like is not None else (1, 1), shown.aspect)
    tile = Image.new("RGB", size)
    if plane is not None:
        tile = Image.fromarray(plane).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    if labels is None:
        return tile
    pixels = np.array(tile)
    for row in shown.classes:
        mask = Image.fromarray(np.where(labels == row.id, 255, 0).astype(np.uint8)).resize(size)
        found = np.asarray(mask) > 127
        drawn = found if plane is None else found & ~ndimage.binary_erosion(found)
        pixels[drawn] = tuple(bytes.fromhex(row.colour[1:]))
    return Image.fromarray(pixels)


def _size(shape: tuple[int, ...], aspect: float) -> tuple[int, int]:
    """Width and height of a tile for a slice of `shape` (y, x) that fit into a square."""
    height, width = shape[0] * aspect, float(shape[1])
    scale = _SIDE / max(height, width)
    return max(8, round(width * scale)), max(8, round(height * scale))


def _of_segmentation(task: Task) -> Look:
    labels = io.read(task.target)
    image = io.read(task.source, axes=task.settings["axes"])
    unsure = task.outputs.get("uncertainty")
    return of_labels(labels, image, None if unsure is None else io.read(unsure))


def _of_reconstruction(task: Task) -> Look:
    if task.target.suffix.lower() not in outputs.HDF5:
        return of_image(io.read(task.target))
    from ..io.kspace_out import read_reconstruction

    image, _ = read_reconstruction(task.target)
    return of_image(Volume(image, "zyx" if image.ndim == 3 else "tzyx"))


def _of_comparison(task: Task) -> Look | None:
    """The labels that were scored, where they are not in a folder of slices."""
    ours = Path(task.inputs[0])
    return None if files.is_folder(ours) else of_labels(io.read(ours))


LOOKS: dict[str, Callable[[Task], Look | None]] = {
    "segment": _of_segmentation,
    "reconstruct": _of_reconstruction,
    "evaluate": _of_comparison,
}
"""How a look at the outputs is taken, for each kind of work that has one."""
