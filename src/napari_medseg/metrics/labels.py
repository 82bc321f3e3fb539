"""Scores of a segmentation against a reference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from ..errors import VolumeError


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Dice overlap of two boolean masks of equal shape; NaN if both are empty."""
    total = _count(prediction) + _count(reference)
    if not total:
        return math.nan
    return 2 * _count(prediction & reference) / total


def iou(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Intersection over union of two boolean masks of equal shape; NaN if both are empty."""
    union = _count(prediction | reference)
    if not union:
        return math.nan
    return _count(prediction & reference) / union


def _count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))


Spacing = Sequence[float] | np.ndarray
"""Voxel size in mm, one per axis in array order; or, of a sheared grid, `Volume.steps`, shape (axes, 2 or 3)."""


def hd95(prediction: np.ndarray, reference: np.ndarray, spacing: Spacing | None = None) -> float:
    """95th percentile of the Hausdorff distance between the surfaces of two masks.

    Parameters
    ----------
    prediction, reference : numpy.ndarray, shape (y, x) or (z, y, x), bool
    spacing : Spacing, optional
        Voxel size in mm; 1 where it is left out.

    Returns
    -------
    float
        In mm; NaN if both masks are empty, infinity if one of them is.

    Raises
    ------
    VolumeError
        If the shapes differ or `spacing` does not have one positive number per axis.

    Notes
    -----
    The percentile (linear interpolation) is taken over the distances of both directions together. A voxel belongs to
    the surface if a neighbour along an axis lies outside the mask or the image. Axes of length one do not count.
    """
    return _hd95(surface_distances(prediction, reference, spacing))


def mean_surface_distance(prediction: np.ndarray, reference: np.ndarray, spacing: Spacing | None = None) -> float:
    """Mean distance between the surfaces of two masks, both directions together; otherwise as `hd95`."""
    return _mean(surface_distances(prediction, reference, spacing))


def surface_distances(prediction: np.ndarray, reference: np.ndarray, spacing: Spacing | None = None) -> np.ndarray:
    """Distance of every surface voxel of either mask to the surface of the other; see `hd95`.

    Returns
    -------
    numpy.ndarray, shape (n,), float64
        Empty if both masks are empty, infinite if one of them is.
    """
    steps = np.atleast_1d(np.ones(prediction.ndim) if spacing is None else np.asarray(spacing, np.float64))
    positive = (steps > 0).all() if steps.ndim == 1 else steps.any(axis=1).all()
    if prediction.shape != reference.shape or len(steps) != prediction.ndim or not positive:
        raise VolumeError(
            f"The masks have the shapes {prediction.shape} and {reference.shape} and the voxel size {spacing}; "
            "expected equal shapes and one positive size per axis."
        )
    steps = np.diag(steps) if steps.ndim == 1 else steps
    # a single slice is a plane: along an axis of length one every voxel would be surface
    axes = [axis for axis, n in enumerate(prediction.shape) if n > 1] or [0]
    flat = tuple(slice(None) if axis in axes else 0 for axis in range(prediction.ndim))
    ours, theirs = _surfaces(prediction[flat], reference[flat], steps[axes])
    if not len(ours) or not len(theirs):
        return np.full(len(ours) + len(theirs), np.inf)
    # a tree over surface points is exact and, unlike a distance map, needs no memory of the size of the volume
    to_theirs, _ = KDTree(theirs).query(ours)
    to_ours, _ = KDTree(ours).query(theirs)
    return np.concatenate([to_theirs, to_ours])


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean, standard deviation and number (``of``) of every score in `rows`, per class.

    Scores that are NaN or infinite, because a class is missing on one or both sides, are left out.
    """
    classes: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        classes.setdefault((row["id"], row["name"]), []).append(row)
    summary = []
    for number, name in sorted(classes):
        known = _finite_scores(classes[number, name])
        for kind, count in (("mean", _average), ("sd", _deviation), ("number", len)):
            values = {key: count(numbers) for key, numbers in known.items()}
            summary.append({"of": kind, "id": number, "name": name, **values})
    return summary


def _finite_scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The finite values of every score of `rows`; empty for a score that has none."""
    scores = dict.fromkeys(key for row in rows for key, value in row.items() if isinstance(value, float))
    known = {}
    for key in scores:
        values = [row.get(key, math.nan) for row in rows]
        known[key] = [value for value in values if math.isfinite(value)]
    return known


def _hd95(distances: np.ndarray) -> float:
    # percentile would interpolate between infinities and return NaN
    if not np.isfinite(distances).all():
        return math.inf
    if not distances.size:
        return math.nan
    return float(np.percentile(distances, 95))


def _mean(distances: np.ndarray) -> float:
    if not distances.size:
        return math.nan
    return float(distances.mean())


def _average(numbers: Sequence[float]) -> float:
    if not numbers:
        return math.nan
    return statistics.fmean(numbers)


def _deviation(numbers: Sequence[float]) -> float:
    if len(numbers) < 2:
        return math.nan
    return statistics.stdev(numbers)


def _surfaces(prediction: np.ndarray, reference: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
    """Positions in mm of the surface voxels of both masks, shape (n, 2 or 3)."""
    boxes = ndimage.find_objects((prediction | reference).view(np.uint8))
    box = boxes[0] if boxes else (slice(0, 1),) * prediction.ndim
    return [_surface(mask[box]) @ steps for mask in (prediction, reference)]


def _surface(mask: np.ndarray) -> np.ndarray:
    """Indices (n, axes) of the voxels of a mask that have a neighbour outside it."""
    inner = ndimage.binary_erosion(mask)
    return np.argwhere(mask & ~inner)


@dataclass(frozen=True)
class Pair:
    """Two masks of one class, and `surface_distances` between them."""

    ours: np.ndarray
    theirs: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Score:
    """One score of two masks; a length is in mm, or in pixels where the voxel size is not known."""

    title: str
    function: Callable[[Pair], float]
    better: Literal["higher", "lower"]
    length: bool = False
    decimals: int = 2


SCORES: dict[str, Score] = {
    "dice": Score("Dice", lambda pair: dice(pair.ours, pair.theirs), "higher", decimals=4),
    "iou": Score("IoU", lambda pair: iou(pair.ours, pair.theirs), "higher", decimals=4),
    "hd95": Score("HD95", lambda pair: _hd95(pair.distances), "lower", length=True),
    "mean_surface_distance": Score("mean surface distance", lambda pair: _mean(pair.distances), "lower", length=True),
}
"""By the names that rows use, where a length has its unit behind: ``hd95_mm``."""


def score_of(key: str) -> Score | None:
    """The score that a row has under `key`, which may end in a unit; None for a volume or a name."""
    name, _, _unit = key.rpartition("_")
    return SCORES.get(key) or SCORES.get(name)
