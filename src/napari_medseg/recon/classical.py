"""Reconstruction without a trained model: zero filling, and compressed sensing by total variation or wavelets."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy import fft

from ..errors import SettingsError, VolumeError
from ..progress import Job, Progress, run
from .consistency import data_consistency
from .fista import fista
from .transforms import ifft2c
from .wavelets import shrink

# rho / strength: 40 iterations then come within 0.2 % of the lowest objective at the strengths in use
PENALTY = 10


def zero_filled(measured: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Coil images of the measured samples, with zeros where nothing was measured.

    Parameters
    ----------
    measured : numpy.ndarray, shape (..., y, x), complex
        k-space; what lies outside `mask` is ignored.
    mask : numpy.ndarray, shape (x,) or (y, x), bool

    Returns
    -------
    numpy.ndarray, shape (..., y, x), complex
        In the units of `measured` (orthonormal transform).
    """
    return ifft2c(np.where(mask, measured, 0))


def tv(measured: np.ndarray, mask: np.ndarray, strength: float = 0.003, iterations: int = 40) -> np.ndarray:
    """`tv_steps`, run to its end."""
    return run(tv_steps(measured, mask, strength, iterations))


def tv_steps(
    measured: np.ndarray,
    mask: np.ndarray,
    strength: float = 0.003,
    iterations: int = 40,
    memory: Memory | None = None,
) -> Job[np.ndarray]:
    """Compressed sensing with total variation: the x that minimises 0.5 ||M F x - y||^2 + strength TV(x).

    Parameters
    ----------
    measured : numpy.ndarray, shape (y, x), complex
        k-space of one slice and coil; what lies outside `mask` is ignored.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    strength : float
        Weight of the total variation where the brightest pixel of the zero-filled image is 1. 0 leaves zero filling.
    iterations : int
    memory : Memory, optional
        Of a run with another strength, from which this one goes on; it then remembers this one.

    Yields
    ------
    Progress
        After every iteration.

    Returns
    -------
    numpy.ndarray, shape (y, x), complex
        In the units of `measured`; double precision stays double, all else becomes single.

    Raises
    ------
    SettingsError
        If `strength` is negative or there is no iteration.
    VolumeError
        If the mask does not fit.

    Notes
    -----
    TV(x) sums the length of the gradient over the pixels: periodic forward differences, isotropic, real and imaginary
    part together. Solved by ADMM; as M F and the differences are both diagonal in k-space, the image of an iteration
    costs one transform and one inverse transform. k-space position 0 stays 0 where it was not measured.

    References
    ----------
    Rudin et al., Physica D 60:259, 1992; Lustig et al., Magn Reson Med 58:1182, 2007; Goldstein and Osher, SIAM J
    Imaging Sci 2:323, 2009.
    """
    check_settings(strength, iterations)
    samples, scale = scaled(measured, mask)
    samples, mask = fft.ifftshift(samples), fft.ifftshift(np.broadcast_to(mask, samples.shape))
    waves = [2 - 2 * np.cos(2 * np.pi * fft.fftfreq(n)) for n in samples.shape]
    penalty = PENALTY * strength
    total = mask + penalty * np.add.outer(*waves)
    inverse = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    fixed = (samples * inverse * math.sqrt(samples.size)).astype(samples.dtype)
    # one real factor for the real and one for the imaginary part: real products are faster than complex ones
    weights = np.repeat(penalty * inverse, 2, axis=1).astype(fixed.real.dtype)
    memory = memory or Memory()
    splitting = memory.splitting or TVSplitting(samples.shape, samples.dtype)
    image = fft.ifftshift(memory.recalled(np.zeros_like(samples), scale))
    for done in range(1, iterations + 1):
        spectrum = fft.fft2(splitting.advance(image), overwrite_x=True)
        as_real(spectrum)[...] *= weights
        spectrum += fixed
        image = fft.ifft2(spectrum, overwrite_x=True)
        yield Progress(done, iterations)
    memory.image = fft.fftshift(image) * scale
    memory.splitting = splitting
    return memory.image


class Memory:
    """What a solver keeps for another run on the same samples, with another strength.

    Attributes
    ----------
    image : numpy.ndarray, shape (y, x), complex, or None
        What was found; in the units of the measurement.
    splitting : TVSplitting or None
        What ADMM keeps in addition to the image.
    """

    def __init__(self, image: np.ndarray | None = None) -> None:
        self.image = image
        self.splitting: TVSplitting | None = None

    def recalled(self, otherwise: np.ndarray, scale: float) -> np.ndarray:
        """The image in units of `scale`; as long as there is none, another one."""
        return otherwise if self.image is None else (self.image / scale).astype(otherwise.dtype)


