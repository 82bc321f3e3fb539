"""Coil sensitivities of a slice: compressed to fewer coils, and kept while the slice is reconstructed again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import sense
from .noise import noise_level

_LOST = 1e-3
"""Share of the centre's energy that compression may lose: half of 16 coils go, and 0.1 dB at most."""


@dataclass(frozen=True, eq=False)
class CoilMaps:
    """Sensitivities in fewer, virtual coils.

    Parameters
    ----------
    basis : numpy.ndarray, shape (virtual, coil), complex64
        Orthonormal rows: the virtual coils as mixtures of the measured ones.
    maps : numpy.ndarray, shape (virtual, y, x), complex64
        Squares sum to 1 over the virtual coils in every pixel.

    References
    ----------
    Huang et al., Magn Reson Imaging 26:133, 2008.
    """

    basis: np.ndarray
    maps: np.ndarray

    @classmethod
    def of(cls, measured: np.ndarray, mask: np.ndarray) -> CoilMaps:
        """Those of a slice (coil, y, x), from the fully sampled centre of its `mask` (x,) or (y, x).

        Raises
        ------
        SettingsError, VolumeError
            See `sense.espirit`.
        """
        rows, columns = sense.calibration_region(mask, measured.shape[1])
        centre = measured[:, rows, columns]
        basis = _basis(centre)
        # the virtual coils have about the noise of the measured ones, as the basis is orthonormal
        noise = float(np.sqrt(np.mean(noise_level(measured) ** 2)))
        return cls(basis, sense.espirit(np.tensordot(basis, centre, 1), measured.shape[1:], noise))

    def compress(self, measured: np.ndarray) -> np.ndarray:
        """Samples of the measured coils (coil, y, x) as those of the virtual ones."""
        return np.tensordot(self.basis, measured, 1).astype(np.complex64)

    def coil_images(self, image: np.ndarray) -> np.ndarray:
        """What every measured coil sees of an image (y, x), shape (coil, y, x)."""
        return np.tensordot(self.basis.conj().T, self.maps * image, 1)


class HeldMaps:
    """The maps of a slice that several reconstructions of its samples share, made when the first one needs them."""

    def __init__(self) -> None:
        self._slice: tuple[np.ndarray, np.ndarray] | None = None
        self._maps: CoilMaps | None = None

    def hold(self, measured: np.ndarray, mask: np.ndarray) -> None:
        """From now on all reconstructions use the maps of this slice (coil, y, x), whatever they are given."""
        if self._slice is None or not np.array_equal(self._slice[0], measured):
            self._slice = (measured, mask)
            self._maps = None

    def of(self, measured: np.ndarray, mask: np.ndarray) -> CoilMaps:
        """The maps of the slice that is held, otherwise those of this one."""
        if self._slice is None:
            return CoilMaps.of(measured, mask)
        if self._maps is None:
            self._maps = CoilMaps.of(*self._slice)
        return self._maps


def _basis(centre: np.ndarray) -> np.ndarray:
    """The mixtures of coils (virtual, coil) that hold almost all of the energy of the centre (coil, y, x)."""
    samples = centre.reshape(len(centre), -1).astype(np.complex128)
    values, vectors = np.linalg.eigh(samples @ samples.conj().T)
    strongest_first = vectors[:, ::-1]
    lost = 1 - np.cumsum(values[::-1]) / max(values.sum(), np.finfo(float).tiny)
    needed = 1 + int(np.count_nonzero(lost > _LOST))
    return strongest_first[:, :needed].conj().T.astype(np.complex64)
