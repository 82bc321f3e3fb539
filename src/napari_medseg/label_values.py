"""What counts as labels, and whether they number objects; asked of every mask that is compared or learnt from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .errors import VolumeError

_LARGEST = 2**53  # float64 holds every whole number up to here
_NEAR = 32  # how far the noise of a JPEG takes values from 0 and 255
_NOISY = 0.8  # share of the values other than 0 that lie near 0 or 255
_BRIGHT = 0.1  # share of them that is the mask itself
_SEVERAL = 3  # numbers, to be those of objects
_LOOKED_AT = 32  # slices of a volume
_GAPS = 2  # times as many numbers as there are objects: some were erased
_STROKES = 2  # regions that a person may have painted with a number that was there
_STRAY = 0.1  # share of regions that fell apart
_FEW = 8  # values that a mask with further classes may hold


def whole_labels(data: np.ndarray, name: str = "This") -> np.ndarray:
    """The array as whole numbers.

    Parameters
    ----------
    data : numpy.ndarray
        Of any shape.
    name : str
        What it is called in the sentence of an error.

    Returns
    -------
    numpy.ndarray
        `data` itself, or int64 where it holds whole numbers as floating-point numbers.

    Raises
    ------
    VolumeError
        If a value is not finite, not whole or negative, or they look like a mask that was stored as a JPEG.
    """
    data = np.asarray(data)
    problem = _problem(data)
    if problem:
        what, advice = problem
        raise VolumeError(
            f"{name} is not a label image ({data.dtype}): it holds {what}; expected whole numbers from 0 up, one per "
            f"voxel. {advice}"
        )
    if data.dtype.kind == "f":
        return data.astype(np.int64)
    return data


def renumbered(labels: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    """Labels with other numbers, 8 bit; what is missing in the `table` from old to new ones becomes 0."""
    present, places = np.unique(labels, return_inverse=True)
    after = [table.get(before, 0) for before in present.tolist()]
    return np.array(after, np.uint8)[places].reshape(labels.shape)


def count_regions(plane: np.ndarray) -> int:
    """Number of connected regions of equal labels other than 0 in a slice (y, x); corners connect."""
    from skimage.measure import label

    return int(label(plane, background=0, connectivity=2).max(initial=0))


def are_whole(numbers: int, regions: int) -> bool:
    """Whether so many numbers in so many connected regions can count objects: each is one region, but for strokes."""
    return regions <= numbers + max(_STROKES, _STRAY * numbers)


def number_objects(labels: np.ndarray) -> bool:
    """Whether labels (..., y, x) seem to count objects one by one rather than to name classes.

    They do if there are several, hardly any number is left out, and each is one connected region of a slice.
    """
    found = np.unique(labels)
    found = found[found > 0]
    if len(found) < _SEVERAL or found[-1] > _GAPS * len(found):
        return False
    numbers = 0
    regions = 0
    planes = labels.reshape(-1, *labels.shape[-2:])
    # of a long volume some slices say enough
    for plane in planes[:: -(-len(planes) // _LOOKED_AT)]:
        numbers += int(np.count_nonzero(np.unique(plane)))
        regions += count_regions(plane)
    return are_whole(numbers, regions)


def _problem(data: np.ndarray) -> tuple[str, str] | None:
    """What is wrong with the values, and what to do; None if nothing."""
    kind = data.dtype.kind
    if kind not in "biuf":
        return f"values of type {data.dtype}", "Convert it first."
    if kind == "b" or not data.size:
        return None
    if kind == "f":
        problem = _problem_of_floats(data)
        if problem:
            return problem
    low, high = data.min(), data.max()
    if low < 0:
        return f"values below 0, down to {low:g}", "Renumber them, or name the label to ignore."
    if high >= _LARGEST:
        return f"values up to {high:g}", "Renumber them."
    if _is_noisy(data, int(high)):
        return (
            "many values close to 0 and to 255, as a mask has that was stored as a JPEG",
            "Take the original mask, or threshold this one, for example at 128, and save it as PNG, TIFF or NIfTI.",
        )
    return None


def is_unlabelled(labels: np.ndarray, number: int, ignore: int | None = None) -> bool:
    """Whether a slice of labels (z, y, x), or (y, x), holds nothing but background and the label to ignore."""
    plane = np.asarray(labels[number] if labels.ndim > 2 else labels)
    return set(np.unique(plane).tolist()) <= {0, ignore}


def _problem_of_floats(data: np.ndarray) -> tuple[str, str] | None:
    finite = np.isfinite(data)
    strange = data.size - np.count_nonzero(finite)
    if strange:
        voxels = "1 voxel" if strange == 1 else f"{strange} voxels"
        return f"NaN or infinity in {voxels}", "Replace them by 0, or by the label to ignore."
    if np.array_equal(data, np.round(data)):
        return None
    low, high = data.min(), data.max()
    if low >= 0 and high <= 1:
        return f"fractions from {low:.3g} to {high:.3g}, as probabilities are", "Threshold it first, say at 0.5."
    return f"fractions, from {low:.3g} to {high:.3g}", "Was it interpolated? Resample labels to the nearest neighbour."


def _is_noisy(data: np.ndarray, high: int) -> bool:
    """Whether the values scatter around 0 and 255 as in a JPEG of a mask; numbers of classes or objects do not."""
    if not 255 - _NEAR < high <= 255:
        return False
    counts = np.bincount(data.astype(np.uint8).ravel(), minlength=256)
    counts[0] = 0
    low_noise = counts[1:_NEAR]
    high_noise = counts[256 - _NEAR : 255]
    if not low_noise.any() or not high_noise.any() or np.count_nonzero(counts) <= _FEW:
        return False
    bright = high_noise.sum() + counts[255]
    near = low_noise.sum() + bright
    return bool(near >= _NOISY * counts.sum() and bright >= _BRIGHT * counts.sum())
