"""Large slices in overlapping pieces: what the network sees of them, and what of its answer is kept."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch

_OVERLAP = 48  # pixels that two neighbouring pieces share at least


@dataclass(frozen=True)
class Tile:
    """What the network sees of a slice, what of it is kept, and where that lies inside of what is seen."""

    seen: tuple[slice, slice]
    kept: tuple[slice, slice]
    inner: tuple[slice, slice]

    def cut(self, images: torch.Tensor) -> torch.Tensor:
        """What is seen of images (..., y, x)."""
        return images[(..., *self.seen)]

    def paste(self, piece: torch.Tensor, whole: torch.Tensor) -> None:
        """Write what is kept of `piece`, the answer to `cut`, to its place in `whole` (..., y, x)."""
        whole[(..., *self.kept)] = piece[(..., *self.inner)]


def tiles(size: tuple[int, int], side: int, step: int) -> list[Tile]:
    """Cut a slice into overlapping squares whose kept parts cover it once.

    Parameters
    ----------
    size : (int, int)
        Height and width, multiples of `step`.
    side : int
        Largest side of a square; a slice of no more pixels than such a square stays whole.
    step : int
        Squares begin at multiples of this, and it divides their sides: the step of the network's coarsest map.
    """
    height, width = size
    if height * width <= side**2:
        side = max(size)
    pairs = itertools.product(_spans(height, side, step), _spans(width, side, step))
    return [Tile(*zip(rows, columns, strict=True)) for rows, columns in pairs]


def _spans(length: int, side: int, step: int) -> list[tuple[slice, slice, slice]]:
    """Overlapping pieces of one axis as (seen, kept, inner); the kept ones partition the axis."""
    if length <= side:
        whole = slice(0, length)
        return [(whole, whole, whole)]
    overlap = _OVERLAP + step  # starts are rounded down to the step, which costs up to one of it
    side = max(side, 2 * overlap) // step * step
    count = math.ceil((length - overlap) / (side - overlap))
    starts = [(length - side) * i // (count - 1) // step * step for i in range(count)]
    cuts = [0, *((a + side + b) // 2 for a, b in itertools.pairwise(starts)), length]
    return [
        (slice(s, s + side), slice(a, b), slice(a - s, b - s))
        for s, (a, b) in zip(starts, itertools.pairwise(cuts), strict=True)
    ]
