"""Whether a copy that was read back is the volume that was saved."""

from __future__ import annotations

import numpy as np

from ..errors import FileError
from ..volume import Volume

AFFINE_TOLERANCE = 1e-6
"""Largest difference between an affine and the one read back, in mm."""


def same(volume: Volume, back: Volume, *, notes: bool) -> None:
    """Compare a volume with its copy that was read back.

    Parameters
    ----------
    volume, back : Volume
    notes : bool
        Whether axes, affine and classes are compared too.

    Raises
    ------
    FileError
        If anything compared differs.
    """
    if back.data.shape != volume.data.shape:
        raise FileError(f"the copy read back has the shape {back.data.shape} in place of {volume.data.shape}")
    nan = volume.data.dtype.kind == "f"
    # slice by slice: comparing needs temporary arrays, and those of a store are read for it
    pairs = ((np.asarray(a), np.asarray(b)) for a, b in zip(volume.data, back.data, strict=True))
    if not all(np.array_equal(a, b, equal_nan=nan) for a, b in pairs):
        raise FileError("the copy read back has other voxels")
    if notes and not np.allclose(volume.affine, back.affine, rtol=0, atol=AFFINE_TOLERANCE):
        raise FileError("the copy read back has another position or voxel size")
    if notes and (volume.axes, volume.classes) != (back.axes, back.classes):
        raise FileError("the copy read back has other axes or classes")
    if notes and volume.record is not None and back.record != volume.record.normal():
        raise FileError("the copy read back has another record")