class TVSplitting:
    """What ADMM keeps of total variation: the differences z split from the image, and their scaled multiplier u.

    Parameters
    ----------
    shape : tuple of int
        Of the image (..., y, x).
    dtype : numpy.dtype
        Complex.
    """

    # strength / rho, where the brightest pixel is 1
    THRESHOLD = 1 / PENALTY

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._dual = np.zeros((2, *shape), dtype)
        self._split = np.empty_like(self._dual)
        self._factor = np.empty_like(as_real(self._dual[0]))

    def advance(self, image: np.ndarray) -> np.ndarray:
        """Update z and u for a new `image` (..., y, x), contiguous; returns D^H (z - u), in the memory of `image`."""
        # with w = D image + u and r = min(1, t / |w|): z = (1 - r) w, u = r w, so z - u = w - 2 u
        add_differences(image, self._dual)
        dual, split = as_real(self._dual), as_real(self._split)
        np.multiply(dual, dual, out=split)
        split[0] += split[1]
        length = np.add(split[0, ..., ::2], split[0, ..., 1::2], out=self._factor[..., : image.shape[-1]])
        np.maximum(length, self.THRESHOLD**2, out=length)
        np.sqrt(length, out=length)
        np.divide(self.THRESHOLD, length, out=split[1, ..., ::2])
        split[1, ..., 1::2] = split[1, ..., ::2]
        self._factor[...] = split[1]
        np.copyto(split, dual)
        dual *= self._factor
        split -= dual
        split -= dual
        return adjoint_differences(self._split, out=image)


def add_differences(image: np.ndarray, out: np.ndarray) -> None:
    """Add the periodic forward differences D of `image` (..., y, x) along y and x to `out` (2, ..., y, x)."""
    down, right = out
    down[..., :-1, :] += image[..., 1:, :]
    down[..., -1, :] += image[..., 0, :]
    down -= image
    right[..., :-1] += image[..., 1:]
    right[..., -1] += image[..., 0]
    right -= image


def adjoint_differences(differences: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The adjoint D^H of `add_differences`: from (2, ..., y, x) to (..., y, x), written to `out`."""
    down, right = differences
    np.subtract(down[..., :-1, :], down[..., 1:, :], out=out[..., 1:, :])
    np.subtract(down[..., -1, :], down[..., 0, :], out=out[..., 0, :])
    out[..., 1:] += right[..., :-1]
    out[..., 0] += right[..., -1]
    out -= right
    return out


def wavelet(
    measured: np.ndarray, mask: np.ndarray, strength: float = 0.005, iterations: int = 60, seed: int = 0
) -> np.ndarray:
    """`wavelet_steps`, run to its end."""
    return run(wavelet_steps(measured, mask, strength, iterations, seed))


def wavelet_steps(
    measured: np.ndarray,
    mask: np.ndarray,
    strength: float = 0.005,
    iterations: int = 60,
    seed: int = 0,
    memory: Memory | None = None,
) -> Job[np.ndarray]:
    """Compressed sensing with wavelets: the x that minimises 0.5 ||M F x - y||^2 + strength ||W x||_1.

    Parameters
    ----------
    measured, mask, strength, iterations, memory
        See `tv_steps`.
    seed : int
        Of the random shifts.

    Notes
    -----
    Yields, returns and raises as `tv_steps` does. See `fista` and `wavelets.shrink`.

    References
    ----------
    Lustig et al., Magn Reson Med 58:1182, 2007.
    """
    check_settings(strength, iterations)
    samples, scale = scaled(measured, mask)

    def closer(image: np.ndarray) -> np.ndarray:
        # as M F has orthonormal rows, a gradient step of length 1 is hard data consistency
        return data_consistency(image, samples, mask)

    simpler = partial(shrink, threshold=strength, rng=np.random.default_rng(seed))
    memory = memory or Memory()
    first = memory.recalled(ifft2c(samples), scale)
    image = yield from fista(closer, first, simpler, iterations)
    memory.image = image * scale
    return memory.image


def scaled(measured: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Measured samples (y, x), elsewhere +0, in units of the brightest zero-filled pixel; and that pixel's value."""
    if measured.ndim != 2 or mask.shape not in (measured.shape, measured.shape[1:]):
        raise VolumeError(
            f"The k-space has the shape {measured.shape} and its mask {mask.shape}; expected one slice of one coil, "
            "with the axes y, x, and a mask with the axes x or y, x. Reconstruct coil by coil."
        )
    samples = np.where(mask, measured, 0)
    samples = samples if samples.dtype == np.complex128 else samples.astype(np.complex64)
    scale = float(np.abs(ifft2c(samples)).max()) or 1.0
    return samples / scale, scale


def check_settings(strength: float, iterations: int) -> None:
    """Raise SettingsError unless the strength is a number from 0 up and there is an iteration."""
    if not (0 <= strength < math.inf and iterations >= 1):
        raise SettingsError(
            f"The strength is {strength} and the number of iterations {iterations}; expected a strength from 0 up "
            "and at least 1 iteration."
        )


def as_real(data: np.ndarray) -> np.ndarray:
    """The same memory as real numbers: (..., x) complex becomes (..., 2 x), real and imaginary parts in turn."""
    return data.view(data.real.dtype)
