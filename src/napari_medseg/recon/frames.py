"""Frames of a cine reconstructed together: what changes little over time needs few samples of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import fft

from ..errors import SettingsError, VolumeError
from ..kspace import KSpace
from ..progress import Job, run, within
from .classical import check_settings, zero_filled
from .coil_maps import CoilMaps, frames_of, mean_of
from .fista import fista
from .methods import Slice, agreed
from .sense import Encoding
from .settings import ReconSettings
from .transforms import combine

METHOD = "k-t SENSE"


def together_job(kspace: KSpace, settings: ReconSettings, indices: Sequence[int]) -> Job[dict[int, Slice]]:
    """All frames of a slice at a time, by `kt_sense_steps`, with the coil maps of their mean.

    Parameters
    ----------
    kspace : KSpace
        With several frames and coils.
    settings : ReconSettings
        Their strength and iterations, where given, and data consistency.
    indices : sequence of int
        Slices to reconstruct; the other frames of their positions are used, too.

    Yields
    ------
    Progress
        Over the positions, also between iterations.

    Returns
    -------
    dict
        By the number of the slice.

    Raises
    ------
    SettingsError
        If there is one frame or one coil, or all frames have the same mask.
    """
    problem = cannot_share(kspace)
    if problem:
        raise SettingsError(problem)
    found: dict[int, Slice] = {}
    positions = sorted({index % kspace.depth for index in indices})
    options: dict[str, Any] = {"strength": settings.strength, "iterations": settings.iterations}
    chosen = {name: value for name, value in options.items() if value is not None}
    for done, position in enumerate(positions):
        numbers = frames_of(kspace, position)
        masks = np.stack([kspace.mask_of(number) for number in numbers])
        measured = np.stack([np.where(kspace.mask_of(number), kspace.slice(number), 0) for number in numbers])
        coils = CoilMaps.of(*mean_of(kspace, numbers))
        samples = np.stack([coils.compress(frame) for frame in measured])
        images = yield from within(kt_sense_steps(samples, masks, coils.maps, **chosen), done, len(positions))
        for number, image, frame, mask in zip(numbers, images, measured, masks, strict=True):
            if number in indices:
                found[number] = agreed(coils, image, frame, mask, settings)
    return found


def cannot_share(kspace: KSpace) -> str:
    """Why frames cannot be reconstructed together; empty if they can."""
    if kspace.frames < 2 or kspace.coils < 2:
        return (
            f"The k-space has {kspace.frames} frames and {kspace.coils} coils; expected two or more of both to "
            "reconstruct frames together. Leave 'together' out."
        )
    if kspace.mask is None or kspace.mask.ndim < 3:
        return "All frames have the same mask: none has a line that another one lacks. Leave 'together' out."
    return ""


def kt_sense(
    measured: np.ndarray, masks: np.ndarray, maps: np.ndarray, strength: float = 0.001, iterations: int = 60
) -> np.ndarray:
    """`kt_sense_steps`, run to its end."""
    return run(kt_sense_steps(measured, masks, maps, strength, iterations))


def kt_sense_steps(
    measured: np.ndarray, masks: np.ndarray, maps: np.ndarray, strength: float = 0.001, iterations: int = 60
) -> Job[np.ndarray]:
    """SENSE of all frames: the x that minimises 0.5 ||M F S x - y||^2 + strength ||T x||_1, T the transform over time.

    Parameters
    ----------
    measured : numpy.ndarray, shape (t, coil, y, x), complex
        k-space of the frames of one slice; what lies outside the masks is ignored.
    masks : numpy.ndarray, shape (t, x) or (t, y, x), bool
        They should differ from frame to frame, so that neighbours measure what a frame lacks.
    maps : numpy.ndarray, shape (coil, y, x), complex
        Coil sensitivities of all frames, squares summing to 1 over the coils.
    strength : float
        Threshold, where the brightest pixel of the zero-filled frames is 1; the constant part is shrunk, too.
    iterations : int

    Yields
    ------
    Progress
        After every iteration.

    Returns
    -------
    numpy.ndarray, shape (t, y, x), complex64
        In the units of `measured`.

    Raises
    ------
    SettingsError, VolumeError
        If the settings are impossible, or k-space, masks and maps do not fit.

    Notes
    -----
    FISTA. The Fourier transform over time takes the frames for one whole cycle.

    References
    ----------
    Lustig et al., k-t SPARSE, Proc ISMRM 2006, 2420; Otazo et al., Magn Reson Med 64:767, 2010.
    """
    check_settings(strength, iterations)
    if measured.ndim != 4 or measured.shape[1:] != maps.shape or len(masks) != len(measured):
        raise VolumeError(
            f"The frames have the shape {measured.shape}, their masks {masks.shape} and the coil sensitivities "
            f"{maps.shape}; expected the axes t, coil, y, x, a mask for each frame, and coil, y, x."
        )
    encodings = [Encoding(maps, mask) for mask in masks]
    zeros = [combine(zero_filled(frame, mask), maps) for frame, mask in zip(measured, masks, strict=True)]
    scale = float(np.abs(zeros).max()) or 1.0
    right = fft.ifftshift(np.stack(zeros) / scale, axes=(1, 2)).astype(np.complex64)

    def closer(frames: np.ndarray) -> np.ndarray:
        measured_again = [encoding.normal(frame) for encoding, frame in zip(encodings, frames, strict=True)]
        return frames - np.stack(measured_again) + right

    def simpler(frames: np.ndarray) -> np.ndarray:
        return _shrink_over_time(frames, strength)

    frames = yield from fista(closer, right, simpler, iterations)
    return fft.fftshift(frames, axes=(1, 2)) * np.float32(scale)


def _shrink_over_time(frames: np.ndarray, threshold: float) -> np.ndarray:
    """Soft-threshold the temporal frequencies of frames (t, y, x)."""
    spectrum = fft.fft(frames, axis=0, norm="ortho")
    size = np.abs(spectrum)
    spectrum *= np.maximum(1 - threshold / np.maximum(size, np.finfo(np.float32).tiny), 0)
    return fft.ifft(spectrum, axis=0, norm="ortho")
