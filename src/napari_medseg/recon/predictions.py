"""What methods predict of measured samples that are hidden from them: a slice, some of its samples hidden in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import VolumeError
from ..kspace import KSpace
from .hidden_lines import thinned
from .settings import HiddenSettings
from .transforms import fft2c

_AROUND = 15
"""Rows and columns over which the density of samples is counted; 7 is worse for equal steps."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A slice of which some measured samples are hidden.

    Parameters
    ----------
    left : numpy.ndarray, shape (coil, y, x), complex
        What is still seen.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
        Where that is.
    places : numpy.ndarray, shape (y, x), bool
        What is hidden, as far as a sample was measured.
    truth : numpy.ndarray, shape (coil, sample), complex
        What was measured there.
    weights : numpy.ndarray, shape (sample,) or (1,)
        How much each of them counts.
    """

    left: np.ndarray
    mask: np.ndarray
    places: np.ndarray
    truth: np.ndarray
    weights: np.ndarray

    @property
    def energy(self) -> float:
        """The squared error of a method that predicts nothing."""
        return _energy(self.truth, self.weights)

    def error(self, coils: np.ndarray) -> float:
        """The squared error of coil images (coil, y, x)."""
        return _energy(fft2c(coils)[:, self.places] - self.truth, self.weights)


def trials(kspace: KSpace, index: int, hidden: HiddenSettings, *, for_missing: bool = False) -> list[Trial]:
    """A slice with some of its samples hidden, as often as `hidden` says.

    Parameters
    ----------
    kspace : KSpace
        With a mask that can be thinned, see `hidden_lines.cannot_thin`.
    index : int
        Of the slice.
    hidden : HiddenSettings
    for_missing : bool
        Whether hidden samples count as much as the missing ones they stand for: those far from the centre, where few
        were measured, more than those close to it.

    Raises
    ------
    VolumeError
        If all hidden samples are 0.
    """
    own = kspace.mask_of(index)
    measured = np.where(own, kspace.slice(index), 0)
    found = []
    for repeat in range(hidden.repeats):
        rng = np.random.default_rng((hidden.seed, index, repeat))
        mask = thinned(own, hidden.share, rng)
        places = measured.any(0) & own & ~mask
        weights = _missing_for_each(mask, own, places) if for_missing else np.ones(1)
        found.append(Trial(np.where(mask, measured, 0), mask, places, measured[:, places], weights))
    if not any(trial.energy for trial in found):
        raise VolumeError(f"All hidden samples of slice {index} are 0: no method can be judged by them. Leave it out.")
    return found


def _energy(samples: np.ndarray, weights: np.ndarray) -> float:
    return float(np.sum(weights * np.abs(samples).astype(np.float64) ** 2))


def _missing_for_each(mask: np.ndarray, own: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How many samples are missing around each one of `places`, for each that `mask` leaves there."""
    points = own.ndim == 2
    whole = np.broadcast_to(mask, places.shape).astype(float)
    density = ndimage.uniform_filter(whole, _AROUND if points else (1, _AROUND), mode="nearest")
    density = np.clip(density, 1 / _AROUND**2, 1)
    return ((1 - density) / density)[places]
