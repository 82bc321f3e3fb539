"""Noise scans of ISMRMRD files: how the noise of the receive coils goes together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .readouts import flagged

if TYPE_CHECKING:
    import h5py

_NOISE = 19
_FOR_EACH_COIL = 10  # samples; from fewer the estimate costs more than whitening gains
_MANY = 2**16  # samples; more do not change the estimate


class Noise(NamedTuple):
    """What a noise scan says.

    Parameters
    ----------
    covariance : numpy.ndarray, shape (coil, coil), complex128, or None
        See `KSpace.noise`; None where the scan cannot be used.
    note : str
        For the person.
    """

    covariance: np.ndarray | None = None
    note: str = ""


def noise_of(readouts: h5py.Dataset, heads: np.ndarray, images: np.ndarray) -> Noise:
    """The noise scan of a file.

    Parameters
    ----------
    readouts : h5py.Dataset
    heads : numpy.ndarray, shape (readout,)
        Of all readouts.
    images : numpy.ndarray, shape (image readout,)
        Numbers of the readouts of images.
    """
    records = np.flatnonzero(flagged(heads, _NOISE))
    coils = int(heads["active_channels"][images[0]])
    if not len(records) or coils < 2:
        return Noise()
    if (heads["active_channels"][records] != coils).any():
        return Noise(note=f"The noise scan has other coils than the {coils} of the images and is ignored.")
    total = np.zeros((coils, coils), complex)
    count = 0
    for samples in _samples(readouts, records, coils):
        total += samples @ samples.conj().T
        count += samples.shape[1]
    if count < _FOR_EACH_COIL * coils:
        return Noise(note=f"The noise scan of {count} samples is too short for {coils} coils and is ignored.")
    covariance = total / count * _bandwidth_ratio(heads, records, images)
    if not _is_usable(covariance):
        return Noise(note="The noise scan is ignored: some coil has no noise, or none of its own.")
    return Noise(covariance, f"Noise scan of {count} samples: the coils are prewhitened.")


def _samples(found: h5py.Dataset, records: np.ndarray, coils: int) -> Iterator[np.ndarray]:
    """Readouts (coil, sample), complex128, as many as are needed."""
    readouts = found.fields("data")
    count = 0
    for record in records.tolist():
        if count >= _MANY:
            return
        samples = np.ascontiguousarray(readouts[record], np.float32).view(np.complex64).reshape(coils, -1)
        count += samples.shape[1]
        yield samples.astype(np.complex128)


def _bandwidth_ratio(heads: np.ndarray, noise: np.ndarray, images: np.ndarray) -> float:
    """Variance of noise in the images for each in the noise scan; 1 where the file does not state both dwell times."""
    if "sample_time_us" not in (heads.dtype.names or ()):
        return 1.0
    slow, fast = (float(np.median(heads["sample_time_us"][records])) for records in (noise, images))
    ratio = slow / fast if fast > 0 else 0.0
    return ratio if np.isfinite(ratio) and ratio > 0 else 1.0


def _is_usable(covariance: np.ndarray) -> bool:
    """Whether no coil, and no mixture of coils, is without noise."""
    if not np.isfinite(covariance).all():
        return False
    level = np.sqrt(np.diag(covariance).real)
    if not level.all():
        return False
    correlation = covariance / np.outer(level, level)
    return bool(np.linalg.eigvalsh(correlation)[0] > np.finfo(np.float32).eps)
