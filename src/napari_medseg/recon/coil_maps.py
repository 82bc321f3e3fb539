"""Coil sensitivities of a slice: compressed to fewer coils, and kept while the slice is reconstructed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..kspace import KSpace
from . import espirit
from .noise import noise_level
from .transforms import ifft2c, rss

_LOST = 1e-3
"""Share of the centre's energy that compression may lose: half of 16 coils go, and 0.1 dB at most."""
_CERTAIN, _LIKELY = 0.95, 0.8
"""Eigenvalues of a second set of maps: from the first on a pixel surely holds two parts of the body; once some do, the
set is used from the second one on (a phantom at half its field of view: error 0.01; only from 0.95 on: 0.11)."""
_FOLDED = 0.1
"""Share of the bright pixels with such a second set from which it is used: 0 to 0.07 of five scans and their masks have
one, with half the field of view 0.17 to 0.55, but 0 where a centre of 7 columns is too small for 14 coils."""
_SHOWS = 0.1  # of the brightest pixel


@dataclass(frozen=True, eq=False)
class CoilMaps:
    """Sensitivities in fewer, virtual coils; two sets of them where one does not explain what was measured.

    Parameters
    ----------
    basis : numpy.ndarray, shape (virtual, coil), complex64
        Orthonormal rows: the virtual coils as mixtures of the measured ones.
    maps : numpy.ndarray, shape (set, virtual, y, x), complex64
        Squares sum to 1 over the virtual coils in every pixel. A second set is 0 where one explains what was measured.

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
            See `espirit.espirit`.
        """
        rows, columns = espirit.calibration_region(mask, measured.shape[1])
        centre = measured[:, rows, columns]
        basis = _basis(centre)
        virtual = np.tensordot(basis, centre, 1)
        # the virtual coils have about the noise of the measured ones, as the basis is orthonormal
        noise = float(np.sqrt(np.mean(noise_level(measured) ** 2)))
        maps, explained = espirit.espirit_sets(virtual, measured.shape[1:], noise)
        second = explained[1]
        if np.mean(second[_bright(measured)] > _CERTAIN) < _FOLDED:
            return cls(basis, maps[:1])
        maps[1] *= second > _LIKELY
        return cls(basis, maps)

    @property
    def first_set(self) -> CoilMaps:
        """Without a second set."""
        return CoilMaps(self.basis, self.maps[:1])

    def compress(self, measured: np.ndarray) -> np.ndarray:
        """Samples of the measured coils (coil, y, x) as those of the virtual ones."""
        return np.tensordot(self.basis, measured, 1).astype(np.complex64)

    def coil_images(self, image: np.ndarray) -> np.ndarray:
        """What every measured coil sees of an image (set, y, x), shape (coil, y, x)."""
        return np.tensordot(self.basis.conj().T, self.virtual_images(image), 1)

    def virtual_images(self, image: np.ndarray) -> np.ndarray:
        """What every virtual coil sees of an image (set, y, x), shape (virtual, y, x)."""
        return (self.maps * image[:, None]).sum(0)


class HeldMaps:
    """The maps of one slice at a time, made when the first of several reconstructions of its samples needs them.

    Attributes
    ----------
    sets : int
        The most sets that a slice has needed.
    """

    def __init__(self) -> None:
        self._kspace: KSpace | None = None
        self._sources: Sequence[int] = ()
        self._maps: CoilMaps | None = None
        self.sets = 1

    def hold(self, kspace: KSpace, index: int) -> None:
        """From now on all reconstructions use the maps of this slice, whatever samples they are given."""
        sources = _sources(kspace, index)
        if self._kspace is not kspace or self._sources != sources:
            self._kspace = kspace
            self._sources = sources
            self._maps = None

    def of(self, measured: np.ndarray, mask: np.ndarray) -> CoilMaps:
        """The maps of the slice that is held, otherwise those of this one (coil, y, x)."""
        if self._kspace is None:
            return CoilMaps.of(measured, mask)
        if self._maps is None:
            self._maps = CoilMaps.of(*mean_of(self._kspace, self._sources))
            self.sets = max(self.sets, len(self._maps.maps))
        return self._maps


def mean_of(kspace: KSpace, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean (coil, y, x) over those of some slices that measured a sample, and its mask: where there is one."""
    total = np.zeros((kspace.coils, *kspace.matrix), np.complex64)
    counts = np.zeros(kspace.mask_of(0).shape, int)
    for number in numbers:
        mask = kspace.mask_of(number)
        total += np.where(mask, kspace.slice(number), 0)
        counts += mask
    return total / np.maximum(counts, 1).astype(np.float32), counts > 0


def frames_of(kspace: KSpace, index: int) -> range:
    """The numbers of a slice in all frames."""
    return range(index % kspace.depth, kspace.slices, kspace.depth)


def centre_size(kspace: KSpace) -> int:
    """Rows or columns of the smallest of the centres that the coil maps of the slices come from."""
    rows = kspace.matrix[0]
    # the form asks often, and slices share few masks
    masks = {mask.tobytes(): mask for mask in map(kspace.mask_of, range(kspace.slices))}
    least = min(_centre_size(mask, rows) for mask in masks.values())
    if least >= espirit.LEAST or kspace.frames == 1:
        return least
    return min(_centre_size(_any_of(kspace, frames_of(kspace, index)), rows) for index in range(kspace.depth))


def _sources(kspace: KSpace, index: int) -> Sequence[int]:
    """The slices that coil maps of a slice come from: itself, or all of its frames where it has no centre."""
    has_centre = _centre_size(kspace.mask_of(index), kspace.matrix[0]) >= espirit.LEAST
    return (index,) if has_centre or kspace.frames == 1 else frames_of(kspace, index)


def _any_of(kspace: KSpace, numbers: Sequence[int]) -> np.ndarray:
    """Where one of some slices was measured."""
    return np.logical_or.reduce([kspace.mask_of(number) for number in numbers])


def _centre_size(mask: np.ndarray, rows: int) -> int:
    """Rows or columns, whichever are fewer, of the fully sampled centre of a mask (x,) or (y, x)."""
    return min(side.stop - side.start for side in espirit.calibration_region(mask, rows))


def _bright(measured: np.ndarray) -> np.ndarray:
    """Where the zero-filled image of a slice (coil, y, x) shows something: (y, x), bool."""
    image = rss(ifft2c(measured), 0)
    return image > _SHOWS * image.max()


def _basis(centre: np.ndarray) -> np.ndarray:
    """The mixtures of coils (virtual, coil) that hold almost all of the energy of the centre (coil, y, x)."""
    samples = centre.reshape(len(centre), -1).astype(np.complex128)
    values, vectors = np.linalg.eigh(samples @ samples.conj().T)
    strongest_first = vectors[:, ::-1]
    lost = 1 - np.cumsum(values[::-1]) / max(values.sum(), np.finfo(float).tiny)
    needed = 1 + int(np.count_nonzero(lost > _LOST))
    return strongest_first[:, :needed].conj().T.astype(np.complex64)
