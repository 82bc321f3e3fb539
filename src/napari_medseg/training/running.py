"""Which process is at work in the folder of a run: `files.lock` sees to it that there is one at a time."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil

from .. import files


def process(run: Path) -> psutil.Process | None:
    """The process of this computer that is at work in the folder of a run, whoever started it."""
    noted = files.holder(run)
    if noted is None or noted.host != socket.gethostname():
        return None
    try:
        found = psutil.Process(noted.pid)
        same = abs(found.create_time() - noted.created) < 1  # numbers of processes are given anew
        return found if same and found.is_running() and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None
