"""Several models on one image: what they find together, and where they disagree."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from statistics import fmean
from typing import Any

import numpy as np
import torch

from .. import labels
from ..errors import SettingsError
from ..models import ModelCard, TrainedModel, find, load
from ..progress import Job, Progress, run
from ..volume import LabelClass, Volume
from . import guard
from .costs import remember
from .inference import Part, Plan, Segmentation, context_axis, describe, plan, segment_job
from .orientation import AS_IT_LIES, Turn, turn_for
from .settings import VOTES, InferenceSettings, decided
from .slices import Canvas, Slices, label_shape, planes

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
    settings = decided(settings, [model.card for model in models])
    if settings.vote not in VOTES:
        raise SettingsError(f"The vote '{settings.vote}' does not exist; choose one of {', '.join(VOTES)}.")
    turn = common_turn(volume, [model.card for model in models])
    plans = [plan(volume, model, _single(settings), trial=trial, turn=turn) for model in models]
    warnings = []
    doubts = []
    for each in plans:
        warnings += each.warnings
        doubts += each.doubts
    if settings.uncertainty:
        warnings.append(_NO_UNCERTAINTY)
    arrays = len(models) + (4 if settings.split_objects else 1)
    arrays_mb = arrays * math.prod(label_shape(volume)) / 1e6
    # passes take turns, but what a network keeps of the slices around stays while the others compute
    staying = [each.memory_mb for each, model in zip(plans, models, strict=True) if model.context]
    passing = [each.memory_mb for each, model in zip(plans, models, strict=True) if not model.context]
    return replace(
        plans[0],
        batch=max(each.batch for each in plans),
        seconds=sum(each.seconds for each in plans),
        memory_mb=sum(staying) + max(passing, default=0.0) + arrays_mb,
        warnings=tuple(dict.fromkeys(warnings)),
        doubts=tuple(dict.fromkeys(doubts)),
    )


def consensus_job(
    volume: Volume,
    models: Sequence[TrainedModel],
    settings: InferenceSettings,
    *,
    start: int = 0,
    near: bool = False,
) -> Job[Segmentation]:
    """Segment every slice of `volume` with several models side by side, and let them decide together.

    With the vote ``probability`` a voxel gets the class whose mean probability over the models is highest, if that
    exceeds one half, as with a single model; connected pixels must reach the mean of the certainties on the cards.
    With the vote ``labels`` it gets the label that most models give it; in a tie the model named first wins. Models
    whose networks work on different grids meet on the grid of the image, slice by slice.

    Uncertainty is computed for one model only: if it is asked for, the run warns and returns `disagreement` instead.
    Whatever the vote, `disagreement` compares the labels that each model alone would give, see `labels.vote`. With
    ``split_objects`` the objects of the consensus are numbered.

    Parameters
    ----------
    volume : Volume
        As of `inference.segment_job`.
    models : sequence of TrainedModel
        Two or more, with the same class names in the same order.
    settings : InferenceSettings
    start : int
        Slice to begin with, counted over all axes before y and x; every run wraps around.
    near : bool
        As of `inference.segment_job`.

    Yields
    ------
    Progress
        Over the slices of the image, each of which the models share. When all models have seen a slice, `partial` is a
        `Part` of the consensus.

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
    cards = [model.card for model in models]
    settings = decided(settings, cards)
    turn = common_turn(volume, cards)
    image = turn.volume(volume)
    ballot = _Ballot(volume, cards, settings, turn)
    order = common_order(image, models, settings, ballot.canvas.number(start))
    near = near and turn.keeps_slices
    with contextlib.ExitStack() as open_jobs:
        members = []
        for model in models:
            job = segment_job(image, model, _single(settings), order=order, near=near, turn=AS_IT_LIES)
            open_jobs.enter_context(contextlib.closing(job))
            members.append(_Member(job, settings.vote == "probability"))
        while running := [member for member in members if member.result is None]:
            if min(running, key=attrgetter("finished")).advance():
                done = sum(member.done for member in members) // len(members)
                yield Progress(done, what.slices, ballot.count(members))
        yield from ballot.close(what.slices)
    records = [member.result.record for member in members if member.result]
    source = Slices(image, settings.channel)
    for model, member, each in zip(models, members, records, strict=True):
        remember(source, model, _single(settings), each.place["device"], member.seconds)
    places = [each.place for each in records]
    warnings = list(what.warnings)
    for each in records:
        warnings += each.warnings
    record = describe("consensus", volume, ballot.canvas, models, settings)
    record = replace(
        record,
        place={**_together(places), "batch": what.batch, **turn.noted()},
        seconds=round(time.monotonic() - began, 3),
        warnings=tuple(dict.fromkeys(warnings)),
        figures={**record.figures, "agreement": ballot.agreement.table()},
    )
    disagreement = volume.like(ballot.disagreement).made_by(record)
    return Segmentation(ballot.canvas.volume().made_by(record), None, disagreement)


