"""What a person asks of a tool, as it was when it was asked: the view may have moved on before the tool starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from ...progress import Job
from ...review.history import PROPOSED
from ...review.journal import Rule
from ...review.planes import Planes
from ...review.tools.running import Result, Scope, tool_job
from ...review.tools.table import RANGE, SLICE, Tool
from ...slice_states import APPROVED, AUTO, EDITED
from ..kit import layer_volumes, records


@dataclass(frozen=True, eq=False)
class Wish:
    """A tool with all that was chosen for it.

    Parameters
    ----------
    tool : Tool
    layer : napari.layers.Labels
    image : napari.layers.Image or None
        That lies on the labels.
    scope : Scope
    numbers : dict
        Of the tool, by name.
    name : str
        Of the step.
    unit : str
        Of its lengths and volumes; empty where they count in voxels.
    """

    tool: Tool
    layer: Labels
    image: Image | None
    scope: Scope
    numbers: dict[str, float]
    name: str
    unit: str

    @property
    def settings(self) -> dict[str, Any]:
        """For the journal."""
        chosen = {
            "tool": self.tool.key,
            **self.numbers,
            "unit": self.unit,
            "on": self.scope.kind,
            "classes": list(self.scope.classes),
        }
        return chosen | {PROPOSED: ""} if self.tool.shift else chosen

    @property
    def is_of_the_view(self) -> bool:
        """Whether it is about the slice, or the time, in view."""
        return self.scope.kind == SLICE or (self.scope.kind == RANGE and self.layer.ndim > 3)

    @property
    def lacks_strokes(self) -> bool:
        """Whether there is nothing that the tool could go on from."""
        before = self.scope.before
        return before is not None and np.array_equal(before, Planes(self.layer.data).read(self.scope.shown))

    def job(self, rules: Sequence[Rule]) -> Job[Result]:
        """Find what the tool would change without breaking a rule."""
        image = None if self.image is None else layer_volumes.finest(self.image)
        return tool_job(self.tool, self.layer.data, self.scope, self.numbers, image, tuple(rules))


@dataclass(frozen=True, eq=False)
class Found:
    """What a tool has found."""

    wish: Wish
    result: Result


def drawn_slices(layer: Labels) -> frozenset[int] | None:
    """The slices that interpolation starts from; None where all that is drawn was drawn by a person."""
    states = records.ledger_of(layer).states()
    reviewed = frozenset(number for number, state in enumerate(states) if state in (EDITED, APPROVED))
    return reviewed if AUTO in states and len(reviewed) > 1 else None


def approved_among(layer: Labels, numbers: Iterable[int]) -> int:
    """How many of these slices are approved."""
    ledger = records.ledger_of(layer)
    return sum(ledger.state(number) == APPROVED for number in numbers)


def suggested_range(layer: Labels, image: Image | None, number: int) -> dict[str, float]:
    """A range of intensities: most of those that the class of the brush has in a slice, or all of them."""
    if image is None:
        return {}
    pixels = Planes(layer_volumes.finest(image)).read(number)
    mine = pixels[Planes(layer.data).read(number) == layer.selected_label]
    mine = mine[np.isfinite(mine)]
    limits = np.percentile(mine, (10, 90)) if mine.size else np.nan_to_num(image.contrast_limits)
    return {"low": float(limits[0]), "high": float(limits[1])}
