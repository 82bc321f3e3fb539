"""Whether labels of another model are followed by themselves, as a second opinion on those that are reviewed."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Labels, Layer

from ...models.card import ModelCard
from ...models.groups import second_opinion
from ...models.library import bundled_cards
from ...record import Record
from ..kit import records


def refusal(mine: Record | None, theirs: Record | None, cards: Iterable[ModelCard]) -> str:
    """Why labels are not followed by themselves; empty if they are.

    Parameters
    ----------
    mine, theirs : Record or None
        Of the labels that are reviewed, and of the others.
    cards : iterable of ModelCard
        Of the models whose figures on test data are known.
    """
    if mine is None or theirs is None or not mine.models or not theirs.models:
        return ""  # a person drew one of them
    known = {card.name: card for card in cards}
    first, second = mine.models[0].name, theirs.models[0].name
    for name in (first, second):
        if name not in known:
            return f"{name} has no Dice on test data"
    return second_opinion(known[first], known[second])


def refused(layer: Labels | None, other: Layer) -> str:
    """The same of two layers."""
    if layer is None or not isinstance(other, Labels):
        return ""
    return refusal(records.record_of(layer), records.record_of(other), bundled_cards())


def refused_text(reasons: Iterable[str]) -> str:
    """What is said of labels that are not followed by themselves; empty if there are none."""
    why = "; ".join(dict.fromkeys(filter(None, reasons)))
    return f"Not followed by itself: {why}. Choose it under Next by all the same." if why else ""
