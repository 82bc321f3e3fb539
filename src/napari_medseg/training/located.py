"""Where models with a locator look in slices of a data set: about what its model finds, as in inference."""

from __future__ import annotations

import torch

from .. import models
from ..errors import ModelError
from ..segmentation import stacks
from ..segmentation.locating import Places
from .data.dataset import Sample


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
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, sample in enumerate(samples):
        together = sample.stack or sample.volume or number
        groups.setdefault((sample.case, together, sample.labels.shape, sample.spacing), []).append(number)
    found = [Places()] * len(samples)
    for numbers in groups.values():
        images = [samples[number].image for number in numbers]
        settled = stacks.find_places(model, images, samples[numbers[0]].spacing, device)
        for index, number in enumerate(numbers):
            found[number] = settled.of([index])
    return found
