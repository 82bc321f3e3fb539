"""From the corrected slices of one image to better labels of its others: a model learns for a moment, in memory alone.

The network goes half of the way from its own weights to those that fit the corrected slices: with two or three of
them, the whole way overshoots. Nothing is kept but the labels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import JobError, SettingsError, VolumeError
from ..label_values import whole_labels
from ..labels import from_leading
from ..memory import free_bytes
from ..models import ModelCard, TrainedModel, architecture
from ..models.allocator import kept
from ..models.devices import choose_device
from ..preprocess import OUTSIDE
from ..progress import Job, Progress, moved
from ..segmentation import engine, inference, locating, orientation
from ..segmentation.settings import InferenceSettings
from ..segmentation.slices import Canvas, Slices, label_shape, planes
from ..volume import Volume
from .data import shares
from .losses import SegmentationLoss

_PER_STEP = 8  # slices at most: more would make the person wait
_GRADIENTS = 4  # times the memory of a pass without them, about
_CLIP = 1.0  # norm of the gradients


@dataclass(frozen=True)
class Lesson:
    """How a model learns from corrected slices.

    Parameters
    ----------
    steps : int
        Each on all corrected slices, or on eight of them in turn.
    rate : float
        Learning rate.
    share : float
        How far the weights go towards what was learnt, from 0 to 1.
    """

    steps: int = 10
    rate: float = 1e-4
    share: float = 0.5


LESSON = Lesson()
"""Chosen on `val`, see ``benchmarks/live_learning.py``; a lower certainty than the card has changed nothing there."""


@dataclass(frozen=True, eq=False)
class Corrected:
    """Labels of which a person has corrected some slices. Slices count over all axes before y and x.

    Parameters
    ----------
    labels : numpy.ndarray or zarr.Array, shape (..., y, x)
        As the image without channels; 255 where nothing is known. Read at the beginning of the job.
    reviewed : tuple of int
        Slices that are right, to learn from.
    others : tuple of int
        Slices to label anew.
    """

    labels: Any
    reviewed: tuple[int, ...]
    others: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Adapted:
    """What a model made of the other slices once it had learnt.

    Parameters
    ----------
    labels : mapping of int to numpy.ndarray, shape (y, x), uint8
        Of `Corrected.others`, by the number of the slice.
    places : Places
        Where the network looked: for the same image and model they need not be found again.
    """

    labels: Mapping[int, np.ndarray]
    places: locating.Places


def _why_not(card: ModelCard) -> str:
    """Why the model of a card cannot learn from corrected slices; empty if it can."""
    if not card.learns:
        return f"the card of {card.name} does not say which of its layers may learn from corrections."
    if architecture(card.architecture).context:
        return f"{card.name} sees three slices at a time, which cannot learn from single ones."
    return ""


def adapt_job(
    volume: Volume,
    model: TrainedModel,
    corrected: Corrected,
    settings: InferenceSettings,
    lesson: Lesson = LESSON,
    places: locating.Places | None = None,
) -> Job[Adapted]:
    """Label slices of an image anew with a model that has learnt from others of them.

    The model itself stays as it is. What counts is what the run shows: the same crop, the same turns, the loss on the
    grid of the image. Classes that no corrected slice holds are not learnt.

    Parameters
    ----------
    volume : Volume
        Grey or RGB, of at least two slices. Stays untouched.
    model : TrainedModel
        With the locator that its card names.
    corrected : Corrected
    settings : InferenceSettings
        Of the run that has labelled the image.
    lesson : Lesson
    places : Places, optional
        As an earlier job has returned them for this image and model.

    Yields
    ------
    Progress
        Passes through a network, of all of them.

    Returns
    -------
    Adapted

    Raises
    ------
    VolumeError, SettingsError
        If image, labels, model and settings do not fit, or there is nothing to learn.
    JobError
        If the memory does not suffice to learn, or what was learnt is not finite any more.
    """
    task = Task(volume, model, corrected, settings)
    with kept():
        if places is None:
            places, _ = yield from moved(task.look_job(), 0, task.total(lesson))
        pupil = yield from task.learn_job(places, lesson)
        labels = yield from task.label_job(places, pupil, lesson)
        return Adapted(labels, places)


class Task:
    """An image, a model and corrections on the grid of the run."""

    def __init__(self, volume: Volume, model: TrainedModel, corrected: Corrected, settings: InferenceSettings):
        turn = orientation.turn_for(volume, model.card.orientation)
        _check(volume, model.card, corrected, turn)
        image = turn.volume(volume)
        self.model = model
        self.corrected = corrected
        self.settings = settings
        self.source = Slices(image, settings.channel, inference.context_axis(image, model, settings.context))
        self.device = choose_device(settings.device)
        self.canvas = Canvas(volume, model.card.classes, False, turn)
        # an axis of channels, of length one, may lie between those of the labels
        labels = whole_labels(np.asarray(corrected.labels), "The labels").reshape(label_shape(volume))
        self.planes = planes(turn.there(labels, volume.axes.replace("c", "")))
        self.reviewed = [self.canvas.number(number) for number in corrected.reviewed]
        self.others = [self.canvas.number(number) for number in corrected.others]
        self.held = self._held()

    def _held(self) -> set[int]:
        """Classes of the model that the corrected slices hold."""
        numbers = range(1, len(self.model.card.classes) + 1)
        drawn: set[int] = set()
        for number in self.reviewed:
            drawn |= set(np.unique(self.planes[number]).tolist())
        held = drawn.intersection(numbers)
        if not held:
            raise SettingsError(
                f"The corrected slices hold none of the classes of {self.model.card.name}, so there is nothing to "
                "learn. Correct or approve a slice that shows one of them."
            )
        return held

    # ---- how much there is to do ----

    def total(self, lesson: Lesson) -> int:
        """Passes through a network in all."""
        return self._looked + lesson.steps * self._per_step + len(self.others)

    @property
    def _looked(self) -> int:
        return self.source.count if self.model.locator is not None else 0

    @property
    def _per_step(self) -> int:
        return min(len(self.reviewed), _PER_STEP)

    # ---- look, learn, label ----

    def look_job(self) -> Job[tuple[locating.Places, tuple[str, ...]]]:
        """Where the network looks."""
        search = locating.Search(self.device, self.settings.precision, self.settings.batch)
        return locating.locate_job(self.model, self.source, search)

    def learn_job(self, places: locating.Places, lesson: Lesson) -> Job[TrainedModel]:
        """A copy of the model that has learnt."""
        model = self.model
        network = copy.deepcopy(model.network).to(self.device)
        # logits as the network was trained on them; no locator: the place is known
        pupil = replace(model, network=network, card=replace(model.card, temperature=1.0), locator=None)
        pairs = self._pairs(places)
        parameters = _learning(network, model.card)
        optimizer = torch.optim.NAdam(parameters, lr=lesson.rate)
        background = architecture(model.card.architecture).background
        criterion = SegmentationLoss("dice-ce" if background else "dice-bce")
        done = self._looked
        for step in range(lesson.steps):
            optimizer.zero_grad(set_to_none=True)
            for pair in _chosen(pairs, step):
                logits = pair.undo(pupil.logits(pair.image.to(self.device)))
                logits = nn.functional.pad(logits, (0, 0, 0, 0, background, 0))  # the background first, at 0
                loss = criterion(logits, pair.target.to(self.device)) / self._per_step
                loss.backward()
                done += 1
                yield Progress(done, self.total(lesson))
            nn.utils.clip_grad_norm_(parameters, _CLIP)
            optimizer.step()
        _go_back(network, model.network, lesson.share)
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise JobError(
                f"What {model.card.name} learnt from the corrected slices is not a finite number; nothing was changed. "
                "Look whether the image has values that are not finite."
            )
        return replace(model, network=network)

    def _pairs(self, places: locating.Places) -> list[_Pair]:
        """The corrected slices as the network sees them."""
        found = []
        classes = len(self.model.card.classes)
        missing = [number for number in range(1, classes + 1) if number not in self.held]
        runner = self._runner(self.model, places)
        for number in self.reviewed:
            image, undo = runner.inputs([number])
            _refuse_large(self.model, image)
            plane = torch.from_numpy(np.ascontiguousarray(self.planes[number]).astype(np.int64))
            target = shares.targets(plane, classes, missing)[None]
            seen = undo(torch.zeros(1, 1, *image.shape[-2:])) > OUTSIDE / 2
            target[:, 1] *= seen
            target[:, 0] *= seen
            found.append(_Pair(image, undo, target))
        return found

    def label_job(self, places: locating.Places, pupil: TrainedModel, lesson: Lesson) -> Job[dict[int, np.ndarray]]:
        """Labels of the other slices, by their numbers in the image."""
        runner = self._runner(pupil, places)
        known = self.planes * (self.planes <= len(pupil.card.classes))
        self.canvas.put(range(self.canvas.count), known.astype(np.uint8))
        done = self.total(lesson) - len(self.others)
        for first in range(0, len(self.others), runner.batch):
            indices = self.others[first : first + runner.batch]
            answers = yield from runner.answers(indices, Progress(done, self.total(lesson)))
            found = from_leading(answers.leading(), pupil.card.certainty)
            for place, index in enumerate(indices):
                if index in places.empty:
                    found[place] = 0
            self.canvas.put(indices, found)
            done += len(indices)
            yield Progress(done, self.total(lesson))
        if pupil.card.keep:
            for _ in self.canvas.keep_largest():
                yield Progress(done, self.total(lesson))
        labelled = planes(self.canvas.array)
        return {number: labelled[number].copy() for number in self.corrected.others}

    def _runner(self, model: TrainedModel, places: locating.Places) -> engine.Engine:
        crop = locating.crop(model, places)
        size = model.card.preprocess.padded_size(
            self.source.size, self.source.spacing, crop.extent_mm if crop else None
        )
        pixels = math.prod(size)
        batch = engine.plan_batch(model, self.device, pixels, self.settings.batch)
        return engine.engine_for(model, self.source, self.device, batch, self.settings.precision, crop)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A slice as the network sees it (1, c, y, x), the way back to its grid, and the target there, see `shares`."""

    image: torch.Tensor
    undo: engine.Undo
    target: torch.Tensor


