"""The answers of a network's passes, put together on the grid of the image."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from ..labels import Leading, leading, margin
from ..preprocess import Undo
from .tiling import Tile

# classes, and logits of a slice, that are resampled together at least: PyTorch has routines of its own for three
# classes and for slices of up to 64 x 64 pixels, which round in another way
_CLASSES = 8
_LOGITS = 2**20


class Gathered:
    """Takes the logits of slices piece by piece, and keeps them as the network made them.

    Labels need the leading class of every pixel alone: for them the maps are brought to the grid of the image a few
    classes at a time.

    Parameters
    ----------
    count, classes : int
        Slices, and logit maps of each.
    size : (int, int)
        Height and width that the network sees.
    undo : Undo
    """

    def __init__(self, count: int, classes: int, size: tuple[int, int], undo: Undo):
        self._undo = undo
        self._maps = torch.empty(count, classes, *size)
        self._unknown: dict[int, torch.Tensor] = {}

    def put(self, images: slice, tile: Tile, piece: torch.Tensor) -> None:
        """Take the logits (n, c, y, x), on whatever device, that answer a piece of some of the slices."""
        tile.paste(piece, self._maps[images])

    def blank(self, place: int, unknown: np.ndarray) -> None:
        """Make every class impossible where `unknown` (y, x) says that slice number `place` has no value."""
        self._unknown[place] = torch.from_numpy(unknown)

    def logits(self) -> torch.Tensor:
        """Logits (n, c, y, x) on the grid of the image, once all pieces are there."""
        found = self._undo(self._maps)
        for place, unknown in self._unknown.items():
            found[place, :, unknown] = -math.inf
        return found

    def leading(self) -> Leading:
        """The leading class of every pixel (n, y, x) of `logits`."""
        found = leading(self._parts())
        for place, unknown in self._unknown.items():
            found.logit[place, unknown] = -math.inf
            found.number[place, unknown] = 0
        return found

    def margin(self) -> torch.Tensor:
        """How far the class of every pixel (n, y, x) of `logits` leads; infinitely far where there is no value."""
        found = margin(self._parts())
        for place, unknown in self._unknown.items():
            found[place, unknown] = math.inf
        return found

    def _parts(self) -> Iterator[torch.Tensor]:
        classes = self._maps.shape[1]
        parts = min(classes // _CLASSES, classes * math.prod(self._undo.size) // _LOGITS)
        return map(self._undo, self._maps.tensor_split(max(1, parts), 1))
