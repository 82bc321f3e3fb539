"""Model files: weights as safetensors, and next to them a card that says what the model is and how good."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from .. import files
from ..errors import ModelError
from . import published
from .card import CHANNELS, PENDING, ModelCard, load_card, read_card
from .key_maps import State
from .library import find
from .registry import architecture, build
from .typed import ContextNetwork, require


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A card and its network, in evaluation mode on the CPU.

    Parameters
    ----------
    card : ModelCard
    network : torch.nn.Module
    precision : {"float32", "bfloat16"}
        Numbers that the network multiplies; logits are float32 in either case.
    locator : TrainedModel or None
        The model that finds where to look, see `Locator`; None where the card names none, or it cannot be used.
    members : tuple of TrainedModel
        The models whose probabilities are averaged with those of this one, see `Member`; those that cannot be used are
        left out.
    """

    card: ModelCard
    network: nn.Module
    precision: str = "float32"
    locator: TrainedModel | None = None
    members: tuple[TrainedModel, ...] = ()

    def __post_init__(self) -> None:
        if self.context and self.card.preprocess.neighbours:
            raise ModelError(
                f"The network of '{self.card.name}' sees the slices before and after by itself; expected a card whose "
                "preprocess has no neighbours. Train or import the model again."
            )

    def on(self, device: str, precision: str = "float32") -> TrainedModel:
        """The same model on a device, a copy if need be: other jobs may be using the network where it is."""
        weights = next(self.network.parameters(), None)
        if weights is None or weights.device.type == torch.device(device).type:
            return replace(self, precision=precision)
        return replace(self, network=copy.deepcopy(self.network).to(device), precision=precision)

    @property
    def context(self) -> bool:
        """Whether the network sees the slices before and after, each as an image of its own."""
        return architecture(self.card.architecture).context

    @property
    def looks_around(self) -> bool:
        """Whether the slices before and after matter, as images of their own or as channels."""
        return self.context or bool(self.card.preprocess.neighbours)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (b, c, y, x), one map per class of the card, of network input.

        Parameters
        ----------
        images : torch.Tensor, shape (b, 3, y, x), or (b, 9, y, x) with context
            As `Preprocess` returns them; with context the channels of the previous, this and the next slice.
        """
        with self._numbers(images.device):
            return self._turned(lambda k: self._forward(torch.rot90(images, k, (2, 3))))

    def encode(self, images: torch.Tensor) -> list[list[torch.Tensor]]:
        """What `fuse` needs of slices (b, 3, y, x): computed once, it serves their neighbours too. Context only."""
        with self._numbers(images.device):
            network = require(self.network, ContextNetwork)
            return [network.encode(torch.rot90(images, k, (2, 3))) for k in self._turns]

    def fuse(
        self,
        previous: list[list[torch.Tensor]],
        current: list[list[torch.Tensor]],
        following: list[list[torch.Tensor]],
    ) -> torch.Tensor:
        """Logits as of `logits` from what `encode` made of three slices. Context only."""
        with self._numbers(current[0][0].device):
            network = require(self.network, ContextNetwork)
            return self._turned(lambda k: network.fuse(previous[k], current[k], following[k]))

    def _numbers(self, device: torch.device) -> torch.autocast:
        # no cache of converted weights: passes side by side would clear it for each other
        reduced = self.precision == "bfloat16"
        return torch.autocast(device.type, torch.bfloat16, enabled=reduced, cache_enabled=False)

    @property
    def _turns(self) -> range:
        return range(4 if self.card.turns else 1)

    def _forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(*images.chunk(3, 1)) if self.context else self.network(images)

    def _turned(self, logits_of: Callable[[int], torch.Tensor]) -> torch.Tensor:
        # every step here is a copy of all maps: none where nothing is turned
        logits = logits_of(0).float()
        if self.card.turns:
            turned = (torch.rot90(logits_of(k).float(), -k, (2, 3)) for k in self._turns[1:])
            logits = sum(turned, start=logits) / len(self._turns)
        if architecture(self.card.architecture).background:
            # log-odds against the background: above 0 and the highest where softmax decides for the class
            logits = logits[:, 1:] - logits[:, :1]
        return logits / self.card.temperature if self.card.temperature != 1 else logits


def save(path: Path, network: nn.Module, card: ModelCard) -> ModelCard:
    """Write weights to `path` (``.safetensors``) and the card next to it (``.json``).

    Tensors carry the authors' key names; what they do not determine is added to the options of the card. Both
    files are written next to the target and renamed.

    Returns
    -------
    ModelCard
        With the hash of what was written.
    """
    state = published.to_published(card.architecture, network)
    content = save_tensors({key: value.detach().cpu().contiguous() for key, value in state.items()})
    options = {**getattr(network, "untold", {}), **card.options}
    card = replace(card, options=options, sha256=hashlib.sha256(content).hexdigest())
    # whoever is killed before the last rename leaves a complete card that waits, which `load` finds
    pending = path.with_suffix(PENDING)
    if pending.is_symlink():
        pending.unlink()  # nobody looks at this name, so what a link there points to is not ours
    files.dump(pending, card)
    files.replace_bytes(path, content)
    files.move(pending, path.with_suffix(".json"))
    return card


def load(path: Path) -> TrainedModel:
    """Read a model file and its card, the model that finds where to look, and those that it is averaged with.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the weights are not those the card was written for.
    """
    model = _load(path)
    return replace(model, locator=load_locator(model.card), members=load_members(model.card))


def load_members(card: ModelCard) -> tuple[TrainedModel, ...]:
    """The members of a model that can be used: they are installed and find the same classes."""
    names = [row.name for row in card.classes]
    found = []
    for member in card.members:
        try:
            model = _load(find(member.model))
        except ModelError:
            continue
        if not model.card.design and [row.name for row in model.card.classes] == names:
            found.append(replace(model, locator=load_locator(model.card)))
    return tuple(found)


def load_locator(card: ModelCard) -> TrainedModel | None:
    """The model that finds where the model of `card` looks, one of single slices.

    None where the card names none, or its files are missing or damaged.
    """
    if card.locator is None:
        return None
    try:
        found = _load(find(card.locator.model))
    except ModelError:
        return None
    return None if found.looks_around or found.card.design else found


def _load(path: Path) -> TrainedModel:
    card = load_card(path)
    files.refuse_special(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The weights '{path.name}' cannot be read ({error.strerror}). Restore the file.") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        card = _pending(path, card)
    if digest != card.sha256:
        raise ModelError(
            f"The weights '{path.name}' are not the ones their card was written for: the SHA-256 differs. "
            "Restore both files from where you got them."
        )
    try:
        state = load_tensors(content)
    except SafetensorError as error:
        raise ModelError(
            f"The weights '{path.name}' are not a safetensors file ({error}). Restore the file."
        ) from error
    return TrainedModel(card, _network(card, state))


def _pending(path: Path, card: ModelCard) -> ModelCard:
    """The card that an interrupted `save` left next to `path`, or `card`."""
    beside = path.with_suffix(PENDING)
    return read_card(beside) if beside.exists() else card


def options_of(path: Path) -> dict[str, Any]:
    """Options that build the network of the model file `path` anew: those of its card, and what its tensors determine.

    Raises
    ------
    ModelError
        As of `load`.
    """
    model = load(path)
    state = published.to_published(model.card.architecture, model.network)
    known = architecture(model.card.architecture).published
    options = {**(known.options(state) if known else {}), **model.card.options}
    return {name: value for name, value in options.items() if name != "out_channels"}


def _network(card: ModelCard, state: State) -> nn.Module:
    misfit = f"The weights of '{card.name}' do not fit their card. Restore both files from where you got them."
    entry = architecture(card.architecture)
    if entry.published:
        network = published.from_published(card.architecture, state, **card.options)
        maps = len(state[entry.published.classes])
        segments = len(card.classes) + entry.background
        if maps != CHANNELS.get(card.design, segments):
            raise ModelError(misfit)
        return network
    network = build(card.architecture, num_classes=len(card.classes) + 1, **card.options)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(misfit) from error
    return network.eval()
