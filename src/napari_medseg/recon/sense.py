"""Several coils as one image: sensitivities from the centre of k-space, and reconstruction with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from ..errors import SettingsError, VolumeError
from ..progress import Job, Progress, run
from .classical import PENALTY, TVSplitting, add_differences, adjoint_differences, check_settings, zero_filled
from .fista import fista
from .transforms import combine
from .wavelets import shrink

LEAST = 7
"""Rows and columns of the centre that coil maps need; maps from 6 can make SENSE worse than zero filling."""
_KERNELS = (6, 5, 4)  # widths of the windows: wide ones give the better maps where the centre holds enough of them
_ENOUGH = 0.5  # windows for each number in a kernel
_CALIBRATION = 32  # rows and columns of the centre that are used; more only cost time
_SIGNAL = 0.005  # singular values of the centre below this share of the largest are noise
_INNER = 4  # conjugate-gradient steps in an iteration of ADMM; 8 give the same image


def calibration_region(mask: np.ndarray, rows: int) -> tuple[slice, slice]:
    """The fully sampled block in the middle of k-space, at most 32 x 32.

    Parameters
    ----------
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    rows : int
        Rows of k-space.

    Returns
    -------
    (slice, slice)
        Rows and columns; empty where position 0 was not measured.
    """
    mask = np.broadcast_to(mask, (rows, mask.shape[-1])).astype(bool)
    first = [n // 2 for n in mask.shape]
    last = [n + int(mask[tuple(first)]) for n in first]
    growing = {(axis, step) for axis in (0, 1) for step in (-1, 1)} if mask[tuple(first)] else set()
    while growing:
        for axis, step in sorted(growing):
            line = first[axis] - 1 if step < 0 else last[axis]
            along = slice(first[1 - axis], last[1 - axis])
            inside = 0 <= line < mask.shape[axis] and last[axis] - first[axis] < _CALIBRATION
            if not (inside and mask.swapaxes(0, axis)[line, along].all()):
                growing.remove((axis, step))
            elif step < 0:
                first[axis] -= 1
            else:
                last[axis] += 1
    return slice(first[0], last[0]), slice(first[1], last[1])


def espirit(calibration: np.ndarray, matrix: tuple[int, int], noise: float = 0.0) -> np.ndarray:
    """Coil sensitivities from the fully sampled centre of k-space.

    Parameters
    ----------
    calibration : numpy.ndarray, shape (coil, y, x), complex
        Measured block, see `calibration_region`; its place in k-space does not matter.
    matrix : (int, int)
        Rows and columns of the image.
    noise : float
        Standard deviation of the real and of the imaginary part of a sample: what is weaker than noise alone would be
        is left out.

    Returns
    -------
    numpy.ndarray, shape (coil, y, x), complex64
        Squares sum to 1 over the coils in every pixel, so that an image combined with the maps looks like the root of
        the sum of squares. The phase is relative to the strongest mixture of coils.

    Raises
    ------
    SettingsError
        If the block has fewer than 7 rows or columns.
    VolumeError
        If it holds only zeros.

    Notes
    -----
    One set of maps (no "soft" SENSE), and no pixel is set to 0 because its eigenvalue is low: with few centre lines
    such a crop takes away tissue, at its usual value all of it. The eigenvalue problem of a pixel is summed up in
    k-space, over the offsets of two kernel positions, which needs no transform per kernel.

    References
    ----------
    Uecker et al., Magn Reson Med 71:990, 2014.
    """
    coils, *size = calibration.shape
    if min(size) < LEAST:
        raise SettingsError(
            f"The fully sampled centre of k-space has {size[0]} rows and {size[1]} columns; coil sensitivities need at "
            f"least {LEAST} of both. Sample more centre lines, or choose a method that works coil by coil."
        )
    if not calibration.any():
        raise VolumeError("The centre of k-space holds only zeros: coil sensitivities cannot be estimated from it.")
    taps = _taps(calibration, _kernel(coils, size), noise)
    offsets = np.arange(len(taps)) - len(taps) // 2
    by_row, by_column = (np.exp(-2j * np.pi * np.outer(np.arange(n) - n // 2, offsets) / n) for n in matrix)
    half = np.tensordot(by_column, taps, (1, 1)).astype(np.complex64)
    strongest = np.linalg.eigh(np.einsum("cyx,dyx->cd", calibration, calibration.conj()))[1][:, -1]
    maps = np.empty((coils, *matrix), np.complex64)
    for row, waves in enumerate(by_row.astype(np.complex64)):
        vectors = np.linalg.eigh(np.tensordot(waves, half, (0, 1)))[1][..., -1]
        maps[:, row] = (vectors * np.exp(-1j * np.angle(vectors @ strongest.conj()))[:, None]).T
    return maps


def _kernel(coils: int, size: Sequence[int]) -> int:
    """Width of the windows for a block of `size` (rows, columns)."""
    for width in _KERNELS:
        windows = math.prod(n - width + 1 for n in size)
        if windows >= _ENOUGH * coils * width**2:
            return width
    return _KERNELS[-1]


def _taps(calibration: np.ndarray, width: int, noise: float) -> np.ndarray:
    """What reproduces each coil's k-space from all coils around it: (offset y, offset x, coil to, coil from)."""
    coils = len(calibration)
    windows = sliding_window_view(calibration, (width, width), axis=(1, 2)).transpose(1, 2, 0, 3, 4)
    windows = windows.reshape(-1, coils * width**2).astype(np.complex128)
    values, vectors = np.linalg.eigh(windows.T @ windows.conj())
    # the largest singular value of a matrix of noise (Marchenko and Pastur, Math USSR Sb 1:457, 1967)
    floor = 2 * noise**2 * (math.sqrt(len(windows)) + math.sqrt(windows.shape[1])) ** 2
    signal = vectors[:, values > max(_SIGNAL**2 * values[-1], min(floor, values[-2]))]
    projection = (signal @ signal.conj().T).reshape(coils, width, width, coils, width, width)
    taps = np.zeros((2 * width - 1, 2 * width - 1, coils, coils), complex)
    for y in range(width):
        for x in range(width):
            end_y, end_x = 2 * width - 1 - y, 2 * width - 1 - x
            taps[end_y - width : end_y, end_x - width : end_x] += projection[:, y, x].transpose(2, 3, 0, 1)
    return taps / width**2


