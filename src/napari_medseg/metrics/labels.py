"""Scores of a segmentation against a reference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from ..errors import VolumeError
from ..volume import Volume

_MANY_NUMBERS = 10  # more of them without names number objects rather than classes


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


def hd95(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float] | None = None) -> float:
    """95th percentile of the Hausdorff distance between the surfaces of two masks.

    Parameters
    ----------
    prediction, reference : numpy.ndarray, shape (y, x) or (z, y, x), bool
    spacing : sequence of float, optional
        Voxel size in mm, one per axis in array order; 1 where it is left out.

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


def mean_surface_distance(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float] | None = None
) -> float:
    """Mean distance between the surfaces of two masks, both directions together; otherwise as `hd95`."""
    return _mean(surface_distances(prediction, reference, spacing))


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float] | None = None
) -> np.ndarray:
    """Distance of every surface voxel of either mask to the surface of the other; see `hd95`.

    Returns
    -------
    numpy.ndarray, shape (n,), float64
        Empty if both masks are empty, infinite if one of them is.
    """
    spacing = (1.0,) * prediction.ndim if spacing is None else tuple(spacing)
    if prediction.shape != reference.shape or len(spacing) != prediction.ndim or min(spacing, default=0) <= 0:
        raise VolumeError(
            f"The masks have the shapes {prediction.shape} and {reference.shape} and the voxel size {spacing}; "
            "expected equal shapes and one positive size per axis."
        )
    # a single slice is a plane: along an axis of length one every voxel would be surface
    axes = [axis for axis, n in enumerate(prediction.shape) if n > 1] or [0]
    flat = tuple(slice(None) if axis in axes else 0 for axis in range(prediction.ndim))
    flat_spacing = [spacing[axis] for axis in axes]
    ours, theirs = _surfaces(prediction[flat], reference[flat], flat_spacing)
    if not len(ours) or not len(theirs):
        return np.full(len(ours) + len(theirs), np.inf)
    # a tree over surface points is exact and, unlike a distance map, needs no memory of the size of the volume
    to_theirs, _ = KDTree(theirs).query(ours)
    to_ours, _ = KDTree(ours).query(theirs)
    return np.concatenate([to_theirs, to_ours])


def compare(prediction: Volume, reference: Volume, *, foreground: bool | None = None) -> list[dict[str, Any]]:
    """Score every class of `prediction` against `reference`.

    Parameters
    ----------
    prediction, reference : Volume
        Labels on one grid.
    foreground : bool, optional
        True takes everything but the background as one class, False insists that every number is a class; left out,
        labels that seem to number objects are refused.

    Returns
    -------
    list of dict
        A row per class, and per time point where there are several: ``id``, ``name``, ``time``, ``dice``, ``iou``,
        ``hd95_mm``, ``mean_surface_distance_mm`` (``_px`` where the voxel size is not known), ``volume_ml`` and
        ``reference_volume_ml`` (``area_mm2`` for single images, ``voxels`` where the voxel size is not known).

    Raises
    ------
    VolumeError
        If shape or affine differ, a volume does not hold labels, or they seem to number objects.
    """
    _check_same_grid(prediction, reference)
    ours = _label_array(prediction)
    theirs = _label_array(reference)
    names = {row.id: row.name for row in (*reference.classes, *prediction.classes)}
    if foreground:
        ours = ours > 0
        theirs = theirs > 0
        names = {1: "foreground"}
    found = {*names}
    found.update(map(int, np.unique(ours)))
    found.update(map(int, np.unique(theirs)))
    numbers = sorted(found - {0})
    if foreground is None and len(numbers) > max(_MANY_NUMBERS, len(names)):
        raise VolumeError(
            f"The labels hold {len(numbers)} different numbers without names: they seem to number objects, not "
            "classes. Compare all of them as one class (foreground), or say that they are classes (no foreground)."
        )
    rows = []
    for time, (our_frame, their_frame) in _frames(prediction.axes, ours, theirs):
        for number in numbers:
            score = _score(our_frame == number, their_frame == number, prediction, reference)
            name = names.get(number, f"class {number}")
            rows.append({"id": number, "name": name, "time": time, **score})
    return rows


