"""What a run will cost: pixels that networks see, seconds and memory; and views too small to be of use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import VolumeError
from ..models import ModelCard, TrainedModel
from ..models.devices import choose_device
from . import engine, locating
from .last_runs import Way
from .settings import InferenceSettings
from .slices import Slices

_MAX_PIXELS = 2**27


def pixels(card: ModelCard, source: Slices, extent_mm: tuple[float, float] | None = None) -> int:
    """Pixels of a slice as the network sees it, or of a piece of that extent.

    Raises
    ------
    VolumeError
        If they are too many.
    """
    height, width = card.preprocess.padded_size(source.size, source.spacing, extent_mm)
    if height * width > _MAX_PIXELS:
        raise VolumeError(
            f"A slice of {source.size[0]} x {source.size[1]} pixels would become {height} x {width} for this model; "
            f"at most {_MAX_PIXELS} pixels are possible. Crop the image, or check its pixel size."
        )
    return height * width


def stages(model: TrainedModel, source: Slices) -> list[tuple[TrainedModel, int]]:
    """The networks that a slice goes through, and how many pixels each of them sees of it."""
    found = [(model, pixels(model.card, source, locating.extent(model)))]
    if model.locator is None:
        return found
    pixels(model.card, source)  # if nothing is found
    return [(model.locator, pixels(model.locator.card, source)), *found]


def last_seconds(model: TrainedModel, source: Slices, settings: InferenceSettings, device: str) -> float:
    """Seconds of a run by the last one of this model on this computer; NaN where there was none."""
    return _way(model.card, settings, device).seconds(source.count, _all_pixels(model, source))


@dataclass(frozen=True)
class Pace:
    """How long a run will take, as far as that is known without loading a network.

    Parameters
    ----------
    seconds : float
        NaN if nothing is known.
    was_run : bool
        Whether that is known from the last run on this computer; else from the card, for one core of a processor.
    """

    seconds: float = math.nan
    was_run: bool = False


def pace(
    card: ModelCard, cards: Mapping[str, ModelCard], source: Slices, settings: InferenceSettings, device: str
) -> Pace:
    """How long a run of the model of `card` will take; its locator is one of `cards`."""
    locator = cards.get(card.locator.model) if card.locator else None
    try:
        seen = pixels(card, source, card.locator.crop_mm if card.locator and locator else None)
        seen += pixels(locator, source) if locator else 0
    except VolumeError:  # the plan says so
        return Pace()
    last = _way(card, settings, device).seconds(source.count, seen)
    if not math.isnan(last):
        return Pace(last, was_run=True)
    if device != "cpu" or card.seconds_per_megapixel is None:
        return Pace()
    return Pace(card.seconds_per_megapixel * seen * source.count / 1e6)


def remember(source: Slices, model: TrainedModel, settings: InferenceSettings, device: str, seconds: float) -> None:
    """Note how long a run took on `device`; not where the memory ran out and the next run may find more."""
    wanted = choose_device(settings.device)
    if device == wanted:
        _way(model.card, settings, wanted).note(seconds, source.count, _all_pixels(model, source))


def tried(
    models: Sequence[tuple[TrainedModel, Slices]], batch: int, device: str, precision: str, *, timed: bool
) -> tuple[float, float]:
    """Seconds and bytes of a run of networks, by running each on a small image on the CPU.

    Parameters
    ----------
    models : sequence of (TrainedModel, Slices)
        Each with the slices that it goes over.
    batch : int
        See `InferenceSettings`.
    device, precision : str
    timed : bool
        Whether seconds are asked for; else, and for other devices than the CPU, they are NaN.
    """
    seconds, memory = 0.0, 0.0
    measured = timed and device == "cpu"
    for model, source in models:
        for network, size in stages(model, source):
            each, kept = math.nan, 0.0
            if measured or (timed and network.context):
                each, kept = engine.try_out(replace(network, precision=precision))
            seconds += each * size * source.count
            together = engine.plan_batch(network, device, size, batch)
            memory = max(memory, engine.memory_needed(network, size, together, kept))
    return seconds if measured else math.nan, memory


def small_views(model: TrainedModel, source: Slices) -> tuple[str, ...]:
    """Which networks can find nothing in slices that show too little, each in a sentence."""
    found = [_small_view(model, source, locating.extent(model))]
    if model.locator:
        found.append(_small_view(model.locator, source, None))
    return tuple(filter(None, found))


def _small_view(model: TrainedModel, source: Slices, extent_mm: tuple[float, float] | None) -> str:
    spec = model.card.preprocess
    if spec.smallest is None or not spec.shows_little(source.size, source.spacing, extent_mm):
        return ""
    unit, factor = "pixels", 1.0
    if spec.spacing and (source.spacing or spec.assumed_spacing):
        unit, factor = "mm", spec.spacing
    seen, wanted = (
        " x ".join(f"{side * factor:.0f}" for side in sides)
        for sides in (spec.working_size(source.size, source.spacing), spec.smallest)
    )
    return (
        f"A slice shows {seen} {unit}; {model.card.name} was trained on {wanted} {unit} and may find nothing in so "
        "small a part. Use an image that shows more around the object."
    )


def _way(card: ModelCard, settings: InferenceSettings, device: str) -> Way:
    return Way(card, settings, device, engine.workers_of(device))


def _all_pixels(model: TrainedModel, source: Slices) -> int:
    return sum(size for _, size in stages(model, source))
