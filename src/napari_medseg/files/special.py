"""Places that look like files and never end: named pipes, sockets, devices, links that lead back to themselves."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from ..errors import FileError

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_file(path: Path) -> bool:
    """Whether a regular file is there; of names that no system can keep, `Path.is_file` raises an error."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Whether a folder is there, whatever the name."""
    return os.path.isdir(path)


def real(path: Path) -> Path:
    """The absolute path that `path` leads to; a link that leads back to itself stays as it is."""
    return Path(os.path.realpath(path))


def refuse_special(path: Path) -> None:
    """Make sure that reading `path` ends: a regular file, a folder, or nothing that is there.

    Whoever opens a named pipe waits for a writer, for ever if none comes, and a device may never end.

    Raises
    ------
    FileError
        If it is a named pipe, a socket or a device; a link counts as what it leads to.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # opening it says what is wrong
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), None)
    if kind is not None:
        raise FileError(f"'{path.name}' is {kind}; expected a file. Choose another one.")
