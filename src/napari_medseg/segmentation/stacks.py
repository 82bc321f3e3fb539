"""Slices at hand, already normalised: labelled as a run labels them, for validation and for the figures of cards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from .. import labels
from ..errors import ModelError
from ..models import TrainedModel
from ..preprocess import Crop, Preprocess, as_channels
from .locating import Places, centre_of, crop, settle

_BATCH = 8


def needs_volumes(model: TrainedModel) -> bool:
    """Whether members of `model` see something that normalised slices do not hold: another plane or other grey values.

    Such a model is labelled by whole runs only.
    """
    return any(_sees_otherwise(member, model) for member in model.members)


def _sees_otherwise(member: TrainedModel, model: TrainedModel) -> bool:
    turned = member.card.orientation not in ("", model.card.orientation)
    rescaled = _scaling(member.card.preprocess) != _scaling(model.card.preprocess)
    return turned or rescaled or (_around(member) > _around(model))


def _around(model: TrainedModel) -> int:
    """How much of its neighbours comes with a slice: 2 images of their own, 1 channels in grey, 0 nothing."""
    return 2 if model.context else int(bool(model.card.preprocess.neighbours))


def find_places(
    model: TrainedModel, images: Sequence[torch.Tensor], spacing: Sequence[float] | None, device: torch.device | str
) -> Places:
    """Where the network of `model` is to look in the slices of one stack; the parameters are those of `label_stack`.

    Raises
    ------
    ModelError
        If the model that finds it scales grey values otherwise.
    """
    finder, locator = model.locator, model.card.locator
    if finder is None or locator is None:
        return Places()
    spec = model.card.preprocess
    ours, theirs = _scaling(spec), _scaling(finder.card.preprocess)
    if ours != theirs:
        raise ModelError(
            f"{model.card.name} scales grey values by {ours}, and {finder.card.name}, which finds where it looks, by "
            f"{theirs}. Expected the same percentiles, min_range and output."
        )
    own = [_own(image, model) for image in images]
    found = {}
    for logits in stack_logits(finder.on(str(device)), own, spacing, device, None):
        for plane in labels.from_logits(logits, finder.card.certainty):
            found[len(found)] = centre_of(plane)
    return settle(found, model, len(found))


def label_stack(
    model: TrainedModel,
    images: Sequence[torch.Tensor],
    spacing: Sequence[float] | None,
    device: torch.device | str = "cpu",
    *,
    volume: bool = False,
    places: Places | None = None,
) -> np.ndarray:
    """Labels that a run of `model` gives the slices of one stack, the mean of its members included.

    Parameters
    ----------
    model : TrainedModel
        Its network lies on `device`.
    images : sequence of torch.Tensor, shape (3, y, x) or (9, y, x)
        Slices of one size, normalised as by `Preprocess.normalise`, those of networks with neighbours with them.
    spacing : (float, float) or None
        Pixel size (y, x) in mm.
    device : torch.device or str
    volume : bool
        Whether they are all slices of a volume, in order.
    places : Places, optional
        What `find_places` returned for them; it is asked if they are left out.

    Returns
    -------
    numpy.ndarray, shape (n, y, x), uint8
        Class numbers.

    Raises
    ------
    ModelError
        If members need more than these slices, see `needs_volumes`.
    """
    if needs_volumes(model):
        raise ModelError(
            f"{model.card.name} is averaged with models of another plane, or of other grey values, which need whole "
            "volumes; expected these in place of single slices."
        )
    if places is None:
        places = find_places(model, images, spacing, device)
    answers = [stack_logits(model, images, spacing, device, crop(model, places))]
    answers += [_of_member(member, model, images, spacing, device) for member in model.members]
    planes = []
    for logits in zip(*answers, strict=True):
        mean = labels.mean_logits(torch.stack(logits)) if len(logits) > 1 else logits[0]
        planes.extend(labels.from_logits(mean, model.card.certainty))
    found = np.stack(planes)
    found[sorted(places.empty)] = 0
    if volume and model.card.keep:
        labels.keep_largest(found, range(1, len(model.card.classes) + 1))
    return found


def stack_logits(
    model: TrainedModel,
    images: Sequence[torch.Tensor],
    spacing: Sequence[float] | None,
    device: torch.device | str,
    shown: Crop | None,
) -> Iterator[torch.Tensor]:
    """Logits (n, c, y, x) of some slices after the others, on their own grid; parameters as of `label_stack`.

    `shown` is what the network is shown of them, see `locating.crop`.
    """
    for first in range(0, len(images), _BATCH):
        batch = images[first : first + _BATCH]
        part = shown and shown.of(range(first, first + len(batch)))
        tensor, undo = model.card.preprocess.fit(torch.stack(list(batch)), spacing, part)
        # not yielded inside: whoever takes the logits would compute in that mode too
        with torch.inference_mode():
            logits = undo(model.logits(tensor.to(device)))
        yield logits


def _of_member(
    member: TrainedModel,
    model: TrainedModel,
    images: Sequence[torch.Tensor],
    spacing: Sequence[float] | None,
    device: torch.device | str,
) -> Iterator[torch.Tensor]:
    """What a member makes of slices for `model`, where it looks; nothing is possible where it may not label any."""
    member = member.on(str(device))
    seen = [_seen_by(member, image, model) for image in images]
    places = find_places(member, seen, spacing, device)
    number = 0
    for logits in stack_logits(member, seen, spacing, device, crop(member, places)):
        known = logits.clone()  # what inference mode made cannot be changed
        for plane in known:
            if number in places.empty:
                plane.fill_(-math.inf)
            number += 1
        yield known


def _seen_by(member: TrainedModel, image: torch.Tensor, model: TrainedModel) -> torch.Tensor:
    """A slice for `model` as a member takes it, which sees no more of its neighbours."""
    if _around(member) == _around(model):
        return image
    if member.card.preprocess.neighbours:
        return as_channels(*image.chunk(3))
    return _own(image, model)


def _own(image: torch.Tensor, model: TrainedModel) -> torch.Tensor:
    """The slice itself (3, y, x), without its neighbours."""
    if model.context:
        return image[3:6]
    if model.card.preprocess.neighbours:
        return image[1:2].expand(3, -1, -1)
    return image


def _scaling(spec: Preprocess) -> tuple[object, ...]:
    return spec.percentiles, spec.min_range, spec.output
