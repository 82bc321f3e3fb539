"""How radiologists look at slices: which axis of the viewer runs where in an axial, a coronal and a sagittal view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..errors import VolumeError
from .anatomy import Anatomy

_FLAT = 2  # voxels that a side of a picture has at least


@dataclass(frozen=True)
class Plane:
    """A plane of the body and how it is looked at.

    Parameters
    ----------
    across : int
        The patient's axis across it: 0 to the right, 1 to the front, 2 to the head.
    sideways : int
        The patient's axis that runs along the picture,
    upright : int
        and the one that runs up.
    rightwards, upwards : tuple of float
        Where the right and the upper edge of the picture lie, along right, anterior and superior.
    seen : str
        The view in words.
    """

    across: int
    sideways: int
    upright: int
    rightwards: tuple[float, float, float]
    upwards: tuple[float, float, float]
    seen: str


PLANES: Mapping[str, Plane] = MappingProxyType(
    {
        "axial": Plane(2, 0, 1, (-1, 0, 0), (0, 1, 0), "seen from the feet: the patient's right on the left, front up"),
        "coronal": Plane(
            1, 0, 2, (-1, 0, 0), (0, 0, 1), "seen from the front: the patient's right on the left, head up"
        ),
        "sagittal": Plane(
            0, 1, 2, (0, -1, 0), (0, 0, 1), "seen from the patient's left: the front on the left, head up"
        ),
    }
)


@dataclass(frozen=True)
class Arrangement:
    """What makes a viewer show a plane as it is looked at.

    Parameters
    ----------
    order : tuple of int
        Of the dimensions of the viewer: the last two are rows and columns, the one before runs through the slices.
    orientation : (str, str, str)
        Where these three grow: ``towards`` or ``away``, ``down`` or ``up``, ``right`` or ``left``. A rendering is
        never mirrored.
    """

    order: tuple[int, ...]
    orientation: tuple[str, str, str]


def why_not(anatomy: Anatomy, name: str) -> str:
    """Why the plane cannot be shown; empty if it can."""
    plane = PLANES[name]
    axes = _axes_along(anatomy)
    wanted = (axes[plane.upright], axes[plane.sideways])
    lengths = dict(zip(anatomy.axes, anatomy.shape, strict=True))
    if not all(axis in lengths for axis in wanted):
        return f"the image is a single slice of another plane. Open a volume to see {name} slices."
    if min(lengths[axis] for axis in wanted) < _FLAT:
        return f"the image has one slice only, of which a {name} view would show a line."
    return ""


def arrange(anatomy: Anatomy, ndim: int, name: str) -> Arrangement:
    """How a viewer of `ndim` dimensions shows the plane `name` of `PLANES`; of an oblique scan, the nearest slices.

    Raises
    ------
    VolumeError
        If the image has no such plane.
    """
    reason = why_not(anatomy, name)
    if reason:
        raise VolumeError(f"There is no {name} view: {reason}")
    plane = PLANES[name]
    axes = _axes_along(anatomy)
    row, column, through = axes[plane.upright], axes[plane.sideways], axes[plane.across]
    shown = [anatomy.dim_of(axis, ndim) for axis in (through, row, column) if axis in anatomy.axes]
    others = [dim for dim in range(ndim) if dim not in shown]
    right, up = np.array(plane.rightwards), np.array(plane.upwards)
    return Arrangement(
        (*others, *shown),
        (
            "towards" if _grows(anatomy, through, np.cross(right, up)) else "away",
            "up" if _grows(anatomy, row, up) else "down",
            "right" if _grows(anatomy, column, right) else "left",
        ),
    )


def upright(anatomy: Anatomy) -> tuple[str, str, str] | None:
    """Where slices, rows and columns of a layer grow when its own slices are shown as they are looked at.

    Returns
    -------
    (str, str, str) or None
        As `Arrangement.orientation`; None if the layer has no slices, or rows and columns had to change places.
    """
    count = len(anatomy.axes)
    for name in PLANES:
        if why_not(anatomy, name):
            continue
        found = arrange(anatomy, count, name)
        if found.order == tuple(range(count)):
            return found.orientation
    return None


def _axes_along(anatomy: Anatomy) -> tuple[str, ...]:
    """The axes of the viewer that run along the patient's axes best, each along one of them.

    The axis across the slices chooses first: it names the plane, as `anatomy.plane_text` does.
    """
    parts = np.abs(anatomy.world)
    found = {}
    for axis in "zyx":
        free = [patient for patient in range(3) if patient not in found]
        best = max(free, key=lambda patient: parts[patient, "xyz".index(axis)])
        found[best] = axis
    return tuple(found[patient] for patient in range(3))


def _grows(anatomy: Anatomy, axis: str, direction: np.ndarray) -> bool:
    return float(anatomy.world[:, "xyz".index(axis)] @ direction) > 0
