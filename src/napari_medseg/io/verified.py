"""Write next to it, read back, compare, rename: a save either succeeds wholly or leaves the old files alone."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import FileError
from ..volume import Volume
from .checks import short

AFFINE_TOLERANCE = 1e-6
"""Largest difference between an affine and the one read back, in mm."""


@dataclass(frozen=True)
class Change:
    """A file to make or replace.

    Parameters
    ----------
    path : pathlib.Path
        Target; a link is followed.
    save : callable
        Writes the new content to the path that it is given: a hidden name in the same folder, same ending.
    check : callable
        Raises `FileError` if what was written there is not what it should be.
    """

    path: Path
    save: Callable[[Path], object]
    check: Callable[[Path], object]

    @cached_property
    def target(self) -> Path:
        return self.path.resolve()

    @cached_property
    def temporary(self) -> Path:
        return self.target.with_name(f".{secrets.token_hex(4)}-{self.target.name[-40:]}")

    def ask(self) -> None:
        """Renaming over a write-protected file would succeed: ask before."""
        if self.target.exists() and not (self.target.stat().st_mode & 0o222 and os.access(self.target, os.W_OK)):
            raise PermissionError("the file is write-protected")

    def write(self) -> None:
        self.save(self.temporary)
        _to_disk(self.temporary)
        self.check(self.temporary)
        if self.target.exists():
            shutil.copymode(self.target, self.temporary)


def replace(path: Path, save: Callable[[Path], object], check: Callable[[Path], object]) -> None:
    """Make or replace one file, see `replace_all`."""
    replace_all(Change(path, save, check))


def replace_all(*changes: Change) -> None:
    """Make or replace files: all are written and checked before the first of them takes its name.

    Raises
    ------
    FileError
        If writing or a check fails. The earlier files are then unchanged and nothing is left behind. Only if the second
        of two renames fails, the first file is new.
    """
    done: list[Change] = []
    current = changes[0]
    try:
        for step in (Change.ask, Change.write):
            for current in changes:
                step(current)
        for current in changes:
            os.replace(current.temporary, current.target)
            done.append(current)
    except (OSError, FileError) as error:
        # numpy reports a full disk without the system's words
        reason = getattr(error, "strerror", None) or short(error)
        raise FileError(f"'{current.path.name}' could not be saved ({reason}). {_state(current, done)}") from error
    finally:
        for change in changes:
            with suppress(OSError):
                change.temporary.unlink(missing_ok=True)


def _state(failed: Change, done: Sequence[Change]) -> str:
    """What is on the disk after a failure, and what to do."""
    if done:
        return f"'{done[0].path.name}' was saved without it. Save again, or to another place."
    state = "The earlier file is unchanged." if failed.target.exists() else "Nothing was written."
    return f"{state} Save to another place."


def same(volume: Volume, back: Volume, *, notes: bool) -> None:
    """Compare a volume with its copy that was read back.

    Parameters
    ----------
    volume, back : Volume
    notes : bool
        Whether axes, affine and classes are compared too.

    Raises
    ------
    FileError
        If anything compared differs.
    """
    if back.data.shape != volume.data.shape:
        raise FileError(f"the copy read back has the shape {back.data.shape} in place of {volume.data.shape}")
    nan = volume.data.dtype.kind == "f"
    # slice by slice: comparing needs temporary arrays
    if not all(np.array_equal(a, b, equal_nan=nan) for a, b in zip(volume.data, back.data, strict=True)):
        raise FileError("the copy read back has other voxels")
    if notes and not np.allclose(volume.affine, back.affine, rtol=0, atol=AFFINE_TOLERANCE):
        raise FileError("the copy read back has another position or voxel size")
    if notes and (volume.axes, volume.classes) != (back.axes, back.classes):
        raise FileError("the copy read back has other axes or classes")
    if notes and volume.record is not None and back.record != volume.record.normal():
        raise FileError("the copy read back has another record")


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
