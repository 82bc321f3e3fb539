"""Slices at hand, already normalised: labelled as a run labels them, for validation and for the figures of cards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from .. import labels
from ..errors import ModelError
from ..models import TrainedModel
from ..preprocess import Crop, Preprocess
from .locating import Places, centre_of, crop, settle

_BATCH = 8


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
    planes = _labelled(finder.on(str(device)), own, spacing, device, None)
    found = {index: centre_of(plane) for index, plane in enumerate(planes)}
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
    """Labels that a run of `model` gives the slices of one stack.

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
    """
    if places is None:
        places = find_places(model, images, spacing, device)
    planes = _labelled(model, images, spacing, device, crop(model, places))
    found = np.stack(list(planes))
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
        with torch.inference_mode():
            yield undo(model.logits(tensor.to(device)))


def _labelled(
    model: TrainedModel,
    images: Sequence[torch.Tensor],
    spacing: Sequence[float] | None,
    device: torch.device | str,
    shown: Crop | None,
) -> Iterator[np.ndarray]:
    for logits in stack_logits(model, images, spacing, device, shown):
        yield from labels.from_logits(logits, model.card.certainty)


def _own(image: torch.Tensor, model: TrainedModel) -> torch.Tensor:
    """The slice itself (3, y, x), without its neighbours."""
    if model.context:
        return image[3:6]
    if model.card.preprocess.neighbours:
        return image[1:2].expand(3, -1, -1)
    return image


def _scaling(spec: Preprocess) -> tuple[object, ...]:
    return spec.percentiles, spec.min_range, spec.output
