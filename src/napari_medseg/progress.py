"""How long work reports progress and is cancelled: a job is a generator that yields `Progress`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


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


def run(job: Job[T], on_progress: Callable[[Progress], None] | None = None) -> T:
    """Drive `job` to its end in this thread and return its result."""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        if on_progress is not None:
            on_progress(step)


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
