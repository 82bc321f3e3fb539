"""Where models with a locator look in slices of a data set: about what its model finds, as in inference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from .. import models
from ..labels import from_logits
from ..models.card import ModelCard
from ..preprocess import Crop
from .data.dataset import Sample

Place = tuple[float, float]

_BATCH = 8


def crops(card: ModelCard, samples: list[Sample], device: torch.device | str = "cpu") -> list[Crop | None]:
    """What a network is shown of each of `samples`; None where that is the whole slice.

    Slices of a stack or volume share the median of what is found in them, unless the locator works slice by slice.
    """
    locator = card.locator
    if locator is None:
        return [None] * len(samples)
    finder = models.load(models.find(locator.model)).on(torch.device(device).type)
    found = [place for part in _batches(samples) for place in _places(finder, part)]
    if locator.per == "stack":
        found = _shared(samples, found)
    return [None if place is None else Crop(locator.crop_mm, (place,)) for place in found]


def _batches(samples: list[Sample]) -> Iterator[list[Sample]]:
    """Slices of one size and spacing that follow each other."""
    part: list[Sample] = []
    for sample in samples:
        if part and (len(part) == _BATCH or _grid(sample) != _grid(part[0])):
            yield part
            part = []
        part.append(sample)
    if part:
        yield part


def _grid(sample: Sample) -> tuple[torch.Size, Place | None]:
    return sample.labels.shape, sample.spacing


def _places(finder: models.TrainedModel, slices: list[Sample]) -> list[Place | None]:
    images = torch.stack([_alone(sample.image) for sample in slices])
    tensor, undo = finder.card.preprocess.fit(images, slices[0].spacing)
    device = next(finder.network.parameters()).device
    with torch.inference_mode():
        labels = from_logits(undo(finder.logits(tensor.to(device)).cpu()), finder.card.certainty)
    return [_middle(plane) for plane in labels]


def _alone(image: torch.Tensor) -> torch.Tensor:
    """The slice itself (3, y, x), of an image that may hold its neighbours."""
    return image[3:6] if len(image) == 9 else image


def _middle(labels: np.ndarray) -> Place | None:
    rows, columns = np.nonzero(labels)
    return (float(rows.mean()), float(columns.mean())) if rows.size else None


def _shared(samples: Iterable[Sample], found: list[Place | None]) -> list[Place | None]:
    """The median of the places of each stack, for all of its slices."""
    keys = [(sample.case, sample.stack or sample.volume or number) for number, sample in enumerate(samples)]
    known: dict[tuple[str, str | int], list[Place]] = {}
    for key, place in zip(keys, found, strict=True):
        if place is not None:
            known.setdefault(key, []).append(place)
    middles = {key: np.median(np.array(places), axis=0) for key, places in known.items()}
    return [(float(middles[key][0]), float(middles[key][1])) if key in middles else None for key in keys]
