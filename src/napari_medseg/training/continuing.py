"""Whether a run goes on as it began: the same settings, and the same models that it looks or labels with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import models
from ..errors import ModelError, SettingsError
from ..models import ModelCard
from ..models.card import from_fields
from ..preprocess import Preprocess
from ..record import plain
from .settings import RunSettings

LABELLING = ("orientation", "turns", "certainty", "locator", "keep", "temperature", "members")
"""Fields of a card by which slices are read, or weights are judged on `val`; the others are texts."""

_NAMED = 4  # differences that are named one by one
_LONGEST = 60  # characters of a value that is shown
_LEFT_OUT = "nothing"


def differences(before: RunSettings, now: RunSettings) -> list[str]:
    """What differs between two settings and leads to other weights, each with both values where they are short.

    Texts of the card and the data for the last evaluation do not.
    """
    return list(_differences("", _that_matters(before), _that_matters(now)))


def refuse_other_settings(run: Path, before: RunSettings, now: RunSettings) -> None:
    """Make sure that a run goes on with the settings that it began with.

    Raises
    ------
    SettingsError
        Naming what has changed.
    """
    found = differences(before, now)
    if not found:
        return
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise SettingsError(
        f"The folder '{run}' holds a run with other settings: {', '.join(found[:_NAMED])}{more}. "
        "Change them back to continue it, or choose a new folder."
    )


def looked_with(card: ModelCard) -> list[Path]:
    """Weights files of the models that find where `card` looks, or are averaged with it; those that are installed."""
    found = []
    for name in card.helpers:
        with suppress(ModelError):
            path = models.find(name)
            own = models.load_card(path).locator
            found += [path, *([models.find(own.model)] if own else [])]
    return found


def _that_matters(settings: RunSettings) -> dict[str, Any]:
    own = {name: value for name, value in settings.card.items() if name in LABELLING}
    # what a card leaves out is what it says by itself
    card = from_fields(name=settings.name, architecture="", preprocess=Preprocess(), classes=(), **own)
    found = plain(replace(settings, card={}, test=()))
    found["card"] = {name: plain(getattr(card, name)) for name in LABELLING}
    del found["test"]
    return found


def _differences(path: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys((*before, *now)):
            inner = f"{path}.{name}" if path else name
            yield from _differences(inner, before.get(name), now.get(name))
    elif before != now:
        yield f"{path} was {_shown(before)} and is {_shown(now)} now"


def _shown(value: Any) -> str:
    text = _LEFT_OUT if value in (None, "", [], {}) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
