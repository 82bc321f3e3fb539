"""3-D Cartesian scans as stacks of slices.

Where all partitions are sampled alike, they are transformed to slices. Else the readout is transformed, and every
position on it is a slice with two phase encodings.
"""

from __future__ import annotations

import operator
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError
from ..kspace import KSpace
from . import checks
from .kspace_masks import masked

_COPIES = 3  # arrays of the size of all partitions that their transform takes
_PARTIAL_ECHO = "The readouts are partial echoes; the missing part of each is filled with zeros."
_BLOCK_BYTES = 2**29  # of the positions that are kept at once; all of the scan is read for each such block


@dataclass(frozen=True, eq=False)
class Scan3D:
    """A 3-D scan before any transform.

    Parameters
    ----------
    path : pathlib.Path
    planes : array
        Shape (group * partition, coil, y, x), read one at a time: the partitions of a group are one volume.
    seen : numpy.ndarray, shape (group, partition, x), bool
        Where there is a readout.
    rows : numpy.ndarray, shape (y,), bool
        Rows that the readouts reach.
    shown : (int, int, int)
        Partitions, rows and columns of the image; the others are oversampling.
    spacing : (float, float, float) or None
        Along partitions, rows and columns, in mm.
    acquired : (int, int) or None
        See `KSpace`.
    frames : int
    """

    path: Path
    planes: Any
    seen: np.ndarray
    rows: np.ndarray
    shown: tuple[int, int, int]
    spacing: tuple[float, float, float] | None = None
    acquired: tuple[int, int] | None = None
    frames: int = 1

    @property
    def partitions(self) -> int:
        """Partitions of a volume."""
        return self.seen.shape[1]


def stacked(scan: Scan3D) -> KSpace:
    """k-space of the slices of a 3-D scan.

    Raises
    ------
    FileError
        If its partitions fold over one another and nothing tells them apart.
    """
    for volume in scan.seen:
        _refuse_equal_steps(scan.path.name, volume)
    alike = (scan.seen == scan.seen[:, :1]).all()
    return _partitions(scan) if alike and _fits(scan) else _across(scan)


def _fits(scan: Scan3D) -> bool:
    """Whether all partitions can be held in memory while they are transformed."""
    try:
        checks.check_size(scan.path, (_COPIES, *scan.planes.shape), np.dtype(np.complex64).itemsize)
    except FileError:
        return False
    return True


def _partitions(scan: Scan3D) -> KSpace:
    """k-space whose slices are the partitions, transformed."""
    from scipy import fft  # other files need none of it

    shape = scan.planes.shape
    data = np.stack([scan.planes[index] for index in range(shape[0])]).reshape(-1, scan.partitions, *shape[1:])
    data = fft.fftshift(fft.ifft(fft.ifftshift(data, axes=1), axis=1, norm="ortho", overwrite_x=True), axes=1)
    # as along the readout, the slab can be measured wider than it is shown
    depth, height, width = scan.shown
    top = (scan.partitions - depth) // 2
    data = data[:, top : top + depth].reshape(-1, *shape[1:])
    kspace = KSpace(data, acquired=scan.acquired, crop=(height, width), spacing=scan.spacing, frames=scan.frames)
    rows = (scan.rows[:1] if scan.rows.all() else scan.rows)[:, None]
    return masked(kspace, [rows & volume[:1] for volume in scan.seen for _ in range(depth)])


def _across(scan: Scan3D) -> KSpace:
    """k-space whose slices lie across the readout."""
    depth, height, width = scan.shown
    first = (scan.planes.shape[2] - height) // 2
    metadata: dict[str, Any] = {"across": True}
    spacing = None
    if scan.spacing is not None:
        partition, readout, column = scan.spacing
        spacing = (readout, partition, column)
        # the slices lie where those of partitions would
        metadata["affine"] = np.eye(4)
        metadata["affine"][:3, :3] = [[column, 0, 0], [0, 0, readout], [0, partition, 0]]
    kspace = KSpace(
        Across(scan.planes, scan.partitions, first, height),
        acquired=scan.acquired,
        crop=(depth, width),
        spacing=spacing,
        metadata=metadata,
        frames=scan.frames,
        notes=() if scan.rows.all() else (_PARTIAL_ECHO,),
    )
    if (scan.seen == scan.seen[:1]).all():
        return masked(kspace, [scan.seen[0]])
    return masked(kspace, [volume for volume in scan.seen for _ in range(height)])


@dataclass(eq=False)
class Across:
    """Slices across the readout, made of the partitions block by block, so that memory does not grow with the scan.

    Parameters
    ----------
    planes : array
        Shape (group * partition, coil, y, x), read one at a time: the partitions of a group are one volume.
    partitions : int
    first, count : int
        Positions along the readout that become slices; those outside are oversampling.
    """

    planes: Any
    partitions: int
    first: int
    count: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _at: tuple[int, int] = (-1, -1)
    _block: np.ndarray | None = None

    dtype = np.dtype(np.complex64)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (group * position, coil, partition, x)."""
        planes, coils, _, columns = self.planes.shape
        return planes // self.partitions * self.count, coils, self.partitions, columns

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """One slice, shape (coil, partition, x), complex64.

        Raises
        ------
        FileError
            If the file is gone or damaged.
        """
        group, place = divmod(range(len(self))[operator.index(index)], self.count)
        with self._lock:
            start = place - place % self._at_once
            if self._block is None or self._at != (group, start):
                self._block = None  # two blocks need not be there at once
                self._block = self._made(group, start)
                self._at = (group, start)
            return self._block[place - start].copy()

    @property
    def _at_once(self) -> int:
        """Positions in a block."""
        _, coils, partitions, columns = self.shape
        return max(1, _BLOCK_BYTES // (coils * partitions * columns * self.dtype.itemsize))

    def _made(self, group: int, start: int) -> np.ndarray:
        """A block, shape (position, coil, partition, x)."""
        from scipy import fft  # other files need none of it

        _, coils, partitions, columns = self.shape
        end = min(start + self._at_once, self.count)
        block = np.empty((end - start, coils, partitions, columns), self.dtype)
        for partition in range(partitions):
            plane = fft.ifftshift(self.planes[group * partitions + partition], axes=1)
            plane = fft.fftshift(fft.ifft(plane, axis=1, norm="ortho"), axes=1)
            block[:, :, partition] = plane[:, self.first + start : self.first + end].swapaxes(0, 1)
        return block


def _refuse_equal_steps(name: str, seen: np.ndarray) -> None:
    """Refuse scans whose partitions fold over one another with nothing to tell them apart.

    Parameters
    ----------
    name : str
        Of the file.
    seen : numpy.ndarray, shape (partition, x), bool
        What was measured of a volume.

    Raises
    ------
    FileError
    """
    steps = np.diff(np.flatnonzero(seen.any(1)))
    if len(steps) and steps.min() > 1 and (steps == steps[0]).all():
        raise FileError(
            f"'{name}' measures every {_ordinal(int(steps[0]))} partition and no full centre, so that its partitions "
            "fold over one another and coil sensitivities cannot be estimated. Measure it with calibration lines, or "
            "unfold it with the software of the scanner first."
        )


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
