"""What NRRD and MetaImage share: a text header, then one block of voxels with x running fastest.

Both state positions in LPS+ millimetres, where x runs to the left and y to the back of the patient.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import FileError, VolumeError
from ..volume import Volume
from . import checks
from .notes import Notes, restore_axes

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Takes positions from one convention to the other, in both directions."""

ORDER = "tzyxc"
"""The axes of a block in the order of a C array; of those only z, y and x are always there."""

MAX_HEADER_BYTES = 2**26

_MAX_DEFLATE_RATIO = 1040  # no deflate stream unpacks to more
_ROUNDING = 1e-9  # of sizes and directions that are multiplied; what differs more, another program has changed
_KEPT = ("yx", "zyx", "tyx", "tzyx")
_PIECE = 2**20  # bytes unpacked at a time
_ANY_HEADER = 32 + zlib.MAX_WBITS  # zlib and gzip


@dataclass(frozen=True)
class Block:
    """Voxels, and what the header says of them.

    Parameters
    ----------
    data : numpy.ndarray
    axes : str
        One letter per axis of `data`, a part of `ORDER` in any order.
    affine : numpy.ndarray, shape (4, 4), or None
        As in `Volume`; None if the header states no voxel size.
    notes : Notes or None
        Ours, if the header holds them.
    """

    data: np.ndarray
    axes: str
    affine: np.ndarray | None
    notes: Notes | None


def volume_of(block: Block, axes: str | None = None) -> Volume:
    """The volume that a file holds.

    Parameters
    ----------
    block : Block
    axes : str, optional
        Names of the axes in place of those that the header gives.
    """
    notes = block.notes or Notes()
    data, found = _arranged(block, notes.axes)
    if not axes:
        data, found = restore_axes(data, found, notes.axes)
    metadata = dict(notes.metadata)
    affine = block.affine
    if affine is None:
        affine = np.eye(4) if notes.affine is None else notes.affine
        metadata["has_spacing"] = False
    else:
        metadata.pop("has_spacing", None)
        if notes.affine is not None and np.allclose(notes.affine, affine, rtol=_ROUNDING, atol=_ROUNDING):
            affine = notes.affine
    integers = data.dtype.kind in "iu"
    if integers and notes.classes:
        metadata["labels"] = True
    return Volume(checks.native(data), axes or found, affine, notes.classes if integers else (), metadata)


def _arranged(block: Block, noted: str) -> tuple[np.ndarray, str]:
    """Time first, then channels, unless they are the colours of a picture."""
    data, axes = block.data, block.axes
    order = "".join(name for name in "tczyx" if name in axes)
    if "c" in axes:
        channels = data.shape[axes.index("c")]
        pictures = data.dtype == np.uint8 and channels in (3, 4)
        if noted.endswith("c") if noted else pictures:
            order = order.replace("c", "") + "c"
    data = data.transpose([axes.index(name) for name in order])
    if order.endswith("c") and not noted:
        # the fourth colour is transparency
        data = data[..., :3]
    return data, order


def block_of(volume: Volume) -> tuple[np.ndarray, str]:
    """The voxels of a volume as a block, and its axes; a single slice becomes a stack of one.

    Raises
    ------
    VolumeError
        If the voxels are of a type that neither format has.
    """
    data, axes = np.asarray(volume.data), volume.axes
    if data.dtype.kind not in "iuf":
        raise VolumeError(f"The voxels are of type {data.dtype}; expected plain real numbers. Convert them first.")
    if "z" not in axes:
        place = axes.index("y")
        data = np.expand_dims(data, place)
        axes = f"{axes[:place]}z{axes[place:]}"
    order = "".join(name for name in ORDER if name in axes)
    return np.ascontiguousarray(data.transpose([axes.index(name) for name in order])), order


def read_voxels(
    path: Path, stream: IO[bytes], block: tuple[int, ...], axes: str, dtype: np.dtype, *, packed: bool
) -> np.ndarray:
    """The voxels that follow in `stream`; sizes are judged before memory is taken.

    Parameters
    ----------
    path : pathlib.Path
        The file, for messages.
    stream : file object
        At the first voxel.
    block : tuple of int
        Shape in C order.
    axes : str
        Names of its axes.
    dtype : numpy.dtype
        As stored.
    packed : bool
        Whether the voxels are a zlib or gzip stream.

    Raises
    ------
    FileError
        If the image is too large, or more or fewer voxels are there than announced.
    """
    checks.check_real(path, dtype)
    # what is in another order than in a volume is copied
    copied = not dtype.isnative or axes not in _KEPT
    checks.check_size(path, block, dtype.itemsize, 2 * dtype.itemsize if copied else 0)
    needed = math.prod(block) * dtype.itemsize
    start = stream.tell()
    left = stream.seek(0, 2) - start
    stream.seek(start)
    if needed > left * (_MAX_DEFLATE_RATIO if packed else 1):
        raise _cut_short(path, needed)
    data = np.empty(block, dtype)
    view = data.reshape(-1).view(np.uint8).data
    count = _unpack(path, stream, view) if packed else _fill(stream, view)
    if count < needed:
        raise _cut_short(path, needed)
    return data


def _fill(stream: IO[bytes], view: memoryview) -> int:
    """Read into `view` until it is full or the file ends."""
    count = 0
    while count < len(view):
        piece = stream.read(min(_PIECE, len(view) - count))
        if not piece:
            break
        view[count : count + len(piece)] = piece
        count += len(piece)
    return count


def _unpack(path: Path, stream: IO[bytes], view: memoryview) -> int:
    """Unpack into `view`, never more than a piece at a time; the check sum at the end is compared."""
    unpacker = zlib.decompressobj(_ANY_HEADER)
    count = 0
    packed = b""
    while not unpacker.eof:
        packed = packed or stream.read(_PIECE)
        if not packed:
            break
        piece = unpacker.decompress(packed, _PIECE)
        packed = unpacker.unconsumed_tail
        if count + len(piece) > len(view):
            raise FileError(
                f"'{path.name}' holds more than the {len(view)} bytes of voxels that its header announces. "
                "Copy it again from its source."
            )
        view[count : count + len(piece)] = piece
        count += len(piece)
    if not unpacker.eof:
        raise _cut_short(path, len(view))
    return count


def _cut_short(path: Path, needed: int) -> FileError:
    return FileError(
        f"'{path.name}' is cut short: its header announces {needed} bytes of voxels, more than the file holds. "
        "Copy it again from its source."
    )


def numbers(text: str, count: int) -> np.ndarray:
    """The `count` numbers in a text; the error goes through `checks.damaged`."""
    found = np.array(text.split(), dtype=np.float64)
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(f"{count} numbers are expected in place of '{text[:40]}'")
    return found


def digits(values: np.ndarray) -> list[str]:
    """Numbers as texts that give back exactly the same numbers."""
    return [repr(float(value)) for value in values]
