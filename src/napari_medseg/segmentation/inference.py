"""From a volume and a model to labels: settings, plan, result; the job behind every segmentation."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .. import image_values, labels
from ..errors import SettingsError
from ..io import items
from ..models import TrainedModel
from ..models.allocator import kept
from ..models.devices import choose_device, choose_precision, computes_bfloat16
from ..progress import Job, Progress, counted, moved
from ..record import Record, UsedModel, now, software
from ..volume import Volume
from . import beyond, costs, engine, guard, locating, members, orientation
from .gathering import Gathered
from .locating import Places
from .members import Mean, Ready
from .orientation import Turn
from .settings import CONTEXTS, PRECISIONS, InferenceSettings, decided
from .slices import Canvas, Slices

_SLOW = (
    "This processor does not compute bfloat16 itself: the run will take several times longer than with float32. "
    "Choose the precision auto or float32."
)


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Parameters
    ----------
    slices, batch : int
        In all, and at a time.
    device : str
    seconds, memory_mb : float
        Seconds are NaN where they are not known; extra memory.
    warnings : tuple of str
        What to be warned of.
    doubts : tuple of str
        Those of them for which a form asks before the run, see `guard.Findings`.
    """

    slices: int
    batch: int
    device: str
    seconds: float
    memory_mb: float
    warnings: tuple[str, ...]
    doubts: tuple[str, ...] = ()


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
    answers : Gathered, Mean or None
        What the network made of those slices, on the grid of the image as it is turned for the run; of one model only.
    """

    labels: np.ndarray
    uncertainty: np.ndarray | None
    indices: list[int]
    disagreement: np.ndarray | None = None
    answers: Gathered | Mean | None = None


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


def plan(
    volume: Volume,
    model: TrainedModel,
    settings: InferenceSettings,
    *,
    trial: bool = True,
    turn: Turn | None = None,
) -> Plan:
    """Check that a run is possible and say what it will take.

    Parameters
    ----------
    volume, model, settings
        As of `segment_job`.
    trial : bool
        Estimate seconds, and measure memory: seconds by the last run of this model on this computer; where there was
        none, by running the network on a small image on the CPU. Else they are NaN.
    turn : Turn, optional
        How the image is turned for the model, in place of what its card asks for.

    Raises
    ------
    VolumeError, SettingsError
        If image, model and settings do not fit.
    """
    if model.card.design:
        raise SettingsError(
            f"The model '{model.card.name}' reconstructs images and does not segment them. Choose another one."
        )
    settings = decided(settings, [model.card])
    turn = turn or orientation.turn_for(volume, model.card.orientation)
    image = turn.volume(volume)
    along = context_axis(image, model, settings.context)
    source = Slices(image, settings.channel, along)
    device = choose_device(settings.device)
    precision = _precision(settings.precision, device)
    batch = engine.plan_batch(model, device, costs.pixels(model.card, source), settings.batch)
    networks = [(model, source), *members.sources(model, image, settings.channel)]
    known = costs.last_seconds(model, source, settings, device) if trial else math.nan
    tried, memory = costs.tried(networks, settings.batch, device, precision, timed=trial and math.isnan(known))
    seconds = tried if math.isnan(known) else known
    each = (4 if settings.split_objects else 1) + settings.uncertainty + members.bytes_kept(model, image)
    arrays = source.count * math.prod(source.size) * each
    # an array that is read when it is asked for is looked at during the run
    at_hand = trial or isinstance(volume.data, np.ndarray)
    found = guard.compare(image, model.card, source, context=model.looks_around, along=along)
    warnings = (*(_of_values(volume, source) if at_hand else ()), *found.warnings)
    warnings += (*_of_networks(volume, networks), *members.remarks(model))
    if precision == "bfloat16" and not computes_bfloat16(device):
        warnings += (_SLOW,)
    return Plan(source.count, batch, device, seconds, (memory + arrays) / 1e6, warnings, found.doubts)


def segment_job(
    volume: Volume,
    model: TrainedModel,
    settings: InferenceSettings,
    *,
    start: int = 0,
    order: Sequence[int] | None = None,
    near: bool = False,
    turn: Turn | None = None,
    canvas_of: Callable[..., Canvas] = Canvas,
) -> Job[Segmentation]:
    """Segment every slice of `volume`.

    Where the card of the model names a locator, that model goes over all slices first and finds where to look.

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
    near : bool
        Whether the place to look is found for that slice alone, by its own content: for a job that is stopped after it.
    turn : Turn, optional
        How the image is turned for the model, in place of what its card asks for.
    canvas_of : callable
        Makes what takes the labels, from the parameters of `Canvas`; slices that it has already are left out.

    Yields
    ------
    Progress
        Over the slices of the image, after each pass through a network: where a slice goes through several, they share
        it. `partial` is a `Part` when slices were finished.

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
    settings = decided(settings, [model.card])
    turn = turn or orientation.turn_for(volume, model.card.orientation)
    what = plan(volume, model, settings, trial=False, turn=turn)
    image = turn.volume(volume)
    source = Slices(image, settings.channel, context_axis(image, model, settings.context))
    canvas = canvas_of(volume, model.card.classes, bool(settings.split_objects), turn)
    doubt = np.zeros(canvas.array.shape, np.uint8) if settings.uncertainty else None
    wanted = source.order(canvas.number(start)) if order is None else order
    if canvas.finished:
        wanted = [index for index in wanted if index not in canvas.finished]
    search = locating.Search(what.device, settings.precision, settings.batch, wanted[0], near and turn.keeps_slices)
    with kept():
        fill = partial(_filled, canvas, doubt, wanted)
        runner, ready = yield from counted(_work_through(image, model, settings, search, fill), canvas.count)
    seconds = time.monotonic() - began
    found = bool(ready.places.centres) or model.locator is None
    whole = order is None and not canvas.finished
    if whole and found:  # else other models have taken their time meanwhile, or whole slices took longer
        costs.remember(source, model, settings, runner.device, seconds)
    record = describe("segment", volume, canvas, [model], settings)
    said = [*what.warnings, *locating.outcome(model, ready.places), *(ready.notes or runner.notes())]
    if ready.places.unseen:
        said += filter(None, [beyond.remark(volume, turn, model.card, ready.places.unseen, canvas.labelled)])
    place = {"device": runner.device, "batch": runner.batch, "precision": runner.precision}
    record = replace(
        record,
        place={**place, **turn.noted(), **members.noted(model)},
        seconds=round(seconds, 3),
        warnings=tuple(dict.fromkeys(said)),
    )
    uncertainty = None if doubt is None else volume.like(doubt).made_by(record)
    return Segmentation(canvas.volume().made_by(record), uncertainty)


