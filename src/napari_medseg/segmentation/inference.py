"""From a volume and a model to labels: settings, plan, result; the job behind every segmentation."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .. import image_values, labels
from ..errors import SettingsError, VolumeError
from ..io import items
from ..models import TrainedModel
from ..models.devices import choose_device, choose_precision, computes_bfloat16
from ..models.memory import kept
from ..progress import Job, Progress
from ..record import Record, UsedModel, now, software
from ..volume import Volume
from . import engine
from .gathering import Gathered
from .last_runs import Way
from .settings import CONTEXTS, PRECISIONS, InferenceSettings
from .slices import Canvas, Slices, planes

_MAX_PIXELS = 2**27
_SLOW = (
    "This processor does not compute bfloat16 itself: the run will take several times longer than with float32. "
    "Choose the precision auto or float32."
)


@dataclass(frozen=True)
class Plan:
    """What a run will take: slices, slices per batch, device, seconds, extra memory in MB, and what to be warned of."""

    slices: int
    batch: int
    device: str
    seconds: float
    memory_mb: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """What a running job has so far.

    Parameters
    ----------
    labels : numpy.ndarray
        The whole label array, axes of the image without channels; still being filled.
    uncertainty : numpy.ndarray or None
        Likewise.
    indices : list of int
        Slices finished since the last part, counted over all axes before y and x.
    disagreement : numpy.ndarray or None
        As `uncertainty`; of several models only.
    answers : Gathered or None
        What the network made of those slices; of one model only.
    """

    labels: np.ndarray
    uncertainty: np.ndarray | None
    indices: list[int]
    disagreement: np.ndarray | None = None
    answers: Gathered | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result of a run.

    Parameters
    ----------
    labels : Volume
        With its class table.
    uncertainty : Volume or None
        If asked for, uint8: 0 sure, 255 undecided.
    disagreement : Volume or None
        Of several models, uint8: 0 where all agree, 255 where no two do.
    """

    labels: Volume
    uncertainty: Volume | None
    disagreement: Volume | None = None

    @property
    def record(self) -> Record:
        """How the labels came to be."""
        return self.labels.record or Record("segment")

    @property
    def report(self) -> dict[str, Any]:
        """The same as README describes it; JSON-able."""
        return self.record.report()


def plan(volume: Volume, model: TrainedModel, settings: InferenceSettings, *, trial: bool = True) -> Plan:
    """Check that a run is possible and say what it will take.

    Parameters
    ----------
    volume, model, settings
        As of `segment_job`.
    trial : bool
        Estimate seconds, and measure memory: seconds by the last run of this model on this computer; where there was
        none, by running the network on a small image on the CPU. Else they are NaN.

    Raises
    ------
    VolumeError, SettingsError
        If image, model and settings do not fit.
    """
    if model.card.design:
        raise SettingsError(
            f"The model '{model.card.name}' reconstructs images and does not segment them. Choose another one."
        )
    along = context_axis(volume, model, settings.context)
    source = Slices(volume, settings.channel, along)
    device = choose_device(settings.device)
    precision = _precision(settings.precision, device)
    pixels = _pixels(model, source)
    batch = engine.plan_batch(model, device, pixels, settings.batch)
    seconds = _way(model, settings, device).seconds(source.count, pixels) if trial else math.nan
    first = device == "cpu" and math.isnan(seconds)
    tried, kept = math.nan, 0.0
    if trial and (first or model.context):
        tried, kept = engine.try_out(replace(model, precision=precision))
    if first:
        seconds = tried * pixels * source.count
    memory = engine.memory_needed(model, pixels, batch, kept)
    arrays = source.count * math.prod(source.size) * ((4 if settings.split_objects else 1) + settings.uncertainty)
    # an array that is read when it is asked for is looked at during the run
    at_hand = trial or isinstance(volume.data, np.ndarray)
    warnings = (*(_of_values(volume, source) if at_hand else ()), *_warnings(volume, model, along))
    if precision == "bfloat16" and not computes_bfloat16(device):
        warnings += (_SLOW,)
    return Plan(source.count, batch, device, seconds, (memory + arrays) / 1e6, warnings)


