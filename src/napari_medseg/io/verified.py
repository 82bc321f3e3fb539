"""Write beside, read back, compare, rename: a save either succeeds wholly or leaves the old file alone."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import FileError
from ..volume import Volume
from .checks import short

AFFINE_TOLERANCE = 1e-6
"""Largest difference between an affine and the one read back, in mm."""


def replace(path: Path, save: Callable[[Path], object], check: Callable[[Path], object]) -> None:
    """Make or replace the file `path` in one step.

    Parameters
    ----------
    path : pathlib.Path
        Target; a link is followed.
    save : callable
        Writes the new content to the path that it is given: a hidden name in the same folder, same ending.
    check : callable
        Raises `FileError` if what was written there is not what it should be.

    Raises
    ------
    FileError
        If writing or the check fails. The earlier file is then unchanged and nothing is left behind.
    """
    target = path.resolve()
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name[-40:]}")
    try:
        # renaming over a write-protected file would succeed: ask before
        if target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
            raise PermissionError("the file is write-protected")
        save(temporary)
        _to_disk(temporary)
        check(temporary)
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except (OSError, FileError) as error:
        # numpy tells a full disk without the system's words
        reason = getattr(error, "strerror", None) or short(error)
        state = "The earlier file is unchanged." if target.exists() else "Nothing was written."
        raise FileError(f"'{path.name}' could not be saved ({reason}). {state} Save to another place.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
