"""Where layers lie: what napari does with the voxels of a layer, as the affine of its volume; napari is not imported.

The axes of a viewer are not those of the patient: an oblique scan is shown upright. Its layer remembers the directions
of the viewer's axes, so that wherever the layer is moved, turned or mirrored to, its place in the patient is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import VolumeError

WORLD = "world"
"""Key in the metadata of a volume that comes from a turned or mirrored layer.

A tuple of three rows; its columns are the directions of the viewer's x, y and z axes in the patient. Without it they
are the directions of the voxel axes.
"""

_GREY = {2: ("yx",), 3: ("zyx", "tyx", "cyx"), 4: ("tzyx", "czyx", "tcyx"), 5: ("tczyx",)}
_COLOUR = {2: ("yxc",), 3: ("zyxc", "tyxc"), 4: ("tzyxc",)}
_TOLERANCE = 1e-6  # share of a voxel; a layer that is moved less was not moved


@dataclass(frozen=True, eq=False)
class Place:
    """Where voxels lie in the patient, and where the viewer shows them.

    Parameters
    ----------
    axes : str
        As in `Volume`; empty if they have no names yet.
    affine : numpy.ndarray, shape (4, 4)
        As in `Volume`.
    world : numpy.ndarray, shape (3, 3)
        Directions of the viewer's x, y and z axes in the patient, as columns.
    has_spacing : bool
        Whether the voxel size is known.
    """

    axes: str = ""
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    world: np.ndarray = field(default_factory=lambda: np.eye(3))
    has_spacing: bool = False

    @classmethod
    def noted(cls, axes: str, affine: np.ndarray, metadata: Mapping[str, Any]) -> Place:
        """As a volume, or the notes about it, say."""
        known = metadata.get(WORLD)
        world = _directions(affine) if known is None else np.array(known, np.float64)
        return cls(axes, affine, world, bool(metadata.get("has_spacing", True)))

    @property
    def sizes(self) -> np.ndarray:
        """Size of a voxel along its own x, y and z axes in mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def shown(self) -> np.ndarray:
        """Voxel index along (x, y, z) to mm along the viewer's axes (x, y, z); shape (4, 4)."""
        matrix = np.eye(4)
        matrix[:3] = np.linalg.solve(self.world, self.affine[:3])
        if np.array_equal(self.world, _directions(self.affine)):
            matrix[:3, :3] = np.diag(self.sizes)  # without rounding
        return matrix

    def metadata(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """The metadata of a volume that lies here, after those it had."""
        found = {key: value for key, value in before.items() if key != WORLD}
        if not np.allclose(self.world, _directions(self.affine), rtol=0, atol=_TOLERANCE):
            found[WORLD] = tuple(map(tuple, self.world.tolist()))
        if self.has_spacing != before.get("has_spacing", True):
            found["has_spacing"] = self.has_spacing
        return found

    def layer_options(self) -> dict[str, Any]:
        """Arguments of the layer that is shown here: scale and translate; a matrix where it is turned."""
        axes = self.axes.removesuffix("c")
        layer, space = _rows(axes)
        matrix = np.eye(len(axes) + 1)
        matrix[np.ix_(layer, layer)] = self.shown[np.ix_(space, space)]
        matrix[layer, -1] = self.shown[space, 3]
        scale = np.diag(matrix)[:-1]
        if np.array_equal(matrix[:-1, :-1], np.diag(scale)) and (scale > 0).all():
            return {"scale": scale.tolist(), "translate": matrix[:-1, -1].tolist()}
        return {"affine": matrix}

    def of_layer(self, axes: str, meta: Mapping[str, Any]) -> Place:
        """Where a layer lies that was made from what lies here.

        Parameters
        ----------
        axes : str
            Of the layer.
        meta : mapping
            As in a layer tuple. Units of length are believed; other numbers are mm.

        Raises
        ------
        VolumeError
            If time or channels are turned into space.
        """
        layer, space = _rows(axes.removesuffix("c"))
        matrix, known = _in_mm(axes.removesuffix("c"), meta)
        found = np.diag([*np.linalg.norm(self.shown[:3, :3], axis=0), 1.0])
        found[:3, 3] = self.shown[:3, 3]
        found[np.ix_(space, space)] = matrix[np.ix_(layer, layer)]
        found[space, 3] = matrix[layer, -1]
        found[:3] = self.world @ found[:3]
        moved = np.abs(found - self.affine).max() > _TOLERANCE * self.sizes.min()
        place = replace(self, axes=axes, affine=found if moved else self.affine)
        if known is None:
            resized = ~np.isclose(place.sizes, self.sizes, rtol=_TOLERANCE)
            # a size that a person sets is believed; one of 1 without a unit is what napari puts in place of a lost one
            lost = resized & np.isclose(place.sizes, 1, rtol=_TOLERANCE)
            known = not lost.any() if self.has_spacing else bool(resized.any())
        return replace(place, has_spacing=known)


def axes_choices(ndim: int, meta: Mapping[str, Any], noted: Place) -> tuple[str, ...]:
    """What the axes of a layer can mean: as its file says, as its units and labels say, else all that is possible.

    Parameters
    ----------
    ndim : int
        Of the layer, without colours.
    meta : mapping
        As in a layer tuple.
    noted : Place
        Of what the layer was made from; with empty axes if it does not say.

    Returns
    -------
    tuple of str
        The likeliest first; empty if the axes cannot be named in the order of `Volume`.
    """
    colour = "c" * bool(meta.get("rgb"))
    timed = [i for i, unit in enumerate(meta.get("units") or ()) if _is_time(unit)]
    possible = (_COLOUR if colour else _GREY).get(ndim, ())
    fitting = tuple(axes for axes in possible if all(axes[i] == "t" for i in timed))
    labelled = _labelled(meta.get("axis_labels") or ())
    known = _left(noted, ndim, meta)
    for said in (known, labelled):
        if said and said + colour in fitting:
            return (said + colour,)
    return () if labelled and not known else fitting


def why_no_axes(ndim: int, meta: Mapping[str, Any]) -> str:
    """A sentence for layers without `axes_choices`."""
    if not 2 <= ndim <= 5:
        return f"The layer has {ndim} axes; expected 2 to 5. Take a part of it as a layer of its own."
    labels = ", ".join(map(str, meta.get("axis_labels") or ()))
    units = ", ".join(map(str, meta.get("units") or ()))
    return (
        f"The axes of the layer are labelled {labels} in units of {units}; expected the order time, channel, slice, "
        "row, column (t, c, z, y, x). Correct its labels and units, or reorder its array."
    )


def transform(meta: Mapping[str, Any], ndim: int) -> np.ndarray:
    """Index of an array to place in the viewer, in the units of the layer, as napari composes it.

    Parameters
    ----------
    meta : mapping
        As in the layer tuple of a layer: rotation as a matrix, shear as a matrix or its upper triangle.
    ndim : int
        Number of axes without colours.

    Returns
    -------
    numpy.ndarray, shape (ndim + 1, ndim + 1)
    """
    first = np.eye(ndim + 1)
    scale = np.diag(np.broadcast_to(meta.get("scale", 1.0), ndim))
    first[:-1, :-1] = _square(meta.get("rotate"), ndim) @ _shear(meta.get("shear"), ndim) @ scale
    first[:-1, -1] = meta.get("translate", 0.0)
    return _square(meta.get("affine"), ndim + 1) @ first


def _in_mm(axes: str, meta: Mapping[str, Any]) -> tuple[np.ndarray, bool | None]:
    """Index of an array to mm in the viewer; and whether the voxel size is known, None if the units do not say."""
    layer, _ = _rows(axes)
    matrix = transform(meta, len(axes))
    _refuse_mixed(matrix[:-1, :-1], layer)
    units = meta.get("units") or [None] * len(axes)
    lengths = [_millimetres(units[row]) for row in layer]
    if not any(lengths):
        return matrix, None
    if not all(lengths):  # what is known of some axes only would distort the image
        return matrix, False
    matrix[layer] *= np.array(lengths)[:, None]
    return matrix, True


def _directions(affine: np.ndarray) -> np.ndarray:
    """Directions of the voxel axes x, y and z in the patient, as columns of length one."""
    return affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)


