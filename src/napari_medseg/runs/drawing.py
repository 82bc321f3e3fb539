"""Small drawings as SVG: the values of a figure over a cohort, on a line."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..quantities import rounded

_WIDTH = 1180
_LEFT = 420  # for the title
_RIGHT = 24
_HEIGHT = 46
_MIDDLE = 17
_HEAPS = 3  # rows of dots in each direction
_COLUMN = 7  # within which dots lie above each other
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
    scale = (_WIDTH - _LEFT - _RIGHT) / (high - low)
    place = _LEFT + scale * (middle - low)
    drawn = [
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        f'<text x="0" y="{_MIDDLE + 4}">{escape(title)}</text>',
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_MIDDLE}" y2="{_MIDDLE}" stroke="#b8bec8"/>',
        f'<line x1="{place:.1f}" x2="{place:.1f}" y1="2" y2="{2 * _MIDDLE - 2}" stroke="#333" stroke-width="2"/>',
        *_circles(dots, low, scale),
        _number(low, _LEFT, "start", decimals),
        _number(high, _WIDTH - _RIGHT, "end", decimals),
    ]
    # at the ends the median would lie on the other numbers
    if _FREE < (middle - low) / (high - low) < 1 - _FREE:
        drawn.append(_number(middle, place, "middle", decimals))
    return "".join(drawn) + "</svg>"


def _circles(dots: Sequence[Dot], low: float, scale: float) -> list[str]:
    found = []
    heaps: Counter[int] = Counter()
    for dot in sorted(dots, key=lambda dot: dot.marked):
        x = _LEFT + scale * (dot.value - low)
        column = round(x / _COLUMN)
        height = heaps[column]
        heaps[column] += 1
        side = 1 if height % 2 else -1
        y = _MIDDLE + side * 4 * min((height + 1) // 2, _HEAPS)
        colour = "#c0392b" if dot.marked else "#3b6ea5"
        circle = f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.75"/>'
        found.append(f'<a href="#{escape(dot.anchor)}"><title>{escape(dot.title)}</title>{circle}</a>')
    return found


def _number(value: float, x: float, anchor: str, decimals: int) -> str:
    place = f'x="{x:.1f}" y="{_HEIGHT - 3}" text-anchor="{anchor}"'
    return f'<text {place} fill="#555">{rounded(value, decimals)}</text>'