def segment_job(
    volume: Volume,
    model: TrainedModel,
    settings: InferenceSettings,
    *,
    start: int = 0,
    order: Sequence[int] | None = None,
) -> Job[Segmentation]:
    """Segment every slice of `volume`.

    Parameters
    ----------
    volume : Volume
        Grey or RGB, two-dimensional or a stack over z, time or both. Stays untouched.
    model : TrainedModel
    settings : InferenceSettings
    start : int
        Slice to begin with, counted over all axes before y and x; the run wraps around.
    order : sequence of int, optional
        All slices in the order in which they are segmented, in place of the one that suits the model best.

    Yields
    ------
    Progress
        After each pass through the network; `partial` is a `Part` when slices were finished.

    Returns
    -------
    Segmentation

    Raises
    ------
    VolumeError, SettingsError
        If image, model and settings do not fit.
    JobError
        If the memory does not suffice even for the smallest step.
    """
    began = time.monotonic()
    what = plan(volume, model, settings, trial=False)
    source = Slices(volume, settings.channel, context_axis(volume, model, settings.context))
    runner = engine.engine_for(model, source, what.device, what.batch, settings.precision)
    canvas = Canvas(volume, model.card.classes, settings.split_objects)
    doubt = np.zeros(canvas.array.shape, np.uint8) if settings.uncertainty else None
    waiting = iter(source.order(start) if order is None else order)
    done = 0
    with kept():
        while indices := list(itertools.islice(waiting, runner.batch)):
            answers = yield from runner.answers(indices, Progress(done, source.count))
            found = answers.leading()
            canvas.put(indices, labels.from_leading(found, model.card.certainty))
            if doubt is not None:
                planes(doubt)[indices] = labels.uncertainty(found.logit[:, None])
            done += len(indices)
            yield Progress(done, source.count, Part(canvas.array, doubt, indices, answers=answers))
    seconds = time.monotonic() - began
    if order is None:  # else other models have taken their time meanwhile
        remember(source, model, settings, runner.device, seconds)
    record = describe("segment", volume, canvas, [model], settings)
    record = replace(
        record,
        place={"device": runner.device, "batch": runner.batch, "precision": runner.precision},
        seconds=round(seconds, 3),
        warnings=tuple(dict.fromkeys((*what.warnings, *runner.notes()))),
    )
    uncertainty = None if doubt is None else volume.like(doubt).made_by(record)
    return Segmentation(canvas.volume().made_by(record), uncertainty)


def describe(
    what: str, volume: Volume, canvas: Canvas, models: Sequence[TrainedModel], settings: InferenceSettings
) -> Record:
    """The record of a run over `volume` whose labels are on `canvas`, but for how it went."""
    cards = [model.card for model in models]
    found = canvas.volume()
    labels = items.of_labels(found, canvas.classes())
    source = volume.record
    return Record(
        what=what,
        time=now(),
        software=software(),
        inputs=(items.of_volume(volume),),
        models=tuple(UsedModel(card.name, card.sha256, card.architecture) for card in cards),
        settings=asdict(settings),
        outputs=(labels,),
        figures={"slices": canvas.count, **canvas.objects()},
        parents=(source.id,) if source and source.id else (),
    ).sealed()


def remember(source: Slices, model: TrainedModel, settings: InferenceSettings, device: str, seconds: float) -> None:
    """Note how long a run took on `device`; not where the memory ran out and the next run may find more."""
    wanted = choose_device(settings.device)
    if device == wanted:
        _way(model, settings, wanted).note(seconds, source.count, _pixels(model, source))


def _way(model: TrainedModel, settings: InferenceSettings, device: str) -> Way:
    return Way(model.card, settings, device, engine.workers_of(device))