class Encoding:
    """A = M F S: from an image to what every coil measures of it.

    Images and k-space start at position 0 here, as `scipy.fft` has them.

    Parameters
    ----------
    maps : numpy.ndarray, shape (coil, y, x), complex
        Sensitivities S, position 0 in the middle.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
        M, position 0 in the middle.
    """

    def __init__(self, maps: np.ndarray, mask: np.ndarray) -> None:
        self._maps = fft.ifftshift(maps, axes=(1, 2))
        self._conjugate = self._maps.conj()
        whole = fft.ifftshift(np.broadcast_to(mask, maps.shape[1:]))
        self._mask = whole.astype(maps.real.dtype)
        # a transform there and back is nothing along an axis on which the mask does not change
        self._changing = tuple(axis for axis in (1, 2) if (whole != whole.take([0], axis - 1)).any())

    def forward(self, image: np.ndarray) -> np.ndarray:
        """A x: from (y, x) to (coil, y, x)."""
        samples = fft.fft2(self._maps * image, norm="ortho", overwrite_x=True)
        samples *= self._mask
        return samples

    def adjoint(self, samples: np.ndarray) -> np.ndarray:
        """A^H y: from (coil, y, x) to (y, x)."""
        coil_images = fft.ifft2(samples * self._mask, norm="ortho", overwrite_x=True)
        return self._combined(coil_images)

    def normal(self, image: np.ndarray) -> np.ndarray:
        """A^H A x: from (y, x) to (y, x), in less time than `forward` and `adjoint` take."""
        samples = fft.fftn(self._maps * image, axes=self._changing, norm="ortho", overwrite_x=True)
        samples *= self._mask
        return self._combined(fft.ifftn(samples, axes=self._changing, norm="ortho", overwrite_x=True))

    def _combined(self, coil_images: np.ndarray) -> np.ndarray:
        coil_images *= self._conjugate
        return coil_images.sum(0)


def sense(
    measured: np.ndarray, mask: np.ndarray, maps: np.ndarray, damping: float = 0.01, iterations: int = 20
) -> np.ndarray:
    """`sense_steps`, run to its end."""
    return run(sense_steps(measured, mask, maps, damping, iterations))


def sense_steps(
    measured: np.ndarray, mask: np.ndarray, maps: np.ndarray, damping: float = 0.01, iterations: int = 20
) -> Job[np.ndarray]:
    """SENSE on any Cartesian mask: the x that minimises ||M F S x - y||^2 + damping ||x||^2, by conjugate gradients.

    Parameters
    ----------
    measured : numpy.ndarray, shape (coil, y, x), complex
        k-space of one slice; what lies outside `mask` is ignored.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    maps : numpy.ndarray, shape (coil, y, x), complex
        Coil sensitivities, squares summing to 1 over the coils (`espirit`).
    damping : float
        Keeps noise from growing where the coils cannot tell aliased pixels apart; darkens the image by about as much.
    iterations : int

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
        If `damping` is negative or there is no iteration.
    VolumeError
        If k-space, mask and maps do not fit.

    References
    ----------
    Pruessmann et al., Magn Reson Med 46:638, 2001.
    """
    check_settings(damping, iterations)
    encoding, right, scale = _normal_equation(measured, mask, maps)
    nothing = np.zeros_like(right)
    steps = _conjugate_gradients(lambda x: encoding.normal(x) + damping * x, right, nothing, nothing)
    for done in range(1, iterations + 1):
        image, _ = next(steps)
        yield Progress(done, iterations)
    return fft.fftshift(image) * scale


def sense_tv(
    measured: np.ndarray, mask: np.ndarray, maps: np.ndarray, strength: float = 0.003, iterations: int = 40
) -> np.ndarray:
    """`sense_tv_steps`, run to its end."""
    return run(sense_tv_steps(measured, mask, maps, strength, iterations))


