"""Scores of a segmentation or an image against a reference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from .errors import VolumeError
from .volume import Volume

_MANY_NUMBERS = 10  # more of them without names number objects rather than classes


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Dice overlap of two boolean masks of equal shape; NaN if both are empty."""
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return 2 * int(np.count_nonzero(prediction & reference)) / total if total else float("nan")


def iou(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Intersection over union of two boolean masks of equal shape; NaN if both are empty."""
    union = int(np.count_nonzero(prediction | reference))
    return int(np.count_nonzero(prediction & reference)) / union if union else float("nan")


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
    ours, theirs = _surfaces(prediction[flat], reference[flat], [spacing[axis] for axis in axes])
    if not len(ours) or not len(theirs):
        return np.full(len(ours) + len(theirs), np.inf)
    # a tree over surface points is exact and, unlike a distance map, needs no memory of the size of the volume
    return np.concatenate([KDTree(theirs).query(ours)[0], KDTree(ours).query(theirs)[0]])


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
    ours, theirs = (_label_array(volume) for volume in (prediction, reference))
    names = {row.id: row.name for row in (*reference.classes, *prediction.classes)}
    if foreground:
        ours, theirs, names = ours > 0, theirs > 0, {1: "foreground"}
    numbers = sorted({*names, *map(int, np.unique(ours)), *map(int, np.unique(theirs))} - {0})
    if foreground is None and len(numbers) > max(_MANY_NUMBERS, len(names)):
        raise VolumeError(
            f"The labels hold {len(numbers)} different numbers without names: they seem to number objects, not "
            "classes. Compare all of them as one class (foreground), or say that they are classes (no foreground)."
        )
    timed = prediction.axes.startswith("t")
    frames = enumerate(zip(ours, theirs, strict=True)) if timed else [(None, (ours, theirs))]
    return [
        {"id": n, "name": names.get(n, f"class {n}"), "time": time, **_score(a == n, b == n, prediction, reference)}
        for time, (a, b) in frames
        for n in numbers
    ]


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean, standard deviation and number (``of``) of every score in `rows`, per class.

    Scores that are NaN or infinite, because a class is missing on one or both sides, are left out.
    """
    summary = []
    for number, name in sorted({(row["id"], row["name"]) for row in rows}):
        members = [row for row in rows if (row["id"], row["name"]) == (number, name)]
        scores = dict.fromkeys(key for row in members for key, value in row.items() if isinstance(value, float))
        known = {key: [row[key] for row in members if math.isfinite(row.get(key, math.nan))] for key in scores}
        for kind, count in (("mean", _average), ("sd", _deviation), ("number", len)):
            values = {key: count(numbers) for key, numbers in known.items()}
            summary.append({"of": kind, "id": number, "name": name, **values})
    return summary


def _hd95(distances: np.ndarray) -> float:
    # percentile would interpolate between infinities and return NaN
    if not np.isfinite(distances).all():
        return math.inf
    return float(np.percentile(distances, 95)) if distances.size else math.nan


def _mean(distances: np.ndarray) -> float:
    return float(distances.mean()) if distances.size else math.nan


def _average(numbers: Sequence[float]) -> float:
    return statistics.fmean(numbers) if numbers else math.nan


def _deviation(numbers: Sequence[float]) -> float:
    return statistics.stdev(numbers) if len(numbers) > 1 else math.nan


def _surfaces(prediction: np.ndarray, reference: np.ndarray, spacing: list[float]) -> list[np.ndarray]:
    """Positions (n, axes) in mm of the surface voxels of both masks."""
    boxes = ndimage.find_objects((prediction | reference).view(np.uint8))
    box = boxes[0] if boxes else (slice(0, 1),) * prediction.ndim
    masks = (prediction[box], reference[box])
    return [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing for mask in masks]


def _check_same_grid(prediction: Volume, reference: Volume) -> None:
    if (prediction.axes, prediction.data.shape) != (reference.axes, reference.data.shape):
        raise VolumeError(
            f"The prediction has the axes {prediction.axes} {prediction.data.shape} and the reference "
            f"{reference.axes} {reference.data.shape}. Compare labels that were made for the same image."
        )
    if not (prediction.has_spacing and reference.has_spacing):
        return
    size = dict(zip(prediction.axes, prediction.data.shape, strict=True))
    corner = np.array([size["x"] - 1, size["y"] - 1, size.get("z", 1) - 1, 0.0])
    difference = prediction.affine - reference.affine
    # how far the farthest voxel may lie apart: the sum over the axes bounds every corner
    apart = np.linalg.norm(difference[:3, 3]) + (np.linalg.norm(difference[:3], axis=0) * corner).sum()
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
    return data.astype(np.int64) if data.dtype.kind == "f" else data


def _whole_numbers(data: np.ndarray) -> bool:
    if data.dtype.kind in "bu":
        return True
    return data.dtype.kind in "if" and 0 <= data.min() <= data.max() < 2**53 and np.array_equal(data, np.round(data))


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
    return SCORES.get(key) or SCORES.get(key.rpartition("_")[0])


def _score(ours: np.ndarray, theirs: np.ndarray, prediction: Volume, reference: Volume) -> dict[str, float]:
    known = prediction.has_spacing and reference.has_spacing
    spacing = prediction.spacing if known else (1.0,) * ours.ndim
    size, scale = ("volume_ml", 1e-3) if ours.ndim == 3 else ("area_mm2", 1.0)
    if not known:
        size, scale = "voxels", 1.0
    pair = Pair(ours, theirs, spacing, surface_distances(ours, theirs, spacing))
    unit = "_mm" if known else "_px"
    row = {key + unit * score.length: score.function(pair) for key, score in SCORES.items()}
    row[size] = np.count_nonzero(ours) * math.prod(spacing) * scale
    row[f"reference_{size}"] = np.count_nonzero(theirs) * math.prod(spacing) * scale
    return row


# Images: magnitude, cropped to the reference, neither renormalised nor masked. The conventions are those of fastMRI;
# others (maxima or means of single slices, Gaussian windows) give other numbers.


def mae(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Mean absolute error, in the units of the images; otherwise as `nmse`."""
    reference, prediction = _images(reference, prediction)
    return float(np.abs(reference - prediction).mean())


def nmse(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Squared error of a volume relative to its energy: ||reference - prediction||^2 / ||reference||^2.

    Parameters
    ----------
    reference, prediction : numpy.ndarray, shape (slice, y, x), real
        Computed in float64.

    Raises
    ------
    VolumeError
        If shapes differ, an image is complex, or the reference holds only zeros.
    """
    reference, prediction = _images(reference, prediction)
    if not reference.any():
        raise VolumeError(
            "The reference holds only zeros, so there is no error relative to it. Choose another reference."
        )
    return float(np.linalg.norm(reference - prediction) ** 2 / np.linalg.norm(reference) ** 2)


def psnr(reference: np.ndarray, prediction: np.ndarray, maximum: float | None = None) -> float:
    """Peak signal-to-noise ratio of a volume, 10 log10(maximum^2 / mean squared error).

    Parameters
    ----------
    reference, prediction
        See `nmse`.
    maximum : float, optional
        Left out, that of the reference volume.

    Returns
    -------
    float
        In dB; infinity if the images are identical.

    Raises
    ------
    VolumeError
        If shapes differ, an image is complex, or the maximum is not above 0.
    """
    reference, prediction = _images(reference, prediction)
    peak = _peak(reference, maximum)
    error = float(np.square((reference - prediction) / peak).mean())
    return -10 * math.log10(error) if error else math.inf


def ssim(reference: np.ndarray, prediction: np.ndarray, maximum: float | None = None) -> float:
    """Structural similarity, mean over the slices of a volume.

    Parameters
    ----------
    reference, prediction, maximum
        See `psnr`; at least 7 x 7 pixels.

    Raises
    ------
    VolumeError
        As `psnr`, and if the images have fewer pixels.

    Notes
    -----
    Uniform window of 7 x 7 pixels, K1 = 0.01, K2 = 0.03, data range `maximum`, sample covariance; windows that reach
    over the border are left out.

    References
    ----------
    Wang et al., IEEE Trans Image Process 13:600, 2004.
    """
    return statistics.fmean(score for score, _ in _similarities(reference, prediction, maximum))


def ssim_map(reference: np.ndarray, prediction: np.ndarray, maximum: float | None = None) -> np.ndarray:
    """Structural similarity of every pixel: where two images differ in structure.

    Parameters
    ----------
    reference, prediction, maximum
        See `ssim`, whose definition this is.

    Returns
    -------
    numpy.ndarray, shape (slice, y, x), float32
        At most 1, where the windows are identical. The mean without the 3 pixels at the border, whose windows are
        filled up by mirroring, is `ssim`.

    Raises
    ------
    VolumeError
        As `ssim`.
    """
    return np.stack([each.astype(np.float32) for _, each in _similarities(reference, prediction, maximum)])


def _similarities(
    reference: np.ndarray, prediction: np.ndarray, maximum: float | None
) -> Iterator[tuple[float, np.ndarray]]:
    """Score and map (y, x) of every slice."""
    from skimage.metrics import structural_similarity  # on demand: segmentations need no scikit-image

    reference, prediction = _images(reference, prediction)
    peak = _peak(reference, maximum)
    if min(reference.shape[1:]) < 7:
        rows, columns = reference.shape[1:]
        raise VolumeError(f"The images have {rows} x {columns} pixels; structural similarity needs at least 7 x 7.")
    for pair in zip(reference, prediction, strict=True):
        yield structural_similarity(*pair, data_range=peak, win_size=7, full=True)


def _images(reference: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if reference.shape != prediction.shape or reference.ndim != 3 or not reference.size:
        raise VolumeError(
            f"The reference has the shape {reference.shape} and the prediction {prediction.shape}; expected equal "
            "shapes (slice, y, x). Crop both to the same size."
        )
    if "c" in (reference.dtype.kind, prediction.dtype.kind):
        raise VolumeError("The images are complex; expected magnitude images. Take the absolute value first.")
    return reference.astype(np.float64), prediction.astype(np.float64)


def _peak(reference: np.ndarray, maximum: float | None) -> float:
    peak = float(reference.max()) if maximum is None else float(maximum)
    if not 0 < peak < math.inf:
        raise VolumeError(f"The maximum of the reference is {peak:g}; expected a number above 0.")
    return peak
