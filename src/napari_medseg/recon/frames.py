"""Frames of a cine reconstructed together: what changes little over time needs few samples of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import fft

from ..errors import SettingsError, VolumeError
from ..kspace import KSpace
from ..progress import Job, run
from .classical import check_settings, zero_filled
from .coil_maps import CoilMaps, frames_of, mean_of
from .fista import fista
from .methods import Slice, agreed
from .sense import Encoding
from .settings import AUTO, NONE, ReconSettings
from .transforms import combine

METHOD = "k-t SENSE"


class Samples(NamedTuple):
    """What was measured of one slice.

    Parameters
    ----------
    index : int
        Number of the slice.
    measured : numpy.ndarray, shape (coil, y, x), complex64
        0 outside of the mask.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    """

    index: int
    measured: np.ndarray
    mask: np.ndarray

    @classmethod
    def of(cls, kspace: KSpace, index: int) -> Samples:
        """Those of a slice of `kspace`.

        Raises
        ------
        VolumeError
            If nothing was measured.
        """
        mask = kspace.mask_of(index)
        measured = np.where(mask, kspace.slice(index), 0)
        if not measured.any():
            raise VolumeError(f"The mask leaves nothing of slice {index}: all samples that it keeps are 0.")
        return cls(index, measured, mask)


def together_job(samples: Sequence[Samples], kspace: KSpace, settings: ReconSettings) -> Job[list[Slice]]:
    """All frames of one position, by `kt_sense_steps`, with the coil maps of their mean.

    Parameters
    ----------
    samples : sequence of Samples
        Of the frames, in their order.
    kspace : KSpace
        That they come from.
    settings : ReconSettings
        Their strength and iterations, where given, data consistency, and how partial Fourier is completed.

    Yields
    ------
    Progress
        Over the iterations.
    """
    options: dict[str, Any] = {"strength": settings.strength, "iterations": settings.iterations}
    chosen = {name: value for name, value in options.items() if value is not None}
    masks = np.stack([frame.mask for frame in samples])
    measured = np.stack([frame.measured for frame in samples])
    coils = CoilMaps.of(*mean_of(kspace, [frame.index for frame in samples])).first_set
    compressed = np.stack([coils.compress(frame) for frame in measured])
    images = yield from kt_sense_steps(compressed, masks, coils.maps[0], **chosen)
    found = []
    for image, frame in zip(images, samples, strict=True):
        found.append(agreed(coils, image[None], frame.measured, frame.mask, settings))
    return found


def positions(kspace: KSpace, indices: Sequence[int]) -> list[list[int]]:
    """The slices of all frames at every position that `indices` have, in the order of `indices`."""
    places = dict.fromkeys(index % kspace.depth for index in indices)
    return [list(frames_of(kspace, place)) for place in places]


def settled(kspace: KSpace, settings: ReconSettings) -> ReconSettings:
    """`settings` for frames together, with nothing left open: partial Fourier is completed only where that is asked.

    Raises
    ------
    SettingsError
        If frames of this `kspace` cannot be reconstructed together.
    """
    problem = cannot_share(kspace)
    if problem:
        raise SettingsError(f"{problem} Leave 'together' out.")
    how = NONE if settings.partial == AUTO else settings.partial
    return replace(settings, method=METHOD, partial=how)


def cannot_share(kspace: KSpace) -> str:
    """Why frames cannot be reconstructed together, in a sentence; empty if they can."""
    if kspace.frames < 2:
        return "The k-space has one frame: two or more are needed to reconstruct frames together."
    if kspace.coils < 2:
        return "The k-space has one coil: two or more are needed to reconstruct frames together."
    if kspace.mask is None or kspace.mask.ndim < 3:
        return "All frames have the same mask: none has a line that another one lacks."
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
