"""Agreement of an image with the measured samples."""

from __future__ import annotations

import numpy as np

from ..errors import SettingsError
from .transforms import fft2c, ifft2c


def data_consistency(
    image: np.ndarray, measured: np.ndarray, mask: np.ndarray, weight: float | None = None
) -> np.ndarray:
    """Put the measured samples back into an image.

    Parameters
    ----------
    image : numpy.ndarray, shape (..., y, x), complex
    measured : numpy.ndarray, shape (..., y, x), complex
        k-space in the units of `image`; what lies outside `mask` is ignored.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    weight : float, optional
        Weight lambda of the measured samples against those of the image, (F x + lambda y) / (1 + lambda). Left out,
        measured samples replace those of the image.

    Returns
    -------
    numpy.ndarray, shape (..., y, x), complex

    References
    ----------
    Schlemper et al., IEEE Trans Med Imaging 37:491, 2018, eq. 5.
    """
    if weight is not None and not weight >= 0:
        raise SettingsError(f"The weight of data consistency is {weight}; expected a number from 0 up.")
    kspace = fft2c(image)
    agreed = measured if weight is None else (kspace + weight * measured) / (1 + weight)
    return ifft2c(np.where(mask, agreed, kspace))


def data_residual(image: np.ndarray, measured: np.ndarray, mask: np.ndarray) -> float:
    """How far an image lies from the measured samples: ||M F x - y|| / ||y||; 0 where nothing was measured.

    Parameters
    ----------
    image, measured, mask
        See `data_consistency`.
    """
    difference = np.where(mask, fft2c(image) - measured, 0)
    energy = float(np.linalg.norm(np.where(mask, measured, 0)))
    return float(np.linalg.norm(difference)) / energy if energy else 0.0
