"""Shrinking the wavelet coefficients of an image: what the methods with one coil and with several have in common."""

from __future__ import annotations

import math

import numpy as np
import pywt

_WAVELET = "db2"
_COARSEST = 16
"""Rows and columns, about, of the coarsest level: fewer levels leave aliasing of long waves, more gain nothing."""


def shrink(image: np.ndarray, threshold: float, rng: np.random.Generator) -> np.ndarray:
    """Soft-threshold the wavelet coefficients of an image at a random place of the wavelet grid.

    Called again and again with other places, so that no pixel lies on the same side of the grid all the time.

    Parameters
    ----------
    image : numpy.ndarray, shape (y, x), complex
    threshold : float
        In the units of the image; of the coarse image as of the details.
    rng : numpy.random.Generator
        Draws the place.

    Returns
    -------
    numpy.ndarray, shape (y, x), complex

    References
    ----------
    Coifman and Donoho, Lect Notes Stat 103:125, 1995; Lustig et al., Magn Reson Med 58:1182, 2007.
    """
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
