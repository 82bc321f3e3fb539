"""The folder of a run: what lies in it, who is at work in it, and whether it can be written to."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from .. import files
from ..errors import FileError, reason

SETTINGS = "settings.json"
LOG = "log.jsonl"
LAST = "last.pt"
RECORD = "record.json"
STOP = "stop"
RECIPE = "recipe.json"
"""Settings that a run which learns from annotated slices begins with."""
DATA = "data"
"""The slices that it learns from."""


@contextmanager
def writing(run: Path) -> Generator[None]:
    """Turn a full disk, or a folder that cannot be written to, into one sentence."""
    try:
        yield
    except (OSError, RuntimeError, FileError) as error:  # the second by PyTorch
        raise FileError(
            f"The folder '{run}' cannot be written to ({reason(error)}). Make room or choose another folder; the same "
            "command continues from the last checkpoint."
        ) from error


def begun(name: str, run: Path) -> bool:
    """Whether the folder holds a checkpoint of a run, or weights of the model `name`."""
    return any((run / file).exists() for file in (LAST, f"{name}.safetensors"))


def process(run: Path) -> psutil.Process | None:
    """The process of this computer that is at work in the folder of a run, whoever started it.

    `files.lock` sees to it that there is one at a time.
    """
    noted = files.holder(run)
    if noted is None or noted.host != socket.gethostname():
        return None
    try:
        found = psutil.Process(noted.pid)
        same = abs(found.create_time() - noted.created) < 1  # numbers of processes are given anew
        return found if same and found.is_running() and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None
