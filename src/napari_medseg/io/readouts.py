"""Readouts of ISMRMRD files: sorted into frames, slices and partitions, and put together when asked for."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FileError
from . import checks, kspace_hdf5
from .kspace_header import Header

_ROW = np.dtype(
    [
        ("record", np.int64),
        ("plane", np.int64),
        ("column", np.int64),
        ("skip", np.int64),
        ("kept", np.int64),
        ("start", np.int64),
        ("reverse", bool),
    ]
)
_CALIBRATION, _CALIBRATION_AND_IMAGING, _REVERSE = 20, 21, 22


def flagged(heads: np.ndarray, *flags: int) -> np.ndarray:
    """Which readouts bear one of these flags, counted from 1 as ISMRMRD does."""
    bits = sum(1 << (flag - 1) for flag in flags)
    return heads["flags"] & np.uint64(bits) != 0


def only_calibration(heads: np.ndarray) -> np.ndarray:
    """Which readouts were measured for calibration and not for the image."""
    return flagged(heads, _CALIBRATION) & ~flagged(heads, _CALIBRATION_AND_IMAGING)


@dataclass(frozen=True, eq=False)
class Frames:
    """Which readout belongs to which repetition, contrast, phase and set.

    Parameters
    ----------
    counters : tuple of str
    numbers : numpy.ndarray, shape (frame, counter)
        In order.
    kept : numpy.ndarray, shape (readout,), bool
        Those that belong to one of these frames.
    index : numpy.ndarray, shape (kept readout,)
        Number of its frame.
    notes : tuple of str
        What was left out.
    """

    counters: tuple[str, ...]
    numbers: np.ndarray
    kept: np.ndarray
    index: np.ndarray
    notes: tuple[str, ...]

    def named(self) -> list[dict[str, int]]:
        """For every frame the counters in which the frames differ."""
        differ = [column for column in range(len(self.counters)) if np.ptp(self.numbers[:, column])]
        return [{self.counters[column]: int(row[column]) for column in differ} for row in self.numbers]


def found_frames(path: Path, heads: np.ndarray, counters: tuple[str, ...]) -> Frames:
    """Sort readouts of images into frames; those without some of the slices are left out.

    Raises
    ------
    FileError
        If no frame has all slices.
    """
    values = np.stack([heads["idx"][name] for name in counters], 1)
    image = ~only_calibration(heads)
    numbers = np.unique(values[image] if image.any() else values, axis=0)
    # calibration may lie outside of all frames
    _, index = np.unique(np.concatenate([numbers, values]), axis=0, return_inverse=True)
    place = np.full(int(index.max()) + 1, -1)
    place[index[: len(numbers)]] = np.arange(len(numbers))
    index = place[index[len(numbers) :]]
    _, slices = np.unique(heads["idx"]["slice"], return_inverse=True)
    has = np.zeros((len(numbers), int(slices.max()) + 1), bool)
    has[index[image], slices[image]] = True
    complete = np.asarray(has.all(1)) if image.any() else np.ones(len(numbers), bool)
    if not complete.any():
        raise FileError(
            f"'{path.name}' holds {len(numbers)} repetitions, contrasts, phases or sets, none of them with all of its "
            f"{has.shape[1]} slices. Choose one, for example with --first contrast=0."
        )
    notes = []
    if not complete.all():
        missing = len(complete) - np.count_nonzero(complete)
        notes.append(f"{missing} of {len(complete)} frames lack slices and are left out.")
    kept = (index >= 0) & complete[index]
    renumbered = np.cumsum(complete) - 1
    return Frames(counters, numbers[complete], kept, renumbered[index[kept]], tuple(notes))


def arranged_lines(
    path: Path, group: str, header: Header, heads: np.ndarray, records: np.ndarray, frames: Frames
) -> Lines:
    """Where every readout of the images belongs.

    Parameters
    ----------
    heads : numpy.ndarray, shape (readout,)
        Of all readouts of the file.
    records : numpy.ndarray, shape (kept readout,)
        Numbers of those that belong to `frames`.

    Raises
    ------
    FileError
        If they do not form a matrix, or the header does not declare one.
    """
    if header.encoding is None:
        raise FileError(f"The header of '{path.name}' gives no encodedSpace/matrixSize. Convert the raw data again.")
    heads = heads[records]
    shape = np.stack([heads[name].astype(int) for name in ("active_channels", "number_of_samples")], 1)
    if (shape != shape[0]).any():
        raise FileError(f"The readouts in '{path.name}' differ in coils or samples; only equal ones form a matrix.")
    coils, samples = map(int, shape[0])
    kept = samples - heads["discard_pre"].astype(int) - heads["discard_post"]
    width, columns, partitions = header.encoding
    rows = max(width, int(kept.max()))
    # a readout that begins late in the echo is placed by its centre, a whole one by its length
    late = rows // 2 - (heads["center_sample"].astype(int) - heads["discard_pre"])
    start = np.where(kept == rows, 0, late)
    column = heads["idx"]["kspace_encode_step_1"].astype(int) + header.shift
    partition = heads["idx"]["kspace_encode_step_2"].astype(int)
    if not np.ptp(partition):
        # some converters give stacks of slices the depth of the stack
        partitions = 1
        partition = np.zeros_like(partition)
    elif header.partition_centre is not None:
        partition += partitions // 2 - header.partition_centre
    inside = (kept > 0) & (start >= 0) & (start + kept <= rows) & (column >= 0) & (column < columns)
    if not (inside & (partition >= 0) & (partition < partitions)).all():
        raise FileError(
            f"Readouts in '{path.name}' lie outside the matrix of {rows} x {columns} x {partitions} that its header "
            "declares. Convert the raw data again."
        )
    numbers, slice_ = np.unique(heads["idx"]["slice"], return_inverse=True)
    checks.check_size(path, (coils, rows, columns), np.dtype(np.complex64).itemsize)
    checks.check_size(path, (len(frames.numbers), len(numbers), partitions, columns), 1)  # of what was measured
    plane = (frames.index * len(numbers) + slice_) * partitions + partition
    columns_of_table = (records, plane, column, heads["discard_pre"], kept, start, flagged(heads, _REVERSE))
    table = np.rec.fromarrays(columns_of_table, dtype=_ROW)[np.lexsort((records, plane))]
    return Lines(path, group, table, len(frames.numbers), len(numbers), partitions, coils, samples, rows, columns)


@dataclass(frozen=True, eq=False)
class Lines:
    """Readouts of an ISMRMRD file, put together slice by slice when asked for.

    Parameters
    ----------
    path : pathlib.Path
    group : str
    table : numpy.ndarray, shape (readout,), structured
        One row per readout, by plane and place in the file: ``record`` in the file, ``plane`` ((frame * slices + slice)
        * partitions + partition), ``column``, ``skip`` samples left out before ``kept`` ones, ``start`` row,
        ``reverse``.
    frames, slices, partitions, coils, samples, rows, columns : int
    """

    path: Path
    group: str
    table: np.ndarray
    frames: int
    slices: int
    partitions: int
    coils: int
    samples: int
    rows: int
    columns: int

    dtype = np.dtype(np.complex64)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (plane, coil, y, x); a plane is a slice of a frame unless there are several partitions."""
        return self.frames * self.slices * self.partitions, self.coils, self.rows, self.columns

    def __len__(self) -> int:
        return self.shape[0]

    def seen(self) -> np.ndarray:
        """Where there is a readout, shape (frame * slice, partition, x)."""
        seen = np.zeros((len(self), self.columns), bool)
        seen[self.table["plane"], self.table["column"]] = True
        return seen.reshape(-1, self.partitions, self.columns)

    def filled_rows(self) -> np.ndarray:
        """Rows that readouts reach, shape (y,)."""
        start = self.table["start"]
        ends = np.stack([start, start + self.table["kept"]], 1)
        turned = self.table["reverse"][:, None]
        ends = np.where(turned, self.rows - ends[:, ::-1], ends)
        rows = np.arange(self.rows)
        return np.any([(rows >= a) & (rows < b) for a, b in np.unique(ends, axis=0)], axis=0)

    def __getitem__(self, index: int) -> np.ndarray:
        """One plane, shape (coil, y, x), complex64: its readouts, repeated ones averaged, 0 elsewhere.

        Raises
        ------
        FileError
            If the file is gone or damaged.
        """
        plane = range(len(self))[operator.index(index)]
        data = np.zeros((self.columns, self.coils, self.rows), self.dtype)  # a readout in one piece is written faster
        times = np.zeros(self.columns, int)
        first, end = np.searchsorted(self.table["plane"], [plane, plane + 1])
        own = self.table[first:end]
        with kspace_hdf5.opened(self.path) as file:
            readouts = kspace_hdf5.dataset(self.path, kspace_hdf5.group(self.path, file, self.group), "data")
            for line, values in zip(own, _values(readouts.fields("data"), own["record"].tolist()), strict=True):
                data[line["column"]] += self._row(values, line)
                times[line["column"]] += 1
        data /= np.maximum(times, 1).astype(np.float32)[:, None, None]
        return data.transpose(1, 2, 0)

    def _row(self, values: np.ndarray, line: np.void) -> np.ndarray:
        """One readout in its place, shape (coil, y)."""
        samples = np.ascontiguousarray(values, np.float32).view(np.complex64).reshape(self.coils, self.samples)
        row = np.zeros((self.coils, self.rows), np.complex64)
        start, kept, skip = line["start"], line["kept"], line["skip"]
        row[:, start : start + kept] = samples[:, skip : skip + kept]
        return row[:, ::-1] if line["reverse"] else row


def _values(readouts: Sequence[np.ndarray], records: list[int]) -> Iterator[np.ndarray]:
    """The readouts of these numbers, which rise; neighbours are read at once."""
    start = 0
    for place in range(1, len(records) + 1):
        if place == len(records) or records[place] != records[place - 1] + 1:
            yield from readouts[records[start] : records[place - 1] + 1]
            start = place
