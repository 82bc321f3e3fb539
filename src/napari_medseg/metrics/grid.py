"""Two label volumes on one grid: axes of length one dropped, the same place turned to the same directions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import VolumeError
from ..volume import Volume


def squeezed(volume: Volume, other: Volume) -> Volume:
    """`volume` without the axes of length one that `other` does not have."""
    for axis in "tcz":
        if axis in volume.axes and axis not in other.axes and volume.data.shape[volume.axes.index(axis)] == 1:
            volume = volume.select(axis, 0)
    return volume


def turned(volume: Volume, grid: Volume) -> Volume:
    """`volume` with the order and directions of the axes of `grid`, if that brings it onto the same grid."""
    from nibabel import orientations

    known = volume.has_spacing and grid.has_spacing
    if not known or volume.axes != grid.axes or "c" in volume.axes:
        return volume
    change = orientations.io_orientation(np.linalg.inv(grid.affine) @ volume.affine)
    if np.isnan(change).any() or np.array_equal(change, [[0, 1], [1, 1], [2, 1]]):
        return volume
    data = np.asarray(volume.data)
    flat = "z" not in volume.axes
    columns = data.T  # (x, y, z, t), as orientations count
    if flat:
        columns = np.expand_dims(columns, 2)
    shape = columns.shape[:3]
    columns = orientations.apply_orientation(columns, change)
    if flat:
        if columns.shape[2] != 1:
            return volume
        columns = columns[:, :, 0]
    affine = volume.affine @ orientations.inv_ornt_aff(change, shape)
    found = replace(volume, data=columns.T, affine=affine)
    if found.data.shape != grid.data.shape or apart(found, grid) > tolerance(grid):
        return volume
    return found


def check_same_grid(
    prediction: Volume, reference: Volume, names: tuple[str, str] = ("prediction", "reference")
) -> None:
    """Refuse volumes that differ in axes, shape or place.

    Parameters
    ----------
    prediction, reference : Volume
    names : (str, str)
        What they are called in the sentence of an error.

    Raises
    ------
    VolumeError
        If they do.
    """
    ours, theirs = names
    if prediction.axes != reference.axes or prediction.data.shape != reference.data.shape:
        raise VolumeError(
            f"The {ours} has the axes {prediction.axes} {prediction.data.shape} and the {theirs} "
            f"{reference.axes} {reference.data.shape}. Compare labels that were made for the same image."
        )
    if not (prediction.has_spacing and reference.has_spacing):
        return
    distance = apart(prediction, reference)
    if distance > tolerance(prediction):
        raise VolumeError(
            f"{ours.capitalize()} and {theirs} lie up to {distance:.3g} mm apart in space: their affines differ. "
            "Compare labels that were made for the same image, or resample one onto the grid of the other."
        )


def tolerance(volume: Volume) -> float:
    """How far apart in mm voxels of one grid may lie."""
    return 0.01 * min(volume.spacing)


def apart(prediction: Volume, reference: Volume) -> float:
    """How far apart in mm the same voxel of two volumes of equal shape may lie at most."""
    size = dict(zip(prediction.axes, prediction.data.shape, strict=True))
    corner = np.array([size["x"] - 1, size["y"] - 1, size.get("z", 1) - 1, 0.0])
    difference = prediction.affine - reference.affine
    shift = np.linalg.norm(difference[:3, 3])
    per_step = np.linalg.norm(difference[:3], axis=0)
    # the sum over the axes bounds every corner
    return float(shift + (per_step * corner).sum())