def _pixels(model: TrainedModel, source: Slices) -> int:
    """Size of a slice as the network sees it."""
    height, width = model.card.preprocess.padded_size(source.size, source.spacing)
    if height * width > _MAX_PIXELS:
        raise VolumeError(
            f"A slice of {source.size[0]} x {source.size[1]} pixels would become {height} x {width} for this model; "
            f"at most {_MAX_PIXELS} pixels are possible. Crop the image, or check its pixel size."
        )
    return height * width


def _precision(wanted: str, device: str) -> str:
    """Numbers in which the network will multiply."""
    if wanted not in PRECISIONS:
        raise SettingsError(f"The precision '{wanted}' does not exist; choose one of {', '.join(PRECISIONS)}.")
    return choose_precision(wanted, device)


def context_axis(volume: Volume, model: TrainedModel, context: str) -> str:
    """The axis on which a model finds neighbouring slices; empty if on none."""
    if context not in CONTEXTS:
        raise SettingsError(f"The context '{context}' does not exist; choose one of {', '.join(CONTEXTS)}.")
    if not model.looks_around or context == "none":
        return ""
    if context == "auto":
        wanted = model.card.preprocess.neighbours or "zt"
        return next((axis for axis in wanted if axis in volume.axes), "")
    if context not in volume.axes:
        raise SettingsError(
            f"Neighbouring slices were asked for along '{context}', but the image has the axes '{volume.axes}'. "
            "Choose another context: auto or none."
        )
    return context


def _of_values(volume: Volume, source: Slices) -> tuple[str, ...]:
    """Why a model can find nothing in the image, if that is so."""
    if volume.classes or volume.metadata.get("labels"):
        return (image_values.LABELS,)
    text = image_values.remark(source.read_one, source.count)
    return (text,) if text else ()


def _is_upright(volume: Volume) -> bool:
    """Whether the axes of a volume are those of the scanner, as of every file that does not say where it lies."""
    steps = volume.affine[:3, :3]
    return np.array_equal(steps, np.diag(np.diag(steps)))


def _warnings(volume: Volume, model: TrainedModel, along: str) -> tuple[str, ...]:
    card, found = model.card, []
    if model.looks_around and (not along or volume.data.shape[volume.axes.index(along)] == 1):
        found.append(f"{card.name} also uses the slices before and after; here it does without them.")
    if card.spacing_mm and volume.has_spacing:
        low, high = card.spacing_mm
        if not all(low <= mm <= high for mm in volume.spacing[-2:]):
            seen = " x ".join(f"{mm:.3g}" for mm in volume.spacing[-2:])
            found.append(f"Pixels are {seen} mm; {card.name} was trained for {low:g} to {high:g} mm.")
    elif card.preprocess.assumed_spacing:
        found.append(f"The pixel size is not known; {card.name} assumes {card.preprocess.assumed_spacing:g} mm.")
    elif "z" in volume.axes and not model.looks_around:
        found.append(f"{card.name} was trained on single images; a stack is segmented slice by slice.")
    modality = volume.metadata.get("modality")
    if modality and card.dicom_modality and modality != card.dicom_modality:
        found.append(f"The image is {modality}; {card.name} was trained on {card.dicom_modality}.")
    if card.orientation and volume.spatial_axes == "zyx" and volume.orientation != card.orientation:
        found.append(
            f"The axes of the volume run {volume.orientation}; {card.name} was trained on {card.orientation} and may "
            "take one "
            "end for the other. Reorient it first."
        )
    if volume.spatial_axes == "zyx" and not _is_upright(volume):
        from ..io import nifti

        found += filter(None, [nifti.notice(volume)])
    if card.dicom_modality and volume.axes.endswith("c"):
        found.append(f"The image is in colour; {card.name} was trained on grey {card.dicom_modality} images.")
    return tuple(found)
