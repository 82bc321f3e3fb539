"""Tools that look at connected pieces of a class: voxels are connected through their faces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .common import Box, Change, Where, check_fits, class_by_class, inside, padded

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

    def draw(part: np.ndarray, region: np.ndarray, number: int, box: Box) -> None:
        enclosed = holes(region[box] == number, per_slice)
        part[enclosed & (region[box] == 0)] = number

    return class_by_class(labels, where, draw)


def holes(mask: np.ndarray, per_slice: bool) -> np.ndarray:
    """The background that a mask (z, y, x) encloses."""
    from scipy import ndimage

    rim = (0 if per_slice else 1, 1, 1)
    outside = np.pad(~mask, [(more, more) for more in rim], constant_values=True)
    pieces, count = ndimage.label(outside, _IN_PLANE if per_slice else None)
    # the rim belongs to what is not enclosed; there is one rim per slice, or one around all
    enclosed = np.ones(count + 1, bool)
    enclosed[0] = False
    enclosed[pieces[:, 0, 0]] = False
    inner = tuple(slice(more, length - more) for more, length in zip(rim, outside.shape, strict=True))
    return enclosed[pieces[inner]]


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

    def draw(part: np.ndarray, region: np.ndarray, number: int, box: Box) -> None:
        pieces, count = ndimage.label(region[box] == number)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        gone = np.concatenate([[False], ~stays(sizes)])
        part[gone[pieces]] = 0

    return class_by_class(labels, where, draw)


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
    free = where.free or int(labels.max(initial=0)) + 1

    def draw(part: np.ndarray, region: np.ndarray, number: int, box: Box) -> None:
        nonlocal free
        wide = padded(box, (1, 1, 1), region.shape)
        mask = region[box] == number
        parts = _watershed(region[wide] == number, where, mm)[inside(box, wide)]
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        numbers = np.zeros(len(sizes), np.int64)
        others = [place for place in range(1, len(sizes)) if place != sizes.argmax()]
        numbers[others] = np.arange(free, free + len(others))
        numbers[sizes.argmax()] = number
        free += len(others)
        check_fits(int(numbers.max()), labels.dtype)
        part[mask] = numbers[parts[mask]]

    return class_by_class(labels, where, draw)


def _watershed(mask: np.ndarray, where: Where, mm: float) -> np.ndarray:
    """The objects of a mask, numbered from 1."""
    from scipy import ndimage
    from skimage.segmentation import relabel_sequential, watershed

    solid = mask | holes(mask, per_slice=len(mask) == 1)  # a hole lies in an object, not between two
    if solid.all():  # the class fills the image
        return mask.astype(np.int32)
    distance = ndimage.distance_transform_edt(solid, where.spacing).astype(np.float32)
    spread = [mm / 6 / size for size in where.spacing]
    depth = ndimage.gaussian_filter(distance, spread, truncate=2)
    window = [2 * reach + 1 for reach in where.reach(mm / 2)]
    peaks = solid & (depth == ndimage.maximum_filter(depth, window))
    markers, count = ndimage.label(peaks, np.ones((3, 3, 3)))
    pieces, several = ndimage.label(solid)
    homes = np.asarray(ndimage.maximum(pieces, markers, np.arange(1, count + 1)), int)
    to_split = np.bincount(homes, minlength=several + 1) > 1
    torn = to_split[pieces]
    parts = np.where(mask & ~torn, count + pieces, 0)
    if torn.any():  # which takes long; holes are passed through
        parts[mask & torn] = watershed(-depth, markers, mask=torn)[mask & torn]
    numbered, _, _ = relabel_sequential(parts)
    return numbered
