"""What the Segment form runs, for one model or several: plan, whole image, slice in view. Imports PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...models import ModelCard, TrainedModel
from ...models.devices import choose_device
from ...progress import Job, Progress
from ...segmentation import consensus, costs, inference, router_map
from ...segmentation.guard import Sample, judge
from ...segmentation.inference import Part, Plan, Segmentation
from ...segmentation.orientation import Turn, turn_for
from ...segmentation.settings import InferenceSettings, decided
from ...segmentation.slices import Canvas, Slices, label_shape, planes
from ...volume import Volume
from .state import Suited


def plan_job(
    volume: Volume, models: Sequence[TrainedModel], settings: InferenceSettings, trial: bool = True
) -> Job[Plan]:
    """What a run will take; the parameters are those of `run_job`. Without a trial, not how long."""
    yield Progress(0, 1)
    if len(models) == 1:
        return inference.plan(volume, models[0], settings, trial=trial)
    return consensus.consensus_plan(volume, models, settings, trial=trial)


def suited_job(volume: Volume, cards: Mapping[str, ModelCard], settings: InferenceSettings) -> Job[dict[str, Suited]]:
    """How each of the models suits `volume`, by name; the image is read and measured once for each way of turning it.

    Settings are those of the form.
    """
    device = choose_device(settings.device)
    seen: dict[Turn, tuple[Slices, Sample]] = {}
    found = {}
    for done, (name, card) in enumerate(cards.items()):
        yield Progress(done, len(cards))
        turn = turn_for(volume, card.orientation)
        if turn not in seen:
            image = turn.volume(volume)
            source = Slices(image, settings.channel)
            seen[turn] = source, Sample(image, source)
        source, sample = seen[turn]
        pace = costs.pace(card, cards, source, decided(settings, [card]), device)
        found[name] = Suited(" ".join(judge(sample, card).doubts), pace.seconds, pace.was_run, device)
    return found


def run_job(
    volume: Volume, models: Sequence[TrainedModel], settings: InferenceSettings, start: int, near: bool = False
) -> Job[Segmentation]:
    """Segment `volume` from slice `start` on with one model, or with several that vote; `near` for that slice alone."""
    if len(models) == 1:
        return inference.segment_job(volume, models[0], settings, start=start, near=near)
    return consensus.consensus_job(volume, models, settings, start=start, near=near)


def slice_job(
    volume: Volume, models: Sequence[TrainedModel], settings: InferenceSettings, index: Mapping[str, int]
) -> Job[Volume]:
    """Labels (y, x) that a run would give the slice at `index` along time and slices.

    A run begins with that slice, on the whole volume and thus with the neighbours that it has there, and is stopped
    after it.
    """
    single = replace(settings, batch=1, uncertainty=False, split_objects=False)
    lead = label_shape(volume)[:-2]
    start = int(np.ravel_multi_index(tuple(index.values()), lead)) if lead else 0
    part = yield from _first_part(run_job(volume, models, single, start, near=True))
    found = planes(part.labels)[start].copy()
    for axis, position in index.items():
        volume = volume.select(axis, position)
    cards = [model.card for model in models]
    canvas = Canvas(volume, cards[0].classes, bool(decided(settings, cards).split_objects))
    canvas.put([0], found[None])
    return canvas.volume()


def router_job(
    volume: Volume, models: Sequence[TrainedModel], settings: InferenceSettings, index: Mapping[str, int]
) -> Job[Volume]:
    """Where the first of the models, one with routers, spends its heavy attention in the slice at `index`."""
    yield Progress(0, 1)
    return router_map.router_map(volume, models[0], index, channel=settings.channel)


def _first_part(job: Job[Segmentation]) -> Job[Part]:
    with contextlib.closing(job):
        while (step := next(job)).partial is None:
            yield step
        return step.partial
