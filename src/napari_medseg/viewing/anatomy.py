"""Where the edges of a canvas lie in the patient: the letters L R A P S I, and the name of the plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..directions import has_only_sizes
from ..errors import VolumeError
from ..io.places import Place
from ..volume import Volume

NO_PLACE = (
    "The image does not say where right, front and head of the patient are; expected a scan with its geometry (DICOM, "
    "NIfTI, NRRD, MetaImage), opened by napari-medseg."
)

_TOWARDS = "RAS"
_AWAY = "LPI"
_NAMES = ("sagittal", "coronal", "axial")  # planes across the patient's x, y and z axes
_OBLIQUE = 15.0  # degrees from which on a direction has a second letter, and a plane is called oblique
_STRAIGHT = 3.0  # degrees that are not worth a word
_SECOND = math.sin(math.radians(_OBLIQUE))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Where the axes of the viewer point in the patient, for the layer that shows a volume.

    Parameters
    ----------
    axes : str
        Of the layer, without colours: ``zyx``, ``tzyx``. They are the last axes of the viewer.
    shape : tuple of int
        Number of voxels along `axes`.
    world : numpy.ndarray, shape (3, 3)
        Directions of the viewer's x, y and z axes in the patient (right, anterior, superior), as columns.
    """

    axes: str
    shape: tuple[int, ...]
    world: np.ndarray

    def axis_at(self, dim: int, ndim: int) -> str:
        """Letter of the axis that is dimension `dim` of a viewer of `ndim`; empty if the layer does not have it."""
        place = dim - (ndim - len(self.axes))
        return self.axes[place] if place >= 0 else ""

    def dim_of(self, axis: str, ndim: int) -> int:
        """The dimension of a viewer of `ndim` along which `axis` runs."""
        return ndim - len(self.axes) + self.axes.index(axis)

    def direction(self, dim: int, ndim: int) -> np.ndarray | None:
        """Where dimension `dim` of a viewer of `ndim` grows in the patient, shape (3,); None if not in space."""
        axis = self.axis_at(dim, ndim)
        return self.world[:, "xyz".index(axis)] if axis and axis in "xyz" else None

    def lies_like(self, other: Anatomy) -> bool:
        """Whether both have the same letters, wherever they are shown."""
        return bool(np.allclose(self.world, other.world, atol=_SECOND / 10))


@dataclass(frozen=True)
class Edges:
    """Letters at the four edges of a canvas; empty where they are not known."""

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""


NO_EDGES = Edges()


def anatomy_of(volume: Volume) -> Anatomy:
    """Where the axes of a viewer point in the patient, by the affine of a volume.

    Raises
    ------
    VolumeError
        If its file does not say so: microscopy, arrays, scans without the place of the patient.
    """
    if not volume.has_spacing or has_only_sizes(volume):
        raise VolumeError(NO_PLACE)
    place = Place.noted(volume.axes, volume.affine, volume.metadata)
    axes = volume.axes.removesuffix("c")
    return Anatomy(axes, tuple(volume.data.shape[: len(axes)]), place.world)


def letters(direction: np.ndarray) -> str:
    """A direction in the patient, the nearest axis first: ``L``, or ``LA`` where it lies between two.

    Parameters
    ----------
    direction : numpy.ndarray, shape (3,)
        Along right, anterior and superior, of any length. As in the patient orientation of DICOM, a letter is added
        for each further axis towards which it is inclined, here by 15 degrees or more.
    """
    unit = direction / np.linalg.norm(direction)
    nearest_first = np.argsort(-np.abs(unit), kind="stable")
    kept = [axis for axis in nearest_first if abs(unit[axis]) >= _SECOND]
    return "".join(_TOWARDS[axis] if unit[axis] > 0 else _AWAY[axis] for axis in kept)


def edges(rightwards: np.ndarray | None, downwards: np.ndarray | None) -> Edges:
    """Letters of a canvas by the directions in the patient that run to its right and lower edge, if they are known."""
    sides = ("", "") if rightwards is None else (letters(-rightwards), letters(rightwards))
    ends = ("", "") if downwards is None else (letters(-downwards), letters(downwards))
    return Edges(left=sides[0], right=sides[1], top=ends[0], bottom=ends[1])


def flat_directions(
    anatomy: Anatomy, displayed: Sequence[int], ndim: int, orientation: Sequence[str]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Directions in the patient that run to the right and lower edge of a canvas with one slice.

    Parameters
    ----------
    anatomy : Anatomy
    displayed : sequence of two int
        Dimensions of the viewer that run along rows from top to bottom, and along columns.
    ndim : int
        Of the viewer.
    orientation : sequence of two str
        Where these grow: ``down`` or ``up``, and ``right`` or ``left``.
    """
    down, right = (anatomy.direction(dim, ndim) for dim in displayed)
    if down is not None and str(orientation[0]) == "up":
        down = -down
    if right is not None and str(orientation[1]) == "left":
        right = -right
    return right, down


def turned_directions(
    anatomy: Anatomy, displayed: Sequence[int], ndim: int, view: Sequence[float], up: Sequence[float], mirrored: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """Directions in the patient that run to the right and lower edge of a canvas with a rendering.

    Parameters
    ----------
    anatomy : Anatomy
    displayed : sequence of three int
        Dimensions of the viewer that are rendered.
    ndim : int
        Of the viewer.
    view, up : sequence of three float
        Where the camera looks and what it has on top, along `displayed`.
    mirrored : bool
        Whether the axes of the camera are left-handed.

    Returns
    -------
    tuple of two numpy.ndarray, shape (3,), or None
        None if a dimension is not one of space.
    """
    found = [anatomy.direction(dim, ndim) for dim in displayed]
    if any(direction is None for direction in found):
        return None
    columns = np.array(found).T
    right = np.cross(view, up) * (-1 if mirrored else 1)
    return columns @ right, columns @ -np.asarray(up)


def plane_text(rightwards: np.ndarray, downwards: np.ndarray) -> str:
    """The plane of a canvas: ``axial``, ``axial, tilted by 8°``, or ``oblique, nearest to axial (27° off)``."""
    normal = np.cross(rightwards, downwards)
    parts = np.abs(normal) / np.linalg.norm(normal)
    axis = int(parts.argmax())
    off = math.degrees(math.acos(min(1.0, float(parts[axis]))))
    if off < _STRAIGHT:
        return _NAMES[axis]
    if off < _OBLIQUE:
        return f"{_NAMES[axis]}, tilted by {off:.0f}°"
    return f"oblique, nearest to {_NAMES[axis]} ({off:.0f}° off)"
