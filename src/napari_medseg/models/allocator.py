"""Memory that tensors give back and take again."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # parameters of mallopt, see its manual page
_KEPT = 2**30  # bytes
_USUAL = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}  # where glibc's own, which grow, end

_lock = Lock()
_jobs = 0


@contextmanager
def kept() -> Generator[None]:
    """Keep memory that tensors give back for the tensors that follow, until the work ends.

    glibc returns large pieces to the system at once and asks it for the next one, which it has to empty page by page:
    up to a third of the time of a small network. Does nothing where there is another C library.
    """
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    """Note that a piece of work begins or ends: several may be under way."""
    global _jobs
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    with _lock:
        _jobs += change
        for parameter, usual in _USUAL.items():
            library.mallopt(parameter, _KEPT if _jobs else usual)
        if not _jobs:
            library.malloc_trim(0)
