"""Who works on the files of a cohort: this process, or child processes of this computer; see `cluster` for more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from ..errors import SettingsError
from .child import Children
from .tasks import Task


class Crew:
    """This process: one file after the other.

    A crew with an `executor` takes tasks elsewhere; `cohort_job` knows of it only what is here.
    """

    executor: Executor | None = None
    sees_files_at_once: bool = True
    """Whether this process sees what the crew has written as soon as it says so."""

    def submit(self, question: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Have a task done (JSON of `Task` and of `Outcome`)."""
        raise NotImplementedError

    def slots(self) -> int:
        """How many files are worked on at once."""
        return 1

    def lost(self) -> str:
        """Why nothing more will come, in a sentence; empty while all is well."""
        return ""

    def explained(self, error: Exception, task: Task) -> Exception:
        """What kept a task from being done, as a sentence where that is known."""
        return error

    def stop(self) -> None:
        """End what is at work, at once."""

    def close(self) -> None:
        """Let the crew go; idle processes end."""
        self.stop()


class _Local(Crew):
    """Child processes of this computer, each with a thread that waits for it."""

    def __init__(self, workers: int, threads: int, memory_gb: float, minutes: float):
        self._workers = workers
        self._children = Children(threads, memory_gb, minutes)
        self._pool = ThreadPoolExecutor(workers)
        self.executor = self._pool

    def submit(self, question: Mapping[str, Any]) -> Future[dict[str, Any]]:
        return self._pool.submit(self._children.work, question)

    def slots(self) -> int:
        return self._workers

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._children.stop()
        # the threads now only remove what their children left half-written
        self._pool.shutdown(wait=True)


def here() -> Crew:
    """This process, one file after the other."""
    return Crew()


def local(workers: int, threads: int = 0, memory_gb: float = 0.0, minutes: float = 0.0) -> Crew:
    """Child processes of this computer.

    Parameters
    ----------
    workers : int
        How many, from 1.
    threads : int
        Of each of them; 0 shares the processor cores out. More threads than cores make everything many times slower.
    memory_gb, minutes : float
        A child that takes more is ended, and its file fails; 0 for no limit.

    Raises
    ------
    SettingsError
        If a number is out of its range.
    """
    if workers < 1 or threads < 0 or not (memory_gb >= 0 and minutes >= 0):  # nan is neither
        raise SettingsError(
            f"{workers} workers with {threads} threads and limits of {memory_gb:g} GB and {minutes:g} minutes were "
            "asked for; expected at least 1 worker, and 0 or more of the others."
        )
    return _Local(workers, threads or max(1, cores() // workers), memory_gb, minutes)


def cores() -> int:
    """Processor cores that this process may use; clusters and containers allow less than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
