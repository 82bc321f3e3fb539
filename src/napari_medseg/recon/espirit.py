"""Coil sensitivities from the fully sampled centre of k-space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import SettingsError, VolumeError

LEAST = 7
"""Rows and columns of the centre that coil maps need; maps from 6 can make SENSE worse than zero filling."""
_KERNELS = (6, 5, 4)  # widths of the windows: wide ones give the better maps where the centre holds enough of them
_ENOUGH = 0.5  # windows for each number in a kernel
_CALIBRATION = 32  # rows and columns of the centre that are used; more only cost time
_SIGNAL = 0.005  # singular values of the centre below this share of the largest are noise


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
    """The first of `espirit_sets`, shape (coil, y, x)."""
    return espirit_sets(calibration, matrix, noise, 1)[0][0]


def espirit_sets(
    calibration: np.ndarray, matrix: tuple[int, int], noise: float = 0.0, sets: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Sets of coil sensitivities from the fully sampled centre of k-space.

    Parameters
    ----------
    calibration : numpy.ndarray, shape (coil, y, x), complex
        Measured block, see `calibration_region`; its place in k-space does not matter.
    matrix : (int, int)
        Rows and columns of the image.
    noise : float
        Standard deviation of the real and of the imaginary part of a sample: what is weaker than noise alone would be
        is left out.
    sets : int
        How many; where two parts of the body lie in one pixel, as in a field of view that is too small, it takes two.

    Returns
    -------
    maps : numpy.ndarray, shape (set, coil, y, x), complex64
        Squares sum to 1 over the coils in every pixel, so that an image combined with the maps looks like the root of
        the sum of squares; sets are orthogonal. The phase is relative to the strongest mixtures of coils.
    explained : numpy.ndarray, shape (set, y, x), float32
        Eigenvalues, 1 where a set fits the centre of k-space in a pixel, 0 where nothing there looks like it.

    Raises
    ------
    SettingsError
        If the block has fewer than 7 rows or columns.
    VolumeError
        If it holds only zeros.

    Notes
    -----
    No pixel is set to 0 because its eigenvalue is low: with few centre lines such a crop takes away tissue, at its
    usual value all of it. The eigenvalue problem of a pixel is summed up in
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
    strongest = np.linalg.eigh(np.einsum("cyx,dyx->cd", calibration, calibration.conj()))[1]
    maps = np.empty((sets, coils, *matrix), np.complex64)
    explained = np.empty((sets, *matrix), np.float32)
    for row, waves in enumerate(by_row.astype(np.complex64)):
        values, vectors = np.linalg.eigh(np.tensordot(waves, half, (0, 1)))
        for place in range(sets):
            vector = vectors[..., -1 - place]
            turn = np.angle(vector @ strongest[:, -1 - place].conj())
            maps[place, :, row] = (vector * np.exp(-1j * turn)[:, None]).T
            explained[place, row] = values[..., -1 - place]
    return maps, explained


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
