"""Slices of a data set looked at as a run would: those of a stack or volume together, about what a locator finds."""

from __future__ import annotations

import torch

from .. import models
from ..errors import ModelError
from ..segmentation import members, stacks
from ..segmentation.locating import Places
from .data.dataset import Sample


def together(samples: list[Sample]) -> list[list[int]]:
    """Which of `samples` a run sees together: those of a stack or volume in their order, others alone."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, sample in enumerate(samples):
        whole = sample.stack or sample.volume or index
        groups.setdefault((sample.case, whole, sample.labels.shape, sample.spacing), []).append(index)
    return [sorted(indices, key=lambda index: samples[index].number) for indices in groups.values()]


def follow(slices: list[Sample]) -> bool:
    """Whether slices of a stack or volume follow each other without a gap, so that pieces are whole in it."""
    numbers = [sample.number for sample in slices]
    return len(numbers) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def refuse_missing(model: models.TrainedModel) -> None:
    """Refuse figures of a model without some of its members: they would be those of another model.

    Raises
    ------
    ModelError
    """
    missing = members.missing(model)
    if missing:
        raise ModelError(
            f"{model.card.name} averages its probabilities with those of {', '.join(missing)}, which cannot be used. "
            "Expected all members with the same classes, to measure what a run does. Install them first."
        )


def places(model: models.TrainedModel, samples: list[Sample], device: torch.device | str = "cpu") -> list[Places]:
    """Where to look in each of `samples`: those of a stack or volume are settled together, see `stacks.find_places`.

    Raises
    ------
    ModelError
        If the model that finds it is not installed or cannot be used: figures would be those of whole slices.
    """
    if model.card.locator is None:
        return [Places()] * len(samples)
    if model.locator is None:
        raise ModelError(
            f"{model.card.name} looks about what {model.card.locator.model} finds, which is not installed or cannot be "
            "used. Install it first."
        )
    found = [Places()] * len(samples)
    for numbers in together(samples):
        images = [samples[number].image for number in numbers]
        settled = stacks.find_places(model, images, samples[numbers[0]].spacing, device)
        for index, number in enumerate(numbers):
            found[number] = settled.of([index])
    return found