def _frames(
    axes: str, ours: np.ndarray, theirs: np.ndarray
) -> Iterable[tuple[int | None, tuple[np.ndarray, np.ndarray]]]:
    """Time and both label arrays (z) y x, per time point; without a time axis once, with None."""
    if not axes.startswith("t"):
        return [(None, (ours, theirs))]
    return enumerate(zip(ours, theirs, strict=True))


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


def _surfaces(prediction: np.ndarray, reference: np.ndarray, spacing: list[float]) -> list[np.ndarray]:
    """Positions (n, axes) in mm of the surface voxels of both masks."""
    boxes = ndimage.find_objects((prediction | reference).view(np.uint8))
    box = boxes[0] if boxes else (slice(0, 1),) * prediction.ndim
    return [_surface(mask[box]) * spacing for mask in (prediction, reference)]


def _surface(mask: np.ndarray) -> np.ndarray:
    """Indices (n, axes) of the voxels of a mask that have a neighbour outside it."""
    inner = ndimage.binary_erosion(mask)
    return np.argwhere(mask & ~inner)


def _check_same_grid(prediction: Volume, reference: Volume) -> None:
    if prediction.axes != reference.axes or prediction.data.shape != reference.data.shape:
        raise VolumeError(
            f"The prediction has the axes {prediction.axes} {prediction.data.shape} and the reference "
            f"{reference.axes} {reference.data.shape}. Compare labels that were made for the same image."
        )
    if not (prediction.has_spacing and reference.has_spacing):
        return
    size = dict(zip(prediction.axes, prediction.data.shape, strict=True))
    corner = np.array([size["x"] - 1, size["y"] - 1, size.get("z", 1) - 1, 0.0])
    difference = prediction.affine - reference.affine
    shift = np.linalg.norm(difference[:3, 3])
    per_step = np.linalg.norm(difference[:3], axis=0)
    # how far the farthest voxel may lie apart: the sum over the axes bounds every corner
    apart = shift + (per_step * corner).sum()
    if apart > 0.01 * min(prediction.spacing):
        raise VolumeError(
            f"Prediction and reference lie up to {apart:.3g} mm apart in space: their affines differ. "
            "Compare labels that were made for the same image, or resample one onto the grid of the other."
        )


def _label_array(volume: Volume) -> np.ndarray:
    """The labels as integers, axes (t) (z) y x."""
    data = np.asarray(volume.data)
    if "c" in volume.axes or not _whole_numbers(data):
        raise VolumeError(
            f"This is not a label image (axes {volume.axes}, {data.dtype}); expected whole numbers from 0 up, "
            "one per voxel."
        )
    if data.dtype.kind == "f":
        return data.astype(np.int64)
    return data


def _whole_numbers(data: np.ndarray) -> bool:
    """Whether all values are whole numbers from 0 up, so small that float64 holds each of them."""
    if data.dtype.kind in "bu":
        return True
    if data.dtype.kind not in "if":
        return False
    if not 0 <= data.min() <= data.max() < 2**53:
        return False
    return np.array_equal(data, np.round(data))


@dataclass(frozen=True)
class Pair:
    """Two masks of one class, the voxel size, and `surface_distances` between them."""

    ours: np.ndarray
    theirs: np.ndarray
    spacing: tuple[float, ...]
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


def _score(ours: np.ndarray, theirs: np.ndarray, prediction: Volume, reference: Volume) -> dict[str, float]:
    known = prediction.has_spacing and reference.has_spacing
    spacing = prediction.spacing if known else (1.0,) * ours.ndim
    pair = Pair(ours, theirs, spacing, surface_distances(ours, theirs, spacing))
    unit = "_mm" if known else "_px"
    row = {}
    for key, score in SCORES.items():
        name = key + unit if score.length else key
        row[name] = score.function(pair)
    size = "voxels"
    if known:
        size = "volume_ml" if ours.ndim == 3 else "area_mm2"
    scale = 1e-3 if size == "volume_ml" else 1.0
    voxel = math.prod(spacing)
    row[size] = _count(ours) * voxel * scale
    row[f"reference_{size}"] = _count(theirs) * voxel * scale
    return row
