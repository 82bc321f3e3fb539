"""Objects of two label images, matched by how much they overlap, whatever their numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_DENSE = 2**22  # entries that a table of all pairs of numbers may have
_DIRECT = 2**24  # numbers up to here are looked up in a table

RATIOS = {"f1": "F1", "precision": "precision", "recall": "recall", "matched_iou": "IoU of matched"}
"""Keys of the shares that a row holds, and their titles."""

COUNTS = ("objects", "reference_objects", "matched")
"""Keys of the numbers of objects that a row holds."""


@dataclass(frozen=True)
class ObjectCounts:
    """Objects of an image: predicted, true, and pairs of both that overlap by more than half of their union."""

    predicted: int
    true: int
    matched: int

    @property
    def f1(self) -> float:
        """Share of matched objects, counted on both sides; NaN without objects."""
        return _ratio(2 * self.matched, self.predicted + self.true)

    @property
    def precision(self) -> float:
        """Share of the predicted objects that are matched; NaN if none is predicted."""
        return _ratio(self.matched, self.predicted)

    @property
    def recall(self) -> float:
        """Share of the true objects that are matched; NaN if there is none."""
        return _ratio(self.matched, self.true)


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of numbers whose regions overlap by more than half of their union, which at most one pair of each can.

    Parameters
    ----------
    ours, theirs : numpy.ndarray, shape (n,)
        Numbers of the regions of each pair.
    overlap : numpy.ndarray, shape (n,), float64
        Intersection over union.
    counts : ObjectCounts
    """

    ours: np.ndarray
    theirs: np.ndarray
    overlap: np.ndarray
    counts: ObjectCounts


def count_objects(prediction: np.ndarray, reference: np.ndarray) -> ObjectCounts:
    """Match objects whose intersection over union exceeds one half, which at most one pair of each can."""
    return match(prediction, reference).counts


def match(prediction: np.ndarray, reference: np.ndarray) -> Matches:
    """Match the regions of two label arrays of equal shape; 0 is background."""
    our_numbers, ours = _compact(prediction)
    their_numbers, theirs = _compact(reference)
    both = (ours > 0) & (theirs > 0)
    width = len(their_numbers)
    codes, shared = _counted(ours[both] * width + theirs[both], len(our_numbers) * width)
    mine, other = codes // width, codes % width
    union = np.bincount(ours)[mine] + np.bincount(theirs)[other] - shared
    overlap = shared / union
    half = overlap > 0.5
    counts = ObjectCounts(len(our_numbers) - 1, width - 1, int(np.count_nonzero(half)))
    return Matches(our_numbers[mine[half]], their_numbers[other[half]], overlap[half], counts)


def numbered(labels: np.ndarray) -> np.ndarray:
    """Labels that number objects: those of a mask, which has one number, are its connected regions."""
    values = np.unique(labels)
    if np.count_nonzero(values) != 1:
        return labels
    touching = np.ones((3,) * labels.ndim)
    return ndimage.label(labels > 0, touching)[0]


def _compact(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that occur, first of all 0, and flat labels that say which of them each voxel has."""
    flat = labels.ravel()
    if flat.dtype.itemsize == 8 or flat.dtype == bool:
        flat = flat.astype(np.int64)  # bincount takes no unsigned ones of this size
    if flat.size and int(flat.max()) >= _DIRECT:
        numbers, places = np.unique(np.append(flat, flat.dtype.type(0)), return_inverse=True)
        return numbers, places[:-1]
    counts = np.bincount(flat, minlength=1)
    counts[0] = 1
    numbers = np.flatnonzero(counts)
    table = np.zeros(len(counts), np.int64)
    table[numbers] = np.arange(len(numbers))
    return numbers, table[flat]


def _counted(codes: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Which codes occur, and how often."""
    if largest > _DENSE:
        return np.unique(codes, return_counts=True)
    counts = np.bincount(codes, minlength=1)
    found = np.flatnonzero(counts)
    return found, counts[found]


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