def doubts(volume: Volume, cards: Sequence[ModelCard], channel: int | None = None) -> tuple[str, ...]:
    """What of `volume` lies outside of what models were trained on, as their plan says it; no network is needed."""
    image = common_turn(volume, cards).volume(volume)
    sample = guard.Sample(image, Slices(image, channel))
    found: list[str] = []
    for card in cards:
        found += guard.judge(sample, card).doubts
    return tuple(dict.fromkeys(found))


def common_turn(volume: Volume, cards: Sequence[ModelCard]) -> Turn:
    """How the image is turned for all models; those to which it does not matter follow the others.

    Raises
    ------
    SettingsError
        If they look at slices in different directions.
    """
    particular = [card for card in cards if card.orientation]
    turns = {turn_for(volume, card.orientation): card for card in particular}
    if len(turns) > 1:
        first, second = list(turns.values())[:2]
        raise SettingsError(
            f"{first.name} was trained on {first.orientation} volumes and {second.name} on {second.orientation}: their "
            "slices lie across each other, and several models decide slice by slice. Expected one orientation; choose "
            "other models."
        )
    return next(iter(turns), AS_IT_LIES)


def common_order(volume: Volume, models: Sequence[TrainedModel], settings: InferenceSettings, start: int) -> list[int]:
    """All slices from `start` on, neighbours after each other for the models that look at them."""
    directions = [context_axis(volume, model, settings.context) for model in models]
    along = next(filter(None, directions), "")
    return Slices(volume, settings.channel, along).order(start)


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


@dataclass(frozen=True, eq=False)
class _Opinion:
    """What one model made of slice `index`: class numbers (y, x)."""

    index: int
    labels: np.ndarray


class _Member:
    """A model at work, and what it found in slices that others have yet to see: never more than a batch."""

    def __init__(self, job: Job[Segmentation], with_logits: bool):
        self._job = job
        self._with_logits = with_logits
        self.done = 0  # slices, as far as the networks that share them have come
        self.finished = 0  # slices
        self.seconds = 0.0
        self.opinions: deque[_Opinion] = deque()
        self.logits: deque[torch.Tensor] = deque()  # (c, y, x) of each opinion, where they are voted on
        self.result: Segmentation | None = None

    def advance(self) -> bool:
        """Do the next step; returns whether there was one."""
        began = time.monotonic()
        try:
            step = next(self._job)
        except StopIteration as end:
            self.result = end.value
            return False
        finally:
            self.seconds += time.monotonic() - began
        self.done = step.done
        if step.partial is not None:
            self._keep(step.partial)
        return True

    def _keep(self, part: Part) -> None:
        self.finished += len(part.indices)
        found = planes(part.labels)[part.indices]
        for index, numbers in zip(part.indices, found, strict=True):
            self.opinions.append(_Opinion(index, numbers))
        if self._with_logits and part.answers is not None:
            self.logits.extend(part.answers.logits())

    def next_logits(self, count: int) -> torch.Tensor:
        """Logits (n, c, y, x) of the next `count` slices that all models have seen."""
        return torch.stack([self.logits.popleft() for _ in range(count)])


class _Ballot:
    """Counts what the models found, slice by slice, and fills the labels and the disagreement of them all."""

    def __init__(self, volume: Volume, cards: Sequence[ModelCard], settings: InferenceSettings, turn: Turn):
        classes = cards[0].classes
        self.canvas = Canvas(volume, classes, bool(settings.split_objects), turn)
        self._keep = all(card.keep for card in cards)
        self.disagreement = np.zeros(self.canvas.array.shape, np.uint8)
        self.agreement = _Agreement(len(cards), classes)
        self._by_label = settings.vote == "labels"
        self._certainty = fmean(card.certainty for card in cards)

    def count(self, members: Sequence[_Member]) -> Part | None:
        """Decide the slices that all members have seen; None if there is no new one."""
        ready = min(len(member.opinions) for member in members)
        if not ready:
            return None
        found = [[member.opinions.popleft() for _ in range(ready)] for member in members]
        indices = [opinion.index for opinion in found[0]]
        numbers = np.stack([[opinion.labels for opinion in each] for each in found])
        self.agreement.count(numbers)
        chosen, against = labels.vote(numbers)
        if not self._by_label:
            logits = torch.stack([member.next_logits(ready) for member in members])
            chosen = labels.from_logits(labels.mean_logits(logits), self._certainty)
        self.canvas.put(indices, chosen)
        self.canvas.write(self.disagreement, indices, against)
        if not self.canvas.keeps_slices:
            return None
        own = [self.canvas.number(index) for index in indices]
        return Part(self.canvas.array, None, own, self.disagreement)

    def close(self, total: int) -> Job[None]:
        """What remains to be done when all slices are decided, as of a single model."""
        if self._keep:
            for _ in self.canvas.keep_largest():
                yield Progress(total, total)
        if not self.canvas.keeps_slices:
            yield Progress(total, total, Part(self.canvas.array, None, self.canvas.all_slices, self.disagreement))


def _together(places: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the records of several runs say of their places, each value once."""
    names = dict.fromkeys(itertools.chain(*places))
    return {name: ", ".join(dict.fromkeys(str(place[name]) for place in places if name in place)) for name in names}


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
