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
from ..record import plain
from ..volume import LabelClass
from .appearance import Appearance

PENDING = ".json.part"
"""Ending of a card that waits for its weights: `checkpoint.save` puts it in place of the card when they are there."""

CHANNELS = {"cascade": 2, "image": 1}
"""Channels that networks which reconstruct take and give, by the design of their card: complex numbers, magnitudes."""


PER = ("stack", "slice")
"""What shares one crop where a locator finds the organ."""

FALLBACKS = ("whole", "none")
"""What is done with slices in which a locator found nothing: shown whole, or left without labels."""

KEEP = ("", "largest")
"""Which pieces of a class are kept."""

DISPLAY = "display"
"""Orientation of slices as the scanner took them, lying as a workstation shows them."""

_PAIRS = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}  # directions, and the axis of the patient they lie on
_LARGEST_ID = 2**16 - 1
_LARGEST_CROP = 1e4  # mm
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Locator:
    """How the organ is found before the network looks at it from close by.

    Parameters
    ----------
    model : str
        Name of the model that finds it; all its classes together are the organ.
    crop_mm : (float, float)
        Height and width of what the network is shown, in mm, about the centre of what was found.
    sha256 : str
        Of the weights of that model when this one was trained with it; another one is reported. Empty takes any.
    per : {"stack", "slice"}
        One centre for the whole image, the median over what was found in its slices, or one for each slice. Networks
        that see three slices take one for the whole image.
    gate : bool
        Whether a slice in which nothing was found stays without labels.
    fallback : {"whole", "none"}
        What is done where nothing was found in the whole image: it is shown whole, or stays without labels.
    """

    model: str
    crop_mm: tuple[float, float]
    sha256: str = ""
    per: str = "stack"
    gate: bool = False
    fallback: str = "whole"

    def __post_init__(self) -> None:
        faults = [sentence for sentence, fulfilled in self._needed().items() if not fulfilled]
        if faults:
            raise SettingsError(f"The locator cannot be used; expected {'; '.join(faults)}.")
        object.__setattr__(self, "crop_mm", tuple(map(float, self.crop_mm)))

    def in_words(self) -> str:
        """What it does, for the reader of a card."""
        height, width = self.crop_mm
        text = f"looks at {height:.0f} x {width:.0f} mm about what {self.model} finds, one place per {self.per}"
        if self.gate:
            text += ", and labels no slice where that finds nothing"
        if self.fallback == "none":
            text += "; an image in which it finds nothing gets no labels"
        return text

    def _needed(self) -> dict[str, bool]:
        return {
            "the name of a model": not files.misfit(self.model),
            f"height and width of the crop above 0 and up to {_LARGEST_CROP:g} mm": len(self.crop_mm) == 2
            and all(0 < mm <= _LARGEST_CROP for mm in self.crop_mm),
            f"per as one of {', '.join(PER)}": self.per in PER,
            f"fallback as one of {', '.join(FALLBACKS)}": self.fallback in FALLBACKS,
        }


