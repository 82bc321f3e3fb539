"""Tools that look at connected pieces of a class: voxels are connected through their faces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .common import Change, Where, boxes_of, check_fits, guarded, inside, nothing, united

_IN_PLANE = np.zeros((3, 3, 3), bool)
_IN_PLANE[1] = [[False, True, False], [True, True, True], [False, True, False]]


def fill_holes(labels: np.ndarray, where: Where, per_slice: bool = True) -> Change:
    """Give background that a class encloses to this class.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
    per_slice : bool
        Whether a slice alone decides what is enclosed, which closes tunnels as well.

    Returns
    -------
    Change
        Voxels of other classes inside a hole stay as they are.
    """
    from scipy import ndimage

    region = where.region(labels)
    found = list(boxes_of(region, where.open_classes))
    if not found:
        return nothing(labels)
    whole = united([box for _, box in found])
    values = region[whole].copy()
    rim = (0 if per_slice else 1, 1, 1)
    for number, box in found:
        part = values[inside(box, whole)]
        outside = np.pad(part != number, [(more, more) for more in rim], constant_values=True)
        pieces, _ = ndimage.label(outside, _IN_PLANE if per_slice else None)
        # the rim belongs to what is not enclosed; there is one rim per slice, or one around all
        open_pieces = np.zeros(pieces.max(initial=0) + 1, bool)
        open_pieces[pieces[:, 0, 0]] = True
        holes = outside & ~open_pieces[pieces]
        holes = holes[tuple(slice(more, length - more) for more, length in zip(rim, holes.shape, strict=True))]
        part[holes & (region[box] == 0)] = number
    return guarded(labels, where, whole, values)


def keep_largest(labels: np.ndarray, where: Where, count: float = 1) -> Change:
    """Remove all but the largest pieces of every class; of pieces of equal size the first one stays.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
    count : float
        How many pieces of a class stay.
    """
    kept = int(count)

    def is_large(sizes: np.ndarray) -> np.ndarray:
        large = np.zeros(len(sizes), bool)
        large[np.argsort(-sizes, kind="stable")[:kept]] = True
        return large

    return _remove_pieces(labels, where, is_large)


def remove_small(labels: np.ndarray, where: Where, mm3: float = 100.0) -> Change:
    """Remove the pieces of every class that are smaller than a volume.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
    mm3 : float
        A piece of this volume stays. On a single slice it counts with the thickness of the slice.
    """
    smallest = mm3 * (1 - 1e-9) / where.voxel_size
    return _remove_pieces(labels, where, lambda sizes: sizes >= smallest)


def _remove_pieces(labels: np.ndarray, where: Where, stays: Callable[[np.ndarray], np.ndarray]) -> Change:
    from scipy import ndimage

    region = where.region(labels)
    found = list(boxes_of(region, where.open_classes))
    if not found:
        return nothing(labels)
    whole = united([box for _, box in found])
    values = region[whole].copy()
    for number, box in found:
        part = values[inside(box, whole)]
        pieces, count = ndimage.label(region[box] == number)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        gone = np.concatenate([[False], ~stays(sizes)])
        part[gone[pieces]] = 0
    return guarded(labels, where, whole, values)


def split_touching(labels: np.ndarray, where: Where, mm: float = 10.0) -> Change:
    """Number the touching objects of a class apart; the largest one keeps the number, the others get new ones.

    A watershed on the smoothed distance to the edge of the class, from its peaks.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
    mm : float
        The centres of two objects are at least this far apart along an axis.

    Raises
    ------
    VolumeError
        If the new numbers do not fit into the type of the labels.
    """
    region = where.region(labels)
    found = list(boxes_of(region, where.open_classes))
    if not found:
        return nothing(labels)
    whole = united([box for _, box in found])
    values = region[whole].copy()
    free = where.free or int(labels.max(initial=0)) + 1
    for number, box in found:
        mask = region[box] == number
        parts = _watershed(mask, where, mm)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        numbers = np.zeros(len(sizes), np.int64)
        others = [part for part in range(1, len(sizes)) if part != sizes.argmax()]
        numbers[others] = np.arange(free, free + len(others))
        numbers[sizes.argmax()] = number
        free += len(others)
        check_fits(int(numbers.max()), labels.dtype)
        values[inside(box, whole)][mask] = numbers[parts[mask]]
    return guarded(labels, where, whole, values)


def _watershed(mask: np.ndarray, where: Where, mm: float) -> np.ndarray:
    """The objects of a mask, numbered from 1."""
    from scipy import ndimage
    from skimage.segmentation import relabel_sequential, watershed

    room = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(room, where.spacing).astype(np.float32)
    spread = [mm / 6 / size for size in where.spacing]
    depth = ndimage.gaussian_filter(distance, spread, truncate=2)
    window = [2 * reach + 1 for reach in where.reach(mm / 2)]
    highest = ndimage.maximum_filter(depth, window)
    peaks = room & (depth == highest)
    everywhere = np.ones((3, 3, 3), bool)
    markers, count = ndimage.label(peaks, everywhere)
    pieces, _ = ndimage.label(room)
    without = np.ones(pieces.max(initial=0) + 1, bool)  # small pieces next to larger ones have no peak
    without[pieces[peaks]] = False
    without[0] = False
    alone = without[pieces]
    markers[alone] = count + pieces[alone]
    parts = watershed(-depth, markers, mask=room)[1:-1, 1:-1, 1:-1]
    numbered, _, _ = relabel_sequential(parts)
    return numbered
