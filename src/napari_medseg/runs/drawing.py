"""Small drawings as SVG: the values of a figure over a cohort, on a line."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..quantities import rounded

_HEIGHT = 46
_MIDDLE = 17
_HEAPS = 3  # rows of dots in each direction
_COLUMNS = 105  # of the line; the dots of one lie above each other
_FREE = 0.1  # of the line at each end


@dataclass(frozen=True)
class Dot:
    """A value that is drawn.

    Parameters
    ----------
    value : float
    title : str
        Shown under the pointer.
    anchor : str
        Where a click leads on the page.
    marked : bool
    """

    value: float
    title: str
    anchor: str
    marked: bool


def strip(title: str, dots: Sequence[Dot], decimals: int) -> str:
    """Values on a line with their ends and median; values that are alike lie above each other.

    Places are shares of the width, so that a narrow window does not shrink the text. Colours are those of the style of
    the page: its text, ``--dot`` and ``--marked``.

    Parameters
    ----------
    title : str
    dots : sequence of Dot
        Two or more different values.
    decimals : int
        Of the numbers below the line.
    """
    numbers = [dot.value for dot in dots]
    low, high = min(numbers), max(numbers)
    middle = statistics.median(numbers)
    place = (middle - low) / (high - low)
    line = f'y1="{_MIDDLE}" y2="{_MIDDLE}" stroke="currentColor" stroke-opacity="0.3"'
    mark = f'y1="2" y2="{2 * _MIDDLE - 2}" stroke="currentColor" stroke-width="2"'
    drawn = [
        f'<div class="strip"><span>{escape(title)}</span><svg width="100%" height="{_HEIGHT}">',
        f'<line x1="0%" x2="100%" {line}/>',
        f'<line x1="{_percent(place)}" x2="{_percent(place)}" {mark}/>',
        *_circles(dots, low, high),
        _number(low, 0, "start", decimals),
        _number(high, 1, "end", decimals),
    ]
    # at the ends the median would lie on the other numbers
    if _FREE < place < 1 - _FREE:
        drawn.append(_number(middle, place, "middle", decimals))
    return "".join(drawn) + "</svg></div>"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _circles(dots: Sequence[Dot], low: float, high: float) -> list[str]:
    found = []
    heaps: Counter[int] = Counter()
    for dot in sorted(dots, key=lambda dot: dot.marked):
        place = (dot.value - low) / (high - low)
        column = round(place * _COLUMNS)
        height = heaps[column]
        heaps[column] += 1
        side = 1 if height % 2 else -1
        y = _MIDDLE + side * 4 * min((height + 1) // 2, _HEAPS)
        colour = "var(--marked)" if dot.marked else "var(--dot)"
        circle = f'<circle cx="{_percent(place)}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.8"/>'
        found.append(f'<a href="#{escape(dot.anchor)}"><title>{escape(dot.title)}</title>{circle}</a>')
    return found


def _number(value: float, place: float, anchor: str, decimals: int) -> str:
    where = f'x="{_percent(place)}" y="{_HEIGHT - 3}" text-anchor="{anchor}"'
    return f'<text {where} fill="currentColor" fill-opacity="0.75">{rounded(value, decimals)}</text>'
