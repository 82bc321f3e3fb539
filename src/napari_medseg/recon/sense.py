"""Several coils as one image: sensitivities from the centre of k-space, and reconstruction with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import numpy as np
from scipy import fft

from ..errors import VolumeError
from ..progress import Job, Progress, run
from .classical import PENALTY, Memory, TVSplitting, add_differences, adjoint_differences, check_settings, zero_filled
from .fista import fista
from .transforms import combine, rss
from .wavelets import shrink

_PLANE = (-2, -1)
_FALL = 0.45  # share of the iterations of total variation over which the strength falls
_HALVINGS = 6  # from 64 times its value
_INNER = 4  # conjugate-gradient steps in an iteration of ADMM; 8 give the same image


class Encoding:
    """A = M F S: from an image to what every coil measures of it; of several sets of maps, from an image for each.

    Images and k-space start at position 0 here, as `scipy.fft` has them.

    Parameters
    ----------
    maps : numpy.ndarray, shape (coil, y, x) or (set, coil, y, x), complex
        Sensitivities S, position 0 in the middle.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
        M, position 0 in the middle.
    """

    def __init__(self, maps: np.ndarray, mask: np.ndarray) -> None:
        self._maps = fft.ifftshift(maps.reshape(-1, *maps.shape[-3:]), axes=_PLANE)
        self._conjugate = self._maps.conj()
        self._image_shape = (*maps.shape[:-3], *maps.shape[-2:])
        whole = fft.ifftshift(np.broadcast_to(mask, maps.shape[-2:]))
        self._mask = whole.astype(maps.real.dtype)
        # a transform there and back is nothing along an axis on which the mask does not change
        self._changing = tuple(axis for axis in (1, 2) if (whole != whole.take([0], axis - 1)).any())

    def forward(self, image: np.ndarray) -> np.ndarray:
        """A x: from (y, x) or (set, y, x) to (coil, y, x)."""
        samples = fft.fft2(self._seen(image), norm="ortho", overwrite_x=True)
        samples *= self._mask
        return samples

    def adjoint(self, samples: np.ndarray) -> np.ndarray:
        """A^H y: from (coil, y, x) to (y, x) or (set, y, x)."""
        coil_images = fft.ifft2(samples * self._mask, norm="ortho", overwrite_x=True)
        return self._combined(coil_images)

    def normal(self, image: np.ndarray) -> np.ndarray:
        """A^H A x: from an image to one of the same shape, in less time than `forward` and `adjoint` take."""
        samples = fft.fftn(self._seen(image), axes=self._changing, norm="ortho", overwrite_x=True)
        samples *= self._mask
        return self._combined(fft.ifftn(samples, axes=self._changing, norm="ortho", overwrite_x=True))

    def _seen(self, image: np.ndarray) -> np.ndarray:
        images = image.reshape(len(self._maps), *image.shape[-2:])
        coil_images = self._maps[0] * images[0]
        for maps, part in zip(self._maps[1:], images[1:], strict=True):
            coil_images += maps * part
        return coil_images

    def _combined(self, coil_images: np.ndarray) -> np.ndarray:
        *others, last = self._conjugate
        images = [(maps * coil_images).sum(0) for maps in others]
        coil_images *= last
        images.append(coil_images.sum(0))
        return np.stack(images).reshape(self._image_shape)


def sense(
    measured: np.ndarray, mask: np.ndarray, maps: np.ndarray, damping: float = 0.01, iterations: int = 20
) -> np.ndarray:
    """`sense_steps`, run to its end."""
    return run(sense_steps(measured, mask, maps, damping, iterations))


def sense_steps(
    measured: np.ndarray,
    mask: np.ndarray,
    maps: np.ndarray,
    damping: float = 0.01,
    iterations: int = 20,
    near: np.ndarray | None = None,
) -> Job[np.ndarray]:
    """SENSE on any Cartesian mask: the x that minimises ||M F S x - y||^2 + damping ||x||^2, by conjugate gradients.

    Parameters
    ----------
    measured : numpy.ndarray, shape (coil, y, x), complex
        k-space of one slice; what lies outside `mask` is ignored.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    maps : numpy.ndarray, shape (coil, y, x) or (set, coil, y, x), complex
        Coil sensitivities, squares summing to 1 over the coils (`espirit`). Several sets (soft SENSE) explain what one
        cannot: each has an image of its own, and the root of their sum of squares is shown.
    damping : float
        Keeps noise from growing where the coils cannot tell aliased pixels apart; darkens the image by about as much.
    iterations : int
    near : numpy.ndarray, shape (y, x) or (set, y, x), complex, optional
        An image to stay close to, in the units of `measured`: the x that minimises ||M F S x - y||^2 +
        damping ||x - near||^2, by iterations that begin with it.

    Yields
    ------
    Progress
        After every iteration.

    Returns
    -------
    numpy.ndarray, shape (y, x) or (set, y, x), complex
        In the units of `measured`; double precision stays double, all else becomes single.

    Raises
    ------
    SettingsError
        If `damping` is negative or there is no iteration.
    VolumeError
        If k-space, mask and maps do not fit.

    References
    ----------
    Pruessmann et al., Magn Reson Med 46:638, 2001; Uecker et al., Magn Reson Med 71:990, 2014.
    """
    check_settings(damping, iterations)
    encoding, right, scale = _normal_equation(measured, mask, maps)
    start = np.zeros_like(right) if near is None else fft.ifftshift(near / scale, axes=_PLANE).astype(right.dtype)

    def damped(image: np.ndarray) -> np.ndarray:
        return encoding.normal(image) + damping * image

    steps = _conjugate_gradients(damped, right + damping * start, start, damped(start))
    for done in range(1, iterations + 1):
        image, _ = next(steps)
        yield Progress(done, iterations)
    return fft.fftshift(image, axes=_PLANE) * scale


def sense_tv(
    measured: np.ndarray, mask: np.ndarray, maps: np.ndarray, strength: float = 0.003, iterations: int = 40
) -> np.ndarray:
    """`sense_tv_steps`, run to its end."""
    return run(sense_tv_steps(measured, mask, maps, strength, iterations))


def sense_tv_steps(
    measured: np.ndarray,
    mask: np.ndarray,
    maps: np.ndarray,
    strength: float = 0.003,
    iterations: int = 40,
    memory: Memory | None = None,
) -> Job[np.ndarray]:
    """SENSE with total variation: the x that minimises 0.5 ||M F S x - y||^2 + strength TV(x).

    ADMM as in `classical.tv_steps`; the image of an iteration comes from a few conjugate-gradient steps that go on
    from the image before. Without a memory the strength falls to its value over the first iterations: weak ones alone
    need far more of them (up to 2.7 dB after 40).

    Parameters
    ----------
    measured, mask, maps
        See `sense_steps`.
    strength, iterations, memory
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
    memory = memory or Memory()
    fall = 0 if memory.image is not None else round(_FALL * iterations)
    splitting = memory.splitting or TVSplitting(right.shape, right.dtype)

    def normal(image: np.ndarray, penalty: float) -> np.ndarray:
        differences = np.zeros((2, *image.shape), image.dtype)
        add_differences(image, differences)
        roughness = adjoint_differences(differences, out=np.empty_like(image))
        return encoding.normal(image) + penalty * roughness

    image = fft.ifftshift(memory.recalled(np.zeros_like(right), scale), axes=_PLANE)
    for done in range(1, iterations + 1):
        halvings = max(0, math.ceil(_HALVINGS * (fall - done + 1) / fall)) if fall else 0
        penalty = PENALTY * strength * 2**halvings
        wanted = right + penalty * splitting.advance(image.copy())
        operator = partial(normal, penalty=penalty)
        *_, (image, _) = islice(_conjugate_gradients(operator, wanted, image, operator(image)), _INNER)
        yield Progress(done, iterations)
    memory.image = fft.fftshift(image, axes=_PLANE) * scale
    memory.splitting = splitting
    return memory.image


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
    memory: Memory | None = None,
) -> Job[np.ndarray]:
    """SENSE with wavelets: the x that minimises 0.5 ||M F S x - y||^2 + strength ||W x||_1.

    Parameters
    ----------
    measured, mask, maps
        See `sense_steps`.
    strength, iterations, seed, memory
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
        image = fft.ifftshift(image, axes=_PLANE)
        return fft.fftshift(image - encoding.normal(image) + right, axes=_PLANE)

    rng = np.random.default_rng(seed)

    def simpler(image: np.ndarray) -> np.ndarray:
        images = image.reshape(-1, *image.shape[-2:])
        return np.stack([shrink(part, strength, rng) for part in images]).reshape(image.shape)

    memory = memory or Memory()
    first = memory.recalled(fft.fftshift(right, axes=_PLANE), scale)
    image = yield from fista(closer, first, simpler, iterations)
    memory.image = image * scale
    return memory.image


def _normal_equation(measured: np.ndarray, mask: np.ndarray, maps: np.ndarray) -> tuple[Encoding, np.ndarray, float]:
    """A, and A^H y in units of the brightest pixel of the zero-filled image; and that pixel's value."""
    matrix = measured.shape[-2:]
    fitting = maps.ndim in (3, 4) and maps.shape[-3:] == measured.shape
    if not fitting or mask.shape not in (matrix, matrix[1:]):
        raise VolumeError(
            f"The k-space has the shape {measured.shape}, its coil sensitivities {maps.shape} and its mask "
            f"{mask.shape}; expected the axes coil, y, x for both (or set, coil, y, x of the sensitivities), "
            "and x or y, x for the mask."
        )
    dtype = np.complex128 if measured.dtype == np.complex128 else np.complex64
    measured, maps = measured.astype(dtype, copy=False), maps.astype(dtype, copy=False)
    zero = combine(zero_filled(measured, mask), maps).reshape(-1, *matrix)
    scale = float(rss(zero, 0).max()) or 1.0
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
