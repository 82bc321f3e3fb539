"""How fast a person reviews: seconds in view per slice, and what the other slices will take."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

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
        self._seconds: dict[int, float] = {}
        self._done: dict[int, float] = {}

    def sign(self, shown: int) -> None:
        """The person scrolls, paints or presses a key while a slice is in view."""
        now = self._clock()
        if self._shown is not None:
            spent = min(now - self._since, _PAUSE)
            self._seconds[self._shown] = self._seconds.get(self._shown, 0.0) + spent
        self._shown = shown
        self._since = now

    def approve(self, number: int) -> None:
        """The person has approved a slice."""
        self.sign(number)
        self._done[number] = self._seconds.get(number, 0.0)

    def seconds(self, remaining: int) -> float:
        """What so many further slices will take; NaN before three slices were approved."""
        if len(self._done) < _FEWEST:
            return math.nan
        return remaining * statistics.median(self._done.values())
