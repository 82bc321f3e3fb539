"""Model files: weights as safetensors, and beside them a card that says what the model is and how good."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from ..errors import ModelError
from ..preprocess import Preprocess
from ..volume import LabelClass
from . import published
from .registry import build


@dataclass(frozen=True)
class ModelCard:
    """What a model is, what it was trained on and how it did on data it never saw.

    Parameters
    ----------
    name, architecture : str
        Registry names, for example ``litenext-heart`` and ``litenext``.
    options : mapping
        Options of the builder that the tensors do not tell.
    preprocess : Preprocess
        From slices to network input.
    classes : tuple of LabelClass
        One per logit map, in order; background is not listed.
    task, modality, data, licence, split, limits : str
        For the person who reads the card.
    spacing_mm : (float, float) or None
        Smallest and largest in-plane pixel size the model was trained for; None where size does not matter.
    metrics : mapping
        Held-out figures, the peer's and the baseline's among them.
    dicom_modality : str
        DICOM code of the modality, to warn before a run on another one: ``MR``, ``CT``; empty where it does not apply.
    turns : bool
        Whether logits are averaged over the four quarter turns of a slice: four times slower, chosen on `val`.
    certainty : float
        Objects without any pixel of this probability are dropped, chosen on `val`; 0.5 keeps all.
    objects : bool
        Whether the classes consist of touching objects that can be split after the run.
    recipe : str
        Settings file that reproduces the weights.
    sha256 : str
        Of the weights file.
    """

    name: str
    architecture: str
    preprocess: Preprocess
    classes: tuple[LabelClass, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    modality: str = ""
    data: str = ""
    licence: str = ""
    split: str = ""
    limits: str = ""
    spacing_mm: tuple[float, float] | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    dicom_modality: str = ""
    turns: bool = False
    certainty: float = 0.5
    objects: bool = False
    recipe: str = ""
    sha256: str = ""

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card.

        Raises
        ------
        ModelError
            If it is not a card.
        """
        try:
            raw = json.loads(text)
            raw["preprocess"] = Preprocess(**raw["preprocess"])
            raw["classes"] = tuple(LabelClass(**row) for row in raw["classes"])
            raw["spacing_mm"] = tuple(raw["spacing_mm"]) if raw.get("spacing_mm") else None
            return cls(**raw)
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"The model card cannot be read ({error}). Restore it, or train the model again."
            ) from error

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A card and its network, in evaluation mode on the CPU."""

    card: ModelCard
    network: nn.Module

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (b, c, y, x) of network input (b, 3, y, x), as the card says: of one pass or averaged over turns."""
        if not self.card.turns:
            return self.network(images)
        turned = (torch.rot90(self.network(torch.rot90(images, k, (2, 3))), -k, (2, 3)) for k in range(4))
        return sum(turned) / 4


def save(path: Path, network: nn.Module, card: ModelCard) -> ModelCard:
    """Write weights to `path` (``.safetensors``) and the card beside it (``.json``).

    Tensors carry the authors' key names. Both files are written beside and renamed.

    Returns
    -------
    ModelCard
        With the hash of what was written.
    """
    state = published.to_published(card.architecture, network)
    content = save_tensors({key: value.detach().cpu().contiguous() for key, value in state.items()})
    card = replace(card, sha256=hashlib.sha256(content).hexdigest())
    _replace(path, content)
    save_card(path, card)
    return card


def save_card(path: Path, card: ModelCard) -> None:
    """Write the card of the weights file `path` beside it."""
    _replace(path.with_suffix(".json"), card.to_json().encode())


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, path)


def load_card(path: Path) -> ModelCard:
    """Read the card of the weights file `path`.

    Raises
    ------
    ModelError
        If there is none or it is damaged.
    """
    try:
        return ModelCard.from_json(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"The model '{path.stem}' has no readable card '{path.stem}.json' beside its weights."
        ) from error


def load(path: Path) -> TrainedModel:
    """Read a model file and its card.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the weights are not those the card was written for.
    """
    card = load_card(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The weights '{path.name}' cannot be read ({error.strerror}). Restore the file.") from error
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise ModelError(
            f"The weights '{path.name}' are not the ones their card was written for: the SHA-256 differs. "
            "Restore both files from where you got them."
        )
    try:
        state = load_tensors(content)
    except SafetensorError as error:
        raise ModelError(f"The weights '{path.name}' are no safetensors file ({error}). Restore the file.") from error
    return TrainedModel(card, _network(card, state))


def _network(card: ModelCard, state: published.State) -> nn.Module:
    misfit = f"The weights of '{card.name}' do not fit their card. Restore both files from where you got them."
    if card.architecture in published.PUBLISHED:
        network = published.from_published(card.architecture, state, **card.options)
        if len(state[published.PUBLISHED[card.architecture].classes]) != len(card.classes):
            raise ModelError(misfit)
        return network
    network = build(card.architecture, num_classes=len(card.classes) + 1, **card.options)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(misfit) from error
    return network.eval()
