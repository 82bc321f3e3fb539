"""What a volume says of its directions: whether its axes are known to point to the patient's right, front and head."""

from __future__ import annotations

import numpy as np

from .volume import Volume

BEFORE = "known before turning"
"""Key in the metadata of a turned volume, whose affine no longer tells how it was made: what was known before."""

_PLACED = ("NIfTI", "compressed NIfTI", "DICOM", "NRRD", "MetaImage")


def is_placed(volume: Volume) -> bool:
    """Whether the directions of the axes are known."""
    if BEFORE in volume.metadata:
        return volume.metadata[BEFORE][0]
    if volume.metadata.get("space_code") == 0:  # a NIfTI file that says none
        return False
    if volume.metadata.get("has_place") is False:  # a DICOM file without the tags
        return False
    made_in = volume.metadata.get("format")
    return made_in is None or made_in in _PLACED or not _is_upright(volume)


def has_only_sizes(volume: Volume) -> bool:
    """Whether no more is known than the size of the voxels: slices are then taken as they are."""
    if BEFORE in volume.metadata:
        return volume.metadata[BEFORE][1]
    return not is_placed(volume) or (_is_upright(volume) and "format" not in volume.metadata)


def is_from_scanner(volume: Volume) -> bool:
    """Whether its file has a format in which scanners and their programs say where an image lies."""
    return volume.metadata.get("format") in _PLACED


def is_along_axes(volume: Volume) -> bool:
    """Whether x, y and z are the axes of the patient in this order, each in either direction."""
    steps = volume.affine[:3, :3]
    return bool(np.array_equal(steps, np.diag(np.diag(steps))))


def _is_upright(volume: Volume) -> bool:
    """Whether they also run in its directions, as of every file that does not say where it lies."""
    return is_along_axes(volume) and bool((np.diag(volume.affine)[:3] > 0).all())
