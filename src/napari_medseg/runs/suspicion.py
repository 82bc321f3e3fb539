"""Why some cases of a cohort should be looked at first: what is unusual among them, and what their runs doubted.

Nothing here says that a case is good or bad: it orders them for a person.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..quantities import rounded
from ..segmentation.settings import BEYOND, OUTSIDE
from .cases import MEASURES, Case, Key, Measure, values

FEW = 8
"""Cases of a figure below which none is called unusual."""

_UNUSUAL = 3.5  # median absolute deviations (as standard deviations), as Iglewicz and Hoaglin advise
_TO_DEVIATION = 1.4826  # of a normal distribution
_CERTAIN = 10.0  # deviations that a reason counts for which is not a matter of degree
_MOST = 50.0
_BRIEF = {OUTSIDE: "unlike training", BEYOND: "beyond the organ"}
_NUMBERS = re.compile(r"\d[\d.]*(?:(?:, | and | to |-)\d[\d.]*)*")


@dataclass(frozen=True)
class Reason:
    """Why a case should be looked at.

    Parameters
    ----------
    text : str
    weight : float
        Deviations from the middle of the cohort.
    brief : str
        The same in a word or two, for a narrow column.
    """

    text: str
    weight: float
    brief: str


def reasons(cases: Sequence[Case]) -> list[tuple[Reason, ...]]:
    """Why each case should be looked at, the heaviest reason first.

    Figures are compared where at least `FEW` cases have them.
    """
    cohort = _Cohort.of(cases)
    return [_of_case(case, cohort) for case in cases]


def common_warnings(cases: Sequence[Case]) -> list[tuple[str, int]]:
    """What the runs of most cases warned of, which is not a reason: the text of one of them, and of how many it is."""
    texts: dict[str, str] = {}
    for case in cases:
        texts.update({_kind(text): text for text in case.warnings})
    warned = _Cohort.of(cases).warned
    return [(texts[kind], count) for kind, count in warned.most_common() if 2 * count > len(cases)]


def weight(found: Sequence[Reason]) -> float:
    """By which cases are sorted: the deviations of the heaviest reason."""
    return max((reason.weight for reason in found), default=0.0)


@dataclass(frozen=True)
class _Usual:
    """Middle and spread of a figure over the cohort, in the units that are compared."""

    middle: float
    deviation: float
    quarters: tuple[float, float]

    @classmethod
    def of(cls, values: Sequence[float], measure: Measure) -> _Usual:
        middle = statistics.median(values)
        spread = statistics.median(abs(value - middle) for value in values)
        low, _, high = statistics.quantiles(values, n=4)
        return cls(middle, max(_TO_DEVIATION * spread, measure.least), (low, high))


@dataclass(frozen=True)
class _Cohort:
    """What is usual: spread of figures, and how many cases have a class, reach an end, or were warned of."""

    size: int
    usual: Mapping[Key, _Usual]
    labelled: int
    there: Counter[str]
    at_border: Counter[str]
    warned: Counter[str]

    @classmethod
    def of(cls, cases: Sequence[Case]) -> _Cohort:
        there: Counter[str] = Counter()
        at_border: Counter[str] = Counter()
        warned: Counter[str] = Counter()
        for case in cases:
            there.update({row.name for row in case.rows if row.figures.get("voxels")})
            at_border.update({row.name for row in case.rows if row.figures.get("touches_border")})
            warned.update({_kind(text) for text in case.warnings})
        labelled = sum(any("voxels" in row.figures for row in case.rows) for case in cases)
        return cls(len(cases), _usual(cases), labelled, there, at_border, warned)


def _usual(found: Sequence[Case]) -> dict[Key, _Usual]:
    usual = {}
    for place, known in values(found).items():
        measure = MEASURES[place[0]]
        compared = [_compared(value, measure) for _, value in known]
        numbers = [value for value in compared if value is not None]
        if len(numbers) >= FEW:
            usual[place] = _Usual.of(numbers, measure)
    return usual


def _compared(value: float, measure: Measure) -> float | None:
    if not measure.logarithmic:
        return value
    return math.log(value) if value > 0 else None


def _of_case(case: Case, cohort: _Cohort) -> tuple[Reason, ...]:
    found = [*_unusual(case, cohort.usual), *_missing(case, cohort), *_doubted(case, cohort)]
    return tuple(sorted(found, key=lambda reason: -reason.weight))


def _unusual(case: Case, usual: Mapping[Key, _Usual]) -> list[Reason]:
    reasons = []
    for row in case.rows:
        for key, value in row.figures.items():
            known = usual.get((key, row.name))
            number = _compared(value, MEASURES[key]) if known else None
            if known is None or number is None:
                continue
            measure = MEASURES[key]
            away = (number - known.middle) / known.deviation
            wanted = {"high": away, "low": -away, "both": abs(away)}[measure.side]
            if wanted > _UNUSUAL:
                text = _unusual_text(row.name, value, measure, known)
                brief = measure.brief or f"{measure.title} {'high' if away > 0 else 'low'}"
                reasons.append(Reason(text, min(wanted, _MOST), brief))
    return reasons


def _unusual_text(name: str, value: float, measure: Measure, known: _Usual) -> str:
    ends = [math.exp(end) if measure.logarithmic else end for end in known.quarters]
    low, high = (rounded(end, measure.decimals) for end in ends)
    unit = f" {measure.unit}" if measure.unit else ""
    of_class = f"{name}: " if name else ""
    shown = rounded(value, measure.decimals)
    half = f"half of the cases have {low}{unit}" if low == high else f"half of the cases lie in {low} to {high}{unit}"
    return f"{of_class}{measure.title} {shown}{unit}; {half}"


def _missing(case: Case, cohort: _Cohort) -> list[Reason]:
    """Classes that most cases have and this one has not, and labels at the end of a slice where few reach it."""
    if cohort.labelled < FEW:
        return []
    found = []
    for row in case.rows:
        others = cohort.there[row.name]
        if row.figures.get("voxels") == 0 and 2 * others > cohort.labelled:
            text = f"{row.name} is missing; {others} of {cohort.labelled} cases have it"
            found.append(Reason(text, _CERTAIN, f"{row.name} missing"))
        if row.figures.get("touches_border") and 4 * cohort.at_border[row.name] < cohort.labelled:
            found.append(Reason(f"{row.name} reaches the end of a slice", _UNUSUAL, "at the border"))
    return found


def _doubted(case: Case, cohort: _Cohort) -> list[Reason]:
    """What the run itself warned of, but for what it says of most cases; that an image lies outside counts always."""
    found = []
    for text in case.warnings:
        few = 2 * cohort.warned[_kind(text)] <= cohort.size
        outside = text.startswith(OUTSIDE)
        beyond = text.startswith(BEYOND)
        if few or outside or (beyond and cohort.size < FEW):
            brief = next((words for start, words in _BRIEF.items() if text.startswith(start)), "warning")
            found.append(Reason(text, _CERTAIN if few and (outside or beyond) else _UNUSUAL, brief))
    return found


def _kind(text: str) -> str:
    """A warning without its numbers, which differ from case to case: ``slices 1 to 3, 9`` is ``slice #``."""
    return _NUMBERS.sub("#", text).replace("slices #", "slice #")
