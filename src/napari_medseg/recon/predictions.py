"""How well methods predict measured samples that were hidden from them."""

from __future__ import annotations

from collections.abc import Sequence

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
        own = kspace.mask_of(index)
        measured = np.where(own, kspace.slice(index), 0)
        held.hold(kspace, index)
        for repeat in range(hidden.repeats):
            rng = np.random.default_rng((hidden.seed, index, repeat))
            mask = thinned(own, hidden.share, rng)
            compared = measured.any(0) & own & ~mask
            truth = measured[:, compared]
            left = np.where(mask, measured, 0)
            weights = _missing_for_each(mask, own, compared) if for_missing else np.ones(1)
            found[-1, column] += _energy(truth, weights)
            for row, method in enumerate(methods):
                predicted = yield from within(method(left, mask), done, total)
                found[row, column] += _energy(fft2c(predicted.coils)[:, compared] - truth, weights)
                done += 1
                yield Progress(done, total)
        if not found[-1, column]:
            raise VolumeError(
                f"All hidden samples of slice {index} are 0: no method can be judged by them. Leave it out."
            )
    return found


def _energy(samples: np.ndarray, weights: np.ndarray) -> float:
    return float(np.sum(weights * np.abs(samples).astype(np.float64) ** 2))


def _missing_for_each(mask: np.ndarray, own: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """How many samples are missing around each one of `compared`, for each that `mask` leaves there."""
    points = own.ndim == 2
    whole = np.broadcast_to(mask, compared.shape).astype(float)
    density = ndimage.uniform_filter(whole, _AROUND if points else (1, _AROUND), mode="nearest")
    density = np.clip(density, 1 / _AROUND**2, 1)
    return ((1 - density) / density)[compared]
