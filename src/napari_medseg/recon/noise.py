"""Noise of the measured samples: how strong it is, and coils mixed so that theirs is equal and independent."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import VolumeError
from ..kspace import KSpace

_BORDER = 0.05  # share of the measured samples, those farthest out, that show the noise


def whitened(kspace: KSpace) -> KSpace:
    """`kspace` in coils of equal and independent noise, by its `KSpace.noise`; as it is where that is not known.

    All coils get the mean noise (root mean square), so that images keep their brightness.

    References
    ----------
    Pruessmann et al., Magn Reson Med 46:638, 2001, appendix A.
    """
    if kspace.noise is None:
        return kspace
    level = math.sqrt(np.trace(kspace.noise).real / kspace.coils)
    mixing = level * np.linalg.inv(np.linalg.cholesky(kspace.noise))
    return replace(kspace, data=_Mixed(kspace.data, mixing.astype(np.complex64)), noise=None)


@dataclass(frozen=True, eq=False)
class _Mixed:
    """k-space of mixtures (mixture, coil) of its coils, slice by slice."""

    data: Any
    mixing: np.ndarray

    dtype = np.dtype(np.complex64)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def __getitem__(self, index: int) -> np.ndarray:
        measured = np.asarray(self.data[operator.index(index)], np.complex64)
        return np.tensordot(self.mixing, measured, 1)


def noise_share(measured: np.ndarray) -> float:
    """About how much of the measured samples (coil, y, x) is noise, as a share of their norm; see `noise_level`."""
    known = int(np.count_nonzero(measured.any(0)))
    # real and imaginary part of every sample
    noise = math.sqrt(2 * known) * float(np.linalg.norm(noise_level(measured)))
    return min(noise / float(np.linalg.norm(measured)), 1.0)


def noise_level(measured: np.ndarray, index: int = 0) -> np.ndarray:
    """Standard deviation of the noise in the real and in the imaginary part of k-space, by coil.

    Parameters
    ----------
    measured : numpy.ndarray, shape (coil, y, x), complex
        Samples that are exactly 0 count as not measured.
    index : int
        Number of the slice, for the message.

    Returns
    -------
    numpy.ndarray, shape (coil,)

    Raises
    ------
    VolumeError
        If nothing was measured.

    Notes
    -----
    An image fades towards the border of k-space, noise does not. Looked at are the 5 % of the measured samples farthest
    from the centre, distances as shares of half the matrix, so corners first. There the magnitude is Rayleigh
    distributed with the median ``sigma sqrt(2 ln 2)``; the median bears a few samples with signal. The level is too
    high where details of the image reach the border, and too low where the scanner damped the border.
    """
    _, rows, columns = measured.shape
    distance = np.hypot(_from_centre(rows)[:, None], _from_centre(columns))
    known = measured.any(0)
    if not known.any():
        raise VolumeError(f"The mask leaves nothing of slice {index}: all samples that it keeps are 0.")
    farthest = np.quantile(distance[known], 1 - _BORDER)
    border = known & (distance >= farthest)
    medians = np.median(np.abs(measured[:, border]), axis=1)
    return medians / math.sqrt(2 * math.log(2))


def _from_centre(count: int) -> np.ndarray:
    """Positions along an axis of `count` samples, from the centre of k-space in halves of the matrix."""
    return (np.arange(count) - count // 2) / (count / 2)
