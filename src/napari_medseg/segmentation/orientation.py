"""Volumes turned to the orientation that a model was trained on, and labels turned back: axes swapped and reversed.

Nothing is resampled: of an oblique volume the nearest axes count.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..directions import BEFORE, has_only_sizes, is_placed
from ..models import ModelCard
from ..models.card import DISPLAY
from ..volume import Volume, in_pieces

_THICK = 1.5  # times the other two sides: voxels whose slices are those of the scanner
_TURNED = "turned by"  # likewise: the axes of the file
_OPPOSITE = {"R": "L", "A": "P", "S": "I"}
_OPPOSITE |= {there: here for here, there in _OPPOSITE.items()}

# directions (right, anterior, superior) in which columns and rows of a slice grow where a workstation shows it:
# left is on the right; the front, or what is higher, on top; a sagittal slice looks to the left
_RIGHTWARDS = np.array([-1.0, -0.5, 0.0])
_DOWNWARDS = np.array([0.0, -0.5, -1.0])


@dataclass(frozen=True)
class Turn:
    """Which axis of a volume stands where, and which run the other way.

    Parameters
    ----------
    sources : (str, str, str)
        The axes of the volume that become z, y and x.
    reversed : (bool, bool, bool)
        Whether these then run the other way.
    """

    sources: tuple[str, str, str] = ("z", "y", "x")
    reversed: tuple[bool, bool, bool] = (False, False, False)

    @property
    def keeps_slices(self) -> bool:
        """Whether slices (y, x) stay slices, in this or the other order."""
        return self.sources[0] == "z"

    def noted(self) -> dict[str, str]:
        """What the record of a run says of it; empty where nothing was turned."""
        signs = ["-" if backwards else "" for backwards in self.reversed]
        seen = " ".join(f"{sign}{axis}" for sign, axis in zip(signs, self.sources, strict=True))
        return {} if self == AS_IT_LIES else {"turned": seen}

    def there(self, array: Any, axes: str) -> Any:
        """A view of an array with these axes, turned."""
        if self == AS_IT_LIES:
            return array
        return in_pieces(array).transpose(self._order(axes))[self._steps(axes)]

    def back(self, array: Any, axes: str) -> Any:
        """A view of a turned array, as it lay."""
        if self == AS_IT_LIES:
            return array
        order = self._order(axes)
        return in_pieces(array)[self._steps(axes)].transpose([order.index(place) for place in range(len(order))])

    def volume(self, volume: Volume) -> Volume:
        """The volume turned, in the same place."""
        if self == AS_IT_LIES:
            return volume
        affine = volume.affine.copy()
        lengths = dict(zip(volume.axes, volume.data.shape, strict=True))
        for axis, source, backwards in zip("zyx", self.sources, self.reversed, strict=True):
            step = volume.affine[:3, "xyz".index(source)]
            affine[:3, "xyz".index(axis)] = -step if backwards else step
            if backwards:
                affine[:3, 3] += (lengths[source] - 1) * step
        known = {BEFORE: (is_placed(volume), has_only_sizes(volume)), _TURNED: self}
        turned = self.there(volume.data, volume.axes)
        return replace(volume, data=turned, affine=affine, metadata={**volume.metadata, **known})

    def _order(self, axes: str) -> list[int]:
        sources = dict(zip("zyx", self.sources, strict=True))
        return [axes.index(sources.get(axis, axis)) for axis in axes]

    def _steps(self, axes: str) -> tuple[slice, ...]:
        backwards = dict(zip("zyx", self.reversed, strict=True))
        return tuple(slice(None, None, -1 if backwards.get(axis) else None) for axis in axes)


AS_IT_LIES = Turn()


def turn_for(volume: Volume, wanted: str) -> Turn:
    """How `volume` is to be turned to be `wanted`, as of `ModelCard.orientation`.

    `AS_IT_LIES` where it is not to be turned, or its place is not known. Of single slices, and series of them, only the
    axes y and x are swapped and reversed.
    """
    if not wanted or not volume.has_spacing:
        return AS_IT_LIES
    if volume.spatial_axes == "yx":
        return _within_plane(volume, wanted)
    if wanted == DISPLAY:
        return _as_displayed(volume)
    if not is_placed(volume):
        return AS_IT_LIES
    return _by_codes(volume.orientation, wanted)


def direction(volume: Volume, turn: Turn) -> tuple[str, bool]:
    """Along which axis of the file slices follow each other in a run, and whether backwards.

    Parameters
    ----------
    volume : Volume
        As it lies, or turned already: then `turn` is `AS_IT_LIES`.
    turn : Turn
    """
    if turn == AS_IT_LIES:
        turn = volume.metadata.get(_TURNED, turn)
    return turn.sources[0], turn.reversed[0]


def remark(volume: Volume, card: ModelCard) -> str:
    """What a person should know of how the volume lies, before a run; empty if nothing."""
    if not card.orientation:
        return ""
    if volume.spatial_axes == "yx":
        return _remark_on_slice(volume, card)
    turn = turn_for(volume, card.orientation)
    if card.orientation == DISPLAY:
        if turn.keeps_slices:
            return ""
        return f"Voxels are thickest along {turn.sources[0]}: slices across it are segmented, and labels turned back."
    if volume.has_spacing and is_placed(volume):
        return ""
    return (
        f"The file does not say where the axes of the volume point; {card.name} was trained on {card.orientation} and "
        "may take one end for the other. Check the orientation."
    )


def _remark_on_slice(volume: Volume, card: ModelCard) -> str:
    if not _lies_somewhere(volume, card.orientation):
        displayed = card.orientation == DISPLAY
        how = "that lie as a workstation shows them" if displayed else f"of {card.orientation} volumes"
        return (
            f"The image does not say which way it lies; {card.name} was trained on slices {how}. "
            "Turn or mirror it if it lies otherwise."
        )
    if card.orientation == DISPLAY or _by_codes(_codes(volume), card.orientation).keeps_slices:
        return ""
    return (
        f"The slice lies in the plane {volume.orientation}; {card.name} was trained on the slices of "
        f"{card.orientation} volumes, which lie across it. Choose an image of that plane."
    )


def _lies_somewhere(volume: Volume, wanted: str) -> bool:
    """Whether a slice says which way it lies."""
    known = not has_only_sizes(volume) if wanted == DISPLAY else is_placed(volume)
    return volume.has_spacing and known


def _within_plane(volume: Volume, wanted: str) -> Turn:
    """How a slice is to be turned within its plane; `AS_IT_LIES` if it lies in another one."""
    if not _lies_somewhere(volume, wanted):
        return AS_IT_LIES
    if wanted == DISPLAY:
        return max(_ways("z", ["y", "x"]), key=lambda turn: _likeness(volume, turn))
    turn = _by_codes(_codes(volume), wanted)
    return replace(turn, reversed=(False, *turn.reversed[1:])) if turn.keeps_slices else AS_IT_LIES


def _codes(volume: Volume) -> str:
    """Directions of z, y and x, of a slice too."""
    from nibabel.orientations import aff2axcodes

    return "".join(reversed(aff2axcodes(volume.affine)))


def _by_codes(found: str, wanted: str) -> Turn:
    sources, backwards = [], []
    for code in wanted:
        same = code in found
        sources.append("zyx"[found.index(code if same else _OPPOSITE[code])])
        backwards.append(not same)
    return Turn((sources[0], sources[1], sources[2]), (backwards[0], backwards[1], backwards[2]))


def _as_displayed(volume: Volume) -> Turn:
    """Slices across the thick side of the voxels, as a workstation shows them."""
    across = _through_plane(volume.spacing)
    rest = [axis for axis in "zyx" if axis != across]
    if has_only_sizes(volume):
        return Turn((across, rest[0], rest[1]))
    turn = max(_ways(across, rest), key=lambda turn: _likeness(volume, turn))
    # the other slices follow so that the axes are right-handed, as those of a DICOM series
    left_handed = bool(np.linalg.det(turn.volume(volume).affine[:3, :3]) < 0)
    _, up, left = turn.reversed
    return replace(turn, reversed=(left_handed, up, left))


def _through_plane(spacing: tuple[float, ...]) -> str:
    """The axis along which voxels are clearly the thickest; z if there is none."""
    *others, thickest = sorted(spacing)
    return "zyx"[spacing.index(thickest)] if thickest >= _THICK * max(others) else "z"


def _ways(across: str, rest: list[str]) -> Iterator[Turn]:
    for down, right in itertools.permutations(rest):
        for up, left in itertools.product((False, True), repeat=2):
            yield Turn((across, down, right), (False, up, left))


def _likeness(volume: Volume, turn: Turn) -> float:
    """How well slices lie as a workstation shows them."""
    columns = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    signs = [-1 if backwards else 1 for backwards in turn.reversed]
    down = signs[1] * columns[:, "xyz".index(turn.sources[1])]
    right = signs[2] * columns[:, "xyz".index(turn.sources[2])]
    return float(down @ _DOWNWARDS + right @ _RIGHTWARDS)
