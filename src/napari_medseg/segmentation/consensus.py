"""Several models on one image: the label most of them give, and where they disagree."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np

from .. import labels
from ..errors import SettingsError
from ..models import ModelCard, TrainedModel, find, load
from ..progress import Job, Progress, run
from ..volume import LabelClass, Volume
from .inference import InferenceSettings, Part, Plan, Segmentation, describe, plan, segment_job
from .slices import Canvas, label_shape, planes

_NO_UNCERTAINTY = "Uncertainty is computed for one model only. With several models you get a disagreement map instead."


def consensus_plan(
    volume: Volume, models: Sequence[TrainedModel], settings: InferenceSettings, *, trial: bool = True
) -> Plan:
    """Check that a run of several models is possible and say what it will take: see `inference.plan`.

    Raises
    ------
    VolumeError, SettingsError
        If image, models and settings do not fit.
    """
    check([model.card for model in models])
    plans = [plan(volume, model, _single(settings), trial=trial) for model in models]
    warnings = []
    for each in plans:
        warnings += each.warnings
    if settings.uncertainty:
        warnings.append(_NO_UNCERTAINTY)
    arrays = len(models) + (4 if settings.split_objects else 1)
    arrays_mb = arrays * math.prod(label_shape(volume)) / 1e6
    return replace(
        plans[0],
        batch=max(each.batch for each in plans),
        seconds=sum(each.seconds for each in plans),
        memory_mb=max(each.memory_mb for each in plans) + arrays_mb,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def consensus_job(
    volume: Volume, models: Sequence[TrainedModel], settings: InferenceSettings, *, start: int = 0
) -> Job[Segmentation]:
    """Segment every slice of `volume` with several models, one after the other, and let them vote.

    Each voxel gets the label that most models give it; in a tie the model named first wins. Uncertainty is
    computed for one model only: if it is asked for, the run warns and returns `disagreement`
    instead. With ``split_objects`` the objects of the consensus are numbered.

    Parameters
    ----------
    volume : Volume
        As of `inference.segment_job`.
    models : sequence of TrainedModel
        Two or more, with the same class names in the same order.
    settings : InferenceSettings
    start : int
        Slice to begin with, counted over all axes before y and x; every run wraps around.

    Yields
    ------
    Progress
        Over the slices of all models together. While the last model runs, `partial` is a `Part` of the consensus.

    Returns
    -------
    Segmentation
        Labels carry the class table of the first model. The report names all ``models``, and as ``agreement`` the mean
        Dice over all pairs of models of each class (None where no model finds any).

    Raises
    ------
    VolumeError, SettingsError
        If image, models and settings do not fit.
    JobError
        If the memory does not suffice even for the smallest step.
    """
    began = time.monotonic()
    what = consensus_plan(volume, models, settings, trial=False)
    canvas = Canvas(volume, models[0].card.classes, settings.split_objects)
    doubt = np.zeros(canvas.array.shape, np.uint8)
    agreement = _Agreement(len(models), models[0].card.classes)
    earlier: list[np.ndarray] = []
    places = []
    warnings = list(what.warnings)

    def count_votes(part: Part) -> Part:
        results = [*earlier, planes(part.labels)]
        opinions = np.stack([each[part.indices] for each in results])
        agreement.count(opinions)
        chosen, disagreement = labels.vote(opinions)
        planes(doubt)[part.indices] = disagreement
        canvas.put(part.indices, chosen)
        return Part(canvas.array, None, part.indices, doubt)

    for number, model in enumerate(models):
        shown = count_votes if number == len(models) - 1 else None
        job = segment_job(volume, model, _single(settings), start=start)
        result = yield from _one_of(job, number, len(models), shown)
        earlier.append(planes(result.labels.data))
        places.append(result.record.place)
        warnings += result.record.warnings
    record = describe("consensus", volume, canvas, models, settings)
    record = replace(
        record,
        place={"device": _each(places, "device"), "batch": what.batch, "precision": _each(places, "precision")},
        seconds=round(time.monotonic() - began, 3),
        warnings=tuple(dict.fromkeys(warnings)),
        figures={**record.figures, "agreement": agreement.table()},
    )
    return Segmentation(canvas.volume().made_by(record), None, volume.like(doubt).made_by(record))


def segment(
    volume: Volume, model: str | TrainedModel | Sequence[str | TrainedModel] = "litenext-heart", **settings: Any
) -> Segmentation:
    """Segment `volume` with a bundled model, one of the user's own, or one already loaded; or with several of them.

    Parameters
    ----------
    volume : Volume
    model : str or TrainedModel, or a sequence of those
        Several give their consensus, see `consensus_job`.
    **settings
        Fields of `InferenceSettings`.

    Raises
    ------
    MedsegError
        If image, model and settings do not fit.
    """
    try:
        options = InferenceSettings(**settings)
    except TypeError as error:
        raise SettingsError(f"segment does not take these options: {error}.") from error
    wanted = [model] if isinstance(model, str | TrainedModel) else model
    loaded = [load(find(each)) if isinstance(each, str) else each for each in wanted]
    if len(loaded) == 1:
        return run(segment_job(volume, loaded[0], options))
    return run(consensus_job(volume, loaded, options))


def check(cards: Sequence[ModelCard]) -> None:
    """Refuse models that cannot vote together.

    Raises
    ------
    SettingsError
        If they are fewer than two, find different classes, or one is there twice.
    """
    if len(cards) < 2:
        raise SettingsError(f"The number of models is {len(cards)}; expected two or more. Choose another one.")
    first = cards[0]
    ours = [row.name for row in first.classes]
    seen = set()
    for card in cards:
        theirs = [row.name for row in card.classes]
        if theirs != ours:
            raise SettingsError(
                f"{first.name} finds {', '.join(ours)}; {card.name} finds {', '.join(theirs)}. "
                "Expected the same classes in the same order: choose models that share them."
            )
        identity = (card.name, card.sha256)
        if identity in seen:
            raise SettingsError(
                f"The model '{card.name}' was chosen twice; its vote would count double. Choose it once."
            )
        seen.add(identity)


def _single(settings: InferenceSettings) -> InferenceSettings:
    """Of the run of each model: what they find together is split, and where they disagree stands for uncertainty."""
    return replace(settings, uncertainty=False, split_objects=False)


def _one_of(job: Job[Segmentation], number: int, count: int, shown: Callable[[Part], Part] | None) -> Job[Segmentation]:
    """Drive run `number` of `count`, its progress as a share of all; what is to be shown of a part says `shown`."""
    with contextlib.closing(job):
        while True:
            try:
                step = next(job)
            except StopIteration as end:
                return end.value
            part = shown(step.partial) if shown and step.partial else None
            done = number * step.total + step.done
            yield Progress(done, count * step.total, part)


def _each(places: Sequence[Mapping[str, Any]], name: str) -> str:
    """What the records of several runs say of a place, each value once."""
    return ", ".join(dict.fromkeys(place[name] for place in places))


class _Agreement:
    """Overlap of the classes that every pair of models finds, counted while the slices pass by."""

    def __init__(self, models: int, classes: tuple[LabelClass, ...]):
        self._classes = classes
        self._pairs = list(itertools.combinations(range(models), 2))
        self._numbers = len(classes) + 1
        self._shared = np.zeros((models, models, self._numbers), np.int64)

    def count(self, opinions: np.ndarray) -> None:
        """Count class numbers (model, n, y, x)."""
        for a, b in itertools.combinations_with_replacement(range(len(opinions)), 2):
            same = opinions[a] == opinions[b]
            both = opinions[a][same]
            self._shared[a, b] += np.bincount(both, minlength=self._numbers)

    def table(self) -> dict[str, float | None]:
        """Per class the mean Dice over the pairs of which at least one model finds it."""
        return {row.name: self._mean_dice(row.id) for row in self._classes}

    def _mean_dice(self, number: int) -> float | None:
        shared = self._shared[..., number]
        scores = []
        for a, b in self._pairs:
            total = shared[a, a] + shared[b, b]
            if total:
                scores.append(float(2 * shared[a, b] / total))
        if not scores:
            return None
        return fmean(scores)
