"""What a person should know of the values of an image before a model sees it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_FEW = 20  # values that a label image of classes may hold
LABELS = "This is a label image, not a scan: a model finds nothing meaningful in it."


def remark(read: Callable[[int], np.ndarray], count: int) -> str:
    """Why there is nothing to see in an image; empty if there is.

    Parameters
    ----------
    read : callable
        From the number of a slice to its values (y, x) or (y, x, colour).
    count : int
        Number of slices. They are read, the middle one first, until one of them shows something.
    """
    glance = Glance()
    middle = count // 2
    for number in (middle, *range(middle), *range(middle + 1, count)):
        glance.see(read(number))
        if glance.has_seen:
            break
    return glance.remark()


class Glance:
    """A look at slices as they come, until one of them shows something.

    Attributes
    ----------
    has_seen : bool
        Whether further slices do not matter.
    """

    def __init__(self) -> None:
        self.has_seen = False
        self._text = ""
        self._single: set[float] = set()

    def see(self, plane: np.ndarray) -> None:
        """Look at a slice (y, x) or (y, x, colour)."""
        if self.has_seen:
            return
        plane = np.asarray(plane)
        if plane.shape[0] * plane.shape[1] == 1:
            self.has_seen = True
            self._text = "The image has a single pixel per slice, in which nothing can be found."
        elif _varies(plane):
            self.has_seen = True
            self._text = _as_labels(plane)
        else:
            known = plane[np.isfinite(plane)]
            self._single.update(known[:1].tolist())

    def remark(self) -> str:
        """One sentence on why there is nothing to see; empty if there is."""
        if self.has_seen:
            return self._text
        if not self._single:
            return "No value of the image is a finite number, so nothing can be found in it."
        if len(self._single) > 1:
            return "Every slice of the image holds a single value, so nothing can be found in it."
        (value,) = self._single
        return f"Every pixel of the image has the value {value:g}, so nothing can be found in it."


def _varies(plane: np.ndarray) -> bool:
    """Whether a slice holds two different values, in a colour of its own each."""
    colours = plane.reshape(plane.shape[0] * plane.shape[1], -1)
    if plane.dtype.kind == "f":
        colours = colours[np.isfinite(colours).all(1)]
    return bool(len(colours)) and bool((colours != colours[0]).any())


def like_labels(plane: np.ndarray) -> bool:
    """Whether the values of a slice (y, x) are few whole numbers, those of a mask or of classes."""
    if plane.dtype.kind not in "biu":
        return False
    values = np.unique(plane).tolist()
    in_a_row = values == list(range(len(values))) and len(values) <= _FEW
    return len(values) > 1 and (in_a_row or values == [0, 255])


def _as_labels(plane: np.ndarray) -> str:
    if plane.ndim > 2 or not like_labels(plane):
        return ""
    values = np.unique(plane).tolist()
    return f"The image holds only the values {', '.join(map(str, values))}: it seems to be a label image, not a scan."
