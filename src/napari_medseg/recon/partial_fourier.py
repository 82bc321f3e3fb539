"""Partial Fourier: the side of k-space that was not measured, from the other side and a smooth phase."""

from __future__ import annotations

import numpy as np

from ..kspace import is_lopsided, sides
from .settings import HOMODYNE, POCS
from .transforms import fft2c, ifft2c

ITERATIONS = 5
"""Of POCS: from 5 on images change little; where the phase is not smooth, more make them worse."""
_HIDDEN = 1 / 3
_LEAST = 4  # rows or columns on the short side from which a part can be hidden


def one_sided(mask: np.ndarray, rows: int) -> tuple[slice, slice] | None:
    """What was measured of k-space, from the first to the last row and column, where it reaches farther on one side.

    Parameters
    ----------
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    rows : int
        Rows of k-space.

    Returns
    -------
    (slice, slice) or None
        None where k-space was measured about as far on both sides of the centre.
    """
    whole = np.broadcast_to(mask, (rows, mask.shape[-1]))
    spans = []
    uneven = False
    for axis in (1, 0):
        places = np.flatnonzero(whole.any(axis))
        if not len(places):
            return None
        spans.append(slice(int(places[0]), int(places[-1]) + 1))
        gap = int(np.diff(places).max()) if len(places) > 1 else 1
        uneven |= is_lopsided(spans[-1].start, spans[-1].stop, whole.shape[1 - axis], gap)
    return (spans[0], spans[1]) if uneven else None


def completed(image: np.ndarray, mask: np.ndarray, how: str) -> np.ndarray:
    """An image with the side of k-space that was not measured; as it is where both were.

    Parameters
    ----------
    image : numpy.ndarray, shape (..., y, x), complex
        What a method made.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    how : str
        ``pocs`` or ``homodyne``; anything else leaves the image as it is.
    """
    known = one_sided(mask, image.shape[-2]) if how in (POCS, HOMODYNE) else None
    if known is None:
        return image
    return pocs(image, known) if how == POCS else homodyne(image, known)


def without_short_side(mask: np.ndarray, rows: int) -> np.ndarray | None:
    """A one-sided mask (x,) or (y, x) without the outer third of its short side; None where that is not possible."""
    known = one_sided(mask, rows)
    if known is None:
        return None
    matrix = (rows, mask.shape[-1])
    axis = _lopsided_axis(known, matrix)
    before, after = _reaches(known[axis], matrix[axis])
    reach = min(before, after)
    if reach < _LEAST:
        return None
    count = max(1, round(_HIDDEN * reach))
    start = known[axis].start if before < after else known[axis].stop - count
    hidden = np.zeros(matrix[axis], bool)
    hidden[start : start + count] = True
    if axis == 1:
        return mask & ~hidden
    return np.broadcast_to(mask, matrix) & ~hidden[:, None]


def pocs(image: np.ndarray, known: tuple[slice, slice], iterations: int = ITERATIONS) -> np.ndarray:
    """Projection onto convex sets: an image with the phase of its centre, and its own k-space where that is known.

    Parameters
    ----------
    image : numpy.ndarray, shape (..., y, x), complex
        What a method made; its k-space outside of `known` is not used but as a first guess.
    known : (slice, slice)
        See `one_sided`.
    iterations : int

    Returns
    -------
    numpy.ndarray, shape (..., y, x), complex
        Its k-space in `known` is that of `image`.

    References
    ----------
    Haacke et al., J Magn Reson 92:126, 1991.
    """
    samples = fft2c(image)[..., known[0], known[1]]
    phase = _centre_phase(image, known)
    for _ in range(iterations):
        kspace = fft2c(np.abs(image) * phase)
        kspace[..., known[0], known[1]] = samples
        image = ifft2c(kspace)
    return image


def homodyne(image: np.ndarray, known: tuple[slice, slice]) -> np.ndarray:
    """Homodyne detection: the measured side counts twice, and what is not in phase with the centre is dropped.

    Parameters
    ----------
    image, known
        See `pocs`. Of two axes that are both measured farther on one side, that with more missing is mended.

    Returns
    -------
    numpy.ndarray, shape (..., y, x), complex

    References
    ----------
    Noll et al., IEEE Trans Med Imaging 10:154, 1991.
    """
    matrix = image.shape[-2:]
    axis = _lopsided_axis(known, matrix)
    weights = _ramp(known[axis], matrix[axis])
    weights = weights[:, None] if axis == 0 else weights
    phase = _centre_phase(image, known)
    doubled = ifft2c(fft2c(image) * weights)
    in_phase = (doubled * phase.conj()).real
    return in_phase * phase


def _lopsided_axis(known: tuple[slice, slice], matrix: tuple[int, ...]) -> int:
    """Where more is missing on one side: 0 along the rows, 1 along the columns."""
    differences = [_difference(span, count) for span, count in zip(known, matrix, strict=True)]
    return int(np.argmax(differences))


def _reaches(span: slice, count: int) -> tuple[int, int]:
    """Samples before and after the centre of k-space."""
    return sides(span.start, span.stop, count)


def _difference(span: slice, count: int) -> int:
    before, after = _reaches(span, count)
    return abs(before - after)


def _centre(span: slice, count: int) -> int:
    """How far both sides of the centre were measured."""
    return max(min(_reaches(span, count)), 1)


def _centre_phase(image: np.ndarray, known: tuple[slice, slice]) -> np.ndarray:
    """The phase of an image as far as both sides of k-space say it, as complex numbers of length 1."""
    window = np.ones((1, 1), np.float32)
    for axis, (span, count) in enumerate(zip(known, image.shape[-2:], strict=True)):
        away = np.abs(np.arange(count) - count // 2)
        own = np.cos(np.pi / 2 * np.minimum(away / (_centre(span, count) + 1), 1)) ** 2
        window = window * (own[:, None] if axis == 0 else own)
    smooth = ifft2c(fft2c(image) * window.astype(np.float32))
    return np.exp(1j * np.angle(smooth)).astype(image.dtype)


def _ramp(span: slice, count: int) -> np.ndarray:
    """Weights along an axis: 2 where only one side was measured, 0 on the other, a ramp between."""
    before, after = _reaches(span, count)
    reach = _centre(span, count)
    places = np.arange(count) - count // 2
    side = 1 if after > before else -1
    weights = 1 + np.clip(side * places / reach, -1, 1)
    outside = (places < span.start - count // 2) | (places >= span.stop - count // 2)
    weights[outside] = 0
    return weights.astype(np.float32)
