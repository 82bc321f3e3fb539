"""What settings leave open, method and strength, chosen by what is predicted of measured samples that were hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..errors import VolumeError
from ..kspace import KSpace
from ..progress import Job, within
from .classical import Memory
from .coil_maps import HeldMaps
from .hidden_lines import cannot_thin, has_equal_steps
from .methods import NEEDS_COILS, candidates, prepare
from .predictions import Trial, trials
from .sampling import direction
from .settings import HiddenSettings, ReconSettings

TUNED = ("tv", "wavelet", "sense-tv", "sense-wavelet")
"""Methods whose strength depends on noise and mask so much that one default cannot fit."""
STRENGTHS = tuple(0.0256 / 2**halving for halving in range(9))
"""Tried one after the other, from where the solvers need few iterations to where they need many."""
_ITERATIONS = {"tv": 8, "wavelet": 12, "sense-tv": 8, "sense-wavelet": 20}
"""Of each strength, a fifth of the usual: it goes on from the image of the one before."""
_RISES = 2  # strengths in a row that are worse than the best: weaker ones are then not tried
_AROUND = 4.0  # another method begins with so many times the strength of the first one


class _Rules(NamedTuple):
    """How errors on hidden samples are judged.

    Parameters
    ----------
    hidden : HiddenSettings
    equal : float
        Of strengths whose errors are at most so many times the least, the strongest is taken.
    other : float
        Another method than the first is taken if its error is below so many times that of the first.
    """

    hidden: HiddenSettings
    equal: float = 1.0
    other: float = 1.0


# chosen on the scans of benchmarks/recon_bart.py
_POINTS = _Rules(HiddenSettings(repeats=1))
# lines are few, and a path of few iterations flatters weak strengths, and the method that goes on from the other one
_LINES = _Rules(HiddenSettings(repeats=2), equal=1.015, other=0.94)
# a hidden line leaves a gap twice as wide as those of the scan, which asks for more strength and for total variation
_EQUAL_STEPS = _Rules(HiddenSettings(repeats=2), other=1.05)


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
    The strengths fall by halves, and every one goes on from the image of the one before, which takes a fifth of the
    iterations; a second method goes on from the images of the first, close to its best strength. Hidden samples count
    as many missing ones as they stand for: unweighted, those close to the centre decide, and the strength is too high
    by a factor of two to four (1 dB on measured data, `benchmarks/recon_bart.py`). How lines and points differ:
    see `_Rules`.

    References
    ----------
    Cross-validation: Stone, J R Stat Soc B 36:111, 1974; paths of strengths: Friedman et al., J Stat Softw 33(1), 2010.
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
    rules = _rules(kspace.mask_of(middle))
    try:
        tried = trials(kspace, middle, rules.hidden, for_missing=True)
        held.hold(kspace, middle)
        memories = [[Memory() for _ in range(kspace.coils)] for _ in tried]
        first, *others = open_ones
        path = yield from within(_path_job(kspace, first, STRENGTHS, tried, memories, held), 0, len(open_ones))
        best = _best(path, rules.equal)
        least = rules.other * best.error
        starts = next(step for step in path if step.strength <= _AROUND * best.strength)
        strengths = STRENGTHS[path.index(starts) :]
        for done, other in enumerate(others, 1):
            memories = [[Memory(image) for image in images] for images in starts.images]
            job = _path_job(kspace, other, strengths, tried, memories, held)
            path = yield from within(job, done, len(open_ones))
            found = _best(path, rules.equal)
            if found.error < least:
                best = found
                least = found.error
    except VolumeError:
        return usual
    return best.settings


class _Step(NamedTuple):
    """A strength, the settings with it, its squared error on hidden samples, and the images found.

    These are listed by trial: of every coil, or one of all.
    """

    strength: float
    settings: ReconSettings
    error: float
    images: list[list[np.ndarray | None]]


def _path_job(
    kspace: KSpace,
    settings: ReconSettings,
    strengths: Sequence[float],
    tried: Sequence[Trial],
    memories: Sequence[Sequence[Memory]],
    held: HeldMaps,
) -> Job[list[_Step]]:
    """A method with one strength after the other, each going on from the one before."""
    path: list[_Step] = []
    worse = 0
    for strength in strengths:
        variant = replace(settings, strength=strength)
        method = prepare(kspace, replace(variant, iterations=_ITERATIONS[settings.method]), None, held)
        error = 0.0
        for trial, own in zip(tried, memories, strict=True):
            found = yield from method(trial.left, trial.mask, own)
            error += trial.error(found.coils)
        images = [[memory.image for memory in own] for own in memories]
        worse = worse + 1 if path and error > min(step.error for step in path) else 0
        path.append(_Step(strength, variant, error, images))
        if worse == _RISES:
            break
    return path


def _rules(mask: np.ndarray) -> _Rules:
    if not direction(mask):
        return _POINTS
    return _EQUAL_STEPS if has_equal_steps(mask) else _LINES


def _best(path: Sequence[_Step], equal: float) -> _Step:
    """The strongest one of those whose errors are the least, or equal to it."""
    least = min(step.error for step in path)
    return next(step for step in path if step.error <= equal * least)


def _strongest_coil(kspace: KSpace, index: int) -> KSpace:
    """One slice of the coil that sees most of it: methods that work coil by coil need no other one to be tuned."""
    measured = kspace.slice(index)
    energies = (abs(measured) ** 2).sum((1, 2))
    coil = int(energies.argmax())
    return replace(kspace, data=measured[None, coil : coil + 1], mask=kspace.mask_of(index), reference=None)
