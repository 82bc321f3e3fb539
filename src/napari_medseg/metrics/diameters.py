"""The largest diameter of a mask within a slice."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

_FEW = 64  # points whose distances are computed sooner than their hull


def largest_diameter(mask: np.ndarray, steps: np.ndarray) -> float:
    """The largest distance between two voxels of one slice of a mask.

    It is measured between the centres of voxels, as SimpleITK measures its Feret diameter: a single voxel has the
    diameter 0, and a disc one voxel less than its width.

    Parameters
    ----------
    mask : numpy.ndarray, shape (y, x) or (z, y, x), bool
    steps : numpy.ndarray, shape (2, 2 or 3)
        What one voxel is along y and x, in mm; see `Volume.steps`.

    Returns
    -------
    float
        In mm, the largest of all slices; NaN if the mask is empty.
    """
    planes = mask.reshape(-1, *mask.shape[-2:])
    lengths = [_diameter(plane, steps) for plane in planes if plane.any()]
    return max(lengths, default=math.nan)


def _diameter(plane: np.ndarray, steps: np.ndarray) -> float:
    corners = _hull(_ends(plane))
    if len(corners) < 2:
        return 0.0
    return float(pdist(corners @ steps).max())


def _ends(plane: np.ndarray) -> np.ndarray:
    """Indices (n, 2) of the first and the last voxel of every row: the corners of the hull are among them."""
    rows = np.flatnonzero(plane.any(axis=1))
    inside = plane[rows]
    first = inside.argmax(axis=1)
    last = plane.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    ends = [np.column_stack([rows, first]), np.column_stack([rows, last])]
    return np.concatenate(ends)


def _hull(points: np.ndarray) -> np.ndarray:
    """The corners of the convex hull of points, or all of them where that is as fast."""
    if len(points) <= _FEW:
        return points
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # all on one line
        return points
