"""Checkpoints from elsewhere become models of the user, with a card that says what is known and what is not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import FileError, ModelError, SettingsError, reason
from ..preprocess import Preprocess
from ..progress import log_messages
from ..volume import LabelClass, colour_of
from . import published
from .card import CHANNELS, ModelCard
from .checkpoint import TrainedModel, load, save
from .conditional_swin import ConditionalSwinUNet
from .library import check_new_name, models_folder
from .registry import architecture, published_names
from .settings import ImportSettings

_log = logging.getLogger(__name__)
_ROOM = __name__.removesuffix(".importing")


@dataclass(frozen=True, eq=False)
class Imported:
    """A model that was read but not yet installed.

    Parameters
    ----------
    model : TrainedModel
    notes : tuple of str
        What of the file was left out or is ignored, and what it does not say.
    """

    model: TrainedModel
    notes: tuple[str, ...] = ()

    @property
    def waiting(self) -> tuple[str, ...]:
        """Fields of the card that only the user can fill in."""
        card = self.model.card
        empty = [name for name in ("task", "modality", "data", "licence", "spacing_mm") if not getattr(card, name)]
        unnamed = any(row.name == f"class {row.id}" for row in card.classes)
        if unnamed:
            return ("classes", *empty)
        return tuple(empty)


def import_checkpoint(path: Path, name: str, settings: ImportSettings) -> Imported:
    """Read a checkpoint of the authors, or a model file of our own, as the user's model `name`.

    Parameters
    ----------
    path : pathlib.Path
        ``.pth``, ``.pt`` or ``.safetensors``, bare or inside a training dictionary.
    name : str
        Of the new model.
    settings : ImportSettings

    Raises
    ------
    SettingsError
        If the name is taken or invalid, or settings and network do not fit.
    ModelError
        If the file cannot be read, is of another network, or its network does not segment.
    """
    check_new_name(name)
    notes: list[str] = []
    if path.suffix == ".safetensors" and path.with_suffix(".json").is_file():
        model = _with_card(path, settings)
    elif settings.architecture:
        with log_messages(_ROOM, notes.append):
            model = _published(path, settings)
    else:
        raise SettingsError(f"'{path.name}' has no card next to it. Name its network with --architecture.")
    card = replace(model.card, name=name)
    model = replace(model, card=_completed(card, settings))
    check(model)
    return Imported(model, tuple(notes))


def install(model: TrainedModel) -> Path:
    """Write a model to the user's own; its weights file, with the card next to it.

    Raises
    ------
    SettingsError
        If there is a model of that name.
    FileError
        If the files cannot be written.
    """
    check_new_name(model.card.name)
    target = models_folder() / f"{model.card.name}.safetensors"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save(target, model.network, model.card)
    except (OSError, FileError) as error:
        raise FileError(
            f"'{target}' cannot be written ({reason(error)}). Set NAPARI_MEDSEG_HOME to another folder."
        ) from error
    return target


def check(model: TrainedModel) -> torch.Tensor:
    """Run `model` once on noise of the size its card prepares slices to.

    Returns
    -------
    torch.Tensor, shape (1, maps, y, x)
        The same from version to version.

    Raises
    ------
    ModelError
        If it does not take such images, or does not give one finite map per class, or of a model that reconstructs
        per channel.
    """
    card = model.card
    size = card.preprocess.padded_size((64, 64), None)
    maps = CHANNELS.get(card.design, len(card.classes))
    channels = CHANNELS.get(card.design, 9 if model.context else 3)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, channels, *size, generator=generator)
    try:
        with torch.inference_mode():
            logits = model.network(noise) if card.design else model.logits(noise)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"The network of '{card.name}' does not take {channels} channels: {error}") from error
    if logits.shape != (1, maps, *size) or not logits.isfinite().all():
        raise ModelError(f"The model '{card.name}' does not give one finite map per class. Train or import it again.")
    return logits


def _with_card(path: Path, settings: ImportSettings) -> TrainedModel:
    model = load(path)
    foreign = settings.architecture not in ("", model.card.architecture)
    if foreign or settings.options:
        raise SettingsError(
            f"'{path.name}' has a card next to it that names its network ({model.card.architecture}); "
            "leave out the options of the network."
        )
    return model


def _published(path: Path, settings: ImportSettings) -> TrainedModel:
    name = settings.architecture
    entry = architecture(name)
    asked = entry.published.asked if entry.published else ()
    foreign = sorted(set(settings.options) - set(asked))
    if foreign:
        raise SettingsError(f"{entry.title} has no option '{foreign[0]}'. Leave it out.")
    state = published.read_checkpoint(path)
    if not _holds_tensors(state):
        raise ModelError(f"'{path.name}' holds no weights. Give the file that the training saved its network to.")
    network = _network(path, state, settings)
    layout = published.layout(name)
    maps = len(published.to_published(name, network)[layout.classes])
    if layout.note:
        _log.info(layout.note)
    if entry.background and maps < 2:
        card = _restoring(path, network, name)
    else:
        card = _segmenting(path, name, maps - entry.background)
    return TrainedModel(replace(card, options=network.untold), network)


def _segmenting(path: Path, name: str, count: int) -> ModelCard:
    """Card of a published network that finds `count` classes."""
    layout = published.layout(name)
    size = _resized(layout.preprocess)
    limits = f"{_unknown(path)} Each slice is {size}scaled from its 1st to its 99.8th percentile, {layout.caution}."
    classes = tuple(_nameless(number) for number in range(1, count + 1))
    return ModelCard(name, name, layout.preprocess, classes, limits=limits)


def _resized(preprocess: Preprocess) -> str:
    """What the card says about a fixed size."""
    if preprocess.size is None:
        return ""
    height, width = preprocess.size
    return f"resized to {height} x {width} pixels and "


def _nameless(number: int) -> LabelClass:
    return LabelClass(number, f"class {number}", colour_of(number))


def _restoring(path: Path, network: nn.Module, name: str) -> ModelCard:
    """Card of a published network from a zero-filled magnitude to the full one."""
    layout = published.layout(name)
    swin = isinstance(network, ConditionalSwinUNet)
    if not layout.restores or not swin or network.embed.conv.in_channels != CHANNELS["image"]:
        raise ModelError(
            f"'{path.name}' holds a network with one output that neither segments (at least two) nor reconstructs (one "
            "channel in and out, of the Swin family). Import another one."
        )
    size = _resized(layout.preprocess)
    limits = (
        f"{_unknown(path)} Each slice is {size}scaled from its smallest to its largest value, as in its training; the "
        "true brightness is lost, so compare images, not values. It may draw structure that was not measured."
    )
    preprocess = replace(layout.preprocess, percentiles=(0, 100))
    return ModelCard(name, name, preprocess, (), design="image", limits=limits)


def _unknown(path: Path) -> str:
    return f"Imported from '{path.name}'. What it was trained on and how good it is, is not known."


def _network(path: Path, state: Mapping[str, Any], settings: ImportSettings) -> nn.Module:
    name = settings.architecture
    try:
        return published.from_published(name, state, **settings.options)
    except ModelError as error:
        fitting = [other for other in published_names() if _loads(other, state)]
        if not fitting or name in fitting:
            raise
        raise ModelError(
            f"'{path.name}' is not a checkpoint of {architecture(name).title}; it looks like {' or '.join(fitting)}. "
            "Import it as that architecture."
        ) from error


def _holds_tensors(content: object) -> bool:
    if isinstance(content, Mapping):
        return any(map(_holds_tensors, content.values()))
    return isinstance(content, torch.Tensor)


def _loads(name: str, state: Mapping[str, Any]) -> bool:
    try:
        published.from_published(name, state)
    except ModelError:
        return False
    return True


def _completed(card: ModelCard, settings: ImportSettings) -> ModelCard:
    """The card with what the settings say."""
    if settings.spacing_mm:
        smallest, largest = settings.spacing_mm
        if not 0 < smallest <= largest:
            raise SettingsError(
                f"The pixel sizes are {settings.spacing_mm}; expected two rising numbers in mm above 0."
            )
    for field in ("task", "modality", "licence", "spacing_mm"):
        value = getattr(settings, field)
        if value:
            card = replace(card, **{field: value})
    if not settings.classes:
        return card
    names = [name.strip() for name in settings.classes]
    different = {*names} - {""}
    if len(names) != len(card.classes) or len(different) < len(names):
        raise SettingsError(
            f"The names of classes are {', '.join(names)}; the network has {len(card.classes)} classes, "
            "background not counted. Name each of them once, in the order of the training."
        )
    named = tuple(replace(row, name=name) for row, name in zip(card.classes, names, strict=True))
    return replace(card, classes=named)
