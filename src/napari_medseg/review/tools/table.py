"""All tools: what they say, their numbers with units, and where they can work. A tool is an entry and a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .common import Change
from .outlines import grow, shrink, smooth
from .pieces import fill_holes, keep_largest, remove_small, split_touching
from .slices import interpolate, propagate
from .strokes import extend_strokes
from .values import clear, keep_range, relabel

SLICE = "slice"
RANGE = "range"
VOLUME = "volume"

MM = "mm"
MM3 = "mm3"
COUNT = ""
CLASS = "class"
INTENSITY = "intensity"


@dataclass(frozen=True)
class Number:
    """A number that a tool asks for.

    Parameters
    ----------
    name : str
        Of the argument.
    title : str
        In the form.
    unit : str
        ``mm``, ``mm3``, ``class``, ``intensity`` or nothing.
    default, low, high, step : float
        For intensities, defaults come from the image.
    """

    name: str
    title: str
    unit: str
    default: float = 0.0
    low: float = 0.0
    high: float = 1e6
    step: float = 1.0


@dataclass(frozen=True)
class Tool:
    """A row of the table.

    Parameters
    ----------
    key : str
        In the journal.
    title : str
        In the list.
    says : str
        What it does, in a sentence.
    call : callable
        ``(labels, where, **numbers) -> Change`` on a frame (z, y, x), see `common.Where`.
    numbers : tuple of Number
    scopes : tuple of str
        The first one is proposed.
    needs_image : bool
    shift : int
        How many slices after the shown one it changes, where it changes that one alone.
    makes_classes : bool
        Whether it gives numbers that are not in use.
    of_strokes : bool
        Whether it goes on from what was painted on the slice in view, whatever class that is.
    """

    key: str
    title: str
    says: str
    call: Callable[..., Change]
    numbers: tuple[Number, ...] = ()
    scopes: tuple[str, ...] = (SLICE, RANGE, VOLUME)
    needs_image: bool = False
    shift: int = 0
    makes_classes: bool = False
    of_strokes: bool = False

    @property
    def asks_for_intensities(self) -> bool:
        """Whether its numbers depend on the image."""
        return any(wanted.unit == INTENSITY for wanted in self.numbers)

    @property
    def defaults(self) -> dict[str, float]:
        """Its numbers, where nobody has chosen others."""
        return {wanted.name: wanted.default for wanted in self.numbers}


def _distance(default: float) -> Number:
    return Number("mm", "By", MM, default, 0.1, 100.0, 0.5)


_ROWS = (
    Tool(
        "interpolate",
        "Interpolate between slices",
        "Draws the class on the empty slices between those on which it is drawn; with labels of a model, between "
        "the slices that were edited or approved. Never beyond the first and the last one.",
        interpolate,
        scopes=(VOLUME, RANGE),
    ),
    Tool(
        "fill-holes",
        "Fill holes (slice by slice)",
        "Gives background that the class encloses within a slice to it.",
        partial(fill_holes, per_slice=True),
    ),
    Tool(
        "fill-holes-3d",
        "Fill holes (3D)",
        "Gives background that the class encloses on all sides to it; tunnels stay open.",
        partial(fill_holes, per_slice=False),
        scopes=(VOLUME, RANGE),
    ),
    Tool(
        "keep-largest",
        "Keep the largest piece",
        "Removes all but the largest connected pieces of the class; voxels connect through their faces.",
        keep_largest,
        (Number("count", "Pieces", COUNT, 1, 1, 99),),
        scopes=(VOLUME, RANGE, SLICE),
    ),
    Tool(
        "remove-small",
        "Remove small pieces",
        "Removes connected pieces of the class below a volume; voxels connect through their faces.",
        remove_small,
        (Number("mm3", "Below", MM3, 100, 0.001, 1e9, 50),),
        scopes=(VOLUME, RANGE, SLICE),
    ),
    Tool(
        "grow",
        "Grow",
        "Gives background within a distance of the class to it. Less than the distance between slices grows within "
        "slices alone.",
        grow,
        (_distance(2),),
    ),
    Tool("shrink", "Shrink", "Takes a margin off the class.", shrink, (_distance(2),)),
    Tool(
        "smooth",
        "Smooth",
        "Smooths outlines; classes that touch stay in touch. Thin parts vanish, see the preview.",
        smooth,
        (_distance(1),),
        scopes=(VOLUME, RANGE, SLICE),
    ),
    Tool(
        "split",
        "Split touching objects",
        "Numbers touching objects of the class apart. The largest keeps the number, the others get new ones.",
        split_touching,
        (Number("mm", "Centres at least", MM, 10, 0.1, 500, 1),),
        scopes=(VOLUME, RANGE, SLICE),
        makes_classes=True,
    ),
    Tool(
        "relabel",
        "Give to another class",
        "Gives the class, or all of them, to another one: merges classes, and renumbers one.",
        relabel,
        (Number("into", "Class", CLASS, 1, 0, 2**31 - 1),),
        scopes=(VOLUME, RANGE, SLICE),
    ),
    Tool("clear", "Clear", "Erases the class.", clear),
    Tool(
        "keep-range",
        "Keep an intensity range",
        "Erases what lies outside of the range from the class: paint a rough region first.",
        keep_range,
        (
            Number("low", "From", INTENSITY, 0, -1e9, 1e9),
            Number("high", "To", INTENSITY, 1, -1e9, 1e9),
        ),
        needs_image=True,
    ),
    Tool(
        "extend-strokes",
        "Extend my strokes",
        "Gives what you painted or erased on this slice, since a tool changed it or it was approved, the voxels around "
        "it that belong with it, up to outlines in the image.",
        extend_strokes,
        (Number("mm", "Within", MM, 10, 0.1, 100, 1),),
        scopes=(SLICE,),
        needs_image=True,
        of_strokes=True,
    ),
    Tool(
        "propagate-next",
        "Propagate to the next slice",
        "Carries the class to the next slice, as the image moves. The slice stays to be reviewed.",
        partial(propagate, step=1),
        scopes=(SLICE,),
        needs_image=True,
        shift=1,
    ),
    Tool(
        "propagate-previous",
        "Propagate to the previous slice",
        "Carries the class to the previous slice, as the image moves. The slice stays to be reviewed.",
        partial(propagate, step=-1),
        scopes=(SLICE,),
        needs_image=True,
        shift=-1,
    ),
)

TOOLS = {tool.key: tool for tool in _ROWS}
"""By key, in the order of the list."""
