"""Where models are stored: those of the package and those of the user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_data_dir

from .. import files
from ..errors import FileError, ModelError, SettingsError, reason
from .card import ModelCard, card_file, load_card
from .groups import figure, groups, second_opinion

LONGEST_NAME = 200
"""Bytes of the name of a model: its files have endings too."""

_BUNDLED = Path(__file__).parents[1] / "weights"


def models_folder() -> Path:
    """Folder of the user's own models: ``$NAPARI_MEDSEG_HOME/models``, or the platform's place for user data."""
    home = os.environ.get("NAPARI_MEDSEG_HOME") or user_data_dir("napari-medseg", appauthor=False)
    return Path(home) / "models"


def available() -> dict[str, Path]:
    """Weights file of every model, by name; bundled models first, the user's own hide none of them."""
    # not what macOS leaves next to files: ._mine.safetensors
    bundled, own = (sorted(folder.glob("[!.]*.safetensors")) for folder in (_BUNDLED, models_folder()))
    names = {path.stem: path for path in bundled}
    return names | {path.stem: path for path in own if path.stem not in names}


def find(name: str) -> Path:
    """Weights file of the model `name`, or of the best model of the group of that name.

    Raises
    ------
    ModelError
        If there is none; the sentence lists the choices.
    """
    known = available()
    if name in known:
        return known[name]
    members = bundled_groups()
    if name in members:
        return known[members[name][0].name]
    choices = ", ".join((*known, *members)) or "(none installed)"
    raise ModelError(f"The model '{name}' does not exist; choose one of {choices}.")


def picture(name: str) -> Path | None:
    """A picture of what a bundled model finds in a sample; None where there is none."""
    path = (_BUNDLED / name).with_suffix(".png")
    return path if path.is_file() else None


def best_of(name: str) -> str:
    """Name of the best model of the group `name`; the name itself if it is not that of a group."""
    members = bundled_groups()
    return name if name in available() or name not in members else members[name][0].name


def with_second_opinion(name: str) -> list[str]:
    """Names of the best model of the group `name` and of the best other one that is taken as a second opinion.

    Raises
    ------
    SettingsError
        If there is none, with the reason for each of the others.
    """
    first, *others = bundled_groups()[name]
    reasons = {card.name: second_opinion(first, card) for card in others}
    taken = next((other for other, reason in reasons.items() if not reason), None)
    if taken is None:
        why = "; ".join(reasons.values()) or "it is the only model of its group"
        raise SettingsError(
            f"{first.name} has no second opinion in the group '{name}': {why}. To compare two models all the same, "
            "name both, each with --model; with one model use --uncertainty."
        )
    return [first.name, taken]


def bundled_groups() -> dict[str, list[ModelCard]]:
    """Groups of the models of the package, the best one first.

    Models of the user are not compared: their figures are measured on other images.
    """
    return groups(bundled_cards())


def bundled_cards() -> tuple[ModelCard, ...]:
    """The cards of the models of the package; one that cannot be read is left out."""
    return _cards_in(_BUNDLED)


def by_task(cards: Iterable[ModelCard]) -> dict[str, list[ModelCard]]:
    """All of `cards` under titles that say what they are for, such as ``Heart: cardiac cine MR``.

    Those of one group are one task: the bundled ones first, the best by the Dice on `val` before the others, then those
    of the user, whose figures are measured on other images. What has no group comes at the end, by its modality.
    """
    bundled = {card.name for card in bundled_cards()}

    def place(card: ModelCard) -> tuple[Any, ...]:
        return not card.group, card.group or card.modality, card.name not in bundled, -(figure(card) or 0.0), card.name

    found: dict[str, list[ModelCard]] = {}
    for card in sorted(cards, key=place):
        found.setdefault(card.group or card.modality, []).append(card)
    return {_title(members[0]): members for members in found.values()}


def _title(card: ModelCard) -> str:
    return f"{card.group.capitalize() or 'Other'}: {card.modality or 'not stated'}"


@cache
def _cards_in(folder: Path) -> tuple[ModelCard, ...]:
    found = []
    for path in sorted(folder.glob("[!.]*.safetensors")):
        with suppress(ModelError):
            found.append(load_card(path))
    return tuple(found)


def check_new_name(name: str) -> None:
    """Make sure that a new model of the user can be called `name`.

    Raises
    ------
    SettingsError
        If it is not a model name, or taken.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise SettingsError(f"'{name}' is not a model name; use small letters, digits, '-', '_' and '.'.")
    if sentence := files.misfit(name, LONGEST_NAME):
        raise SettingsError(f"{sentence} Choose another name.")
    if name in available():
        raise SettingsError(f"There is a model '{name}' already. Choose another name.")


def remove(name: str) -> Path:
    """Take the model `name` from the user's own; its files move into the subfolder ``removed``, so nothing is lost.

    Returns
    -------
    pathlib.Path
        Where the weights file is now, its card next to it; importing it restores the model.

    Raises
    ------
    ModelError
        If it is not one of the user's.
    FileError
        If the files cannot be moved.
    """
    weights, number = models_folder() / f"{name}.safetensors", 1
    if available().get(name) != weights:
        raise ModelError(f"'{name}' is not one of your own models; only those can be removed.")
    target = weights.parent / "removed" / weights.name
    while target.exists():
        number += 1
        target = target.with_name(f"{name}-{number}.safetensors")
    try:
        target.parent.mkdir(exist_ok=True)
        files.move(card_file(weights), target.with_suffix(".json"))
        files.move(weights, target)
    except (OSError, FileError) as error:
        raise FileError(f"'{weights}' cannot be moved ({reason(error)}). Close the programs that use it.") from error
    return target
