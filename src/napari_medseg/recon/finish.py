"""What comes after a reconstruction, where it is wanted: a filter against Gibbs ringing, and half the pixel size."""

from __future__ import annotations

import numpy as np

from ..kspace import KSpace
from .methods import Slice
from .settings import FinishSettings
from .transforms import fft2c, ifft2c, rss


def magnitude(found: Slice, kspace: KSpace, finish: FinishSettings) -> np.ndarray:
    """The magnitude (y, x) of what a method made of a slice, finished.

    Coils that a method combined by their magnitudes are finished one by one: a magnitude has sharp edges of its own.
    """
    if np.iscomplexobj(found.image):
        return np.abs(finished(found.image, kspace, finish))
    return rss(finished(found.coils, kspace, finish), 0)


def finished(image: np.ndarray, kspace: KSpace, finish: FinishSettings) -> np.ndarray:
    """A complex image after filter and interpolation.

    Parameters
    ----------
    image : numpy.ndarray, shape (..., y, x), complex
        Of the whole matrix.
    kspace : KSpace
        Says as far as where k-space was measured.
    finish : FinishSettings

    Returns
    -------
    numpy.ndarray, shape (..., y, x), complex
        In the units of `image`; interpolated, twice as many rows and columns, every second one a pixel of `image`
        where their number is even.
    """
    samples = fft2c(image)
    if finish.gibbs:
        rows, columns = kspace.matrix
        along_y = fading((0, rows), rows, finish.gibbs)
        along_x = fading(kspace.whole, columns, finish.gibbs)
        samples *= np.outer(along_y, along_x).astype(np.float32)
    if finish.interpolate:
        samples = finish.finer * _padded(samples, finish.finer)
    return ifft2c(samples)


def fading(span: tuple[int, int], count: int, strength: float) -> np.ndarray:
    """Weights along an axis of k-space: 1 in the centre, ``1 - strength`` at the farther end of what was measured.

    Parameters
    ----------
    span : (int, int)
        First position that was measured and the one after the last.
    count : int
        Positions along the axis.
    strength : float
        See `FinishSettings`.

    References
    ----------
    Harris, Proc IEEE 66:51, 1978 (generalised Hamming window).
    """
    first, end = span
    centre = count // 2
    reach = max(centre - first, end - centre)
    # not scipy.signal.windows: it takes two seconds to load, with all of SciPy's statistics
    window = 1 - strength / 2 + strength / 2 * np.cos(np.linspace(-np.pi, np.pi, 2 * reach + 1))
    weights = np.zeros(count)
    weights[first:end] = window[first - centre + reach : end - centre + reach]
    return weights


def _padded(samples: np.ndarray, finer: int) -> np.ndarray:
    """k-space (..., y, x) in the middle of a matrix of zeros that has so many times more rows and columns."""
    around = [(0, 0)] * (samples.ndim - 2)
    for count in samples.shape[-2:]:
        before = finer * count // 2 - count // 2
        around.append((before, (finer - 1) * count - before))
    return np.pad(samples, around)
