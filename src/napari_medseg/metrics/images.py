"""Scores of images against a reference.

Images are magnitudes, cropped to the reference, neither renormalised nor masked. The conventions are those of fastMRI;
others (maxima or means of single slices, Gaussian windows) give other numbers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

import numpy as np

from ..errors import VolumeError


def mae(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Mean absolute error, in the units of the images; otherwise as `nmse`."""
    reference, prediction = _images(reference, prediction)
    return float(np.abs(reference - prediction).mean())


def nmse(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Squared error of a volume relative to its energy: ||reference - prediction||^2 / ||reference||^2.

    Parameters
    ----------
    reference, prediction : numpy.ndarray, shape (slice, y, x), real
        Computed in float64.

    Raises
    ------
    VolumeError
        If shapes differ, an image is complex, or the reference holds only zeros.
    """
    reference, prediction = _images(reference, prediction)
    if not reference.any():
        raise VolumeError(
            "The reference holds only zeros, so there is no error relative to it. Choose another reference."
        )
    error = np.linalg.norm(reference - prediction)
    energy = np.linalg.norm(reference)
    return float(error**2 / energy**2)


def psnr(reference: np.ndarray, prediction: np.ndarray, maximum: float | None = None) -> float:
    """Peak signal-to-noise ratio of a volume, 10 log10(maximum^2 / mean squared error).

    Parameters
    ----------
    reference, prediction
        See `nmse`.
    maximum : float, optional
        Left out, that of the reference volume.

    Returns
    -------
    float
        In dB; infinity if the images are identical.

    Raises
    ------
    VolumeError
        If shapes differ, an image is complex, or the maximum is not above 0.
    """
    reference, prediction = _images(reference, prediction)
    peak = _peak(reference, maximum)
    difference = (reference - prediction) / peak
    error = float(np.square(difference).mean())
    if not error:
        return math.inf
    return -10 * math.log10(error)


def ssim(reference: np.ndarray, prediction: np.ndarray, maximum: float | None = None) -> float:
    """Structural similarity, mean over the slices of a volume.

    Parameters
    ----------
    reference, prediction, maximum
        See `psnr`; at least 7 x 7 pixels.

    Raises
    ------
    VolumeError
        As `psnr`, and if the images have fewer pixels.

    Notes
    -----
    Uniform window of 7 x 7 pixels, K1 = 0.01, K2 = 0.03, data range `maximum`, sample covariance; windows that reach
    over the border are left out.

    References
    ----------
    Wang et al., IEEE Trans Image Process 13:600, 2004.
    """
    return statistics.fmean(score for score, _ in _similarities(reference, prediction, maximum))


def ssim_map(reference: np.ndarray, prediction: np.ndarray, maximum: float | None = None) -> np.ndarray:
    """Structural similarity of every pixel: where two images differ in structure.

    Parameters
    ----------
    reference, prediction, maximum
        See `ssim`, whose definition this is.

    Returns
    -------
    numpy.ndarray, shape (slice, y, x), float32
        At most 1, where the windows are identical. The mean without the 3 pixels at the border, whose windows are
        filled up by mirroring, is `ssim`.

    Raises
    ------
    VolumeError
        As `ssim`.
    """
    found = _similarities(reference, prediction, maximum)
    return np.stack([each.astype(np.float32) for _, each in found])


def _similarities(
    reference: np.ndarray, prediction: np.ndarray, maximum: float | None
) -> Iterator[tuple[float, np.ndarray]]:
    """Score and map (y, x) of every slice."""
    from skimage.metrics import structural_similarity  # on demand: segmentations need no scikit-image

    reference, prediction = _images(reference, prediction)
    peak = _peak(reference, maximum)
    _, rows, columns = reference.shape
    if min(rows, columns) < 7:
        raise VolumeError(f"The images have {rows} x {columns} pixels; structural similarity needs at least 7 x 7.")
    for pair in zip(reference, prediction, strict=True):
        yield structural_similarity(*pair, data_range=peak, win_size=7, full=True)


def _images(reference: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if reference.shape != prediction.shape or reference.ndim != 3 or not reference.size:
        raise VolumeError(
            f"The reference has the shape {reference.shape} and the prediction {prediction.shape}; expected equal "
            "shapes (slice, y, x). Crop both to the same size."
        )
    if "c" in (reference.dtype.kind, prediction.dtype.kind):
        raise VolumeError("The images are complex; expected magnitude images. Take the absolute value first.")
    return reference.astype(np.float64), prediction.astype(np.float64)


def _peak(reference: np.ndarray, maximum: float | None) -> float:
    peak = float(reference.max()) if maximum is None else float(maximum)
    if not 0 < peak < math.inf:
        raise VolumeError(f"The maximum of the reference is {peak:g}; expected a number above 0.")
    return peak
