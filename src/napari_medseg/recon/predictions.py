"""How well methods predict measured samples that were hidden from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import VolumeError
from ..kspace import KSpace
from ..progress import Job, Progress, within
from .coil_maps import HeldMaps
from .hidden_lines import thinned
from .methods import Method
from .settings import HiddenSettings
from .transforms import fft2c


def prediction_job(
    kspace: KSpace,
    methods: Sequence[Method],
    hidden: HiddenSettings,
    indices: Sequence[int],
    held: HeldMaps | None = None,
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
    held : HeldMaps, optional
        Where those of the methods that need coil maps share them: none of the hidden lines lies in the centre that they
        come from.

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
        if held is not None:
            yield Progress(done, total)
            held.hold(measured, own)
        for repeat in range(hidden.repeats):
            rng = np.random.default_rng((hidden.seed, index, repeat))
            mask = thinned(own, hidden.share, rng)
            compared = measured.any(0) & own & ~mask
            truth = measured[:, compared]
            left = np.where(mask, measured, 0)
            found[-1, column] += _energy(truth)
            for row, method in enumerate(methods):
                _, coils = yield from within(method(left, mask), done, total)
                found[row, column] += _energy(fft2c(coils)[:, compared] - truth)
                done += 1
                yield Progress(done, total)
        if not found[-1, column]:
            raise VolumeError(
                f"All hidden samples of slice {index} are 0: no method can be judged by them. Leave it out."
            )
    return found


def _energy(samples: np.ndarray) -> float:
    return float(np.sum(np.abs(samples).astype(np.float64) ** 2))