def _work_through(
    image: Volume,
    model: TrainedModel,
    settings: InferenceSettings,
    search: locating.Search,
    fill: Callable[[engine.Engine | members.Together, TrainedModel, Places], Job[None]],
) -> Job[tuple[engine.Engine | members.Together, Ready]]:
    """Send the slices of an image, which is turned for its model, through all networks; its steps are those of each."""
    others = yield from members.prepare(model, image, search, partial(_ready, settings))
    ready = yield from moved(_ready(settings, model, image, search), others.steps)
    runner = others.joined(ready.runner)
    yield from moved(fill(runner, model, ready.places), others.steps)
    return runner, ready


def _ready(settings: InferenceSettings, model: TrainedModel, image: Volume, search: locating.Search) -> Job[Ready]:
    """Find where a model is to look in an image that is turned for it, and make its engine."""
    source = Slices(image, settings.channel, context_axis(image, model, settings.context))
    places, notes = yield from locating.locate_job(model, source, search)
    crop = locating.crop(model, places)
    pixels = costs.pixels(model.card, source, crop.extent_mm if crop else None)
    batch = engine.plan_batch(model, search.device, pixels, settings.batch)
    runner = engine.engine_for(model, source, search.device, batch, settings.precision, crop)
    return Ready(runner, source, places, notes)


def _filled(
    canvas: Canvas,
    doubt: np.ndarray | None,
    order: Sequence[int],
    runner: engine.Engine | members.Together,
    model: TrainedModel,
    places: Places,
) -> Job[None]:
    """Fill the slices of a canvas, and what is uncertain of them."""
    total = locating.stages(model) * canvas.count
    done = total - canvas.count + len(canvas.finished)
    waiting = iter(order)
    while indices := list(itertools.islice(waiting, runner.batch)):
        answers = yield from runner.answers(indices, Progress(done, total))
        for place, index in enumerate(indices):
            if index in places.empty:
                answers.blank(place, np.ones(runner.slice_size, bool))
        found = answers.leading()
        canvas.put(indices, labels.from_leading(found, model.card.certainty))
        if doubt is not None:
            canvas.write(doubt, indices, labels.uncertainty(answers.margin()))
        done += len(indices)
        yield Progress(done, total, _part(canvas, doubt, indices, answers))
    if model.card.keep:
        for _ in canvas.keep_largest():
            yield Progress(total, total)
    if not canvas.keeps_slices:
        yield Progress(total, total, Part(canvas.array, doubt, canvas.all_slices))


def _part(canvas: Canvas, doubt: np.ndarray | None, indices: list[int], answers: Gathered | Mean) -> Part | None:
    """What is finished with slices of the run; None where they lie across those of the image."""
    if not canvas.keeps_slices:
        return None
    return Part(canvas.array, doubt, [canvas.number(index) for index in indices], answers=answers)


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


def _of_networks(volume: Volume, networks: Sequence[tuple[TrainedModel, Slices]]) -> tuple[str, ...]:
    """What a person should know of how a model and its members see the image, each with its slices of it."""
    found: list[str] = []
    for number, (model, source) in enumerate(networks):
        # of a volume members say what the model says
        if number == 0 or volume.spatial_axes == "yx":
            found.append(orientation.remark(volume, model.card))
        found += locating.remarks(model)
        found += costs.small_views(model, source)
    return tuple(dict.fromkeys(filter(None, found)))


def _of_values(volume: Volume, source: Slices) -> tuple[str, ...]:
    """Why a model can find nothing in the image, if that is so."""
    if volume.classes or volume.metadata.get("labels"):
        return (image_values.LABELS,)
    text = image_values.remark(source.read_one, source.count)
    return (text,) if text else ()