def _refuse_mixed(linear: np.ndarray, layer: Sequence[int]) -> None:
    others = [i for i in range(len(linear)) if i not in layer]
    crossing = [*linear[np.ix_(layer, others)].flat, *linear[np.ix_(others, layer)].flat]
    if not np.allclose(crossing, 0, atol=1e-9 * np.abs(linear).max()):
        raise VolumeError(
            "The layer is turned or sheared between space and its time or channel axis, so its voxels have no place. "
            "Expected a turn in space only; reset its rotation, shear and affine."
        )


def _rows(axes: str) -> tuple[list[int], list[int]]:
    """Where x, y and z are among the axes of a layer and in space, as far as the layer has them."""
    present = [name for name in "xyz" if name in axes]
    return [axes.index(name) for name in present], ["xyz".index(name) for name in present]


def _left(noted: Place, ndim: int, meta: Mapping[str, Any]) -> str:
    """Which axes a layer still has of those it was made with, by their voxel size; the last ones when in doubt."""
    plain = noted.axes.removesuffix("c")
    if not 2 <= ndim < len(plain):
        return plain if len(plain) == ndim else ""
    lead = plain[:-2]
    sizes = dict(zip("xyz", noted.sizes, strict=True))
    candidates = ["".join(found) + "yx" for found in combinations(reversed(lead), ndim - 2)]
    candidates = ["".join(sorted(axes, key=plain.index)) for axes in candidates]
    scale = np.broadcast_to(meta.get("scale", 1.0), ndim)
    same = [axes for axes in candidates if np.allclose([sizes.get(a, 1.0) for a in axes], scale)]
    labelled = _labelled(meta.get("axis_labels") or ())
    return labelled if labelled in candidates else [*same, *candidates][0]


