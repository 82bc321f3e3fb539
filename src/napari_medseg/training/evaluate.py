"""Figures of a model on data with known labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import models
from ..labels import split_objects
from ..preprocess import Preprocess
from ..segmentation import stacks
from ..segmentation.locating import Places
from . import located
from .data.dataset import Sample, load
from .data.sources import Source
from .image_scores import ImageScore, Truth, score_image, summarise, voxel
from .scored_runs import score_runs


def evaluate(path: Path, sources: Iterable[Source], root: Path) -> dict[str, Any]:
    """Score the model file `path` on `sources`, every image at its own resolution as in inference.

    Parameters
    ----------
    path : pathlib.Path
        Weights file with its card.
    sources : iterable of Source
        Their `group` is reported apart, their `objects` are counted if the card says that the model finds objects.
    root : pathlib.Path
        Folder that relative paths start from.

    Returns
    -------
    dict
        See `image_scores.summarise`.

    Raises
    ------
    ModelError, FileError, SettingsError
        If model or data cannot be read.
    """
    model = models.load(path)
    return summarise(score_sources(model, sources, root), [row.name for row in model.card.classes])


def score_sources(model: models.TrainedModel, sources: Iterable[Source], root: Path) -> list[ImageScore]:
    """Scores of `model` on each slice or volume of `sources`, see `evaluate`."""
    if stacks.needs_volumes(model):
        return list(score_runs(model, sources, root))
    card = model.card
    classes = len(card.classes)
    samples = load(sources, card.preprocess, root, classes, context=model.context, orientation=card.orientation)
    return list(score_images(model, samples))


def score_images(
    model: models.TrainedModel,
    samples: Iterable[Sample],
    device: torch.device | str = "cpu",
    places: list[Places] | None = None,
) -> Iterator[ImageScore]:
    """Scores of `model`, whose network lies on `device`, on each slice or volume of `samples` in order.

    They are labelled as in a run, see `stacks.label_stack`. `places` is where to look in each slice, if that is known
    already; see `located`.

    Raises
    ------
    ModelError
        If the locator or a member is not installed, or members need whole volumes: see `scored_runs`.
    """
    card = model.card
    samples = list(samples)
    located.refuse_missing(model)
    if places is None:
        places = located.places(model, samples, device)
    predictions = iter(_predictions(model, samples, places, device))
    split = split_objects if card.objects else None
    for slices in images_of(samples):
        prediction = np.stack(list(itertools.islice(predictions, len(slices))))
        yield score_image(whole(slices, card.preprocess), prediction, len(card.classes), split)


def _predictions(
    model: models.TrainedModel, samples: list[Sample], places: list[Places], device: torch.device | str
) -> list[np.ndarray]:
    """Class numbers (y, x) of each slice, those of a stack or volume labelled together."""
    found = [np.empty(0, np.uint8)] * len(samples)
    for indices in located.together(samples):
        slices = [samples[index] for index in indices]
        images = [sample.image for sample in slices]
        shown = Places.together([places[index] for index in indices])
        planes = stacks.label_stack(
            model, images, slices[0].spacing, device, volume=located.follow(slices), places=shown
        )
        for index, plane in zip(indices, planes, strict=True):
            found[index] = plane
    return found


def images_of(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """The slices of each image: those of a volume together, others alone."""
    for (_, volume), slices in itertools.groupby(samples, key=lambda sample: (sample.case, sample.volume)):
        if volume:
            yield list(slices)
        else:
            yield from ([sample] for sample in slices)


def whole(slices: list[Sample], preprocess: Preprocess) -> Truth:
    """What is known of the image that `slices` make, labels (z, y, x)."""
    first = slices[0]
    thickness = first.thickness if first.volume else 1.0
    return Truth(
        torch.stack([sample.labels for sample in slices]).numpy(),
        first.case,
        first.group,
        voxel(thickness, first.spacing, preprocess),
        first.objects,
        first.stack or first.volume,
        first.unlabelled,
    )
