"""The strength of a method, chosen by what it predicts of measured samples that were hidden from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import VolumeError
from ..kspace import KSpace
from ..progress import Job
from .coil_maps import HeldMaps
from .hidden_lines import cannot_thin
from .methods import NEEDS_COILS, prepare
from .predictions import prediction_job
from .settings import HiddenSettings, ReconSettings

TUNED = ("tv", "wavelet", "sense-tv", "sense-wavelet")
"""Methods whose strength depends on noise and mask so much that one default cannot fit."""
_COARSE = (0.0002, 0.0008, 0.0032, 0.0128)
_BETWEEN = 2.0  # factor of the second look around the best of the first
_HIDDEN = HiddenSettings(repeats=2)


def strength_job(kspace: KSpace, settings: ReconSettings, indices: Sequence[int]) -> Job[float | None]:
    """The strength that best predicts hidden samples of the middle one of the slices.

    Parameters
    ----------
    kspace : KSpace
        With its mask.
    settings : ReconSettings
        Of a method in `TUNED`, with the strength left open.
    indices : sequence of int
        Slices that will be reconstructed.

    Yields
    ------
    Progress
        Over the reconstructions, also between the iterations of one.

    Returns
    -------
    float or None
        None keeps the default of the method: nothing can be hidden, or what can be is all 0.

    Notes
    -----
    First four strengths, each four times the one before, then half and double the best of them. Hidden samples count as
    many missing ones as they stand for: unweighted, those close to the centre decide, and the strength is too high by a
    factor of two to four (1 dB on measured data, `benchmarks/recon_bart.py`).

    References
    ----------
    Cross-validation: Stone, J R Stat Soc B 36:111, 1974.
    """
    middle = indices[len(indices) // 2]
    if cannot_thin(kspace.mask_of(middle)):
        return None
    if settings.method not in NEEDS_COILS:
        kspace = _strongest_coil(kspace, middle)
        middle = 0
    errors: dict[float, float] = {}
    try:
        yield from _look(kspace, settings, middle, _COARSE, errors)
        best = min(errors, key=lambda strength: errors[strength])
        yield from _look(kspace, settings, middle, (best / _BETWEEN, best * _BETWEEN), errors)
    except VolumeError:
        return None
    return min(errors, key=lambda strength: errors[strength])


def _look(
    kspace: KSpace, settings: ReconSettings, index: int, strengths: Sequence[float], errors: dict[float, float]
) -> Job[None]:
    """Add the errors of `strengths` to `errors`."""
    held = HeldMaps() if settings.method in NEEDS_COILS else None
    methods = [prepare(kspace, replace(settings, strength=strength), None, held) for strength in strengths]
    found = yield from prediction_job(kspace, methods, _HIDDEN, [index], held, for_missing=True)
    errors.update(zip(strengths, found[:-1, 0].tolist(), strict=True))


def _strongest_coil(kspace: KSpace, index: int) -> KSpace:
    """One slice of the coil that sees most of it: methods that work coil by coil need no other one to be tuned."""
    measured = kspace.slice(index)
    energies = (abs(measured) ** 2).sum((1, 2))
    coil = int(energies.argmax())
    return replace(kspace, data=measured[None, coil : coil + 1], mask=kspace.mask_of(index), reference=None)
