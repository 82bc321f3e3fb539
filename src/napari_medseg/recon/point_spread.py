"""Point spread of a sampling mask: what becomes of a single bright point, and how far its ghosts lie below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ..kspace import KSpace
from .transforms import ifft2c

FLOOR = -80.0
"""In dB: what lies below is shown as this, and is not a side lobe."""


class SideLobe(NamedTuple):
    """The highest peak of a point spread besides the centre.

    Parameters
    ----------
    level : float
        In dB; the centre has 0.
    rows, columns : int
        How far it lies from the centre, in pixels; it has a twin on the other side.
    """

    level: float
    rows: int
    columns: int

    @property
    def text(self) -> str:
        """For reading: ``-11.8 dB, 24 columns from the centre``."""
        parts = []
        for number, noun in ((self.rows, "row"), (self.columns, "column")):
            if number:
                parts.append(f"{number} {noun}{'' if number == 1 else 's'}")
        return f"{self.level:.1f} dB, {' and '.join(parts)} from the centre"


def point_spread(mask: np.ndarray, matrix: tuple[int, int]) -> np.ndarray:
    """The magnitude of the image of a point, zero-filled under a mask.

    Parameters
    ----------
    mask : numpy.ndarray, shape (x,) or (y, x), bool
        With at least one sample.
    matrix : (int, int)
        Rows and columns of k-space.

    Returns
    -------
    numpy.ndarray, shape `matrix`, float32
        In dB: 0 in the centre (``n // 2``), not below `FLOOR`.

    References
    ----------
    Lustig et al., Magn Reson Med 58:1182, 2007.
    """
    size = np.abs(ifft2c(np.broadcast_to(mask, matrix).astype(np.float64)))
    lowest = 10 ** (FLOOR / 20)
    return (20 * np.log10(np.maximum(size / size.max(), lowest))).astype(np.float32)


def highest_side_lobe(spread: np.ndarray) -> SideLobe | None:
    """The highest peak besides the centre of what `point_spread` returns; None where nothing is above `FLOOR`.

    The slope of the main lobe is not a peak, however wide a mask makes it.
    """
    # images of k-space go on at the opposite edge
    highest_around = ndimage.maximum_filter(spread, 3, mode="wrap")
    peaks = (spread == highest_around) & (spread > FLOOR)
    middle = tuple(n // 2 for n in spread.shape)
    peaks[middle] = False
    if not peaks.any():
        return None
    place = np.unravel_index(np.argmax(np.where(peaks, spread, -np.inf)), spread.shape)
    rows, columns = (abs(int(at) - centre) for at, centre in zip(place, middle, strict=True))
    return SideLobe(float(spread[place]), rows, columns)


def worst_side_lobe(kspace: KSpace, indices: Sequence[int]) -> SideLobe | None:
    """The highest side lobe of the masks of these slices; None where no mask has one above `FLOOR`."""
    masks = [kspace.mask_of(index) for index in indices]
    different = {mask.tobytes(): mask for mask in masks}.values()
    found = [highest_side_lobe(point_spread(mask, kspace.matrix)) for mask in different]
    return max((lobe for lobe in found if lobe is not None), default=None)


def in_words(lobe: SideLobe | None) -> str:
    """What a person should know of a point spread, in a sentence."""
    if lobe is None:
        return f"No side lobe is above {FLOOR:g} dB: nothing is aliased."
    return f"The highest side lobe has {lobe.text}."
