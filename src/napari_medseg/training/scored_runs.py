"""Scores of models with members: these look at a volume in several planes, so it goes through a run as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from ..errors import SettingsError
from ..labels import split_objects
from ..models import TrainedModel
from ..progress import run
from ..segmentation.inference import segment_job
from ..segmentation.settings import InferenceSettings
from ..volume import Volume
from .data.dataset import class_numbers
from .data.reading import entries
from .data.sources import Entry, Source
from .image_scores import ImageScore, Truth, score_image, voxel
from .located import refuse_missing

_DIRECTIONS = {"R": (0, 1), "A": (1, 1), "S": (2, 1), "L": (0, -1), "P": (1, -1), "I": (2, -1)}
_USUAL = "SAR"  # where the card names no directions


def score_runs(
    model: TrainedModel,
    sources: Iterable[Source],
    root: Path,
    *,
    device: str = "cpu",
    classes: int = 0,
    renumber: Callable[[torch.Tensor], torch.Tensor] = lambda numbers: numbers,
) -> Iterator[ImageScore]:
    """Scores of runs of `model` on each slice or volume of `sources`, in order.

    The axes of the data are taken for those that the card names, as in training.

    Parameters
    ----------
    model : TrainedModel
    sources : iterable of Source
    root : pathlib.Path
        Folder that relative paths start from.
    device : str
        See `InferenceSettings`.
    classes : int
        Number of classes of the data; 0 for those of the model.
    renumber : callable
        From class numbers of the data to those of the model.

    Raises
    ------
    FileError, ModelError, SettingsError
        If a source cannot be read, or holds series, or single slices of stacks; if a member is not installed.
    """
    refuse_missing(model)
    own = len(model.card.classes)
    split = split_objects if model.card.objects else None
    settings = InferenceSettings(device=device, split_objects=False)
    for source in sources:
        for entry in entries(source, root):
            if entry.labels.ndim > 3 or entry.stack is not None:
                raise SettingsError(
                    f"Case '{entry.case}' is a series, or its slices lie in the file one by one; expected whole "
                    f"volumes (z, y, x): {model.card.name} is the mean of several models that do not see the same."
                )
            found = run(segment_job(_volume(entry, model), model, settings))
            prediction = np.asarray(found.labels.data).reshape(-1, *entry.labels.shape[-2:])
            numbers = renumber(torch.from_numpy(class_numbers(entry, classes or own)))
            yield score_image(_truth(entry, model, numbers.numpy()), prediction, own, split)


def _volume(entry: Entry, model: TrainedModel) -> Volume:
    if entry.place:
        return entry.place
    axes = "zyx"[-entry.labels.ndim :]
    spacing = entry.spacing or (1.0,) * len(axes)
    affine = np.eye(4)
    directions = model.card.orientation
    if sorted(_DIRECTIONS.get(letter, (-1, 1))[0] for letter in directions) != [0, 1, 2]:
        directions = _USUAL
    affine[:3, :3] = 0
    for axis, letter in zip("zyx", directions, strict=True):
        row, sign = _DIRECTIONS[letter]
        length = spacing[axes.index(axis)] if axis in axes else 1.0
        affine[row, "xyz".index(axis)] = sign * length
    colours = "c" if entry.image.ndim > entry.labels.ndim else ""
    return Volume(entry.image, axes + colours, affine, metadata={"has_spacing": entry.spacing is not None})


def _truth(entry: Entry, model: TrainedModel, numbers: np.ndarray) -> Truth:
    """What is known of an entry with these class numbers, as (z, y, x)."""
    thickness: float | None = 1.0
    volume = ""
    if entry.labels.ndim == 3:
        thickness = entry.spacing[0] if entry.spacing else None
        volume = entry.name or entry.case
    return Truth(
        numbers.reshape(-1, *numbers.shape[-2:]),
        entry.case,
        entry.group,
        voxel(thickness, entry.plane_spacing, model.card.preprocess),
        entry.objects,
        volume,
        entry.unlabelled,
    )
