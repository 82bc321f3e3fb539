"""Models for one task form a group: who asks for the group gets the best model of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import ModelCard


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


def figure(card: ModelCard) -> float | None:
    """The figure that decides which model of a group is the best: its Dice on `val`."""
    val: Any = card.metrics.get("val")
    dice = val.get("dice") if isinstance(val, Mapping) else None
    return float(dice) if isinstance(dice, int | float) else None


def best(members: Iterable[ModelCard], count: int = 1) -> list[ModelCard]:
    """The best models of a group, best first; several of them find the same classes as the best one."""
    first, *others = members
    names = [row.name for row in first.classes]
    alike = [card for card in others if [row.name for row in card.classes] == names]
    return [first, *alike][:count]
