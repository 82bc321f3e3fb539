"""How far a reconstruction moves when its measurement moves a little: what can be asked where no reference exists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingsError
from ..io import items
from ..kspace import KSpace
from ..progress import Job, Progress, within
from ..record import Record, now, software
from ..volume import Volume
from . import methods
from .coil_maps import HeldMaps
from .hidden_lines import cannot_thin, thinned
from .masked import describe
from .noise import noise_level, whitened
from .reconstruct import chosen_slices, image_volume, models_used, shown
from .settings import ProbeSettings, ReconSettings

if TYPE_CHECKING:
    from ..models import TrainedModel

NAME = "sensitivity (not a probability)"
"""What images of a probe are called."""


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
    mixed = whitened(kspace)
    chosen = chosen_slices(kspace, indices)
    total = len(chosen) * 2 * probe.repeats
    done = 0
    deviations = []
    levels = []
    largest = 0.0
    for index in chosen:
        own = kspace.mask_of(index)
        measured = np.where(own, mixed.slice(index), 0)
        if held is not None:
            held.hold(measured, own)
        level = noise_level(measured, index)
        levels.append(level)
        images = []
        for moved, mask in _moved(measured, own, level, probe, index):
            found = yield from within(method(moved, mask), done, total)
            images.append(shown(kspace, found.magnitude))
            done += 1
            yield Progress(done, total)
        deviations.append(np.std(images, axis=0, ddof=1))
        mean = np.mean(images, axis=0)
        largest = max(largest, float(mean.max()))
    spread = np.stack(deviations)
    root_mean_square = float(np.sqrt(np.mean(spread**2)))
    share = root_mean_square / (largest or 1.0)
    volume = image_volume(kspace, spread)
    record = Record(
        "probe",
        time=now(),
        software=software(),
        inputs=items.of_kspace(kspace),
        models=models_used(model),
        settings={**asdict(settings), "probe": asdict(probe)},
        outputs=(items.of_result(volume, "sensitivity"),),
        figures={
            "slices": chosen,
            "mask": describe(kspace),
            "simulated": kspace.simulated,
            "noise": [level.tolist() for level in levels],
            "share": share,
        },
    )
    return Probe(volume.made_by(record.sealed()))


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
