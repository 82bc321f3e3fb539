"""What is said of a model and of the one that it began with, from their Dice on held-out slices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..quantities import rounded

T = TypeVar("T")

_HARDLY_WORSE = 0.01  # Dice
_FEW = 3  # slices
_EVERY = 5
_ONE_IMAGE = (
    "all of them lie in one image, which cannot tell that from chance, however many they are. Review slices of two "
    "more images: then the images are compared."
)
TWO_HELD_BACK = 8
"""Reviewed slices from which on two of them are held back."""


def held_back(reviewed: Sequence[T]) -> Sequence[T]:
    """Those of the reviewed slices, or images, that are not learnt from: every fifth, at least one of several."""
    return reviewed[_EVERY // 2 :: _EVERY] or reviewed[1:2]


@dataclass(frozen=True)
class Comparison:
    """The model that a run began with and its best one, on the slices that were held back.

    Parameters
    ----------
    before, after : mapping of str to (float or None)
        Mean Dice by class, None where none could be measured. `before` has the classes that both models know.
    slices : int
    held_back : bool
        False where the run has learnt from the only slice that was reviewed, and this is it.
    half_width : float
        Half of the 98 % interval of `change`; NaN where there is none: of a single slice, for example.
    images : int
        In which the slices lie, as far as they are parts of stacks; a slice that is an image of its own counts as one.
    """

    before: Mapping[str, float | None]
    after: Mapping[str, float | None]
    slices: int
    held_back: bool = True
    half_width: float = math.nan
    images: int = 0

    @property
    def dice(self) -> float | None:
        """Of the new model, the mean of its classes; None if none could be measured."""
        return _mean(self.after.values())

    @property
    def dice_before(self) -> float | None:
        """The same of the model that the run began with."""
        return _mean(self.before.values())

    @property
    def change(self) -> float | None:
        """Mean difference of the classes that both know; None without any."""
        both = [(old, self.after[name]) for name, old in self.before.items()]
        return _mean(new - old for old, new in both if old is not None and new is not None)

    @property
    def is_complete(self) -> bool:
        """Whether both models know and were measured on the same classes."""
        return self.before.keys() == self.after.keys() and None not in (*self.before.values(), *self.after.values())

    @property
    def better(self) -> bool:
        """Whether the classes that both know are found better, by more than chance explains."""
        return self.change is not None and self.change > 0 and self.change > self.half_width

    @property
    def worse(self) -> bool:
        """Whether they are found worse, by more than chance explains."""
        return self.change is not None and self.change < 0 and -self.change > self.half_width

    @property
    def worth_it(self) -> bool:
        """Whether the new model is better, or knows new classes and what both know is hardly worse."""
        if self.before.keys() == self.after.keys():
            return self.better
        if self.change is None:
            return not self.before
        return self.better or self.change > -_HARDLY_WORSE


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def verdict(found: Comparison, base: str) -> str:
    """What came of a training, in a few sentences.

    Parameters
    ----------
    found : Comparison
    base : str
        Name of the model that the training began with; empty if it began with none.
    """
    if not found.held_back:
        return (
            "A single reviewed slice was learnt and measured, so the figures say little: look at the labels of the "
            "other slices."
        )
    where = f"on {found.slices} held-out {'slice' if found.slices == 1 else 'slices'}"
    caution = " So few say little: look at the labels of other slices too." if found.slices < _FEW else ""
    if not found.before:
        return f"{_alone(found, base, where)}{caution}"
    if found.change is None:
        return f"Nothing that both models know could be measured {where}: look at the difference."
    if found.change == 0:
        return f"No better than {base} {where}: its weights were the best.{caution}"
    subject = "It"
    if found.after.keys() - found.before.keys():
        subject = f"What both know ({', '.join(found.before)})"
    explained = found.slices > 1 and found.images == 1 and math.isnan(found.half_width)
    return f"{_against(found, found.change, base, subject, where)}{'' if explained else caution}"


def _alone(found: Comparison, base: str, where: str) -> str:
    """Of a model that there is nothing to hold against."""
    began = f"{base} does not find these classes" if base else "It began with nothing"
    if found.dice is None:
        return f"{began}, and nothing could be measured {where}: none of its classes is there."
    return f"{began}, so only the new model was measured: Dice {rounded(found.dice, 3)} {where}."


def _against(found: Comparison, change: float, base: str, subject: str, where: str) -> str:
    if math.isnan(found.half_width):
        alone = f"one slice cannot tell that from chance. With {TWO_HELD_BACK} reviewed slices two are held back."
        if found.slices > 1:
            alone = "only one image holds labels, which cannot tell that from chance."
            if found.images == 1:
                alone = _ONE_IMAGE
        return f"{subject} changes by {change_text(change)} (Dice) against {base} {where}: {alone}"
    size = change_text(change, found.half_width)
    if not (found.better or found.worse):
        return f"No difference from {base} beyond chance: Dice changes by {size} {where}."
    verb = "is" if subject == "It" else "is found"
    way = "better" if found.better else "worse"
    return f"{subject} {verb} {way} than {base}: Dice changes by {size} {where}."


def change_text(change: float, half_width: float = math.nan) -> str:
    """A change of Dice with its sign, and half of its 98 % interval where that is known."""
    text = f"{change:+.3f}" if abs(change) >= 0.0005 else "less than 0.001"
    return text if math.isnan(half_width) else f"{text} ± {half_width:.3f}"
