"""How well methods predict measured samples that were hidden from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import VolumeError
from ..kspace import KSpace
from ..progress import Job, Progress, within
from .coil_maps import HeldMaps
from .hidden_lines import thinned
from .methods import Method
from .settings import HiddenSettings
from .transforms import fft2c

_AROUND = 15
"""Rows and columns over which the density of samples is counted; 7 is worse for equal steps."""


def prediction_job(
    kspace: KSpace,
    methods: Sequence[Method],
    hidden: HiddenSettings,
    indices: Sequence[int],
    held: HeldMaps,
    *,
    for_missing: bool = False,
) -> Job[np.ndarray]:
    """Hide some of the measured lines, reconstruct from the others, and compare what methods predict with the measured.

    Parameters
    ----------
    kspace : KSpace
        With a mask that can be thinned, see `hidden_lines.cannot_thin`.
    methods : sequence of Method
        See `methods.prepare`.
    hidden : HiddenSettings
    indices : sequence of int
        Slices to look at.
    held : HeldMaps
        Where the methods have their coil maps from: none of the hidden lines lies in the centre that these come from.
    for_missing : bool
        Whether hidden samples count as much as the missing ones they stand for: those far from the centre, where few
        were measured, more than those close to it.

    Yields
    ------
    Progress
        Over the reconstructions, also between the iterations of one.

    Returns
    -------
    numpy.ndarray, shape (method + 1, slice)
        Squared errors of every method on the hidden samples, over all coils and repeats; in the last row the energy of
        these samples.

    Raises
    ------
    VolumeError
        If the hidden samples of a slice are all 0.
    """
    total = len(indices) * hidden.repeats * len(methods)
    done = 0
    found = np.zeros((len(methods) + 1, len(indices)))
    for column, index in enumerate(indices):
        held.hold(kspace, index)
        for trial in trials(kspace, index, hidden, for_missing=for_missing):
            found[-1, column] += trial.energy
            for row, method in enumerate(methods):
                predicted = yield from within(method(trial.left, trial.mask), done, total)
                found[row, column] += trial.error(predicted.coils)
                done += 1
                yield Progress(done, total)
    return found


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
    kspace, hidden, for_missing
        See `prediction_job`.
    index : int
        Of the slice.

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
