"""Files replaced or left alone: written next to their target, brought to the disk, checked, renamed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import FileError, short
from .folders import put, put_back, remove, to_disk
from .names import refuse_name
from .special import real, refuse_special

_DAY = 24 * 60 * 60
_NAME_CHARACTERS = 40  # of the target in a temporary name: a file system allows 255 in all
_TEMPORARY = re.compile(r"\.medseg-[0-9a-f]{16}-.+")


@dataclass(frozen=True)
class Change:
    """A file, or a folder that is one image, to make or replace.

    Parameters
    ----------
    path : pathlib.Path
        Target; a link is followed.
    write : callable
        Writes the new content to the path that it is given: a hidden name in the same folder, same ending.
    check : callable, optional
        Raises `FileError` if what was written there is not what it should be.
    """

    path: Path
    write: Callable[[Path], object]
    check: Callable[[Path], object] | None = None

    @cached_property
    def target(self) -> Path:
        return real(self.path)

    @cached_property
    def temporary(self) -> Path:
        """A name that nobody can foresee, so that no link can be planted there."""
        return self.target.with_name(f".medseg-{secrets.token_hex(8)}-{self.target.name[-_NAME_CHARACTERS:]}")

    def ask(self) -> None:
        """Renaming over a write-protected file would succeed: ask before."""
        put_back(self.target)
        if is_protected(self.target):
            raise PermissionError("the file is write-protected")

    def prepare(self) -> None:
        """Write the temporary file, bring it to the disk, check it."""
        self.write(self.temporary)
        to_disk(self.temporary)
        if self.check is not None:
            self.check(self.temporary)
        if self.target.exists():
            shutil.copymode(self.target, self.temporary)


def is_protected(path: Path) -> bool:
    """Whether a file or folder is there that is not to be changed."""
    return path.exists() and not (path.stat().st_mode & 0o222 and os.access(path, os.W_OK))


def replace(path: Path, write: Callable[[Path], object], check: Callable[[Path], object] | None = None) -> None:
    """Make or replace one file, see `Change` and `replace_all`."""
    replace_all(Change(path, write, check))


def replace_all(*changes: Change) -> None:
    """Make or replace files: all are written and checked before the first of them takes its name.

    They take their names in the order given. A process that is killed in between leaves the first ones new and the
    others as they were, so the order says which mixture may be found.

    Raises
    ------
    FileError
        If writing or a check fails, or a device or a pipe would become a file. The earlier files are then unchanged and
        nothing is left behind. Only if a further one of several renames fails, the files before it are new.
    """
    for change in changes:
        refuse_name(change.path)
        refuse_special(change.path)
    done: list[Change] = []
    current = changes[0]
    try:
        for step in (Change.ask, Change.prepare):
            for current in changes:
                step(current)
        for current in changes:
            put(current.temporary, current.target)
            done.append(current)
    except (OSError, FileError) as error:
        raise FileError(
            f"'{current.path.name}' could not be saved ({_words(error)}). {_state(current, done)}"
        ) from error
    finally:
        for change in changes:
            remove(change.temporary)
    for folder in {change.target.parent for change in changes}:
        _names_to_disk(folder)


def replace_bytes(path: Path, content: bytes) -> None:
    """Make or replace a file that holds `content`; see `replace_all`."""
    replace(path, lambda temporary: temporary.write_bytes(content))


def move(path: Path, target: Path) -> None:
    """Give a file another name on the same disk, for good; a file of that name is replaced.

    Raises
    ------
    FileError
        If the system refuses; nothing has changed then.
    """
    try:
        os.replace(path, target)
    except OSError as error:
        raise FileError(
            f"'{path.name}' could not be renamed to '{target.name}' ({_words(error)}). Close the programs that use it "
            "and try again."
        ) from error
    _names_to_disk(target.parent)


def replace_by(temporary: Path, target: Path) -> None:
    """Bring a folder that is complete to the disk, and give it the name of another one, which is removed.

    Raises
    ------
    FileError
        If the system refuses; the earlier one is then unchanged, and the new one keeps its name.
    """
    try:
        to_disk(temporary)
        put(temporary, target)
    except OSError as error:
        raise FileError(
            f"'{temporary.name}' is finished and could not be renamed to '{target.name}' ({_words(error)}). Rename it."
        ) from error
    _names_to_disk(target.parent)


def sweep(folder: Path) -> list[Path]:
    """Remove what processes that were killed left half-written in `folder` a day ago or earlier.

    Returns
    -------
    list of pathlib.Path
        What was removed.
    """
    removed = []
    for path in folder.glob(".medseg-*"):
        with suppress(OSError):
            old = path.lstat().st_mtime < time.time() - _DAY
            if old and _TEMPORARY.fullmatch(path.name):
                remove(path)
                removed.append(path)
    return removed


def abandon(path: Path) -> None:
    """Remove what a process that has ended left half-written next to `path`, its target."""
    target = real(path)
    name = re.escape(target.name[-_NAME_CHARACTERS:])
    for other in target.parent.glob(".medseg-*"):
        if re.fullmatch(rf"\.medseg-[0-9a-f]{{16}}-{name}", other.name):
            remove(other)


def _words(error: Exception) -> str:
    """Why the system refused; NumPy reports a full disk without its words, HDF5 with many others."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else short(error)


def _state(failed: Change, done: Sequence[Change]) -> str:
    """What is on the disk after a failure, and what to do."""
    if done:
        return f"'{done[0].path.name}' was saved without it. Save again, or to another place."
    state = "The earlier file is unchanged." if failed.target.exists() else "Nothing was written."
    return f"{state} Save to another place."


def _names_to_disk(folder: Path) -> None:
    """Bring a rename to the disk. Not every system can; the files are complete under either name without it."""
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
