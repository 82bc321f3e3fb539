"""How far a reconstruction moves when its measurement moves a little: what can be asked where no reference exists."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingsError, VolumeError
from ..io import items
from ..kspace import KSpace
from ..progress import Job, Progress, within
from ..record import Record, now, software
from ..volume import Volume
from . import methods
from .coil_maps import HeldMaps
from .hidden_lines import cannot_thin, thinned
from .masked import describe
from .reconstruct import chosen_slices, image_volume, models_used, shown
from .settings import ProbeSettings, ReconSettings

if TYPE_CHECKING:
    from ..models import TrainedModel

NAME = "sensitivity (not a probability)"
"""What images of a probe are called."""

_BORDER = 0.05  # share of the measured samples, those farthest out, that show the noise


@dataclass(frozen=True, eq=False)
class Probe:
    """Result of a probe.

    Parameters
    ----------
    sensitivity : Volume
        Standard deviation of the magnitude over all repeats, axes zyx, float32, in the units of the measurement. It
        shows what noise and sampling alone do; an error that every repeat makes alike does not show, so it is not a
        probability.
    """

    sensitivity: Volume

    @property
    def record(self) -> Record:
        """Settings, mask, slices, the noise that was measured, and ``share``.

        That is the root mean square of the standard deviation over the maximum of the mean image.
        """
        return self.sensitivity.record or Record("probe")

    @property
    def report(self) -> dict[str, Any]:
        """The record as README describes it; JSON-able."""
        return self.record.report()


def probe_job(
    kspace: KSpace,
    settings: ReconSettings,
    probe: ProbeSettings | None = None,
    *,
    model: TrainedModel | None = None,
    indices: Sequence[int] | None = None,
) -> Job[Probe]:
    """Repeat a reconstruction with noise of the measured level added, and with some of its lines left out.

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
    """
    probe = probe or ProbeSettings()
    why_not = cannot_thin(kspace.mask)
    if why_not:
        raise SettingsError(why_not)
    held = HeldMaps() if settings.method in methods.NEEDS_COILS else None
    method = methods.prepare(kspace, settings, model, held)
    chosen = chosen_slices(kspace, indices)
    total = len(chosen) * 2 * probe.repeats
    done = 0
    deviations = []
    levels = []
    largest = 0.0
    for index in chosen:
        own = kspace.mask_of(index)
        measured = np.where(own, kspace.slice(index), 0)
        if held is not None:
            held.hold(measured, own)
        level = noise_level(measured, index)
        levels.append(level)
        images = []
        for moved, mask in _moved(measured, own, level, probe, index):
            magnitude, _ = yield from within(method(moved, mask), done, total)
            images.append(shown(kspace, magnitude))
            done += 1
            yield Progress(done, total)
        deviations.append(np.std(images, axis=0, ddof=1))
        mean = np.mean(images, axis=0)
        largest = max(largest, float(mean.max()))
    spread = np.stack(deviations)
    root_mean_square = float(np.sqrt(np.mean(spread**2)))
    share = root_mean_square / (largest or 1.0)
    found = image_volume(kspace, spread)
    record = Record(
        "probe",
        time=now(),
        software=software(),
        inputs=items.of_kspace(kspace),
        models=models_used(model),
        settings={**asdict(settings), "probe": asdict(probe)},
        outputs=(items.of_result(found, "sensitivity"),),
        figures={
            "slices": chosen,
            "mask": describe(kspace),
            "simulated": kspace.simulated,
            "noise": [level.tolist() for level in levels],
            "share": share,
        },
    )
    return Probe(found.made_by(record.sealed()))


def noise_level(measured: np.ndarray, index: int = 0) -> np.ndarray:
    """Standard deviation of the noise in the real and in the imaginary part of k-space, by coil.

    Parameters
    ----------
    measured : numpy.ndarray, shape (coil, y, x), complex
        Samples that are exactly 0 count as not measured.
    index : int
        Number of the slice, for the message.

    Returns
    -------
    numpy.ndarray, shape (coil,)

    Raises
    ------
    VolumeError
        If nothing was measured.

    Notes
    -----
    An image fades towards the border of k-space, noise does not. Looked at are the 5 % of the measured samples farthest
    from the centre, distances as shares of half the matrix, so corners first. There the magnitude is Rayleigh
    distributed with the median ``sigma sqrt(2 ln 2)``; the median bears a few samples with signal. The level is too
    high where details of the image reach the border, and too low where the scanner damped the border.
    """
    _, rows, columns = measured.shape
    distance = np.hypot(_from_centre(rows)[:, None], _from_centre(columns))
    known = measured.any(0)
    if not known.any():
        raise VolumeError(f"The mask leaves nothing of slice {index}: all samples that it keeps are 0.")
    farthest = np.quantile(distance[known], 1 - _BORDER)
    border = known & (distance >= farthest)
    medians = np.median(np.abs(measured[:, border]), axis=1)
    return medians / math.sqrt(2 * math.log(2))


def _from_centre(count: int) -> np.ndarray:
    """Positions along an axis of `count` samples, from the centre of k-space in halves of the matrix."""
    return (np.arange(count) - count // 2) / (count / 2)


def _moved(
    measured: np.ndarray, mask: np.ndarray, level: np.ndarray, probe: ProbeSettings, index: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples of a slice and their mask for every repeat: first with noise, then without some of the lines."""
    for repeat in range(2 * probe.repeats):
        rng = np.random.default_rng((probe.seed, index, repeat))
        if repeat < probe.repeats:
            yield _noisy(measured, level, rng), mask
        else:
            kept = thinned(mask, probe.dropped, rng)
            yield np.where(kept, measured, 0), kept


def _noisy(measured: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    real, imaginary = rng.standard_normal((2, *measured.shape), np.float32)
    deviation = level[:, None, None].astype(np.float32)
    noise = deviation * (real + 1j * imaginary)
    return measured + np.where(measured.any(0), noise, 0)
