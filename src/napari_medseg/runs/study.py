"""How much undersampling a segmentation tolerates: simulate, reconstruct and segment, one acceleration at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import metrics
from ..io import items
from ..progress import Job, Progress, within
from ..recon.masked import sampled
from ..recon.reconstruct import models_used, reconstruct_job
from ..recon.settings import ReconSettings
from ..recon.simulate import scan
from ..record import Record, now, software
from ..segmentation.inference import segment_job
from ..segmentation.settings import InferenceSettings
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
        Per class: volume (mm2 of single images, voxels where the voxel size is not known), and its change against the
        fully sampled one.
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
        """From the record of a study, which may have been JSON: that holds nothing for what is not finite."""
        rows = tuple(Row(**_with_numbers(row)) for row in record.figures["rows"])
        return cls(rows, record)

    @property
    def report(self) -> dict[str, Any]:
        """The record as README describes it; JSON-able."""
        return self.record.report()

    def table(self) -> list[list[str]]:
        """Heading and rows as texts, for a terminal, a widget or a CSV file."""
        unit = self.record.figures["unit"]
        head = ["acceleration", "effective", "PSNR (dB)", "SSIM"]
        for name in self.rows[0].dice:
            head += [f"{name}: Dice", f"{name}: volume ({unit})", f"{name}: drift (%)"]
        lines = [head]
        for row in self.rows:
            lines.append([f"{value:.4g}" for value in _numbers(row)])
        return lines


def _with_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row; where JSON holds nothing, PSNR is infinite, and another figure does not exist."""
    found = dict(row)
    found["psnr"] = math.inf if row["psnr"] is None else row["psnr"]
    for key in ("dice", "volume_ml", "drift_percent"):
        found[key] = {name: math.nan if value is None else value for name, value in row[key].items()}
    return found


def _numbers(row: Row) -> list[float]:
    numbers = [row.acceleration, row.effective, row.psnr, row.ssim]
    for name in row.dice:
        numbers += [row.dice[name], row.volume_ml[name], row.drift_percent[name]]
    return numbers


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
    inference = replace(inference or InferenceSettings(), split_objects=False)  # classes are compared
    total = len(settings.accelerations) + 1
    full = yield from _image(kspace, volume, ReconSettings("zero-filled", dc="none"), None, 0, total)
    truth = yield from _labels(full, model, inference, 0, total)
    rows = []
    for done, acceleration in enumerate(settings.accelerations, start=1):
        sampling = settings.sampling(acceleration)
        image = full
        labels = truth
        effective = 1.0
        if sampling is not None:
            masked = sampled(kspace, sampling)
            image = yield from _image(masked, volume, recon, reconstructor, done, total)
            labels = yield from _labels(image, model, inference, done, total)
            effective = masked.acceleration
        row = _row(acceleration, effective, full, image, truth, labels)
        rows.append(row)
        yield Progress(done + 1, total, row)
    record = Record(
        "study",
        time=now(),
        software=software(),
        inputs=(items.of_volume(volume),),
        models=(*models_used(model), *models_used(reconstructor)),
        settings={**asdict(settings), "reconstruction": asdict(recon), "segmentation": asdict(inference)},
        seconds=round(time.monotonic() - began, 3),
        figures=_figures(volume, rows),
    )
    return Study(tuple(rows), record.sealed())


def _figures(volume: Volume, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "simulated": True,
        "unit": size_unit(volume),
        "rows": [asdict(row) for row in rows],
    }


def size_unit(volume: Volume) -> str:
    """What the sizes of classes are measured in, as `metrics.compare` does."""
    if not volume.has_spacing:
        return "voxels"
    return "ml" if "z" in volume.axes else "mm2"


def _image(kspace: Any, volume: Volume, recon: ReconSettings, model: Any, done: int, total: int) -> Job[Volume]:
    """The reconstruction on the grid of `volume`."""
    result = yield from within(reconstruct_job(kspace, recon, model=model), done, total)
    image = np.asarray(result.image.data)
    return volume.like(image.reshape(volume.data.shape))


def _labels(image: Volume, model: TrainedModel, inference: InferenceSettings, done: int, total: int) -> Job[Volume]:
    result = yield from within(segment_job(image, model, inference), done, total)
    return result.labels


def _row(acceleration: float, effective: float, full: Volume, image: Volume, truth: Volume, labels: Volume) -> Row:
    dice = {}
    volumes = {}
    drift = {}
    for row in metrics.compare(labels, truth):
        name = row["name"]
        size = next(key for key in ("volume_ml", "area_mm2", "voxels") if key in row)
        before = row[f"reference_{size}"]
        dice[name] = row["dice"]
        volumes[name] = row[size]
        drift[name] = 100 * (row[size] / before - 1) if before else math.nan
    reference = _stack(full.data)
    reconstructed = _stack(image.data)
    psnr = metrics.psnr(reference, reconstructed)
    ssim = metrics.ssim(reference, reconstructed)
    return Row(acceleration, effective, psnr, ssim, dice, volumes, drift)


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
    effective = [row.effective for row in rows]
    for name in rows[0].dice if rows else ():
        dice = [row.dice[name] for row in rows]
        drift = [row.drift_percent[name] for row in rows]
        (line,) = axes.plot(effective, dice, "o-", label=f"{name}: Dice")
        other.plot(effective, drift, "s--", color=line.get_color(), alpha=0.6, label=f"{name}: drift")
    axes.set(xlabel="effective acceleration", ylabel="Dice (solid)", ylim=(0, 1.02))
    other.set_ylabel("volume drift in % (dashed)")
    other.axhline(0, color="0.6", linewidth=0.8)
    axes.grid(True, alpha=0.3)
    figure.suptitle(title, wrap=True, fontsize="medium")
    if rows:
        # below the axes, where it hides no curve and long names have room
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", fontsize="small")
