"""Where a model looks: one model finds the object, another one segments a piece of each slice about it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import labels
from ..models import TrainedModel
from ..preprocess import Crop
from ..progress import Job, Progress
from . import engine
from .slices import Slices

Centre = tuple[float, float]
"""A point (y, x) of a slice, in its pixels from the middle of the first one."""


@dataclass(frozen=True)
class Places:
    """Where to look in the slices of an image.

    Parameters
    ----------
    centres : tuple of Centre
        One per slice; empty where whole slices are to be segmented.
    empty : frozenset of int
        Slices that get no label.
    unseen : frozenset of int
        Slices in which it was looked for, and nothing was found.
    """

    centres: tuple[Centre, ...] = ()
    empty: frozenset[int] = frozenset()
    unseen: frozenset[int] = field(default=frozenset(), compare=False)

    def of(self, indices: Sequence[int]) -> Places:
        """Those of some of the slices, in that order."""
        centres = tuple(self.centres[index] for index in indices) if self.centres else ()
        return Places(centres, frozenset(place for place, index in enumerate(indices) if index in self.empty))

    @classmethod
    def together(cls, parts: Sequence[Places]) -> Places:
        """Of parts that are one slice each those of all of them; whole slices where one is to be segmented whole."""
        centres = [centre for part in parts for centre in part.centres]
        empty = frozenset(number for number, part in enumerate(parts) if part.empty)
        return cls(tuple(centres) if len(centres) == len(parts) else (), empty)


@dataclass(frozen=True)
class Search:
    """How the places are looked for.

    Parameters
    ----------
    device : str
    precision : str
    batch : int
        Slices per pass; 0 plans it.
    start : int
        Slice to begin with.
    near : bool
        Whether only the place in that slice is asked for. Without anything there the slices of its stack are looked
        at one after the other, the nearest first, until something is found.
    """

    device: str
    precision: str
    batch: int = 0
    start: int = 0
    near: bool = False


def stages(model: TrainedModel) -> int:
    """How often each slice goes through a network."""
    return 2 if model.locator else 1


def locate_job(model: TrainedModel, source: Slices, search: Search) -> Job[tuple[Places, tuple[str, ...]]]:
    """Look where the network of `model` is to look in the slices of `source`.

    Yields
    ------
    Progress
        After each pass, over the slices of both networks together.

    Returns
    -------
    Places, tuple of str
        And what a person should know of the image, see `Engine.notes`.
    """
    finder, locator = model.locator, model.card.locator
    if finder is None or locator is None:
        return Places(), ()
    pixels = math.prod(finder.card.preprocess.padded_size(source.size, source.spacing))
    batch = 1 if search.near else engine.plan_batch(finder, search.device, pixels, search.batch)
    runner = engine.engine_for(finder, source, search.device, batch, search.precision)
    order = iter(_nearest(search.start, source.stack) if search.near else source.order(search.start))
    found: dict[int, Centre | None] = {}
    total = stages(model) * source.count
    while indices := list(itertools.islice(order, runner.batch)):
        answers = yield from runner.answers(indices, Progress(len(found), total))
        planes = labels.from_leading(answers.leading(), finder.card.certainty)
        found.update(zip(indices, map(centre_of, planes), strict=True))
        yield Progress(len(found), total)
        if search.near and (locator.gate or any(found.values())):
            break
    return settle(found, model, source.count), runner.notes()


def _nearest(index: int, length: int) -> list[int]:
    """The slices of the stack that slice `index` lies in, the nearest first."""
    first = index - index % length
    return sorted(range(first, first + length), key=lambda other: abs(other - index))


def centre_of(found: np.ndarray) -> Centre | None:
    """The middle of the largest piece of the labels (y, x) of a slice, whatever their class; None without any."""
    mask = (found > 0).astype(np.uint8)
    labels.keep_largest(mask, [1])
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return None
    return float(rows.mean()), float(columns.mean())


def settle(found: Mapping[int, Centre | None], model: TrainedModel, count: int) -> Places:
    """Where `model` looks, of what was found in slices.

    Parameters
    ----------
    found : mapping of int to (Centre or None)
        By slice; those that are left out were not looked at.
    model : TrainedModel
        With a locator on its card.
    count : int
        Number of slices.
    """
    locator = model.card.locator
    if locator is None:
        return Places()
    known = [centre for centre in found.values() if centre is not None]
    unseen = frozenset(index for index, centre in found.items() if centre is None)
    empty = unseen if locator.gate else frozenset()
    if not known:
        return Places((), frozenset(range(count)) if locator.fallback == "none" else empty, unseen)
    rows, columns = zip(*known, strict=True)
    middle = statistics.median(rows), statistics.median(columns)
    apart = locator.per == "slice" and not model.looks_around
    own = [found.get(index) if apart else None for index in range(count)]
    return Places(tuple(centre or middle for centre in own), empty, unseen)


def extent(model: TrainedModel) -> tuple[float, float] | None:
    """Height and width in mm of what the network of `model` is shown where the place is found; None for all of it."""
    if model.locator is None or model.card.locator is None:
        return None
    return model.card.locator.crop_mm


def crop(model: TrainedModel, places: Places) -> Crop | None:
    """What the network of `model` is shown of slices; None for all of them."""
    size = extent(model)
    if size is None or not places.centres:
        return None
    return Crop(size, places.centres)


def remarks(model: TrainedModel) -> tuple[str, ...]:
    """What a person should know before a run about the model that finds where to look."""
    wanted = model.card.locator
    if wanted is None:
        return ()
    if model.locator is None:
        return (
            f"{model.card.name} looks at a piece of each slice about what {wanted.model} finds, which is not "
            "installed or cannot be used; whole slices are segmented instead, which it was not trained on. "
            f"Install {wanted.model}.",
        )
    if wanted.sha256 and wanted.sha256 != model.locator.card.sha256:
        return (
            f"{model.card.name} was trained with another version of {wanted.model}, which finds where to look, than "
            "the one that is installed.",
        )
    return ()


def outcome(model: TrainedModel, places: Places) -> tuple[str, ...]:
    """What a person should know once it is settled where to look."""
    wanted = model.card.locator
    if wanted is None or model.locator is None or places.centres:
        return ()
    instead = "nothing was labelled" if places.empty else "whole slices were segmented"
    return (f"{wanted.model} did not find where {model.card.name} is to look; {instead}.",)
