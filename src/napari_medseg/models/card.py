"""Model cards: what a model is and how good, in a JSON file next to its weights. Read without PyTorch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..preprocess import Preprocess
from ..volume import LabelClass

PENDING = ".json.part"
"""Ending of a card that waits for its weights: `checkpoint.save` puts it in place of the card when they are there."""

CHANNELS = {"cascade": 2, "image": 1}
"""Channels that networks which reconstruct take and give, by the design of their card: complex numbers, magnitudes."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is, what it was trained on and how it did on data it never saw.

    Parameters
    ----------
    name, architecture : str
        Registry names, for example ``litenext-heart`` and ``litenext``.
    options : mapping
        Options of the builder that the tensors do not determine.
    preprocess : Preprocess
        From slices to network input.
    classes : tuple of LabelClass
        One per logit map, in order; background is not listed. Empty for models that reconstruct.
    design : str
        How a model that reconstructs is used: ``cascade`` between data-consistency steps, or ``image`` from the
        zero-filled magnitude to the full one. Empty for models that segment.
    masks : mapping of str to (float, float)
        Kinds of sampling masks a model that reconstructs was trained with, and their smallest and largest acceleration.
    task, modality, data, licence, split, limits : str
        For the person who reads the card.
    spacing_mm : (float, float) or None
        Smallest and largest in-plane pixel size the model was trained for; None where size does not matter.
    metrics : mapping
        Held-out figures, the peer's and the baseline's among them.
    dicom_modality : str
        DICOM code of the modality, to warn before a run on another one: ``MR``, ``CT``; empty where it does not apply.
    orientation : str
        Directions in which the axes of the training volumes grew, as of `Volume.orientation`, to warn before a run on a
        volume whose axes run otherwise; empty where it does not matter.
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
    design: str = ""
    masks: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    task: str = ""
    modality: str = ""
    data: str = ""
    licence: str = ""
    split: str = ""
    limits: str = ""
    spacing_mm: tuple[float, float] | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    dicom_modality: str = ""
    orientation: str = ""
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


def save_card(path: Path, card: ModelCard) -> None:
    """Write the card of the weights file `path` next to it."""
    replace_file(path.with_suffix(".json"), card.to_json().encode())


def load_card(path: Path) -> ModelCard:
    """Read the card of the weights file `path`; without one, that which a first save left when it was interrupted.

    Raises
    ------
    ModelError
        If there is none or it is damaged.
    """
    file = card_file(path)
    try:
        return ModelCard.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"The model '{path.stem}' has no readable card '{path.stem}.json' next to its weights. Restore it."
        ) from error


def card_file(path: Path) -> Path:
    """Where the card of the weights file `path` lies: next to it, or still waiting for it."""
    card, pending = path.with_suffix(".json"), path.with_suffix(PENDING)
    return card if card.exists() or not pending.exists() else pending


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` next to `path` and rename it over: whoever reads finds the old file or the new one, complete."""
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, path)
