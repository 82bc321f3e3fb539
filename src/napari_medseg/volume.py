"""`Volume`: an image array with named axes and its place in the scanner."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import slice_states
from .codes import Coding
from .errors import VolumeError, readable
from .record import KEY as RECORD
from .record import Record
from .reference import KEY as REFERENCE
from .reference import Reference
from .slice_states import KEY as SLICES

LOW_IS_BRIGHT = "MONOCHROME1"
"""What ``photometric`` in the metadata of a volume says where low values are meant to be seen bright."""

LEVELS = "levels"
"""Key in the metadata of a volume that is read piece by piece: a tuple of the same image with fewer voxels, the finest
first. Nothing but a viewer needs them."""

_COLOURS = ("#4dbbd5", "#e64b35", "#00a087", "#f39b7f", "#3c5488", "#8491b4", "#91d1c2", "#b09c85")
_LONGEST_NAME = 200  # characters of a class
_RIGHT_ANGLED = 1e-4  # cosine of an angle that is taken for a right one
_AXES = re.compile(r"t?(c?z?yx|z?yxc)")


@dataclass(frozen=True)
class LabelClass:
    """One row of a class table: the number in the label array, its name, its colour (``#rrggbb``) and what it is.

    Control characters in the name are written out, and what is too long is cut: it is shown in forms and terminals.
    Colours have small letters. Without a `code`, files that need one get the one that `codes.of_name` finds.
    """

    id: int
    name: str
    colour: str
    code: Coding | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", readable(self.name, _LONGEST_NAME))
        object.__setattr__(self, "colour", self.colour.lower())


def colour_of(number: int) -> str:
    """The colour of a class that has none of its own, from its number."""
    return _COLOURS[(number - 1) % len(_COLOURS)]


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or label array with its geometry.

    Parameters
    ----------
    data : array
        C-ordered, axes as named by `axes`. Anything with ``shape``, ``dtype`` and slicing (numpy, dask, zarr).
    axes : str
        One letter per axis: ``t`` time, ``c`` channel, ``z`` slice, ``y`` row, ``x`` column. ``yx``, ``yxc`` (RGB),
        ``zyx``, ``tyx``, ``tzyx``, ``czyx`` and their like.
    affine : numpy.ndarray, shape (4, 4)
        Voxel index along (x, y, z) to RAS+ millimetres, as in NIfTI. Two-dimensional images have one too.
    classes : tuple of LabelClass
        Class table when the array holds labels; background (0) is not listed.
    metadata : mapping
        What else the file said. ``has_spacing`` is False when the voxel size is not known and the affine is a guess.
        ``photometric`` is `LOW_IS_BRIGHT` where values run from bright to dark, and ``t_axis`` names what differs
        along ``t`` if it is not plain time. ``record``, if there, is the `Record` of how the array came to be,
        ``slices`` says what a person has reviewed, see `slice_states`, and ``reference`` on which images it lies, see
        `Reference`.

    Raises
    ------
    VolumeError
        If axes and array do not fit, an axis is empty or the affine cannot be inverted.
    """

    data: Any
    axes: str
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    classes: tuple[LabelClass, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = tuple(self.data.shape)
        if not _AXES.fullmatch(self.axes) or len(self.axes) != len(shape):
            raise VolumeError(
                f"The image has {len(shape)} axes {shape} named '{self.axes}'; expected one of yx, yxc, zyx, tyx, "
                "tzyx, czyx. Name every axis, or select one time point or channel first."
            )
        if 0 in shape:
            raise VolumeError(f"The image is empty: its shape is {shape}. Every axis needs at least one voxel.")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not _is_invertible(affine[:3, :3]):
            raise VolumeError(
                "The voxel-to-millimetre matrix is not a finite, invertible 4 x 4 matrix. "
                "Repair the geometry of the file, or open it as a plain array."
            )
        object.__setattr__(self, "affine", affine)

    @property
    def spatial_axes(self) -> str:
        """The axes that lie in space, in array order: ``zyx`` or ``yx``."""
        return "".join(a for a in self.axes if a in "zyx")

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size in mm, one per spatial axis, in array order."""
        sizes = dict(zip("xyz", np.linalg.norm(self.affine[:3, :3], axis=0), strict=True))
        return tuple(float(sizes[a]) for a in self.spatial_axes)

    @property
    def steps(self) -> np.ndarray:
        """What one voxel is along each spatial axis, in array order, in mm: shape (axes, 3).

        Where the axes are at right angles, (axes, axes) with the voxel size on the diagonal.
        """
        columns = ["xyz".index(a) for a in self.spatial_axes]
        steps = self.affine[:3, columns].T
        directions = steps / np.linalg.norm(steps, axis=1, keepdims=True)
        cosines = directions @ directions.T - np.eye(len(columns))
        return np.diag(self.spacing) if np.abs(cosines).max() < _RIGHT_ANGLED else steps

    @property
    def voxel_size(self) -> float:
        """Volume of a voxel in mm3, or area of a pixel in mm2; of a sheared grid less than the product of its sides."""
        steps = self.steps
        if steps.shape[0] == steps.shape[1]:
            return float(abs(np.linalg.det(steps)))
        return float(np.linalg.norm(np.cross(*steps)))

    @property
    def origin(self) -> tuple[float, float, float]:
        """RAS+ position of the first voxel in mm, as (x, y, z)."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Anatomical direction in which each spatial axis grows, in array order, for example ``SAR``."""
        from nibabel.orientations import aff2axcodes

        codes = dict(zip("xyz", aff2axcodes(self.affine), strict=True))
        return "".join(codes[a] for a in self.spatial_axes)

    @property
    def has_spacing(self) -> bool:
        """Whether the voxel size was measured rather than assumed."""
        return bool(self.metadata.get("has_spacing", True))

    @property
    def low_is_bright(self) -> bool:
        """Whether low values are meant to be seen bright, as in many X-ray images."""
        return self.metadata.get("photometric") == LOW_IS_BRIGHT

    def as_seen(self) -> Any:
        """The array with high values for bright, as models know images; a copy where `low_is_bright`.

        Values are mirrored within their own range, so that its ends stay the same.
        """
        if not self.low_is_bright:
            return self.data
        data = np.asarray(self.data)
        # whole numbers that overflow on the way come back
        return (np.nanmax(data) - data) + np.nanmin(data)

    @property
    def record(self) -> Record | None:
        """How the array came to be, if that is known."""
        found = self.metadata.get(RECORD)
        return found if isinstance(found, Record) else None

    @property
    def channel_axis(self) -> int | None:
        """Index of the channel axis, if there is one."""
        return self.axes.index("c") if "c" in self.axes else None

    def like(self, data: Any, classes: tuple[LabelClass, ...] = ()) -> Volume:
        """`data` on the grid of this volume: same affine; the channel axis is dropped if `data` has none.

        Record and slices of this volume do not hold for other data and are left out.
        """
        axes = self.axes if data.ndim == len(self.axes) else self.axes.replace("c", "")
        return replace(self, data=data, axes=axes, classes=classes, metadata=self._without(RECORD, SLICES, LEVELS))

    def made_by(self, record: Record | None) -> Volume:
        """The same volume with another record, or without one."""
        noted = {} if record is None else {RECORD: record}
        return replace(self, metadata={**self._without(RECORD), **noted})

    def with_slices(self, rows: Any) -> Volume:
        """The same volume with other states of its slices, see `slice_states`; without any if there are no rows."""
        noted = {SLICES: tuple(rows)} if rows else {}
        return replace(self, metadata={**self._without(SLICES), **noted})

    def select(self, axis: str, index: int) -> Volume:
        """One position along `axis` (``t``, ``c`` or ``z``); affine and reviewed slices follow the selection.

        Raises
        ------
        VolumeError
            If the axis does not exist or has no such index.
        """
        if axis not in self.axes:
            raise VolumeError(f"The image has the axes '{self.axes}' and no axis '{axis}'. Select another axis.")
        where = self.axes.index(axis)
        if not 0 <= index < self.data.shape[where]:
            raise VolumeError(
                f"Index {index} lies outside axis '{axis}', which has {self.data.shape[where]} positions. "
                f"Choose 0 to {self.data.shape[where] - 1}."
            )
        affine = self.affine.copy()
        if axis == "z":
            affine[:3, 3] += index * affine[:3, 2]
        data = self.data[(slice(None),) * where + (index,)]
        part = replace(self, data=data, axes=self.axes.replace(axis, ""), affine=affine, metadata=self._without(LEVELS))
        reference = self.metadata.get(REFERENCE)
        if axis == "t" and isinstance(reference, Reference):
            part = replace(part, metadata={**part.metadata, REFERENCE: replace(reference, phase=index)})
        if axis == "c":
            return part
        part = part.with_slices(slice_states.at(self.metadata.get(SLICES), self._numbers_at(axis, index)))
        if self.record is None:
            return part
        return part.made_by(self.record.with_reviewed(self._reviewed_at(axis, index)))

    def _without(self, *names: str) -> dict[str, Any]:
        return {key: value for key, value in self.metadata.items() if key not in names}

    def _numbers_at(self, axis: str, index: int) -> list[int]:
        """Numbers of the slices within position `index` of an axis before y and x, in the order of the selection."""
        lengths = [n for a, n in zip(self.axes, self.data.shape, strict=True) if a in "tz"]
        numbers = np.arange(math.prod(lengths)).reshape(lengths)
        where = [a for a in self.axes if a in "tz"].index(axis)
        return np.take(numbers, index, where).reshape(-1).tolist()

    def _reviewed_at(self, axis: str, index: int) -> list[int]:
        """Numbers that the reviewed slices have within position `index` of an axis before y and x."""
        lengths = {a: n for a, n in zip(self.axes, self.data.shape, strict=True) if a in "tz"}
        rest = [n for a, n in lengths.items() if a != axis]
        found = []
        for number in self.record.reviewed if self.record else ():
            if number < math.prod(lengths.values()):
                place = dict(zip(lengths, np.unravel_index(number, tuple(lengths.values())), strict=True))
                if place.pop(axis) == index:
                    found.append(int(np.ravel_multi_index(tuple(place.values()), tuple(rest))) if rest else 0)
        return found


def in_pieces(array: Any) -> Any:
    """An array that can be cut and turned without being read; one that cannot, such as those of zarr, as dask array."""
    if hasattr(array, "transpose"):
        return array
    import dask.array

    shape = tuple(array.shape)
    # dask's own choice are pieces of 128 MiB, and all of one would be read for a slice
    slices = (1,) * len(shape[:-2]) + shape[-2:]
    nothing = np.empty((0,) * len(shape), array.dtype)
    return dask.array.from_array(array, getattr(array, "chunks", None) or slices, name=False, meta=nothing)


def _is_invertible(matrix: np.ndarray) -> bool:
    """Whether the columns span space; their lengths do not matter, voxels may be nanometres small."""
    lengths = np.linalg.norm(matrix, axis=0)
    return bool(lengths.min() > 0 and abs(np.linalg.det(matrix / lengths)) > 1e-6)
