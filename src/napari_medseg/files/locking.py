"""Folders that one process at a time may write to."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import FileError, JobError, SettingsError, reason
from .names import refuse_name
from .replacing import sweep
from .typed import dump, load

LOCK = ".napari-medseg.lock"
"""File that is locked while a process writes to a folder."""

HOLDER = ".napari-medseg.process"
"""File that says which process that is."""


@dataclass(frozen=True)
class Holder:
    """The process that writes to a folder.

    Parameters
    ----------
    host : str
        Name of its computer.
    pid : int
    created : float
        When it was started, in seconds of that computer's clock: numbers of processes are used again.
    since : str
        Time of day at which it began with the folder.
    """

    host: str
    pid: int
    created: float
    since: str

    def __str__(self) -> str:
        return f"host {self.host}, process {self.pid}, since {self.since}"

    @classmethod
    def of(cls, pid: int) -> Holder:
        """The process `pid` of this computer, from now on."""
        import psutil

        return cls(socket.gethostname(), pid, psutil.Process(pid).create_time(), f"{datetime.now():%H:%M}")


def holder(folder: Path) -> Holder | None:
    """Which process was last noted as writing to a folder; None if there is none, or its note cannot be read."""
    try:
        return load(folder / HOLDER, Holder)
    except (FileError, SettingsError):
        return None


def note(folder: Path, pid: int) -> None:
    """Note that the process `pid` of this computer writes to a folder."""
    dump(folder / HOLDER, Holder.of(pid))


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a folder; asking leaves nothing behind."""
    from filelock import FileLock, Timeout

    place = folder / LOCK
    if not place.exists():
        return False
    try:
        with FileLock(place, timeout=0):
            place.unlink()
    except Timeout:
        return True
    except OSError:
        return False
    return False


@contextmanager
def lock(folder: Path) -> Generator[None]:
    """Make a folder, and keep other processes out of it for as long as the context lasts; see `sweep` too.

    The system lets go of the lock when the process ends, however it ends. Network file systems may not keep it.

    Raises
    ------
    FileError
        If the folder cannot be made or written to.
    JobError
        If another process holds the lock.
    """
    from filelock import FileLock, Timeout

    refuse_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # one thread may take it and another let go of it
        held = FileLock(folder / LOCK, timeout=0, thread_local=False)
        held.acquire()
    except Timeout as error:
        other = holder(folder)
        known = f" ({other})" if other else ""
        raise JobError(
            f"Another run{known} writes to '{folder}'. Wait until it has ended, or choose another folder."
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        _note_this_process(folder)
        sweep(folder)
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink()
        with suppress(OSError):
            # while it is held: whoever has opened the file meanwhile notices that it is gone, and makes another one
            (folder / LOCK).unlink()
        held.release()


def _note_this_process(folder: Path) -> None:
    try:
        note(folder, os.getpid())
    except FileError as error:  # it names a file that nobody knows
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: Exception) -> FileError:
    return FileError(f"The folder '{folder}' cannot be written to ({reason(error)}). Choose another one.")
