"""Models for one task form a group: who asks for the group gets the best model of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import ModelCard

_AS_GOOD = 0.05  # Dice


def groups(cards: Iterable[ModelCard]) -> dict[str, list[ModelCard]]:
    """The groups among `cards` by name, the best model first.

    The Dice on `val` decides: `test` only reports how good the choice is. A model without that figure is not chosen.
    """
    found: dict[str, list[ModelCard]] = {}
    for card in cards:
        if card.group and figure(card) is not None:
            found.setdefault(card.group, []).append(card)
    for members in found.values():
        members.sort(key=lambda card: -(figure(card) or 0.0))
    return found


def figure(card: ModelCard, part: str = "val") -> float | None:
    """Dice of a model on a part of the data; that on `val` decides which model of a group is the best."""
    figures: Any = card.metrics.get(part)
    dice = figures.get("dice") if isinstance(figures, Mapping) else None
    return float(dice) if isinstance(dice, int | float) else None


def second_opinion(first: ModelCard, second: ModelCard) -> str:
    """Why the model `second` is not taken by itself as a second opinion on `first`; empty if it is.

    It must be another model, made for the same task and the same classes, and nearly as good on test data: where a much
    poorer model differs, it is mostly the poorer one that is wrong.
    """
    if first.name == second.name:
        return f"{second.name} would be compared with itself"
    classes = [row.name for row in first.classes] == [row.name for row in second.classes]
    if not first.group or first.group != second.group or not classes:
        return f"{second.name} was not made for the same task as {first.name}"
    mine = figure(first, "test")
    theirs = figure(second, "test")
    if mine is None or theirs is None:
        return f"{first.name if mine is None else second.name} has no Dice on test data"
    if theirs < mine - _AS_GOOD:
        return f"{second.name} has a Dice of {theirs:.2f} on test data, {first.name} {mine:.2f}"
    return ""
