"""Where to look first: slices by how doubtful they are, and the doubtful regions within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from ..errors import VolumeError
from ..slice_states import APPROVED
from .planes import Planes

Aim = Literal["failed", "voxels"]

_SURE = 255  # of a map of doubt
_DOUBTFUL = 128  # and more is a doubtful voxel
_SHARE = 0.1  # of the usual area of a slice, added to areas: a few voxels on an empty slice are not a failure
_WINDOW = 48  # pixels that a person sees at once
_SMALLEST = 4  # voxels of a region that is worth a visit


@dataclass(frozen=True)
class Region:
    """A doubtful region of a slice.

    Parameters
    ----------
    plane : int
        The slice, counted over all axes before y and x.
    centre : (float, float)
        Row and column.
    voxels : int
    """

    plane: int
    centre: tuple[float, float]
    voxels: int


def score_slices(
    labels: np.ndarray, other: np.ndarray | None = None, uncertainty: np.ndarray | None = None, aim: Aim = "failed"
) -> np.ndarray:
    """How doubtful every slice is; the higher, the sooner it should be looked at.

    Sums find wrong voxels, ratios find failed slices: ``failed`` divides the differing voxels by the square root of
    the area of both labels, or the sum of the uncertainty by the area.

    Parameters
    ----------
    labels : numpy.ndarray, shape (..., y, x), integer
    other : numpy.ndarray, optional
        Labels of the same image by another model; is preferred to `uncertainty`.
    uncertainty : numpy.ndarray, optional
        Of the same shape, uint8: 0 sure, 255 undecided.
    aim : {"failed", "voxels"}
        Failed slices first, or the most doubtful voxels first.

    Returns
    -------
    numpy.ndarray, shape (slices,), float64
        All 0, which is the plain order, if there is neither `other` nor `uncertainty`.

    Raises
    ------
    VolumeError
        If the shapes differ.
    """
    planes = Planes(labels)
    theirs = None if other is None else Planes(_same(labels, other, "labels"))
    doubt = None if uncertainty is None else Planes(_same(labels, uncertainty, "uncertainty"))
    scores = np.zeros(planes.count)
    areas = np.zeros(planes.count)
    for number in range(planes.count):
        mine = planes.read(number)
        area = mine > 0
        if theirs is not None:
            plane = theirs.read(number)
            area |= plane > 0
            scores[number] = np.count_nonzero(mine != plane)
        elif doubt is not None:
            scores[number] = np.sum(doubt.read(number), dtype=float) / _SURE
        areas[number] = np.count_nonzero(area)
    if aim == "voxels":
        return scores
    return scores / (np.sqrt(np.maximum(areas, 1)) if other is not None else _padded(areas))


def _padded(areas: np.ndarray) -> np.ndarray:
    filled = areas[areas > 0]
    usual = float(np.median(filled)) if len(filled) else 1.0
    return areas + max(1.0, _SHARE * usual)


def _same(labels: np.ndarray, other: np.ndarray, name: str) -> np.ndarray:
    if other.shape != labels.shape:
        raise VolumeError(
            f"The labels have the shape {labels.shape} and the {name} to compare with {other.shape}. Choose a layer "
            "that was made for the same image."
        )
    return other


def next_slice(
    scores: np.ndarray, states: Sequence[str], current: int | None, backwards: bool = False, shown: int | None = None
) -> int | None:
    """The next slice to look at that nobody has approved, in the order of the scores and round the end.

    Parameters
    ----------
    scores : numpy.ndarray, shape (slices,)
        See `score_slices`; equal ones follow each other by number.
    states : sequence of str
        Of the slices.
    current : int or None
        The slice of the order to go on from; None begins with the first one.
    backwards : bool
    shown : int, optional
        The slice in view, which cannot come next; by default the current one.

    Returns
    -------
    int or None
        None if all slices, but for the one in view, are approved.
    """
    in_view = current if shown is None else shown
    order = ranking(scores)
    if backwards:
        order = order[::-1]
    start = 0 if current is None else order.index(current) + 1
    for number in order[start:] + order[:start]:
        if states[number] != APPROVED and number != in_view:
            return number
    return None


def ranking(scores: np.ndarray) -> list[int]:
    """The slices, the highest score first."""
    return np.argsort(-np.asarray(scores), kind="stable").tolist()


def doubtful(labels: np.ndarray, other: np.ndarray | None = None, uncertainty: np.ndarray | None = None) -> np.ndarray:
    """Which voxels differ between two labels, or are undecided; of the shape of `labels`, bool."""
    if other is not None:
        return np.asarray(labels) != np.asarray(_same(labels, other, "labels"))
    if uncertainty is not None:
        return np.asarray(_same(labels, uncertainty, "uncertainty")) >= _DOUBTFUL
    return np.zeros(labels.shape, bool)


def regions(doubt: np.ndarray, scores: np.ndarray) -> list[Region]:
    """The doubtful regions, slice by slice in the order of `scores`, the largest of a slice first.

    Pieces that a person sees in one window of 48 x 48 pixels around a larger one are a single region; pieces of fewer
    than 4 voxels are left out.

    Parameters
    ----------
    doubt : numpy.ndarray, shape (..., y, x), bool
    scores : numpy.ndarray, shape (slices,)
    """
    planes = doubt.reshape(-1, *doubt.shape[-2:])
    found = []
    for number in ranking(scores):
        if planes[number].any():
            found += _regions_of(planes[number], number)
    return found


def _regions_of(plane: np.ndarray, number: int) -> list[Region]:
    pieces, count = ndimage.label(plane, np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    centres = np.reshape(ndimage.center_of_mass(plane, pieces, np.arange(1, count + 1)), (-1, 2))
    waiting = [place for place in np.argsort(-sizes, kind="stable") if sizes[place] >= _SMALLEST]
    found = []
    while waiting:
        centre = centres[waiting[0]]
        near = [place for place in waiting if np.abs(centres[place] - centre).max() <= _WINDOW / 2]
        found.append(Region(number, (float(centre[0]), float(centre[1])), int(sizes[near].sum())))
        waiting = [place for place in waiting if place not in near]
    return sorted(found, key=lambda region: -region.voxels)