def sense_tv_steps(
    measured: np.ndarray, mask: np.ndarray, maps: np.ndarray, strength: float = 0.003, iterations: int = 40
) -> Job[np.ndarray]:
    """SENSE with total variation: the x that minimises 0.5 ||M F S x - y||^2 + strength TV(x).

    ADMM as in `classical.tv_steps`; the image of an iteration comes from a few conjugate-gradient steps that go on
    from the image before.

    Parameters
    ----------
    measured, mask, maps
        See `sense_steps`.
    strength, iterations
        See `classical.tv_steps`; the zero-filled image is that combined with the maps.

    Notes
    -----
    Yields, returns and raises as `sense_steps` does.

    References
    ----------
    Block et al., Magn Reson Med 57:1086, 2007; Ramani and Fessler, IEEE Trans Med Imaging 30:694, 2011.
    """
    check_settings(strength, iterations)
    encoding, right, scale = _normal_equation(measured, mask, maps)
    penalty = PENALTY * strength
    splitting = TVSplitting(right.shape, right.dtype)

    def normal(image: np.ndarray) -> np.ndarray:
        differences = np.zeros((2, *image.shape), image.dtype)
        add_differences(image, differences)
        roughness = adjoint_differences(differences, out=np.empty_like(image))
        return encoding.normal(image) + penalty * roughness

    image = turned = np.zeros_like(right)
    for done in range(1, iterations + 1):
        wanted = right + penalty * splitting.advance(image.copy())
        *_, (image, turned) = islice(_conjugate_gradients(normal, wanted, image, turned), _INNER)
        yield Progress(done, iterations)
    return fft.fftshift(image) * scale


def sense_wavelet(
    measured: np.ndarray,
    mask: np.ndarray,
    maps: np.ndarray,
    strength: float = 0.0005,
    iterations: int = 100,
    seed: int = 0,
) -> np.ndarray:
    """`sense_wavelet_steps`, run to its end."""
    return run(sense_wavelet_steps(measured, mask, maps, strength, iterations, seed))


def sense_wavelet_steps(
    measured: np.ndarray,
    mask: np.ndarray,
    maps: np.ndarray,
    strength: float = 0.0005,
    iterations: int = 100,
    seed: int = 0,
) -> Job[np.ndarray]:
    """SENSE with wavelets: the x that minimises 0.5 ||M F S x - y||^2 + strength ||W x||_1.

    Parameters
    ----------
    measured, mask, maps
        See `sense_steps`.
    strength, iterations, seed
        See `classical.wavelet_steps`; the zero-filled image is that combined with the maps.

    Notes
    -----
    Yields, returns and raises as `sense_steps` does. See `fista` and `wavelets.shrink`.

    References
    ----------
    Lustig et al., Magn Reson Med 58:1182, 2007; Murphy et al., IEEE Trans Med Imaging 31:1250, 2012.
    """
    check_settings(strength, iterations)
    encoding, right, scale = _normal_equation(measured, mask, maps)

    def closer(image: np.ndarray) -> np.ndarray:
        image = fft.ifftshift(image)
        return fft.fftshift(image - encoding.normal(image) + right)

    simpler = partial(shrink, threshold=strength, rng=np.random.default_rng(seed))
    image = yield from fista(closer, fft.fftshift(right), simpler, iterations)
    return image * scale


def _normal_equation(measured: np.ndarray, mask: np.ndarray, maps: np.ndarray) -> tuple[Encoding, np.ndarray, float]:
    """A, and A^H y in units of the brightest pixel of the zero-filled image; and that pixel's value."""
    if measured.ndim != 3 or measured.shape != maps.shape or mask.shape not in (maps.shape[1:], maps.shape[2:]):
        raise VolumeError(
            f"The k-space has the shape {measured.shape}, its coil sensitivities {maps.shape} and its mask "
            f"{mask.shape}; expected the axes coil, y, x for both, and x or y, x for the mask."
        )
    dtype = np.complex128 if measured.dtype == np.complex128 else np.complex64
    measured, maps = measured.astype(dtype, copy=False), maps.astype(dtype, copy=False)
    scale = float(np.abs(combine(zero_filled(measured, mask), maps)).max()) or 1.0
    encoding = Encoding(maps, mask)
    return encoding, encoding.adjoint(fft.ifftshift(measured / scale, axes=(1, 2))), scale


def _conjugate_gradients(
    normal: Callable[[np.ndarray], np.ndarray], right: np.ndarray, start: np.ndarray, start_turned: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ever better solutions x of ``normal(x) = right``, Hermitian and not negative, each with ``normal(x)``."""
    solution, solution_turned = start, start_turned
    residual = right - start_turned
    direction, energy = residual, np.vdot(residual, residual).real
    while True:
        turned = normal(direction)
        curvature = np.vdot(direction, turned).real
        # both are 0 once the solution is exact
        step = energy / curvature if curvature > 0 else 0
        solution = solution + step * direction
        solution_turned = solution_turned + step * turned
        residual = residual - step * turned
        before, energy = energy, np.vdot(residual, residual).real
        direction = residual + (energy / before if before > 0 else 0) * direction
        yield solution, solution_turned
