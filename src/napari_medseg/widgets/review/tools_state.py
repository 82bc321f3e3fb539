"""What is possible in the Tools part of the Review dock, and what tools would change; no window is needed to ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...review.tools.running import Result
from ...review.tools.table import CLASS, INTENSITY, MM, MM3, RANGE, SLICE, Tool
from ..kit.state import Control, first, unless
from .state import HIDDEN

_LISTED = 4  # classes in a report

MOST = 100
"""Classes that are listed: labels that number objects have thousands."""

FORBIDDEN = "The rules for protected classes and intensities allow none of this change."

GUIDE = (
    "New class {number}, without a model: outline it on every fifth slice, the first and the last; Interpolate (H); "
    "correct, and approve. Or outline one slice and Propagate (G). Where outlines are ragged, paint roughly; Keep an "
    "intensity range; Fill holes."
)
"""How to get a class that no model knows."""


@dataclass(frozen=True)
class ToolFacts:
    """What is chosen, and what is known of it.

    Parameters
    ----------
    problem : str
        Why nothing can be changed; empty if it can.
    scope : str
    shows_slice : bool
        Whether the canvas shows one slice of the labels.
    visible : bool
        Whether the labels are shown at all.
    first, last : int
        Of the range of slices.
    has_image : bool
        Whether an image lies on the labels voxel by voxel.
    class_open : bool
        Whether the class of the brush is one, and is not protected; or all classes are meant.
    working : bool
        Whether a tool is computing.
    previewed : bool
        Whether its result is shown.
    report : str
    limited : bool
        Whether the brush is limited to intensities.
    guided : int
        The new class that is being made; 0 if none is.
    classes : int
        That the labels hold, as far as is known.
    """

    problem: str = ""
    scope: str = SLICE
    shows_slice: bool = True
    visible: bool = True
    first: int = 0
    last: int = 0
    has_image: bool = True
    class_open: bool = True
    working: bool = False
    previewed: bool = False
    report: str = ""
    limited: bool = False
    guided: int = 0
    classes: int = 0


@dataclass(frozen=True)
class ToolState:
    """What the controls of the form say."""

    palette_table: bool
    unlisted: str
    new_class: Control
    names: Control
    within: Control
    limits: bool
    guide: str
    first: bool
    classes: bool
    preview: Control
    apply: Control
    cancel: Control
    report: str


def tool_state(tool: Tool, facts: ToolFacts) -> ToolState:
    """What is possible, and why the rest is not."""
    no_image = "no image lies on the labels, voxel by voxel. Choose it at the top."
    closed = "the class of the brush is background or protected. Choose another class."
    why_not = first(
        facts.problem,
        unless(facts.visible, HIDDEN),
        unless(not facts.working, "a tool is computing. Wait, or cancel it."),
        unless(facts.scope != SLICE or facts.shows_slice, "the canvas shows no single slice. Switch to 2D."),
        unless(facts.scope != RANGE or facts.first <= facts.last, "the range ends before it begins."),
        unless(facts.class_open or tool.of_strokes, closed),
        unless(facts.has_image or not tool.needs_image, no_image),
    )
    there = not facts.problem
    no_limit = first(facts.problem, unless(facts.has_image, no_image))
    return ToolState(
        palette_table=there,
        unlisted=unlisted_text(facts.classes) if there else "",
        new_class=Control("Paint with the next free class, and say how to fill it without a model.", facts.problem),
        names=Control("Class names: load them from a file, or write them to one.", facts.problem),
        within=Control("Brush, fill and tools give a class only to voxels within these intensities.", no_limit),
        limits=there and facts.limited,
        guide=GUIDE.format(number=facts.guided) if facts.guided and there else "",
        first=there and facts.scope == RANGE,
        classes=there and not tool.of_strokes,
        preview=Control("Show what the tool would change: green added, red removed, yellow another class.", why_not),
        apply=Control(f"{tool.says} One step, which can be undone.", why_not),
        cancel=Control("Stop the tool, or remove its preview.", visible=facts.working or facts.previewed),
        report=first(facts.report, f"{tool.title}: {why_not}" if why_not and there and not facts.working else ""),
    )


def report_text(result: Result, names: Mapping[int, str], voxel: float, unit: str, approved: int = 0) -> str:
    """What a tool would change, class by class.

    Parameters
    ----------
    result : Result
        With changes; `nothing_text` is for one without.
    names : mapping of int to str
        Of the classes.
    voxel : float
        Volume of a voxel.
    unit : str
        Of this volume; empty if it is not known.
    approved : int
        How many of the slices are approved.
    """
    count = len(result.edits)
    lines = []
    for number, (lost, gained) in list(result.voxels.items())[:_LISTED]:
        change = gained - lost
        size = f" ({change * voxel:+,.0f} {unit})" if unit else ""
        lines.append(f"{names.get(number, f'class {number}')}: +{gained:,} -{lost:,} voxels{size}")
    more = len(result.voxels) - len(lines)
    if more > 0:
        lines.append(f"and {more} more classes")
    if result.forbidden:
        lines.append(f"{result.forbidden:,} more voxels stay as they are: the rules forbid their change")
    those = f", {approved} of them approved" if approved else ""
    return "\n".join([f"Changes {count} slice{'s' * (count > 1)}{those}.", *lines])


def nothing_text(tool: Tool, forbidden: bool) -> str:
    """Why a tool changes nothing, and what to do where something is known to help."""
    if forbidden:
        return f"{tool.title}: {FORBIDDEN}"
    more = " Paint more voxels, or choose a larger distance." if tool.of_strokes else ""
    return f"{tool.title}: nothing would change.{more}"


def lost_approvals_text(count: int) -> str:
    """That slices which a tool has changed are to be approved again; empty if none is."""
    if not count:
        return ""
    slices, are = ("1 slice", "was") if count == 1 else (f"{count} slices", "were")
    return f" {slices} that {are} approved {'is' if count == 1 else 'are'} to be reviewed again."


def units_of(known: bool, flat: bool, unit: str = "mm") -> dict[str, str]:
    """How numbers end, by kind; without a voxel size they count in voxels."""
    if not known:
        return {MM: " voxels", MM3: " pixels" if flat else " voxels", CLASS: "", INTENSITY: ""}
    return {MM: f" {unit}", MM3: f" {unit}²" if flat else f" {unit}³", CLASS: "", INTENSITY: ""}


def step_name(tool: Tool, numbers: Mapping[str, float], units: Mapping[str, str], target: str) -> str:
    """Name of the step: ``grow 2 mm myocardium``."""
    values = " to ".join(f"{numbers[wanted.name]:g}{units.get(wanted.unit, '')}" for wanted in tool.numbers)
    return " ".join(filter(None, (tool.title[0].lower() + tool.title[1:], values, target)))


def unlisted_text(count: int) -> str:
    """What the table does not show of so many classes; empty if it shows all."""
    if count <= MOST:
        return ""
    return (
        f"The first {MOST} of {count:,} classes are listed. To paint with another one, pick it in the image (key 5) or "
        "type its number in the layer controls."
    )
