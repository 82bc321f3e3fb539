"""Passes of a network, side by side in threads, and ended within a moment once the run is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from contextlib import nullcontext
from threading import Event
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..progress import Job, Progress

_BEAT = 0.2  # seconds after which a run looks whether it was cancelled

_under_way: list[int] = []  # the threads that there were before, one entry for each `side_by_side`


def threads() -> int:
    """Threads that PyTorch may use, whatever the workers of another job have made of that meanwhile."""
    return _under_way[0] if _under_way else torch.get_num_threads()


def side_by_side(
    passes: Sequence[Callable[[], None]], workers: int, progress: Progress, *, long: bool = True
) -> Job[None]:
    """Do `passes` side by side in that many workers; yields `progress` meanwhile, to be cancelled.

    The workers share the threads of PyTorch: as many workers as threads compute with one each. Once the job is closed,
    passes that are `long` end before their next operation; to watch short ones would cost up to a tenth of their time.
    One worker is this thread, which computes with all threads.
    """
    if workers == 1:
        for number, work in enumerate(passes):
            if number:
                yield progress
            work()
        return
    before = threads()
    share = max(1, before // workers)
    stopped = Event()

    def unless_stopped(work: Callable[[], None]) -> None:
        with _Stoppable(stopped) if long else nullcontext():
            work()

    _under_way.append(before)
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(share,)) as pool:
            waiting = {pool.submit(unless_stopped, work) for work in passes}
            try:
                while waiting:
                    done, waiting = wait(waiting, _BEAT, FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    if waiting:
                        yield progress
            finally:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
    finally:
        _under_way.pop()
        torch.set_num_threads(before)  # the last word of any thread counts for threads to come


class _Stoppable(TorchFunctionMode):
    """Ends the pass of a thread before its next operation once a run is cancelled."""

    def __init__(self, stopped: Event):
        super().__init__()
        self._stopped = stopped

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._stopped.is_set():
            raise CancelledError
        return func(*args, **(kwargs or {}))
