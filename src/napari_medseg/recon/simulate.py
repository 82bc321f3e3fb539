"""Simulated k-space: what a scanner might have measured where only magnitude images are at hand."""

from __future__ import annotations

import math

import numpy as np

from ..errors import SettingsError, VolumeError
from ..kspace import KSpace
from ..volume import Volume
from .transforms import fft2c

_EMPTY = 1e-4  # share of the energy below which columns count as empty
_PHASE = 1.2  # rad, at a coefficient of 1


def simulate(volume: np.ndarray, rng: np.random.Generator, noise: float = 0.01) -> np.ndarray:
    """k-space of magnitude images, with a smooth random phase and noise.

    Parameters
    ----------
    volume : numpy.ndarray, shape (slice, y, x), real
        Magnitude images; ``x`` becomes the phase encoding.
    rng : numpy.random.Generator
        Draws six coefficients of the phase, one set for all slices, then the noise of all slices, real part first.
    noise : float
        Standard deviation of the complex noise, where the brightest voxel is 1.

    Returns
    -------
    numpy.ndarray, shape (slice, coil = 1, y, x), complex64
        Fully sampled; the brightest voxel of `volume` has the magnitude 1 before noise. The reference of a
        reconstruction is the magnitude of its inverse transform, which has the noise in it.

    Raises
    ------
    VolumeError
        If the images do not have three axes, or hold negative values, values that are not finite, or zeros only.
    SettingsError
        If the noise is negative.

    Notes
    -----
    The phase is a polynomial of second degree. Without it the images are real, and k-space is conjugate symmetric:
    half of it would determine the other half. Real data have no such magnitude images as their truth: coils, rounding,
    interpolation and the filters of the vendor are missing, so results are better than those of real data.
    """
    if not 0 <= noise < math.inf:
        raise SettingsError(f"The noise is {noise}; expected a number from 0 up, 0.01 for one percent.")
    if volume.ndim != 3 or not volume.size or np.iscomplexobj(volume):
        raise VolumeError(
            f"The images have the shape {volume.shape} and the type {volume.dtype}; expected real values with the "
            "three axes slice, y, x."
        )
    brightest = float(volume.max())
    if not (volume.min() >= 0 and 0 < brightest < math.inf):
        raise VolumeError(
            "The images hold negative values, values that are not finite, or zeros only; expected magnitude images. "
            "Shift or clip them first."
        )
    images = volume / brightest * np.exp(1j * smooth_phase(volume.shape[1:], rng))
    real, imaginary = rng.standard_normal((2, *volume.shape))
    return fft2c((images + noise / math.sqrt(2) * (real + 1j * imaginary)).astype(np.complex64))[:, None]


def scan(volume: Volume, seed: int = 0, noise: float = 0.01) -> KSpace:
    """k-space as it might have been measured of `volume`, slice by slice, with its geometry.

    Parameters
    ----------
    volume : Volume
        Magnitude images with the axes yx or zyx; other axes are selected first.
    seed, noise
        Of the phase and the noise, see `simulate`.

    Raises
    ------
    VolumeError
        If the axes are others, or the images are not magnitudes.
    """
    if volume.axes not in ("yx", "zyx"):
        raise VolumeError(
            f"The image has the axes '{volume.axes}'; expected yx or zyx. Select one channel or time point first."
        )
    images = np.asarray(volume.data)
    kspace = simulate(images.reshape(-1, *images.shape[-2:]), np.random.default_rng(seed), noise)
    spacing = None
    if volume.has_spacing:
        depth, height, width = (1.0, *volume.spacing)[-3:]
        spacing = (depth, height, width)
    names = {"source": str(volume.metadata.get("source", "")), "format": "simulated", "affine": volume.affine}
    return KSpace(kspace, spacing=spacing, simulated=True, metadata=names)


def smooth_phase(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random polynomial of second degree, as coils and a field without gradients between tissues give it.

    Parameters
    ----------
    shape : tuple of int
        y, x of the image; both coordinates run from -1 to 1.
    rng : numpy.random.Generator
        Draws six coefficients.

    Returns
    -------
    numpy.ndarray, shape (y, x)
        Phase in rad.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij", sparse=True)
    c = rng.uniform(-1, 1, 6)
    return _PHASE * (c[0] * x + c[1] * y + c[2] * x * y + c[3] * x**2 + c[4] * y**2 + 3 * c[5])


def outer_share(kspace: np.ndarray) -> float:
    """Share of the columns, from both edges inward, that together hold less than 1e-4 of the energy.

    Above 0.25 the scanner most likely filled the outer k-space with zeros: the image then has fewer details than
    pixels, and undersampling it is easier than undersampling a measurement.

    Parameters
    ----------
    kspace : numpy.ndarray, shape (..., y, x), complex
        Fully sampled; for images the transform without added noise, which would hide the gap.
    """
    columns = kspace.shape[-1]
    energy = (np.abs(kspace) ** 2).sum(tuple(range(kspace.ndim - 1)), dtype=np.float64)
    # position 0 of even sizes has no partner on the other side
    distance = np.abs(np.arange(columns) - columns // 2)
    by_distance = np.bincount(distance, weights=energy)
    outside = np.cumsum(by_distance[::-1])
    empty = np.count_nonzero(outside < _EMPTY * energy.sum())
    return float(np.count_nonzero(distance > distance.max() - empty) / columns)
