"""Tools that move the outline of classes by millimetres; distances count between the centres of voxels."""

from __future__ import annotations

import numpy as np

from .common import Box, Change, Where, boxes_of, class_by_class, guarded, inside, nothing, padded, united

_EXACT = 1 + 1e-6  # distances of the same length differ in their last digits
_TRUNCATE = 3.0  # standard deviations of the Gaussian


def grow(labels: np.ndarray, where: Where, mm: float = 2.0) -> Change:
    """Give the background within a distance of a class to it; between two classes the nearer one gets it.

    Less than the distance between slices grows within slices alone.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
    mm : float
    """
    from scipy import ndimage

    region = where.region(labels)
    reach = where.reach(mm)
    found = [(number, padded(box, reach, region.shape)) for number, box in boxes_of(region, where.open_classes)]
    if not found:
        return nothing(labels)
    whole = united([box for _, box in found])
    values = region[whole].copy()
    nearest = np.full(values.shape, mm * _EXACT, np.float32)
    for number, box in found:
        place = inside(box, whole)
        distance = ndimage.distance_transform_edt(region[box] != number, where.spacing).astype(np.float32)
        # of equal distances the first class wins, but what is exactly as far as the limit still counts
        near = (distance < nearest[place]) & (region[box] == 0)
        nearest[place][near] = distance[near]
        values[place][near] = number
    return guarded(labels, where, whole, values)


def shrink(labels: np.ndarray, where: Where, mm: float = 2.0) -> Change:
    """Give what lies within a distance of the outside of a class to the background.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
    mm : float
    """
    from scipy import ndimage

    def draw(part: np.ndarray, region: np.ndarray, number: int, box: Box) -> None:
        wide = padded(box, (1, 1, 1), region.shape)
        mask = region[wide] == number
        if mask.all():  # the class fills the image: there is no outside
            return
        distance = ndimage.distance_transform_edt(mask, where.spacing)[inside(box, wide)]
        edge = (distance <= mm * _EXACT) & (region[box] == number)
        part[edge] = 0

    return class_by_class(labels, where, draw)


def smooth(labels: np.ndarray, where: Where, mm: float = 1.0) -> Change:
    """Smooth all classes at once: every voxel gets the class, or background, that weighs most around it.

    So there are neither gaps nor overlaps between classes that touch. Thin parts vanish. Voxels of other classes stay.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
    mm : float
        Standard deviation of the Gaussian that weighs.
    """
    region = where.region(labels)
    sigma = [mm / size for size in where.spacing]
    reach = [int(_TRUNCATE * width + 0.5) for width in sigma]
    found = [(number, padded(box, reach, region.shape)) for number, box in boxes_of(region, where.open_classes)]
    if not found:
        return nothing(labels)
    whole = united([box for _, box in found])
    values = region[whole].copy()
    takes_part = values == 0
    for number, _ in found:
        takes_part |= values == number
    winner = np.zeros_like(values)
    most = _weight(region, 0, whole, reach, sigma)
    for number, box in found:
        place = inside(box, whole)
        weight = _weight(region, number, box, reach, sigma)
        more = weight > most[place]
        most[place][more] = weight[more]
        winner[place][more] = number
    values[takes_part] = winner[takes_part]
    return guarded(labels, where, whole, values)


def _weight(region: np.ndarray, number: int, box: Box, reach: list[int], sigma: list[float]) -> np.ndarray:
    """The smoothed mask of a class in a box."""
    from scipy import ndimage

    wide = padded(box, reach, region.shape)
    mask = (region[wide] == number).astype(np.float32)
    return ndimage.gaussian_filter(mask, sigma, mode="nearest", truncate=_TRUNCATE)[inside(box, wide)]
