"""Which process is at work in the folder of a run: one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from ..errors import FileError, JobError
from ..models.card import replace_file

_NOTE = "process.json"


def note(run: Path, process: psutil.Process) -> None:
    """Note in the folder of a run that `process` is at work there."""
    content = {"pid": process.pid, "created": process.create_time()}
    replace_file(run / _NOTE, json.dumps(content).encode())


def process(run: Path) -> psutil.Process | None:
    """The process that is at work in the folder of a run, whoever started it."""
    try:
        noted = json.loads((run / _NOTE).read_text(encoding="utf-8"))
        found = psutil.Process(noted["pid"])
        same = abs(found.create_time() - noted["created"]) < 1  # numbers of processes are used again
        return found if same and found.is_running() and found.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


@contextmanager
def alone(run: Path) -> Generator[None]:
    """Make the folder of a run, and keep other processes of this computer out of it.

    Raises
    ------
    FileError
        If it cannot be made or written to.
    JobError
        If another process is at work there.
    """
    other = process(run)
    # who started this process may have noted it, or the launcher that came before it
    if other is not None and other.pid not in (os.getpid(), os.getppid()):
        raise JobError(
            f"Process {other.pid} is training in '{run}'. Wait until it has ended, or choose another folder."
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
        note(run, psutil.Process())
    except OSError as error:
        raise FileError(f"The folder '{run}' cannot be written to ({error.strerror}). Choose another one.") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (run / _NOTE).unlink()
