"""How long work reports progress and is cancelled: a job is a generator that yields `Progress`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_FEW = 1 / 8  # share of a job below which its first batch alone says little: it also waits for files and libraries
_MOST_MARKS = 256


@dataclass(frozen=True)
class Progress:
    """One step of a job.

    Parameters
    ----------
    done, total : int
        Steps finished and steps in all.
    partial : object, optional
        A piece of the result that can already be shown; each job documents its kind.
    """

    done: int
    total: int
    partial: Any = None


Job = Generator[Progress, None, T]
"""A generator that yields `Progress` and returns its result; closing it cancels the work."""


def within(job: Job[T], done: int, total: int) -> Job[T]:
    """Drive `job` as a part of a larger one that is at `done` of `total`: its steps become places to cancel."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value
        yield Progress(done, total)


def moved(job: Job[T], before: int, total: int | None = None) -> Job[T]:
    """Drive `job` as a part of a larger one of `total` steps, of which `before` come first; by default as its last."""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        whole = step.total + before if total is None else total
        yield Progress(step.done + before, whole, step.partial)


def counted(job: Job[T], total: int) -> Job[T]:
    """Drive `job` as one of `total` steps, whatever its own steps are."""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        yield Progress(step.done * total // max(1, step.total), total, step.partial)


def run(job: Job[T], on_progress: Callable[[Progress], None] | None = None) -> T:
    """Drive `job` to its end in this thread and return its result."""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        if on_progress is not None:
            on_progress(step)


def pace(marks: Sequence[tuple[float, float]]) -> float:
    """Seconds per step of a job, from the later half of what is known: a slow beginning is soon forgotten.

    Parameters
    ----------
    marks : sequence of (float, float)
        Times in seconds, and how many steps were done by then.

    Returns
    -------
    float
        NaN where fewer than two are known.
    """
    if len(marks) < 2:
        return math.nan
    began, before = marks[(len(marks) - 1) // 2]
    ended, done = marks[-1]
    return (ended - began) / max(1, done - before)


class Remaining:
    """How long a job will still take: by its own pace, and before that is known as was expected.

    Parameters
    ----------
    expected : float
        Seconds that the whole job was thought to take; NaN if nobody knows.
    """

    def __init__(self, expected: float = math.nan):
        self._expected = expected
        self._began = time.monotonic()
        self._total = 0
        self._marks: list[tuple[float, float]] = []

    def seconds(self, progress: Progress) -> float:
        """Seconds left when the job is at `progress`, which it has just reported; NaN while that cannot be said."""
        now = time.monotonic()
        self._note(now, progress)
        reached, done = self._marks[-1]
        if done >= progress.total:
            return math.nan
        first_batch_only = len(self._marks) <= 2
        if first_batch_only and done < _FEW * progress.total and not math.isnan(self._expected):
            left = self._expected - (now - self._marks[0][0])
            return left if left > 0 else math.nan
        rate = pace(self._marks)
        # between two batches the time runs down, but not below what comes after the one under way
        batch = done - self._marks[-2][1] if len(self._marks) > 1 else 0
        return rate * (progress.total - done) - min(now - reached, rate * batch)

    def _note(self, now: float, progress: Progress) -> None:
        """Remember when how much was done; work that is counted anew has a new pace."""
        done = self._marks[-1][1] if self._marks else 0
        if progress.done < done or (done and progress.total != self._total):
            self._marks = []
            self._began = now
        self._total = progress.total
        if not self._marks:
            # what was not seen from the start has begun with this clock
            self._marks.append((self._began if progress.done else now, 0))
        if progress.done > self._marks[-1][1]:
            self._marks.append((now, progress.done))
        if len(self._marks) > _MOST_MARKS:
            self._marks = self._marks[::2]


@contextmanager
def log_messages(logger: str, say: Callable[[str], None]) -> Generator[None]:
    """Hand what `logger` and those below it note meanwhile to `say`."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(record.getMessage())

    handler, source = Handler(logging.INFO), logging.getLogger(logger)
    level = source.level
    source.addHandler(handler)
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.removeHandler(handler)
        source.setLevel(level)