def _labelled(labels: Sequence[str]) -> str:
    """The axes that the labels of a layer name, in the order of the layer: ``tzyx``; empty if they name none."""
    letters = [str(label).lower() for label in labels]
    named = {"y", "x"} <= {*letters} <= {*"tczyx"} and len({*letters}) == len(letters)
    return "".join(letters) if named else ""


def _square(given: Any, size: int) -> np.ndarray:
    """A matrix of a layer tuple, as that of the last axes if it is smaller; the identity if there is none."""
    found = np.eye(size)
    if given is None:
        return found
    matrix = np.asarray(given, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) > size:
        raise VolumeError(
            f"The layer is turned by {given}; expected a matrix for its {size} axes. Set its rotation anew."
        )
    found[size - len(matrix) :, size - len(matrix) :] = matrix
    return found


def _shear(given: Any, ndim: int) -> np.ndarray:
    """The matrix of a shear, of which napari gives the upper triangle where that is all."""
    if given is None or np.ndim(given) == 2:
        return _square(given, ndim)
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = given
    return matrix


def _is_time(unit: Any) -> bool:
    return hasattr(unit, "is_compatible_with") and bool(unit.is_compatible_with("s"))


@lru_cache(32)  # units are parsed slowly, and every change of the layer list asks for those of every layer
def _millimetres(unit: Any) -> float | None:
    """How many mm a length unit of napari is; None for pixels and other units that are not lengths."""
    is_length = hasattr(unit, "is_compatible_with") and unit.is_compatible_with("mm")
    return float((unit * 1).to("mm").magnitude) if is_length else None
