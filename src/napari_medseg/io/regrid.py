"""Labels put onto the grid of the images that they were made on: moved where they fit, else resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SAME = 0.01  # of a voxel
_HALF = 0.5 + _SAME


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a stack lie.

    Parameters
    ----------
    affine : numpy.ndarray, shape (4, 4)
        As of `Volume`.
    shape : tuple of int
        Number of voxels along z, y and x.
    """

    affine: np.ndarray
    shape: tuple[int, ...]

    def from_other(self, other: Grid) -> np.ndarray:
        """Matrix from index (x, y, z) on `other` to index (x, y, z) here; shape (4, 4)."""
        return np.linalg.solve(self.affine, other.affine)


@dataclass(frozen=True, eq=False)
class Shift:
    """How a grid fits onto another one without resampling.

    Parameters
    ----------
    axes : tuple of int
        For each axis (z, y, x) of the other grid, the axis of this one that runs along it.
    flipped : tuple of bool
        For each axis of the other grid, whether this one runs backwards.
    start : tuple of int
        Lowest index on the other grid that this one reaches, per axis of the other grid.
    """

    axes: tuple[int, ...]
    flipped: tuple[bool, ...]
    start: tuple[int, ...]

    @property
    def is_none(self) -> bool:
        """Whether index for index is the same; the other grid may be longer."""
        return self.axes == (0, 1, 2) and not any(self.flipped) and not any(self.start)

    def turned(self, data: np.ndarray) -> np.ndarray:
        """An array (z, y, x) of this grid with the order and directions of axes of the other one; a view."""
        backwards = tuple(np.flatnonzero(self.flipped).tolist())
        return np.flip(data.transpose(self.axes), backwards)


def shift(own: Grid, other: Grid) -> Shift | None:
    """How `own` fits onto `other`, to a hundredth of a voxel at each of its corners; None if it does not."""
    matrix = other.from_other(own)
    size = np.array(own.shape[::-1])
    whole = _signed_axes(matrix[:3, :3], size)
    if whole is None:
        return None
    origin = np.round(matrix[:3, 3])
    corners = np.array(np.meshgrid(*[[0, n - 1] for n in size], indexing="ij")).reshape(3, -1)
    off = (matrix[:3, :3] - whole) @ corners + (matrix[:3, 3] - origin)[:, None]
    if np.abs(off).max() > _SAME:
        return None
    reached = (whole @ corners + origin[:, None]).min(axis=1)
    # from (x, y, z) to (z, y, x)
    along = [2 - int(np.flatnonzero(row)[0]) for row in whole][::-1]
    backwards = [bool(row.sum() < 0) for row in whole][::-1]
    return Shift(tuple(along), tuple(backwards), tuple(int(n) for n in reached[::-1]))


def _signed_axes(matrix: np.ndarray, size: np.ndarray) -> np.ndarray | None:
    """The matrix as steps of exactly one voxel along the axes; None if it is far from that.

    An axis of one voxel has no direction of its own: it takes the one that is left.
    """
    whole = np.round(matrix)
    long = size > 1
    whole[:, ~long] = 0
    columns = np.abs(whole[:, long])
    if not (columns.sum(axis=0) == 1).all() or columns.sum(axis=1).max(initial=0) > 1:
        return None
    for axis in np.flatnonzero(~long):
        free = np.flatnonzero(np.abs(whole).sum(axis=1) == 0)
        best = free[np.argmax(np.abs(matrix[free, axis]))]
        whole[best, axis] = 1
    return whole


def moved(data: np.ndarray, by: Shift, shape: tuple[int, ...]) -> np.ndarray | None:
    """An array put onto the other grid, 0 elsewhere; None if something in it would fall outside.

    Parameters
    ----------
    data : numpy.ndarray, shape (z, y, x)
    by : Shift
    shape : tuple of int
        Of the other grid.
    """
    turned = by.turned(data)
    if by.is_none and turned.shape == tuple(shape):
        return data
    inside = []
    target = []
    for start, length, most in zip(by.start, turned.shape, shape, strict=True):
        first = max(0, -start)
        end = max(first, min(length, most - start))
        inside.append(slice(first, end))
        target.append(slice(start + first, start + end))
    part = turned[tuple(inside)]
    if np.count_nonzero(part) != np.count_nonzero(turned):
        return None
    found = np.zeros(shape, data.dtype)
    if part.size:
        found[tuple(target)] = part
    return found


def resampled(data: np.ndarray, own: Grid, other: Grid) -> np.ndarray:
    """Each voxel of `other` takes the nearest one of `own`; 0 outside. Shape (z, y, x)."""
    from scipy import ndimage

    matrix = own.from_other(other)
    linear = matrix[:3, :3][::-1, ::-1]  # of indices (z, y, x)
    offset = matrix[:3, 3][::-1]
    return ndimage.affine_transform(data, linear, offset, other.shape, order=0, mode="grid-constant", cval=0)


def beyond(data: np.ndarray, own: Grid, other: Grid) -> float:
    """How far in mm the voxels of `data` that are not 0 lie outside `other` at most; 0 if they lie inside."""
    matrix = other.from_other(own)
    most = np.array(other.shape[::-1]) - 1
    size = np.linalg.norm(other.affine[:3, :3], axis=0)
    farthest = 0.0
    for z, plane in enumerate(data):
        rows, columns = np.nonzero(plane)
        if not rows.size:
            continue
        places = matrix[:3, :3] @ np.array([columns, rows, np.full_like(rows, z)]) + matrix[:3, 3:]
        over = np.maximum(places - most[:, None], -places)
        over = np.where(over > _HALF, over, 0)
        farthest = max(farthest, float(np.linalg.norm(over * size[:, None], axis=0).max()))
    return farthest
