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
    own = np.diag([*(kspace.spacing or (1.0, 1.0, 1.0))[::-1], 1.0])
    affine = refined(kspace.metadata.get("affine", own), kspace, finer)
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


def offset(kspace: KSpace, finer: int) -> tuple[float, float]:
    """Where the first finer pixel lies, in rows and columns from the first pixel: not 0 where numbers are odd."""
    found = []
    for count, size in zip(kspace.matrix, kspace.crop or kspace.matrix, strict=True):
        # the centre of the field of view stays where it is
        found.append(_first(finer * count, finer * size) / finer - _first(count, size))
    return found[0], found[1]


def refined(affine: np.ndarray, kspace: KSpace, finer: int) -> np.ndarray:
    """The `affine` (4, 4) of images of `kspace` with so many finer pixels for each one, along y and x."""
    down, right = offset(kspace, finer)
    found = np.array(affine, float)
    found[:3, 3] += right * found[:3, 0] + down * found[:3, 1]
    found[:3, :2] /= finer
    return found


def _first(count: int, size: int) -> int:
    """Pixels from the centre of the field of view to the first one of `size` that are shown of `count`."""
    return (count - size) // 2 - count // 2
