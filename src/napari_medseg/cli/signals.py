"""Signals that end a command as Ctrl+C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal other than Ctrl+C.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int):
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def stops() -> Generator[None]:
    """Have SIGTERM and SIGHUP end the work as Ctrl+C does: schedulers send the one, closing terminals the other."""

    def stop(number: int, _: object) -> None:
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in known}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
