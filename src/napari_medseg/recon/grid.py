"""Where images of k-space lie: the part of the matrix that is shown, and its place in the scanner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..kspace import KSpace
from ..volume import Volume
from .transforms import centre_crop


def shown(kspace: KSpace, image: np.ndarray, finer: int = 1) -> np.ndarray:
    """The part of an image (..., y, x) of the whole matrix that is shown, float32.

    Parameters
    ----------
    kspace : KSpace
    image : numpy.ndarray, shape (..., y, x), real
    finer : int
        How many pixels it has for each one of the matrix, along y and x.
    """
    rows, columns = kspace.crop or kspace.matrix
    return centre_crop(image, (finer * rows, finer * columns)).astype(np.float32)


def image_volume(kspace: KSpace, data: np.ndarray, finer: int = 1) -> Volume:
    """Images of `kspace` on their grid, with an axis of frames if they are all and there are several.

    Parameters
    ----------
    kspace : KSpace
    data : numpy.ndarray, shape (slice, y, x) or (slice, coil, y, x), real
        As `shown` returns them.
    finer : int
        See `shown`.

    Returns
    -------
    Volume
        Axes zyx, tzyx, czyx or tczyx.
    """
    flags = {"has_spacing": kspace.spacing is not None, "simulated": kspace.simulated}
    coils = "c" if data.ndim == 4 else ""
    affine = _affine(kspace, finer)
    if kspace.frames == 1 or len(data) != kspace.slices:
        slices_inside = np.ascontiguousarray(np.moveaxis(data, 0, -3))
        return Volume(slices_inside, f"{coils}zyx", affine, metadata=flags)
    data = data.reshape(kspace.frames, kspace.depth, *data.shape[1:])
    counted = kspace.metadata.get("frames") or [{}]
    notes = {**flags, "t_axis": ", ".join(counted[0])}
    slices_inside = np.ascontiguousarray(np.moveaxis(data, 1, -3))
    return Volume(slices_inside, f"t{coils}zyx", affine, metadata=notes)


def plane_volume(kspace: KSpace, image: np.ndarray) -> Volume:
    """The place of all images of `kspace`, with one of them (y, x) in it."""
    found = image_volume(kspace, image[None])
    if kspace.frames == 1 or found.axes == "tzyx":
        return found
    return replace(found, data=found.data[None], axes="tzyx")


def _affine(kspace: KSpace, finer: int) -> np.ndarray:
    """Voxel index along (x, y, z) of what is shown to millimetres."""
    own = np.diag([*(kspace.spacing or (1.0, 1.0, 1.0))[::-1], 1.0])
    affine = np.array(kspace.metadata.get("affine", own), float)
    size = kspace.crop or kspace.matrix
    for column, axis in ((0, 1), (1, 0)):
        # the centre of the field of view stays where it is
        first = _first(kspace.matrix[axis], size[axis])
        finer_first = _first(finer * kspace.matrix[axis], finer * size[axis]) / finer
        affine[:3, 3] += (finer_first - first) * affine[:3, column]
        affine[:3, column] /= finer
    return affine


def _first(count: int, size: int) -> int:
    """Pixels from the centre of the field of view to the first one of `size` that are shown of `count`."""
    return (count - size) // 2 - count // 2
