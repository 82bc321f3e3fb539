"""Several networks as one model: the mean of their probabilities, each in the plane that it was trained on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from .. import labels
from ..models import TrainedModel
from ..progress import Job, Progress, moved
from ..volume import Volume
from .engine import Engine
from .gathering import Gathered
from .locating import Places, Search, stages
from .orientation import AS_IT_LIES, turn_for
from .slices import Slices, label_shape

_BYTES = 2  # of a logit that is kept
_LARGEST = 3e4  # logit that they can hold


@dataclass(frozen=True, eq=False)
class Ready:
    """An engine that knows where to look.

    Parameters
    ----------
    runner : Engine
    source : Slices
        What it goes over.
    places : Places
    notes : tuple of str
        What a person should know of the image.
    """

    runner: Engine
    source: Slices
    places: Places
    notes: tuple[str, ...]

    def answers(self, indices: list[int], progress: Progress) -> Job[Gathered]:
        """What the engine makes of slices, see `Engine.answers`; no class is possible where none may be labelled."""
        found = yield from self.runner.answers(indices, progress)
        for place, index in enumerate(indices):
            if index in self.places.empty:
                found.blank(place, np.ones(self.source.size, bool))
        return found


Prepare = Callable[[TrainedModel, Volume, Search], Job[Ready]]
"""Finds where a model is to look in an image that is turned for it."""


class Together:
    """Engines over the slices of one image that answer as one: with the mean of their probabilities.

    Parameters
    ----------
    first : Engine
        That of the model itself.
    others : sequence of (Ready or Known)
        Those of its members.
    """

    def __init__(self, first: Engine, others: Sequence[Ready | Known]):
        self._first = first
        self._others = others

    @property
    def batch(self) -> int:
        """Slices that go through the networks together."""
        ready = [each.runner.batch for each in self._others if isinstance(each, Ready)]
        return min([self._first.batch, *ready])

    @property
    def device(self) -> str:
        """Where the network of the model itself is."""
        return self._first.device

    @property
    def precision(self) -> str:
        """Numbers that it multiplies."""
        return self._first.precision

    @property
    def slice_size(self) -> tuple[int, int]:
        """Height and width of the slices."""
        return self._first.slice_size

    def answers(self, indices: list[int], progress: Progress) -> Job[Mean]:
        """What all of them make of slices, see `Engine.answers`."""
        found = []
        for each in (self._first, *self._others):
            answers = yield from each.answers(indices, progress)
            found.append(answers.logits())
        return Mean(labels.mean_logits(torch.stack(found)).float())

    def notes(self) -> tuple[str, ...]:
        """What a person should know of the image, see `Engine.notes`."""
        return self._first.notes()


@dataclass(frozen=True, eq=False)
class Mean:
    """Log-odds (n, c, y, x) of the mean probability, in the place of the `Gathered` answers of one network."""

    maps: torch.Tensor

    def blank(self, place: int, unknown: np.ndarray) -> None:
        """Make every class impossible where `unknown` (y, x) says so in slice number `place`."""
        self.maps[place, :, torch.from_numpy(unknown)] = -math.inf

    def logits(self) -> torch.Tensor:
        """Logits (n, c, y, x) on the grid of the image."""
        return self.maps

    def leading(self) -> labels.Leading:
        """The leading class of every pixel (n, y, x)."""
        return labels.leading([self.maps])

    def margin(self) -> torch.Tensor:
        """How far the class of every pixel (n, y, x) leads."""
        return labels.margin([self.maps])


class Known:
    """What a network has already made of a whole image: answers slices as an engine does.

    Parameters
    ----------
    maps : numpy.ndarray, shape (c, ..., y, x)
        Logits on the grid of the image; may be a view.
    """

    def __init__(self, maps: np.ndarray):
        self._maps = maps

    def answers(self, indices: list[int], progress: Progress) -> Job[Mean]:
        """What is known of slices."""
        yield progress
        lead = self._maps.shape[1:-2]
        places = [tuple(map(int, np.unravel_index(index, lead))) for index in indices]
        planes = [self._maps[(slice(None), *place)] for place in places]
        return Mean(torch.from_numpy(np.stack(planes).astype(np.float32)))


@dataclass(frozen=True, eq=False)
class Others:
    """What members have ready for the slices of an image.

    Parameters
    ----------
    engines : tuple of (Ready or Known)
    steps : int
        Slices that already went through a network.
    """

    engines: tuple[Ready | Known, ...]
    steps: int

    def joined(self, runner: Engine) -> Engine | Together:
        """An engine that answers with the mean of the model itself and its members."""
        return Together(runner, self.engines) if self.engines else runner


def prepare(model: TrainedModel, image: Volume, search: Search, ready: Prepare) -> Job[Others]:
    """Make the members of `model` ready to answer slices of `image`, which is turned for the model.

    A member whose slices are those of the model goes along with it, slice by slice. One that was trained in another
    plane goes over the whole image first, and what it makes of it is kept.

    Yields
    ------
    Progress
        Over all slices that go through the networks of the model and its members.
    """
    engines: list[Ready | Known] = []
    steps = 0
    total = _slices_of(image) * stages(model) + sum(_steps_before(member, image) for member in model.members)
    axes = image.axes.replace("c", "")
    for member in model.members:
        turn = turn_for(image, member.card.orientation)
        along = turn == AS_IT_LIES
        look = search if along else replace(search, start=0, near=False)
        found = yield from moved(ready(member, turn.volume(image), look), steps, total)
        if along:
            engines.append(found)
        else:
            maps = yield from moved(_look_at_all(found, member), steps, total)
            engines.append(Known(turn.back(maps, f"c{axes}")))
        steps += _steps_before(member, image)
    return Others(tuple(engines), steps)


def _steps_before(member: TrainedModel, image: Volume) -> int:
    """Slices that go through a network on account of a member before the slices of the model itself do."""
    turn = turn_for(image, member.card.orientation)
    alone = stages(member) - (turn == AS_IT_LIES)
    return alone * _slices_of(turn.volume(image))


def _slices_of(image: Volume) -> int:
    return math.prod(label_shape(image)[:-2])


def sources(model: TrainedModel, image: Volume, channel: int | None) -> list[tuple[TrainedModel, Slices]]:
    """The members of `model`, each with the slices that it goes over in an image that is turned for the model."""
    return [
        (member, Slices(turn_for(image, member.card.orientation).volume(image), channel)) for member in model.members
    ]


def bytes_kept(model: TrainedModel, image: Volume) -> int:
    """Bytes per voxel that are kept of members in other planes."""
    across = [member for member in model.members if turn_for(image, member.card.orientation) != AS_IT_LIES]
    return _BYTES * len(model.card.classes) * len(across)


def noted(model: TrainedModel) -> dict[str, str]:
    """What the record of a run says of the models that took part in it."""
    found = {}
    if model.locator:
        found["locator"] = _named(model.locator)
    if model.members:
        found["members"] = ", ".join(map(_named, model.members))
    return found


def missing(model: TrainedModel) -> list[str]:
    """Names of the members on the card that are not at hand, and of the models that members look with."""
    present = [member.card.name for member in model.members]
    absent = [wanted.model for wanted in model.card.members if wanted.model not in present]
    cards = [member.card for member in model.members if member.locator is None]
    return absent + [card.locator.model for card in cards if card.locator]


def remarks(model: TrainedModel) -> tuple[str, ...]:
    """What a person should know before a run about members that are missing or others than those of the card."""
    present = {member.card.name: member.card.sha256 for member in model.members}
    absent = missing(model)
    found = []
    for wanted in model.card.members:
        if wanted.model in absent:
            found.append(
                f"{model.card.name} averages its probabilities with those of {wanted.model}, which is not installed or "
                f"cannot be used; it decides without it. Install {wanted.model}."
            )
        elif wanted.sha256 and wanted.sha256 != present[wanted.model]:
            found.append(
                f"{model.card.name} was measured together with another version of {wanted.model} than the one that is "
                "installed."
            )
    return tuple(found)


def _named(model: TrainedModel) -> str:
    return f"{model.card.name} {model.card.sha256[:12]}".strip()


def _look_at_all(ready: Ready, member: TrainedModel) -> Job[np.ndarray]:
    """Logits (c, ..., y, x) of a member for all slices of its plane, as float16: signs and three digits are kept."""
    source, runner = ready.source, ready.runner
    classes = len(member.card.classes)
    maps = np.empty((classes, source.count, *source.size), np.float16)
    order = iter(source.order(0))
    total = stages(member) * source.count
    done = total - source.count
    while indices := list(itertools.islice(order, runner.batch)):
        answers = yield from ready.answers(indices, Progress(done, total))
        for index, logits in zip(indices, answers.logits(), strict=True):
            maps[:, index] = logits.clamp(-_LARGEST, _LARGEST).numpy()
        done += len(indices)
        yield Progress(done, total)
    return maps.reshape(classes, *source.lead, *source.size)
