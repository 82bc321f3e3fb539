"""Labels at the ends of a stack where the model that finds the organ sees nothing: they probably lie beyond it."""

from __future__ import annotations

from collections.abc import Collection

from ..models import ModelCard
from ..volume import Volume
from .orientation import Turn, direction
from .settings import BEYOND


def outer_slices(unseen: Collection[int], labelled: Collection[int], stack: int, count: int) -> list[int]:
    """Labelled slices before the first and after the last one of their stack in which the organ was found.

    Parameters
    ----------
    unseen : collection of int
        Slices in which it was looked for and not found.
    labelled : collection of int
        Slices with any label.
    stack, count : int
        Slices of a stack, and of all stacks; they follow each other.

    Returns
    -------
    list of int
        Empty for stacks in which it was not found at all: nothing says then where it ends.
    """
    found = []
    for first in range(0, count, stack):
        whole = range(first, first + stack)
        seen = [index for index in whole if index not in unseen]
        if seen:
            outer = [*range(first, seen[0]), *range(seen[-1] + 1, first + stack)]
            found += [index for index in outer if index in labelled]
    return found


def remark(volume: Volume, turn: Turn, card: ModelCard, unseen: Collection[int], labelled: Collection[int]) -> str:
    """What a person should know of labels at the ends of the stacks of `volume`, in a sentence; empty if nothing.

    Parameters
    ----------
    volume : Volume
    turn : Turn
        How it was turned for the run, which counts its slices.
    card : ModelCard
    unseen, labelled : collection of int
        See `outer_slices`.
    """
    if card.locator is None or volume.spatial_axes != "zyx":
        return ""
    axis, backwards = direction(volume, turn)
    lengths = dict(zip(volume.axes, volume.data.shape, strict=True))
    stack = lengths[turn.sources[0]]
    count = stack * lengths.get("t", 1)
    places = {index % stack for index in outer_slices(unseen, labelled, stack, count)}
    if not places:
        return ""
    numbers = sorted(stack - 1 - place if backwards else place for place in places)  # as sliders count
    what = "slice" if len(numbers) == 1 else "slices"
    along = "" if axis == "z" else f" along {axis}"
    return (
        f"{BEYOND}{what} {_ranges(numbers)}{along} (of 0 to {stack - 1}). {card.locator.model} finds nothing there or "
        "farther out. Check the labels there, and erase them if the organ has ended."
    )


def _ranges(numbers: list[int]) -> str:
    """Rising numbers, those that follow each other together: ``1 to 3, 9``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts)
