"""What can be set of a segmentation; light, so that help is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..options import DEVICES, option

if TYPE_CHECKING:
    from ..models.card import ModelCard

CONTEXTS = ("auto", "z", "t", "none")
PRECISIONS = ("auto", "float32", "bfloat16")
VOTES = ("probability", "labels")

OUTSIDE = "Outside what the model was trained on: "
"""How the warnings begin that say so, see `guard.Findings`."""

BEYOND = "Probably labelled beyond the organ: "
"""How the warning begins that says so, see `beyond`."""


@dataclass(frozen=True)
class InferenceSettings:
    """Options of a segmentation run.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
        ``auto`` takes the fastest one present.
    batch : int
        Slices per batch; 0 plans it from the memory. Models that see neighbouring slices take at most four.
    channel : int or None
        Which channel to use where the image has a channel axis that is not RGB.
    uncertainty : bool
        Also return an 8-bit image: 0 sure, 255 undecided.
    split_objects : bool or None
        Number touching objects one by one instead of by class; None where the cards of all models say that they find
        objects, see `decided`.
    context : {"auto", "z", "t", "none"}
        Where a model that sees three slices finds the neighbours: ``auto`` takes z, without it time; with ``none`` the
        slice stands for its neighbours. ``z`` is that of the image as it is turned for the model. Other models do not
        use it.
    precision : {"auto", "float32", "bfloat16"}
        ``bfloat16`` multiplies in 16 bits: faster where the processor or the graphics card computes it itself, and
        labels differ in a few pixels. ``auto`` takes it there, and ``float32`` elsewhere.
    vote : {"probability", "labels"}
        How several models decide: by the mean of their probabilities, or by the label that most of them give, where in
        a tie the model named first wins. One model does not use it.
    """

    device: str = option("auto", "where to compute", choices=DEVICES)
    batch: int = option(0, "slices at a time; 0 plans it", metavar="N", smallest=0)
    channel: int | None = option(None, "channel to use, from 0", metavar="N", smallest=0)
    uncertainty: bool = option(
        False, "also write where the model was undecided (0 sure, 255 undecided)", metavar="FILE", file=True
    )
    split_objects: bool | None = option(
        None, "number touching objects one by one; default: with models that are made for objects, such as nuclei"
    )
    context: str = option(
        "auto",
        "where models that see three slices find the neighbours; z: the slices before and after, in the direction that "
        "the model was trained on; t: the same slice before and after; auto: z, else t",
        choices=CONTEXTS,
    )
    precision: str = option(
        "float32",
        "numbers to multiply; auto takes bfloat16 where the device computes it itself",
        choices=PRECISIONS,
    )
    vote: str = option(
        "probability",
        "how several models decide: by the mean of their probabilities, or by the label that most of them give",
        choices=VOTES,
    )


def decided(settings: InferenceSettings, cards: Sequence[ModelCard]) -> InferenceSettings:
    """Settings that say whether objects are numbered: what was asked for, else what the cards of the models say."""
    if settings.split_objects is not None:
        return settings
    return replace(settings, split_objects=bool(cards) and all(card.objects for card in cards))


def compared(names: Sequence[str]) -> str:
    """Between what the agreement of a run of several models was measured, for a sentence.

    Parameters
    ----------
    names : sequence of str
        Of the models.
    """
    *first, last = names
    listed = f"{', '.join(first)} and {last}"
    pairs = ", mean over all pairs" if len(names) > 2 else ""
    return f"between the labels that {listed} each give alone{pairs}"
