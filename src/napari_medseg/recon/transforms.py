"""Between images and k-space: centred Fourier transforms, crops and coil combination."""

from __future__ import annotations

import numpy as np
from scipy import fft

from ..errors import VolumeError

_AXES = (-2, -1)


def fft2c(image: np.ndarray) -> np.ndarray:
    """Centred orthonormal Fourier transform over the last two axes.

    Parameters
    ----------
    image : numpy.ndarray, shape (..., y, x), complex or real

    Returns
    -------
    numpy.ndarray, shape (..., y, x), complex
        Zero frequency at index ``n // 2``; single precision stays single.
    """
    return fft.fftshift(fft.fft2(fft.ifftshift(image, axes=_AXES), norm="ortho"), axes=_AXES)


def ifft2c(kspace: np.ndarray) -> np.ndarray:
    """Inverse, and adjoint, of `fft2c`."""
    return fft.fftshift(fft.ifft2(fft.ifftshift(kspace, axes=_AXES), norm="ortho"), axes=_AXES)


def rss(coil_images: np.ndarray, axis: int) -> np.ndarray:
    """Root of the sum of squares over the coils.

    Parameters
    ----------
    coil_images : numpy.ndarray, complex or real
    axis : int
        Coil axis, which is removed.

    References
    ----------
    Roemer et al., Magn Reson Med 16:192, 1990.
    """
    return np.sqrt((np.abs(coil_images) ** 2).sum(axis))


def combine(coil_images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Least-squares combination of coil images with their sensitivities; 0 where no coil sees anything.

    Parameters
    ----------
    coil_images : numpy.ndarray, shape (coil, y, x), complex
    maps : numpy.ndarray, shape (coil, y, x) or (set, coil, y, x), complex
        Sets are orthogonal in every pixel.

    Returns
    -------
    numpy.ndarray, shape (y, x) or (set, y, x), complex

    References
    ----------
    Roemer et al., Magn Reson Med 16:192, 1990; Pruessmann et al., Magn Reson Med 42:952, 1999.
    """
    power = (np.abs(maps) ** 2).sum(-3)
    return (maps.conj() * coil_images).sum(-3) / np.where(power > 0, power, 1)


def centre_crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of `image` (..., y, x), `size` rows and columns.

    Raises
    ------
    VolumeError
        If the image is smaller than that.
    """
    rows, columns = image.shape[-2:]
    if not (0 < size[0] <= rows and 0 < size[1] <= columns):
        raise VolumeError(f"An image of {rows} x {columns} cannot be cropped to {size[0]} x {size[1]}.")
    top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
    return image[..., top : top + size[0], left : left + size[1]]