def _check(volume: Volume, card: ModelCard, corrected: Corrected, turn: orientation.Turn) -> None:
    refused = _why_not(card)
    if refused:
        raise SettingsError(f"Nothing can be learnt from the corrections: {refused} Use Fine-tune instead.")
    shape = label_shape(volume)
    if math.prod(corrected.labels.shape) != math.prod(shape) or corrected.labels.shape[-2:] != shape[-2:]:
        raise VolumeError(
            f"The labels have the shape {tuple(corrected.labels.shape)}, the image {shape}; expected the same. Choose "
            "the image that they were drawn on."
        )
    if not turn.keeps_slices:
        raise SettingsError(
            f"{card.name} looks at slices across those of the image, so what was corrected in one of these is a line "
            "in each of its own. Use Fine-tune instead."
        )
    if not corrected.reviewed:
        raise SettingsError("No slice was corrected or approved, so there is nothing to learn from. Correct one.")


def _refuse_large(model: TrainedModel, image: torch.Tensor) -> None:
    """Say so where a slice is too large to learn from: all of a pass is kept for the gradients, in all its turns."""
    pixels = math.prod(image.shape[-2:])
    passes = 4 if model.card.turns else 1
    needed = _GRADIENTS * passes * pixels * architecture(model.card.architecture).bytes_per_pixel
    if needed > free_bytes() / 2:
        height, width = image.shape[-2:]
        raise JobError(
            f"To learn from a slice of {height} x {width} pixels takes about {needed / 1e9:.1f} GB of memory, more "
            "than half of what is free. Close other programs or layers, or use Fine-tune, which learns from pieces."
        )


def _learning(network: nn.Module, card: ModelCard) -> list[nn.Parameter]:
    """The parameters that may learn; the others are held as they are."""
    found = []
    for name, parameter in network.named_parameters():
        may = parameter.requires_grad and any(fnmatchcase(name, pattern) for pattern in card.learns)
        parameter.requires_grad_(may)
        if may:
            found.append(parameter)
    if not found:
        names = ", ".join(card.learns)
        raise SettingsError(f"The network of {card.name} has no layer like {names}. Correct 'learns' on its card.")
    return found


def _chosen(pairs: Sequence[_Pair], step: int) -> Iterator[_Pair]:
    """The slices of a step: all, or as many as one may take, one after the other and round the end."""
    count = min(len(pairs), _PER_STEP)
    for place in range(step * count, (step + 1) * count):
        yield pairs[place % len(pairs)]


def _go_back(network: nn.Module, before: nn.Module, share: float) -> None:
    """Bring weights back towards those of before, so that `share` of the way remains."""
    with torch.no_grad():
        for new, old in zip(network.parameters(), before.parameters(), strict=True):
            new.lerp_(old.to(new.device), 1 - share)
