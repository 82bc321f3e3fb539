"""What a slice that is reconstructed again and again says of its image: sensitivity, noise, g-factor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import SettingsError
from ..io import items
from ..kspace import KSpace
from ..progress import Job, Progress, moved, within
from ..record import Record, now, software
from ..volume import Volume
from . import methods
from .coil_maps import HeldMaps
from .grid import image_volume, shown
from .hidden_lines import cannot_thin, thinned
from .masked import describe
from .noise import noise_level, whitened
from .partial_choice import settled_job
from .reconstruct import chosen_slices, models_used
from .settings import ProbeSettings, ReconSettings

if TYPE_CHECKING:
    from ..models import TrainedModel

NAMES = {"sensitivity": "sensitivity (not a probability)", "noise": "noise", "g-factor": "g-factor"}
"""What images of a probe are called."""
_BRIGHT = 0.1  # share of the brightest pixel of a slice from which pixels are summed up


@dataclass(frozen=True, eq=False)
class Probe:
    """Result of a probe.

    Parameters
    ----------
    image : Volume
        Axes zyx, float32; what `ProbeSettings.shows` names, the first two in the units of the measurement.
    """

    image: Volume

    @property
    def record(self) -> Record:
        """Settings, mask, slices, the noise that was measured, ``share``, ``median`` and ``most``.

        ``share`` is the root mean square of the image over the maximum of the reconstruction, None of the g-factor;
        ``median`` and ``most`` (99th percentile) are counted where the slices are bright.
        """
        return self.image.record or Record("probe")

    @property
    def report(self) -> dict[str, Any]:
        """The record as README describes it; JSON-able."""
        return self.record.report()


class _Trial(NamedTuple):
    """A slice that is reconstructed again and again.

    Parameters
    ----------
    method : Method
    measured : numpy.ndarray, shape (coil, y, x), complex
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    level : numpy.ndarray, shape (coil,)
        See `noise_level`.
    full : int
        Samples of a full scan.
    index : int
    """

    method: methods.Method
    measured: np.ndarray
    mask: np.ndarray
    level: np.ndarray
    full: int
    index: int


class _Found(NamedTuple):
    """What is to be shown of a slice, and its mean reconstruction, both (y, x)."""

    image: np.ndarray
    mean: np.ndarray


def probe_job(
    kspace: KSpace,
    settings: ReconSettings,
    probe: ProbeSettings | None = None,
    *,
    model: TrainedModel | None = None,
    indices: Sequence[int] | None = None,
) -> Job[Probe]:
    """Repeat a reconstruction with noise of the measured level added; for the sensitivity also without some lines.

    Parameters
    ----------
    kspace : KSpace
        With its mask.
    settings : ReconSettings
    probe : ProbeSettings, optional
    model : TrainedModel, optional
        Where the method is a model.
    indices : sequence of int, optional
        Slices to probe; all of them if left out.

    Yields
    ------
    Progress
        Over the reconstructions, also between the iterations of one.

    Returns
    -------
    Probe
        Of the slices asked for, in their order.

    Raises
    ------
    VolumeError, SettingsError
        If k-space, mask, method and settings do not fit, or there is nothing to leave out.

    Notes
    -----
    Sensitivity is the standard deviation of the magnitude over all repeats: it shows what noise and sampling alone do.
    An error that every repeat makes alike does not show, so it is not a probability.

    Noise is the standard deviation over pseudo-replicas of the component along the image, so that it is true where the
    image is dark, too. The g-factor is that noise over the noise of a full scan with the same coils, times the root of
    the acceleration: how much noise the method itself adds. Methods that smooth have less than 1.

    References
    ----------
    Pseudo-replicas: Robson et al., Magn Reson Med 60:895, 2008.
    """
    probe = probe or ProbeSettings()
    why_not = cannot_thin(kspace.mask) if probe.shows == "sensitivity" else ""
    if why_not:
        raise SettingsError(why_not)
    if settings.together:
        raise SettingsError(
            "Maps of noise and sensitivity are made of slices one by one; of frames together there are none. Leave "
            "'together' out."
        )
    chosen = chosen_slices(kspace, indices)
    mixed = whitened(kspace)
    total = len(chosen) * probe.reconstructions
    held = HeldMaps()
    used = yield from within(settled_job(mixed, settings, chosen, model, held), 0, total)
    method = methods.prepare(kspace, used, model, held)
    repeat = _sensitivity_job if probe.shows == "sensitivity" else _noise_job
    found = []
    levels = []
    for place, index in enumerate(chosen):
        mask = kspace.mask_of(index)
        measured = np.where(mask, mixed.slice(index), 0)
        held.hold(mixed, index)
        first, end = kspace.whole
        levels.append(noise_level(measured, index))
        trial = _Trial(method, measured, mask, levels[-1], kspace.matrix[0] * (end - first), index)
        part = yield from moved(repeat(trial, probe), place * probe.reconstructions, total)
        found.append(_Found(shown(kspace, part.image), shown(kspace, part.mean)))
    volume = image_volume(kspace, np.stack([each.image for each in found]))
    record = Record(
        "probe",
        time=now(),
        software=software(),
        inputs=items.of_kspace(kspace),
        models=models_used(model),
        settings={**asdict(settings), "probe": asdict(probe)},
        outputs=(items.of_result(volume, probe.shows),),
        figures={
            "slices": chosen,
            "mask": describe(kspace),
            "simulated": kspace.simulated,
            "noise": [level.tolist() for level in levels],
            **_summary(found, probe),
        },
    )
    return Probe(volume.made_by(record.sealed()))


def _summary(found: Sequence[_Found], probe: ProbeSettings) -> dict[str, float | None]:
    """An image of a probe in a few figures."""
    images = np.stack([each.image for each in found])
    means = np.stack([each.mean for each in found])
    brightest = means.max((1, 2), keepdims=True)
    bright = images[means >= _BRIGHT * brightest]
    root_mean_square = float(np.sqrt(np.mean(images**2)))
    share = root_mean_square / (float(means.max()) or 1.0)
    return {
        "share": None if probe.shows == "g-factor" else share,
        "median": float(np.median(bright)),
        "most": float(np.quantile(bright, 0.99)),
    }


def _sensitivity_job(trial: _Trial, probe: ProbeSettings) -> Job[_Found]:
    images = []
    for measured, mask in _moved(trial, probe):
        found = yield from within(trial.method(measured, mask), len(images), probe.reconstructions)
        images.append(found.magnitude)
        yield Progress(len(images), probe.reconstructions)
    return _Found(np.std(images, axis=0, ddof=1), np.mean(images, axis=0))


def _noise_job(trial: _Trial, probe: ProbeSettings) -> Job[_Found]:
    """Noise or g-factor by replicas of the noise."""
    still = yield from within(trial.method(trial.measured, trial.mask), 0, probe.reconstructions)
    # coil images of length 1 in every pixel, along which noise is looked at
    along = still.coils / np.maximum(np.linalg.norm(still.coils, axis=0), np.finfo(np.float32).tiny)
    components = []
    yield Progress(1, probe.reconstructions)
    for repeat in range(probe.replicas):
        rng = np.random.default_rng((probe.seed, trial.index, repeat))
        noisy = _noisy(trial.measured, trial.level, rng)
        found = yield from within(trial.method(noisy, trial.mask), 1 + repeat, probe.reconstructions)
        components.append((along.conj() * found.coils).sum(0).real)
        yield Progress(2 + repeat, probe.reconstructions)
    noise = np.std(components, axis=0, ddof=1)
    if probe.shows == "noise":
        return _Found(noise, still.magnitude)
    return _Found(noise / _fair(trial, along), still.magnitude)


def _fair(trial: _Trial, along: np.ndarray) -> np.ndarray:
    """The noise (y, x) of a full scan in the component `along` coil images, times the root of the acceleration."""
    of_all = np.sqrt((np.abs(along) ** 2 * trial.level[:, None, None] ** 2).sum(0))
    measured = np.count_nonzero(trial.measured.any(0))
    return of_all * trial.full / math.sqrt(measured * trial.measured[0].size)


def _moved(trial: _Trial, probe: ProbeSettings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples of a slice and their mask for every repeat: first with noise, then without some of the lines."""
    for repeat in range(2 * probe.repeats):
        rng = np.random.default_rng((probe.seed, trial.index, repeat))
        if repeat < probe.repeats:
            yield _noisy(trial.measured, trial.level, rng), trial.mask
        else:
            kept = thinned(trial.mask, probe.dropped, rng)
            yield np.where(kept, trial.measured, 0), kept


def _noisy(measured: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    real, imaginary = rng.standard_normal((2, *measured.shape), np.float32)
    deviation = level[:, None, None].astype(np.float32)
    noise = deviation * (real + 1j * imaginary)
    return measured + np.where(measured.any(0), noise, 0)
