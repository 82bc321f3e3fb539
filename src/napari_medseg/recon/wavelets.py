"""Compressed sensing with wavelets: what the methods with one coil and with several have in common."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pywt

from ..progress import Job, Progress

_WAVELET = "db2"
_COARSEST = 16
"""Rows and columns, about, of the coarsest level: fewer levels leave aliasing of long waves, more gain nothing."""


def fista(
    closer: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    simpler: Callable[[np.ndarray], np.ndarray],
    iterations: int,
) -> Job[np.ndarray]:
    """The x that minimises 0.5 ||A x - y||^2 and a penalty, by proximal steps that gain speed.

    Parameters
    ----------
    closer : callable
        A gradient step of length 1 towards the data, ``x - A^H (A x - y)``; the largest eigenvalue of ``A^H A`` must
        not be above 1.
    start : numpy.ndarray
    simpler : callable
        The proximal operator of the penalty, such as `WaveletShrinkage`.
    iterations : int

    Yields
    ------
    Progress
        After every iteration.

    Returns
    -------
    numpy.ndarray, shape of `start`

    References
    ----------
    Beck and Teboulle, SIAM J Imaging Sci 2:183, 2009.
    """
    image = ahead = start
    pace = 1.0
    for done in range(1, iterations + 1):
        found = simpler(closer(ahead))
        before, pace = pace, (1 + math.sqrt(1 + 4 * pace**2)) / 2
        # a Python number keeps single precision
        ahead = found + (before - 1) / pace * (found - image)
        image = found
        yield Progress(done, iterations)
    return image


class WaveletShrinkage:
    """Soft thresholds of wavelet coefficients, each time with another random shift of the wavelets' grid.

    So no pixel lies on the same side of the grid all the time. Daubechies wavelets of 2 vanishing moments; the coarse
    image is shrunk like the details.

    Parameters
    ----------
    threshold : float
        In the units of the image.
    seed : int
        Of the shifts.

    References
    ----------
    Coifman and Donoho, Lect Notes Stat 103:125, 1995; Lustig et al., Magn Reson Med 58:1182, 2007.
    """

    def __init__(self, threshold: float, seed: int = 0) -> None:
        self._threshold = threshold
        self._rng = np.random.default_rng(seed)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The image (y, x), complex, with smaller coefficients."""
        return shrink(image, self._threshold, self._rng)


def shrink(image: np.ndarray, threshold: float, rng: np.random.Generator) -> np.ndarray:
    """Soft-threshold the wavelet coefficients of an image (y, x), complex, at a random place of the wavelet grid."""
    shorter = min(image.shape)
    levels = min(max(1, round(math.log2(shorter / _COARSEST))), pywt.dwt_max_level(shorter, _WAVELET))
    grid = 2**levels
    shift = rng.integers(grid, size=2)
    shifted = np.roll(image, shift, axis=(0, 1))
    # the transform is orthonormal where every level has an even size
    padded = np.pad(shifted, [(0, -n % grid) for n in image.shape], mode="symmetric")
    coarse, *details = pywt.wavedec2(padded, _WAVELET, mode="periodization", level=levels)
    kept = pywt.threshold(coarse, threshold)
    shrunk = [tuple(pywt.threshold(band, threshold) for band in bands) for bands in details]
    rows, columns = image.shape
    smooth = pywt.waverec2([kept, *shrunk], _WAVELET, mode="periodization")[:rows, :columns]
    return np.roll(smooth, -shift, axis=(0, 1)).astype(image.dtype, copy=False)
