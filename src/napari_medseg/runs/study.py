"""How much undersampling a segmentation tolerates: simulate, reconstruct and segment, one acceleration at a time."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import metrics
from ..io import items
from ..progress import Job, Progress, within
from ..recon.reconstruct import ReconSettings, models_used, reconstruct_job, sampled
from ..recon.sampling import effective_acceleration
from ..recon.simulate import scan
from ..record import Record, now, software
from ..segmentation.inference import InferenceSettings, segment_job
from ..volume import Volume
from .settings import StudySettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..models import TrainedModel


@dataclass(frozen=True, eq=False)
class Row:
    """What came of one acceleration.

    Parameters
    ----------
    acceleration, effective : float
        Asked for, and samples over measured samples.
    psnr, ssim : float
        Of the image against the fully sampled one; infinite and 1 where it is that one.
    dice : dict of str to float
        Per class, against the segmentation of the fully sampled image; NaN where neither finds any.
    volume_ml, drift_percent : dict of str to float
        Per class: volume (voxels where the voxel size is not known), and its change against the fully sampled one.
    """

    acceleration: float
    effective: float
    psnr: float
    ssim: float
    dice: dict[str, float]
    volume_ml: dict[str, float]
    drift_percent: dict[str, float]


@dataclass(frozen=True, eq=False)
class Study:
    """Result of an acceleration study: a row per acceleration, in their order, and the record of the run."""

    rows: tuple[Row, ...]
    record: Record

    @classmethod
    def of(cls, record: Record) -> Study:
        """From the record of a study."""
        return cls(tuple(Row(**row) for row in record.figures["rows"]), record)

    @property
    def report(self) -> dict[str, Any]:
        """The record as README describes it; JSON-able."""
        return self.record.report()

    def table(self) -> list[list[str]]:
        """Heading and rows as texts, for a terminal, a widget or a CSV file."""
        names = list(self.rows[0].dice)
        unit = self.record.figures["unit"]
        head = ["acceleration", "effective", "PSNR (dB)", "SSIM"]
        head += [f"{name}: {what}" for name in names for what in ("Dice", f"volume ({unit})", "drift (%)")]
        return [head, *([f"{value:.4g}" for value in _numbers(row)] for row in self.rows)]


def _numbers(row: Row) -> list[float]:
    by_class = [(row.dice[name], row.volume_ml[name], row.drift_percent[name]) for name in row.dice]
    return [row.acceleration, row.effective, row.psnr, row.ssim, *itertools.chain.from_iterable(by_class)]


def acceleration_job(
    volume: Volume,
    model: TrainedModel,
    settings: StudySettings,
    recon: ReconSettings,
    *,
    reconstructor: TrainedModel | None = None,
    inference: InferenceSettings | None = None,
) -> Job[Study]:
    """Simulate k-space of `volume`, undersample it more and more, reconstruct, segment, and compare.

    Parameters
    ----------
    volume : Volume
        Magnitude images, axes yx or zyx.
    model : TrainedModel
        Segments.
    settings : StudySettings
    recon : ReconSettings
        How images are reconstructed.
    reconstructor : TrainedModel, optional
        Where that is a model.
    inference : InferenceSettings, optional

    Yields
    ------
    Progress
        `partial` is a `Row` when an acceleration is finished.

    Returns
    -------
    Study
        The k-space is simulated from images: real measurements give worse results.

    Raises
    ------
    VolumeError, SettingsError
        If image, models and settings do not fit.
    """
    began = time.monotonic()
    kspace = scan(volume, settings.seed, settings.noise)
    inference = inference or InferenceSettings()
    total = len(settings.accelerations) + 1
    full = yield from _image(kspace, volume, ReconSettings("zero-filled", dc="none"), None, 0, total)
    truth = yield from _labels(full, model, inference, 0, total)
    rows = []
    for done, acceleration in enumerate(settings.accelerations, start=1):
        sampling = settings.sampling(acceleration)
        if sampling is None:
            image, labels, effective = full, truth, 1.0
        else:
            masked = sampled(kspace, sampling)
            image = yield from _image(masked, volume, recon, reconstructor, done, total)
            labels = yield from _labels(image, model, inference, done, total)
            effective = effective_acceleration(masked.mask)
        rows.append(_row(acceleration, effective, full, image, truth, labels))
        yield Progress(done + 1, total, rows[-1])
    record = Record(
        "study",
        time=now(),
        software=software(),
        inputs=(items.of_volume(volume),),
        models=(*models_used(model), *models_used(reconstructor)),
        settings={**asdict(settings), "reconstruction": asdict(recon), "segmentation": asdict(inference)},
        seconds=round(time.monotonic() - began, 3),
        figures={
            "simulated": True,
            "unit": "ml" if volume.has_spacing else "voxels",
            "rows": [asdict(row) for row in rows],
        },
    )
    return Study(tuple(rows), record.sealed())


def _image(kspace: Any, volume: Volume, recon: ReconSettings, model: Any, done: int, total: int) -> Job[Volume]:
    """The reconstruction on the grid of `volume`."""
    result = yield from within(reconstruct_job(kspace, recon, model=model), done, total)
    return volume.like(np.asarray(result.image.data).reshape(volume.data.shape))


def _labels(image: Volume, model: TrainedModel, inference: InferenceSettings, done: int, total: int) -> Job[Volume]:
    result = yield from within(segment_job(image, model, inference), done, total)
    return result.labels


def _row(acceleration: float, effective: float, full: Volume, image: Volume, truth: Volume, labels: Volume) -> Row:
    found = {row["name"]: row for row in metrics.compare(labels, truth)}
    size = next((name for name in ("volume_ml", "area_mm2", "voxels") if any(name in r for r in found.values())), "")
    volumes = {name: (row[size], row[f"reference_{size}"]) for name, row in found.items()}
    stacks = [_stack(each.data) for each in (full, image)]
    return Row(
        acceleration,
        effective,
        metrics.psnr(*stacks),
        metrics.ssim(*stacks),
        {name: row["dice"] for name, row in found.items()},
        {name: ours for name, (ours, _) in volumes.items()},
        {name: 100 * (ours / theirs - 1) if theirs else math.nan for name, (ours, theirs) in volumes.items()},
    )


def _stack(data: Any) -> np.ndarray:
    data = np.asarray(data)
    return data.reshape(-1, *data.shape[-2:])


def plot(rows: Sequence[Row], figure: Figure, *, title: str = "") -> None:
    """Draw Dice (left) and drift of the volume in percent (right) over the acceleration.

    Parameters
    ----------
    rows : sequence of Row
    figure : matplotlib.figure.Figure
        Cleared before.
    title : str
    """
    figure.clear()
    axes = figure.add_subplot()
    other = axes.twinx()
    for name in rows[0].dice if rows else ():
        (line,) = axes.plot([r.effective for r in rows], [r.dice[name] for r in rows], "o-", label=f"{name}: Dice")
        drift = [r.drift_percent[name] for r in rows]
        other.plot([r.effective for r in rows], drift, "s--", color=line.get_color(), alpha=0.6, label=f"{name}: drift")
    axes.set(xlabel="effective acceleration", ylabel="Dice (solid)", ylim=(0, 1.02), title=title)
    other.set_ylabel("volume drift in % (dashed)")
    other.axhline(0, color="0.6", linewidth=0.8)
    axes.grid(True, alpha=0.3)
    if rows:
        axes.legend(loc="best", fontsize="small")
