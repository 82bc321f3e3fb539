"""Labels as shares: how much of each pixel belongs to each class, which resampling neither shifts nor rounds.

A target is a float32 tensor (2, c, y, x), or (b, 2, c, y, x) of a batch: first how much of each pixel is labelled as
class i + 1, then about how much of the pixel it is known whether it belongs to that class.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch.nn import functional as F

IGNORE = 255
"""Number in label maps of pixels about which nothing is known: they count in no loss and no score."""

_LEAST = 1e-6  # of a pixel: below it the known part is rounding


def targets(labels: torch.Tensor, classes: int, unlabelled: Collection[int] = ()) -> torch.Tensor:
    """Target (..., 2, c, y, x) of label maps on their own grid.

    Parameters
    ----------
    labels : torch.Tensor, shape (..., y, x)
        0 background, 1 to `classes`, or `IGNORE`.
    classes : int
        Number of classes without background, the c of the target.
    unlabelled : collection of int
        Classes that nobody drew here, although they may be there.
    """
    numbers = torch.arange(1, classes + 1, device=labels.device)
    drawn = torch.tensor([number not in unlabelled for number in range(1, classes + 1)], device=labels.device)
    drawn = drawn[:, None, None]
    maps = labels[..., None, :, :]
    known = (maps != IGNORE) & drawn
    mine = (maps == numbers[:, None, None]) & drawn
    return torch.stack([mine, known.expand_as(mine)], dim=-4).to(torch.float32)


def resampled(target: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A target (2, c, y, x) on a grid of `size`, by the interpolation that `Preprocess` resamples images with."""
    return F.interpolate(target, size, mode="bilinear", antialias=True).clamp(0, 1)


def exchanged(target: torch.Tensor) -> torch.Tensor:
    """A target (2, c, y, x) with the unknown part of each pixel in place of the known one, and back.

    In this form the 0 that lies beyond the border of an image means background.
    """
    mine, known = target
    return torch.stack([mine, 1 - known])


def in_the_middle(labels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The class in the middle of each pixel of a grid of `size`, uint8, for what needs a number; see `targets`.

    A middle that lies between several pixels has the class of the larger part of them.
    """
    numbers = torch.unique(labels)
    maps = torch.stack([labels == number for number in numbers]).to(torch.float32)
    middles = F.interpolate(maps[None], size, mode="bilinear")[0]
    # in a tie the higher number, an object rather than background
    largest = middles.flip(0).argmax(0)
    return numbers.flip(0)[largest].to(torch.uint8)


def shares_and_known(target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Share of the known part of each pixel that belongs to each class, and the known part, both (..., c, y, x)."""
    mine, known = target.unbind(-4)
    return (mine / known.clamp_min(_LEAST)).clamp(0, 1), known
