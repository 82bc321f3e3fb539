"""Folders that are replaced as a whole, being one image: moved aside, and put back if that was interrupted."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path


def put(temporary: Path, target: Path) -> None:
    """Give a file or a folder its name; what has it is replaced.

    No system replaces a folder that holds something: the earlier one gets a hidden name first, `put_back` brings it
    back if the process is killed before the new one has its name, and it is removed last.

    Raises
    ------
    OSError
        If the system refuses; the earlier one is then unchanged.
    """
    if not temporary.is_dir() or not target.exists():
        os.replace(temporary, target)
        return
    old = target.with_name(f".{target.name}.old-{secrets.token_hex(4)}")
    os.replace(target, old)
    try:
        os.replace(temporary, target)
    except OSError:
        os.replace(old, target)
        raise
    remove(old)


def put_back(target: Path) -> None:
    """Undo a replacement of a folder that was interrupted, or remove what a finished one has left."""
    found = [path for path in _moved_aside(target) if path.is_dir() and not path.is_symlink()]
    if found and not target.exists():
        newest = max(found, key=lambda path: path.lstat().st_mtime_ns)
        os.replace(newest, target)
        found.remove(newest)
    for path in found:
        shutil.rmtree(path, ignore_errors=True)


def _moved_aside(target: Path) -> list[Path]:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.old-[0-9a-f]{{8}}")
    try:
        return [path for path in target.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return []


def remove(path: Path) -> None:
    """Remove a file or a folder with all that it holds, if it is there and the system allows it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Bring the content of a file, or of every file in a folder, to the disk."""
    files = [path]
    if path.is_dir():
        files = [Path(place) / name for place, _, names in os.walk(path) for name in names]
    for each in files:
        with each.open("rb+") as file:
            os.fsync(file.fileno())
