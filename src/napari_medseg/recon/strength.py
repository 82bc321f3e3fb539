"""What settings leave open, method and strength, chosen by what is predicted of measured samples that were hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import VolumeError
from ..kspace import KSpace
from ..progress import Job
from .coil_maps import HeldMaps
from .hidden_lines import cannot_thin
from .methods import NEEDS_COILS, candidates, prepare
from .predictions import prediction_job
from .sampling import direction
from .settings import HiddenSettings, ReconSettings

TUNED = ("tv", "wavelet", "sense-tv", "sense-wavelet")
"""Methods whose strength depends on noise and mask so much that one default cannot fit."""
_COARSE = (0.0002, 0.0008, 0.0032, 0.0128)
_BETWEEN = 2.0  # factor of the second look around the best of the first
_LINES, _POINTS = HiddenSettings(repeats=2), HiddenSettings(repeats=1)  # of points there are thousands in one choice


def tuned_job(
    kspace: KSpace, settings: ReconSettings, indices: Sequence[int], held: HeldMaps | None = None
) -> Job[ReconSettings]:
    """Settings with a method, and with the strength that best predicts hidden samples of the middle one of the slices.

    Parameters
    ----------
    kspace : KSpace
        With its mask.
    settings : ReconSettings
        What they say is kept: only a method that is ``auto``, and a strength that is None of a method in `TUNED`, are
        chosen.
    indices : sequence of int
        Slices that will be reconstructed.
    held : HeldMaps, optional
        Where the coil maps come from.

    Yields
    ------
    Progress
        Over the reconstructions, also between the iterations of one.

    Returns
    -------
    ReconSettings
        The strength stays None, the default of the method, where nothing can be hidden or what can be is all 0.

    Notes
    -----
    First four strengths, each four times the one before, then half and double the best of them. Hidden samples count as
    many missing ones as they stand for: unweighted, those close to the centre decide, and the strength is too high by a
    factor of two to four (1 dB on measured data, `benchmarks/recon_bart.py`).

    References
    ----------
    Cross-validation: Stone, J R Stat Soc B 36:111, 1974.
    """
    open_ones = [replace(settings, method=method) for method in candidates(kspace, settings)]
    usual = open_ones[0]
    middle = indices[len(indices) // 2]
    if usual.method not in TUNED or settings.strength is not None or cannot_thin(kspace.mask_of(middle)):
        return usual
    if usual.method not in NEEDS_COILS:
        kspace = _strongest_coil(kspace, middle)
        middle = 0
    held = held or HeldMaps()
    errors: dict[ReconSettings, float] = {}
    try:
        for each in open_ones:
            found = yield from _look(kspace, middle, [replace(each, strength=value) for value in _COARSE], held)
            best = min(found, key=lambda settings: found[settings])
            errors |= found
            near = [replace(each, strength=best.strength * factor) for factor in (1 / _BETWEEN, _BETWEEN)]
            errors |= yield from _look(kspace, middle, near, held)
    except VolumeError:
        return usual
    return min(errors, key=lambda settings: errors[settings])


def _look(
    kspace: KSpace, index: int, variants: Sequence[ReconSettings], held: HeldMaps
) -> Job[dict[ReconSettings, float]]:
    """The errors of variants of one method on hidden samples."""
    methods = [prepare(kspace, variant, None, held) for variant in variants]
    hidden = _LINES if direction(kspace.mask_of(index)) else _POINTS
    found = yield from prediction_job(kspace, methods, hidden, [index], held, for_missing=True)
    return dict(zip(variants, found[:-1, 0].tolist(), strict=True))


def _strongest_coil(kspace: KSpace, index: int) -> KSpace:
    """One slice of the coil that sees most of it: methods that work coil by coil need no other one to be tuned."""
    measured = kspace.slice(index)
    energies = (abs(measured) ** 2).sum((1, 2))
    coil = int(energies.argmax())
    return replace(kspace, data=measured[None, coil : coil + 1], mask=kspace.mask_of(index), reference=None)
