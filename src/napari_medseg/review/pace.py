"""How fast a person reviews: seconds in view per slice, and what the other slices will take."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence

_PAUSE = 120.0  # seconds without a sign of the person: they are not at the screen
_FEWEST = 3  # slices that say something


class Pace:
    """Counts the seconds that slices are in view.

    Parameters
    ----------
    clock : callable
        Seconds from any start.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._shown: int | None = None
        self._since = clock()

    def sign(self, shown: int | None) -> tuple[int, float] | None:
        """The person scrolls, paints or presses a key while a slice is in view, or with None goes away.

        Returns
        -------
        (int, float) or None
            The slice that was in view until now, and the seconds since the last sign; a pause counts as two minutes.
        """
        now = self._clock()
        before = self._shown
        spent = min(now - self._since, _PAUSE)
        self._shown = shown
        self._since = now
        return None if before is None else (before, spent)


def rest(paces: Sequence[float], remaining: int) -> float:
    """Seconds that so many further slices will take, from those of approved ones; NaN below three of these."""
    if len(paces) < _FEWEST:
        return math.nan
    return remaining * statistics.median(paces)
