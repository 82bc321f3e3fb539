"""Whether the chosen labels hold a class that a new model could learn; no window is needed to ask."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..kit.state import Control, first, unless

ENOUGH = 5
"""Slices of a class from which on a new model can be taught."""

_STACK = 3  # axes
TITLE = "Teach a new model…"


@dataclass(frozen=True)
class TeachingFacts:
    """What is known of the labels that are chosen.

    Parameters
    ----------
    problem : str
        Why nothing can be done with them.
    has_image : bool
        Whether the image is chosen on which they lie.
    axes : int
        How many the labels have.
    slices : mapping of str to int
        Edited and approved slices of each class, by its name.
    found : collection of str
        Names of the classes that some model finds.
    """

    problem: str = ""
    has_image: bool = True
    axes: int = 3
    slices: Mapping[str, int] = field(default_factory=dict)
    found: Collection[str] = ()


@dataclass(frozen=True)
class TeachingState:
    """What the controls say."""

    teachable: str
    teach: Control


def teaching_state(facts: TeachingFacts) -> TeachingState:
    """What is possible, and why the rest is not."""
    new = {name: count for name, count in facts.slices.items() if count >= ENOUGH and name not in facts.found}
    there = bool(new) and not facts.problem
    no_image = unless(facts.has_image, "choose the image on which the labels lie, voxel by voxel.")
    tooltip = (
        "Open Fine-tune with these labels and their image, to train a new model on what you have edited or approved."
    )
    series = "Fine-tune learns from stacks of slices. Select one time point as a layer of its own first."
    why_not = first(no_image, unless(facts.axes <= _STACK, series))
    return TeachingState(_text(new) if there else "", Control(tooltip, why_not, there))


def _text(new: Mapping[str, int]) -> str:
    if len(new) == 1:
        ((name, count),) = new.items()
        return f"No model finds {name}; {count} of its slices are edited or approved, enough to teach one."
    counts = ", ".join(f"{name} ({count})" for name, count in new.items())
    return f"No model finds these classes, and enough of their slices are edited or approved to teach one: {counts}."
