"""A new model that begins with nothing: for classes that no model knows, from a few slices that a person approved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..preprocess import Preprocess
from ..volume import LabelClass, Volume
from .data.reading import entries
from .data.sources import Source

ARCHITECTURE = "litenext"
"""The smallest network of the package: it learns in minutes on a CPU."""

_LONGEST = 256  # pixels of a slice: larger ones would leave too few steps
_RATE = 1e-3


@dataclass(frozen=True)
class Plane:
    """A slice to learn from.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    spacing : (float, float) or None
        Height and width of a pixel in mm; None where that is not known.
    """

    size: tuple[int, int]
    spacing: tuple[float, float] | None

    @classmethod
    def of(cls, image: Volume) -> Plane:
        """Of a volume with or without colours."""
        height, width = image.data.shape[-3:-1] if image.axes.endswith("c") else image.data.shape[-2:]
        rows, columns = image.spacing[-2:]
        return cls((height, width), (rows, columns) if image.has_spacing else None)

    @classmethod
    def first_of(cls, source: Source) -> Plane | None:
        """Of the first image of a source of data, whose path is absolute; None if it has none."""
        first = next(entries(source, Path()), None)
        if first is None:
            return None
        height, width = first.labels.shape[-2:]
        return cls((height, width), first.plane_spacing)


def options(plane: Plane | None, classes: tuple[LabelClass, ...]) -> dict[str, Any]:
    """What the training settings of a new model have instead of what others take over from the model they begin with.

    Parameters
    ----------
    plane : Plane or None
        One of the slices to learn from; its pixel size decides about that of the model. None if there is none at hand.
    classes : tuple of LabelClass

    Returns
    -------
    dict of str to object
        Fields of `TrainSettings`.
    """
    return {
        "architecture": ARCHITECTURE,
        "preprocess": preprocess(plane),
        "learning_rate": _RATE,
        "loss": "dice-bce",
        "card": {
            "task": ", ".join(row.name for row in classes),
            "modality": "images of its user",
            "data": "slices annotated by its user, and nothing before that",
            "licence": "of the annotations: their author's",
            "split": "every fifth annotated slice for validation, none for a test",
            "limits": "Learnt from a few slices, and measured only on slices of the images that it was trained on. "
            "Other images of the same kind may look different enough to fail: check every slice.",
        },
    }


def preprocess(plane: Plane | None) -> Preprocess:
    """The pixel size of `plane`, or a larger one where its sides are longer than 256 pixels."""
    if plane is None or plane.spacing is None:
        return Preprocess()
    sides = [length * mm / _LONGEST for length, mm in zip(plane.size, plane.spacing, strict=True)]
    spacing = round(max(*plane.spacing, *sides), 4)
    return Preprocess(spacing=spacing, assumed_spacing=spacing)
