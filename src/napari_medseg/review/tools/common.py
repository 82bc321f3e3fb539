"""Where a tool works and what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import VolumeError

Box = tuple[slice, slice, slice]

_LISTED = 2**16


@dataclass(frozen=True, eq=False)
class Where:
    """Where a tool works in a frame.

    Parameters
    ----------
    classes : tuple of int
        The classes that it changes, without 0; those that are protected are left out.
    planes : range
        The slices that it sees and may change, without gaps.
    spacing : (float, float, float)
        Voxel size along z, y and x in mm.
    protected : frozenset of int
        Classes whose voxels stay what they are.
    image : numpy.ndarray, shape (z, y, x), optional
        For the tools that need it.
    drawn : frozenset of int, optional
        Slices that interpolation starts from; by default those that hold the class.
    free : int
        The lowest number that is not a class yet; by default that of the frame.
    before : numpy.ndarray, shape (y, x), optional
        The slice as it was before a person painted on it, for the tool that goes on from strokes.
    """

    classes: tuple[int, ...]
    planes: range
    spacing: tuple[float, float, float]
    protected: frozenset[int] = frozenset()
    image: np.ndarray | None = None
    drawn: frozenset[int] | None = None
    free: int = 0
    before: np.ndarray | None = None

    @property
    def open_classes(self) -> tuple[int, ...]:
        """Those of the classes that are not protected; background is not a class."""
        return tuple(number for number in self.classes if number > 0 and number not in self.protected)

    @property
    def voxel_size(self) -> float:
        """Volume of a voxel in mm3."""
        return float(np.prod(self.spacing))

    def region(self, array: np.ndarray) -> np.ndarray:
        """The slices of a frame that the tool sees; shares its memory."""
        return array[self.planes.start : self.planes.stop]

    def reach(self, mm: float) -> tuple[int, int, int]:
        """The voxels along each axis that lie within a distance."""
        z, y, x = (int(np.ceil(mm / size)) for size in self.spacing)
        return z, y, x


@dataclass(frozen=True, eq=False)
class Change:
    """New labels in a box.

    Parameters
    ----------
    box : tuple of slice
        Along (z, y, x) of the frame.
    values : numpy.ndarray, shape (z, y, x) of the box
        In the type of the labels.
    """

    box: Box
    values: np.ndarray


def nothing(labels: np.ndarray) -> Change:
    """A change of nothing."""
    empty = slice(0, 0)
    return Change((empty, empty, empty), labels[:0, :0, :0].copy())


def guarded(labels: np.ndarray, where: Where, box: Box, values: np.ndarray) -> Change:
    """A change of the region of a frame, without what it would do to protected classes.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x)
        The frame.
    where : Where
    box : tuple of slice
        Within the region, see `Where.region`.
    values : numpy.ndarray
        New labels in the box.
    """
    first = where.planes.start
    placed = (slice(box[0].start + first, box[0].stop + first), box[1], box[2])
    before = labels[placed]
    if where.protected:
        kept = np.isin(before, sorted(where.protected))
        values = np.where(kept, before, values)
    return Change(placed, values.astype(labels.dtype, copy=False))


def class_by_class(
    labels: np.ndarray, where: Where, draw: Callable[[np.ndarray, np.ndarray, int, Box], None]
) -> Change:
    """A change that is made of one class after the other, each in its smallest box.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x)
        The frame.
    where : Where
    draw : callable
        ``(part, region, number, box)`` writes the new labels of class `number` into `part`, those in its box. `region`
        are the labels before, see `Where.region`, and the box lies in it.
    """
    region = where.region(labels)
    found = list(boxes_of(region, where.open_classes))
    if not found:
        return nothing(labels)
    whole = united([box for _, box in found])
    values = region[whole].copy()
    for number, box in found:
        draw(values[inside(box, whole)], region, number, box)
    return guarded(labels, where, whole, values)


def box_of(mask: np.ndarray) -> Box | None:
    """The smallest box that holds a mask (z, y, x); None if it is empty."""
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if not planes.size:
        return None
    flat = mask[planes[0] : planes[-1] + 1].any(axis=0)
    rows = np.flatnonzero(np.any(flat, axis=1))
    columns = np.flatnonzero(np.any(flat, axis=0))
    return _span(planes), _span(rows), _span(columns)


def _span(places: np.ndarray) -> slice:
    return slice(int(places[0]), int(places[-1]) + 1)


def boxes_of(region: np.ndarray, classes: Sequence[int]) -> Iterator[tuple[int, Box]]:
    """The classes that a region (z, y, x) holds, and the smallest box of each."""
    if len(classes) == 1:
        box = box_of(region == classes[0])
        if box is not None:
            yield classes[0], box
        return
    from scipy import ndimage

    places = {number: number for number in classes}
    if max(classes, default=0) > _LISTED:  # a list of all numbers up to the highest one would not fit into memory
        numbers, order = np.unique(region, return_inverse=True)
        region = order.reshape(region.shape) + 1
        places = {number: place + 1 for place, number in enumerate(numbers.tolist()) if number in places}
    found = ndimage.find_objects(region, max(places.values(), default=0))
    for number, place in places.items():
        box = found[place - 1]
        if box is not None:
            yield number, box


def padded(box: Box, by: Sequence[int], shape: Sequence[int]) -> Box:
    """A box with some voxels more on each side, within an array of this shape."""
    z, y, x = (
        slice(max(0, side.start - more), min(length, side.stop + more))
        for side, more, length in zip(box, by, shape, strict=True)
    )
    return z, y, x


def united(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds several."""
    z, y, x = (
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*boxes, strict=True)
    )
    return z, y, x


def inside(inner: Box, outer: Box) -> Box:
    """Where a box lies in a larger one."""
    z, y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))
    return z, y, x


def check_fits(number: int, dtype: np.dtype) -> None:
    """Make sure that labels of a type can hold a class number.

    Raises
    ------
    VolumeError
        If they cannot.
    """
    most = int(np.iinfo(dtype).max)
    if number > most:
        raise VolumeError(
            f"Class {number} does not fit into labels of type {np.dtype(dtype)}, which hold numbers up to {most}. "
            "Convert the labels with Layers > Convert data type first."
        )
