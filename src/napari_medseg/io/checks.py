"""What every reader asks before it takes memory, and how damaged files are reported."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .. import files
from ..errors import FileError, MedsegError, short

LIMIT_BYTES = 64 * 2**30
"""No file may declare an image larger than this, whatever memory is free."""


@contextmanager
def damaged(path: Path) -> Generator[None]:
    """Turn whatever is raised on damaged input into one sentence; pipes and devices are not opened.

    Which exceptions file libraries raise then is not foreseen: of 3,000 damaged files some raise a new one.

    Parameters
    ----------
    path : pathlib.Path
        The file being read, for the message.

    Raises
    ------
    FileError
        In place of an exception that is not a sentence of ours, or if reading `path` would not end.
    """
    files.refuse_special(path)
    try:
        yield
    except MedsegError:  # a sentence of our own, though some are value errors too
        raise
    except Exception as error:
        raise FileError(
            f"'{path.name}' is damaged, cut short or not what it claims to be ({short(error)}). "
            "Copy it again from its source."
        ) from error


def check_size(path: Path, shape: Iterable[int], itemsize: int, taken: int = 0) -> None:
    """Refuse an image whose declared size is empty or does not fit.

    Parameters
    ----------
    path : pathlib.Path
        The file, for the message.
    shape : iterable of int
        Declared shape.
    itemsize : int
        Bytes per voxel once read.
    taken : int
        Bytes per voxel that reading takes at its peak, copies counted, if that is more.

    Raises
    ------
    FileError
        If an axis is not positive, or the image exceeds `LIMIT_BYTES` or the free memory.
    """
    from ..memory import free_bytes

    shape = tuple(int(n) for n in shape)
    size = " x ".join(map(str, shape))
    if not shape or min(shape) <= 0:
        raise FileError(f"'{path.name}' declares an image of ({size}) voxels; every axis needs at least one.")
    voxels = math.prod(shape)
    needed = voxels * max(int(itemsize), taken)
    free = free_bytes()
    if voxels * int(itemsize) > LIMIT_BYTES or needed > free:
        raise FileError(
            f"'{path.name}' declares an image of {size} voxels, for which reading takes {_gibibytes(needed)} GiB, but "
            f"only {_gibibytes(min(LIMIT_BYTES, free))} GiB may be used. If the size is true, free memory or crop the "
            "image; else the file is damaged."
        )


def _gibibytes(number: int) -> str:
    """Bytes in words; of numbers beyond any memory the order of magnitude is enough."""
    return f"{number / 2**30:.3g}" if number < 2**100 else f"10^{len(str(number >> 30)) - 1}"


def check_real(path: Path, dtype: np.dtype) -> None:
    """Refuse voxels that are not plain real numbers of at most eight bytes.

    Raises
    ------
    FileError
        For complex, structured, text or object types.
    """
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise FileError(
            f"'{path.name}' holds voxels of type {dtype}; expected plain integers or real numbers. "
            "Convert it first, complex images for example to their magnitude."
        )


def native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order, booleans as 0 and 1, C-ordered."""
    dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array, dtype=dtype)
