"""Model cards: what a model is and how good, in a JSON file next to its weights. Read without PyTorch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files
from ..errors import FileError, ModelError, SettingsError, reason
from ..preprocess import Preprocess
from ..volume import LabelClass

PENDING = ".json.part"
"""Ending of a card that waits for its weights: `checkpoint.save` puts it in place of the card when they are there."""

CHANNELS = {"cascade": 2, "image": 1}
"""Channels that networks which reconstruct take and give, by the design of their card: complex numbers, magnitudes."""


_LARGEST_ID = 2**16 - 1
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


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

    def __post_init__(self) -> None:
        faults = [sentence for sentence, fulfilled in self._needed().items() if not fulfilled]
        if faults:
            raise SettingsError(f"The card does not describe a model; expected {'; '.join(faults)}.")

    def _needed(self) -> dict[str, bool]:
        """What a card must fulfil, and whether it does."""
        ids = [row.id for row in self.classes]
        colours = all(_COLOUR.fullmatch(row.colour) for row in self.classes)
        sizes = self.spacing_mm or (1.0, 1.0)
        return {
            "a name that a file can have": not files.misfit(self.name),
            f"classes with different numbers from 1 to {_LARGEST_ID}": len({*ids}) == len(ids)
            and all(1 <= number <= _LARGEST_ID for number in ids),
            "colours like #4dbbd5": colours,
            f"no design, or one of {', '.join(CHANNELS)}": self.design in ("", *CHANNELS),
            "a certainty from 0 to 1": 0 <= self.certainty <= 1,
            "rising pixel sizes above 0 mm in spacing_mm": 0 < sizes[0] <= sizes[1] < math.inf,
        }


def save_card(path: Path, card: ModelCard) -> None:
    """Write the card of the weights file `path` next to it."""
    files.dump(path.with_suffix(".json"), card)


def load_card(path: Path) -> ModelCard:
    """Read the card of the weights file `path`; without one, that which a first save left when it was interrupted.

    Raises
    ------
    ModelError
        If there is none or it is damaged.
    """
    return read_card(card_file(path))


def read_card(file: Path) -> ModelCard:
    """Read the card in `file`.

    Raises
    ------
    ModelError
        If there is none or it is damaged.
    """
    try:
        return files.load(file, ModelCard)
    except FileError as error:
        raise ModelError(
            f"The model '{file.stem}' has no readable card '{file.name}' next to its weights ({reason(error)}). "
            "Restore it, or train the model again."
        ) from error
    except SettingsError as error:
        raise ModelError(f"The model card cannot be read. {error} Restore it, or train the model again.") from error


def card_file(path: Path) -> Path:
    """Where the card of the weights file `path` lies: next to it, or still waiting for it."""
    card = path.with_suffix(".json")
    pending = path.with_suffix(PENDING)
    if pending.exists() and not card.exists():
        return pending
    return card
