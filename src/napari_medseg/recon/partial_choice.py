"""Whether partial Fourier is to be completed: by how well that predicts measured columns that were hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..kspace import KSpace
from ..progress import Job, Progress
from . import frames
from .coil_maps import HeldMaps
from .methods import has_maps, prepare
from .partial_fourier import completed, one_sided, without_short_side
from .settings import AUTO, NONE, POCS, ReconSettings
from .strength import tuned_job
from .transforms import fft2c

if TYPE_CHECKING:
    from ..models import TrainedModel

_SMOOTH = 0.3
"""Error from which on the phase counts as smooth whatever the method predicts, which is best close to the centre."""


def settled_job(
    kspace: KSpace,
    settings: ReconSettings,
    indices: Sequence[int],
    model: TrainedModel | None = None,
    held: HeldMaps | None = None,
) -> Job[ReconSettings]:
    """Decide by the data what `settings` leave open: method and strength (`tuned_job`), and partial Fourier.

    The coil maps that it takes are left in `held`.

    Raises
    ------
    SettingsError
        If frames are to be reconstructed together and cannot.
    """
    if settings.together:
        return frames.settled(kspace, settings)
    held = held or HeldMaps()
    if model is not None and has_maps(kspace, settings, model.card):
        # it begins with SENSE, which needs its strength
        begun = yield from tuned_job(kspace, replace(settings, method="sense-tv"), indices, held)
        used = replace(settings, strength=begun.strength)
    else:
        used = yield from tuned_job(kspace, settings, indices, held)
    if used.partial != AUTO:
        return used
    partial = yield from partial_job(kspace, used, indices, model, held)
    return replace(used, partial=partial)


def partial_job(
    kspace: KSpace,
    settings: ReconSettings,
    indices: Sequence[int],
    model: TrainedModel | None = None,
    held: HeldMaps | None = None,
) -> Job[str]:
    """``pocs`` where it predicts hidden samples well, or better than the method does alone; otherwise ``none``.

    Parameters
    ----------
    kspace : KSpace
        With its mask.
    settings : ReconSettings
        With method and strength.
    indices : sequence of int
        Slices that will be reconstructed; the middle one is looked at.
    model : TrainedModel, optional
        Where the method is a model.
    held : HeldMaps, optional
        Where the coil maps come from.

    Yields
    ------
    Progress
        Between the iterations of the method.

    Notes
    -----
    Hidden is the outer third of what was measured on the short side. A phase that is smooth predicts it to 7 to 10 %;
    the phase of gradient echoes is not, and then completing makes an image worse than the method alone
    (`benchmarks/recon_partial.py`).
    """
    index = indices[len(indices) // 2]
    mask = kspace.mask_of(index)
    thin = without_short_side(mask, kspace.matrix[0])
    if thin is None:
        return NONE
    measured = np.where(mask, kspace.slice(index), 0)
    yield Progress(0, 1)
    held = held or HeldMaps()
    held.hold(kspace, index)
    method = prepare(kspace, replace(settings, partial=NONE), model, held)
    left = np.where(thin, measured, 0)
    if not left.any():
        return NONE
    found = yield from method(left, thin)
    hidden = measured.any(0) & ~np.broadcast_to(thin, measured.shape[1:])
    alone = _error(found.coils, measured, hidden)
    mended = _error(completed(found.coils, thin, POCS), measured, hidden)
    smooth = _SMOOTH * float(np.linalg.norm(measured[:, hidden]))
    return POCS if mended < max(alone, smooth) else NONE


def is_one_sided(kspace: KSpace, indices: Sequence[int]) -> bool:
    """Whether k-space of one of these slices was measured farther on one side."""
    if kspace.mask is None:
        return False
    some = indices if kspace.mask.ndim == 3 else indices[:1]
    return any(one_sided(kspace.mask_of(index), kspace.matrix[0]) for index in some)


def _error(coils: np.ndarray, measured: np.ndarray, hidden: np.ndarray) -> float:
    return float(np.linalg.norm((fft2c(coils) - measured)[:, hidden]))