@dataclass(frozen=True)
class Member:
    """Another model whose probabilities are averaged with a model's own.

    Parameters
    ----------
    model : str
        Its name. The orientation on its own card says in which plane it works, for example ``ASR`` for coronal slices.
    sha256 : str
        Of its weights when the two were measured together; another one is reported. Empty takes any.
    """

    model: str
    sha256: str = ""

    def __post_init__(self) -> None:
        if files.misfit(self.model):
            raise SettingsError(f"A member is called '{self.model}'; expected the name of a model.")


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
        Directions in which the axes of the training volumes grew, as of `Volume.orientation`: volumes whose axes run
        otherwise are turned before the run, and labels are turned back. ``display``: slices are taken across the thick
        side of the voxels, with left on the right and the front or the head on top. Empty where it does not matter.
    turns : bool
        Whether logits are averaged over the four quarter turns of a slice: four times slower, chosen on `val`.
    certainty : float
        Objects without any pixel of this probability are dropped, chosen on `val`; 0.5 keeps all. Classes that touch
        each other are one object.
    objects : bool
        Whether the classes consist of touching objects that can be split after the run.
    locator : Locator or None
        The model that finds the organ first, where the network was trained on crops around it.
    keep : {"", "largest"}
        Which pieces of a class are kept once a whole stack was segmented: all, or the largest one in three dimensions.
        Single slices keep all.
    temperature : float
        Logits are divided by it, so that probabilities, uncertainty and `certainty` hold; which class leads and whether
        its probability exceeds one half stay the same. Chosen on `val`.
    members : tuple of Member
        Models whose probabilities are averaged with those of this one, each in the plane of its own card.
    group : str
        Models of one task share it, such as ``heart``; asking for it gives the best of them, see `groups`. Empty for
        models that stand alone.
    body_parts : tuple of str
        Body parts, as DICOM names them, that the training images show or that say nothing against them; empty where
        any will do.
    view_mm : (float, float) or None
        Shortest and longest side in mm of the slices that the model was made for; None where it does not matter.
    oblique : bool
        Whether training slices lie oblique to the body, as the short axis of the heart does: slices along its axes are
        doubted, where DICOM files say how they lie.
    most_slices : int or None
        Most slices of the stacks that the model was made for; None where it does not matter.
    appearance : Appearance or None
        What training slices look like, to doubt a run on other images; None where that is not known.
    learns : tuple of str
        Names of those parameters of the network that may learn from a few corrected slices, for the rest of that image:
        ``*`` stands for any text, so ``head.*`` is a layer and ``*`` is all. Empty: none, or not measured.
    seconds_per_megapixel : float or None
        Seconds that one core of a processor took for a million pixels as the network sees them, those that the locator
        sees among them; None where that was not measured.
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
    locator: Locator | None = None
    keep: str = ""
    temperature: float = 1.0
    members: tuple[Member, ...] = ()
    group: str = ""
    body_parts: tuple[str, ...] = ()
    view_mm: tuple[float, float] | None = None
    oblique: bool = False
    most_slices: int | None = None
    appearance: Appearance | None = None
    learns: tuple[str, ...] = ()
    seconds_per_megapixel: float | None = None
    recipe: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        faults = [sentence for sentence, fulfilled in self._needed().items() if not fulfilled]
        if faults:
            raise SettingsError(f"The card does not describe a model; expected {'; '.join(faults)}.")

    @property
    def steps(self) -> str:
        """What happens to an image besides the network, in words; empty if nothing does."""
        found = []
        if self.orientation == DISPLAY:
            found.append("takes slices as the scanner did and a workstation shows them, and turns labels back")
        elif self.orientation:
            found.append(f"turns volumes to {self.orientation}, and labels back")
        if self.locator:
            found.append(self.locator.in_words())
        if self.preprocess.neighbours:
            found.append("sees each slice with the one before and the one after, in grey")
        if self.turns:
            found.append("averages over the four quarter turns of a slice")
        if self.members:
            others = ", ".join(member.model for member in self.members)
            found.append(f"averages its probabilities with those of {others}")
        if self.temperature != 1:
            way = "less" if self.temperature > 1 else "more"
            found.append(
                f"gives {way} certain probabilities than the network (temperature {self.temperature:g}), which hold as "
                "often as they say"
            )
        if self.certainty > 0.5:
            found.append(f"drops objects without any pixel of at least {100 * self.certainty:g}% probability")
        if self.keep:
            found.append(f"keeps the {self.keep} piece of each class in a volume")
        return "; ".join(found)

    @property
    def helpers(self) -> tuple[str, ...]:
        """Names of the other models that a run goes through: the locator, and the members."""
        first = (self.locator.model,) if self.locator else ()
        return (*first, *(member.model for member in self.members))

    def _needed(self) -> dict[str, bool]:
        """What a card must fulfil, and whether it does."""
        ids = [row.id for row in self.classes]
        colours = all(_COLOUR.fullmatch(row.colour) for row in self.classes)
        sizes = self.spacing_mm or (1.0, 1.0)
        others = [member.model for member in self.members]
        first = self.locator.model if self.locator else ""
        view = self.view_mm or (1.0, 1.0)
        return {
            "a name that a file can have": not files.misfit(self.name),
            f"classes with different numbers from 1 to {_LARGEST_ID}": len({*ids}) == len(ids)
            and all(1 <= number <= _LARGEST_ID for number in ids),
            "colours like #4dbbd5": colours,
            f"no design, or one of {', '.join(CHANNELS)}": self.design in ("", *CHANNELS),
            f"an orientation like SAR, {DISPLAY} or nothing": self.orientation in ("", DISPLAY)
            or sorted(_PAIRS.get(code, -1) for code in self.orientation) == [0, 1, 2],
            "a certainty from 0 to 1": 0 <= self.certainty <= 1,
            "rising pixel sizes above 0 mm in spacing_mm": 0 < sizes[0] <= sizes[1] < math.inf,
            f"keep as one of {', '.join(KEEP[1:])}, or nothing": self.keep in KEEP,
            "a temperature above 0": 0 < self.temperature < math.inf,
            "a locator only where slices keep their proportions": not (self.locator and self.preprocess.size),
            "learns without members, which would not learn": not (self.learns and self.members),
            "members and a locator other than the model itself": self.name not in (*others, first),
            "members with different names": len({*others}) == len(others),
            "objects without keep: the largest piece would be the only object": not (self.objects and self.keep),
            "no seconds_per_megapixel, or a number above 0": self.seconds_per_megapixel is None
            or 0 < self.seconds_per_megapixel < math.inf,
            "rising lengths from 0 mm in view_mm": 0 <= view[0] <= view[1] < math.inf,
        }


def from_fields(**content: Any) -> ModelCard:
    """The card with these fields, as Python objects or as the plain JSON values that a recipe holds.

    Raises
    ------
    SettingsError
        If a field is missing, unknown, of another type or refused.
    """
    return files.typed(ModelCard, plain(content))


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
