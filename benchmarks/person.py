"""A scripted person who corrects labels and knows the truth: strokes of a brush, outlines, and the time that they take.

The hand is steady and the eye sees every wrong region of `SMALLEST` pixels. Seconds are assumptions, the same for every
way of working: what is compared is the number of strokes and the way that the hand goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from skimage.measure import perimeter
from skimage.morphology import disk, skeletonize

SMALLEST = 5  # pixels of a wrong region that is worth a stroke
RADII = (12, 8, 5, 3, 2, 1, 0)  # of the brush, in pixels
COVERED = 0.8  # of a region, by a brush that is small enough
AIM = 1.0  # s to begin a stroke
SPEED = 15.0  # pixels of the image that a careful hand goes in a second
KEY = 1.0  # s of a key
TOOL = 4.0  # s of a tool of the dock: choose it, apply it, look
LOOK = 2.0  # s to look at a slice

_TOUCH = np.ones((3, 3), bool)


@dataclass
class Effort:
    """What a person has done.

    Parameters
    ----------
    strokes : int
        Of the brush, and outlines.
    keys : int
        Keys that change labels, and tools.
    looked, changed : set of int
        Slices that were looked at, and those that were changed by hand.
    seconds : float
        Of the person.
    computing : float
        Seconds of CPU that tools and models took.
    """

    strokes: int = 0
    keys: int = 0
    looked: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)
    seconds: float = 0.0
    computing: float = 0.0

    def look(self, number: int) -> None:
        """Go to a slice and look at it."""
        self.looked.add(number)
        self.seconds += LOOK

    def stroke(self, number: int, length: float) -> None:
        """A stroke of so many pixels on a slice."""
        self.strokes += 1
        self.changed.add(number)
        self.seconds += AIM + length / SPEED

    def key(self, number: int, seconds: float = KEY) -> None:
        """A key or a tool that changes a slice."""
        self.keys += 1
        self.changed.add(number)
        self.seconds += seconds


def brush(plane: np.ndarray, wanted: np.ndarray) -> Iterator[float]:
    """Paint a slice until it is as wanted, but for small regions; the largest wrong region comes first.

    Parameters
    ----------
    plane : numpy.ndarray, shape (y, x)
        Is painted on.
    wanted : numpy.ndarray, shape (y, x)

    Yields
    ------
    float
        The way of a stroke in pixels, once it is painted.
    """
    while True:
        number, region = _largest_wrong(plane, wanted)
        if np.count_nonzero(region) < SMALLEST:
            return
        yield _stroke(plane, wanted == number, region, number)


def work_left(plane: np.ndarray, wanted: np.ndarray) -> float:
    """How many seconds of strokes a slice needs."""
    return sum(AIM + length / SPEED for length in brush(plane.copy(), wanted))


def encircle(plane: np.ndarray, mask: np.ndarray, number: int) -> Iterator[float]:
    """Draw a mask from nothing: a closed outline around each of its pieces, filled at once; holes stay to be erased.

    Parameters
    ----------
    plane : numpy.ndarray, shape (y, x)
        Is painted on.
    mask : numpy.ndarray, shape (y, x), bool
    number : int
        The class.

    Yields
    ------
    float
        The way around a piece in pixels, once it is painted.
    """
    pieces, count = ndimage.label(mask, _TOUCH)
    for piece in range(1, count + 1):
        inside = ndimage.binary_fill_holes(pieces == piece)
        if np.count_nonzero(inside) < SMALLEST:
            continue
        plane[inside] = number
        yield perimeter(inside)


def _largest_wrong(plane: np.ndarray, wanted: np.ndarray) -> tuple[int, np.ndarray]:
    """The largest region that lacks the same class, and that class; an empty one if all is as wanted."""
    wrong = plane != wanted
    best = (0, np.zeros(plane.shape, bool))
    most = 0
    for number in np.unique(wanted[wrong]).tolist():
        pieces, _ = ndimage.label(wrong & (wanted == number), _TOUCH)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        if sizes.max() > most:
            most = int(sizes.max())
            best = (number, pieces == sizes.argmax())
    return best


def _stroke(plane: np.ndarray, allowed: np.ndarray, region: np.ndarray, number: int) -> float:
    """Cover most of a region with one stroke of the largest brush that can, within what is allowed; its way."""
    box = _around(region)
    for radius in RADII:
        disc = disk(radius).astype(bool)
        centres = ndimage.binary_erosion(allowed[box], disc, border_value=1)
        centres &= ndimage.binary_dilation(region[box], disc)
        swept = _best_sweep(centres, region[box], disc)
        covered = swept & region[box]
        if np.count_nonzero(covered) >= COVERED * np.count_nonzero(region):
            break
    plane[box][swept] = number
    # along what is thin, to and fro over what is wide
    return float(max(np.count_nonzero(skeletonize(covered)), np.count_nonzero(covered) / (2 * radius + 1)))


def _around(region: np.ndarray) -> tuple[slice, slice]:
    """A box with room for the largest brush on all sides."""
    (rows, columns) = ndimage.find_objects(region.astype(np.uint8))[0]
    room = 2 * RADII[0] + 1
    return slice(max(0, rows.start - room), rows.stop + room), slice(max(0, columns.start - room), columns.stop + room)


def _best_sweep(centres: np.ndarray, region: np.ndarray, disc: np.ndarray) -> np.ndarray:
    """What the brush paints along the connected way that covers most of a region."""
    ways, count = ndimage.label(centres, _TOUCH)
    best = np.zeros(region.shape, bool)
    most = 0
    for way in range(1, count + 1):
        swept = ndimage.binary_dilation(ways == way, disc)
        covered = np.count_nonzero(swept & region)
        if covered > most:
            most = covered
            best = swept
    return best
