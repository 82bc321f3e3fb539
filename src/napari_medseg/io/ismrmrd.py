"""ISMRMRD: raw data stored readout by readout."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FileError, SettingsError
from ..kspace import KSpace
from . import checks, kspace_hdf5
from .kspace_header import Header, parse_header
from .kspace_masks import joined

if TYPE_CHECKING:
    import h5py

_CALIBRATION, _CALIBRATION_AND_IMAGING, _REVERSE = 20, 21, 22
# noise, navigation, phase correction, feedback, dummy, feedback, surface coil correction, phase stabilisation
_NO_IMAGE = (19, 23, 24, 26, 27, 28, 29, 30, 31)
_COUNTERS = ("repetition", "contrast", "phase", "set")
_GROUP = "dataset"
_MAX_GROUPS = 100


def find_group(path: Path, file: h5py.File) -> str | None:
    """Name of the group with ``xml`` and ``data``, usually ``dataset``; None if there is none."""
    import h5py

    names = [_GROUP, *kspace_hdf5.names(file, _MAX_GROUPS)]
    for name in filter(lambda name: kspace_hdf5.has(file, name), names):
        hard = file.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
        group = kspace_hdf5.member(path, file, name) if hard else None
        if isinstance(group, h5py.Group) and kspace_hdf5.has(group, "xml") and kspace_hdf5.has(group, "data"):
            return name
    return None


def read(path: Path, file: h5py.File, group_name: str, first: Mapping[str, int]) -> KSpace:
    """Sort the readouts of an ISMRMRD file into Cartesian k-space.

    Readouts that are not image data (noise, navigators, phase correction, feedback, dummies, and calibration where
    the line was measured for the image too) are left out, repeated lines averaged. The mask holds the columns that were
    measured, slice by slice where they differ. A second phase encoding is transformed to slices, for which all of it is
    held in memory; else slices are read when asked for.

    Parameters
    ----------
    path : pathlib.Path
    file : h5py.File
    group_name : str
    first : mapping
        Number of the ``repetition``, ``contrast``, ``phase`` or ``set`` to take in place of the lowest.

    Returns
    -------
    KSpace
        ``taken`` in its metadata says which of several repetitions, contrasts, phases or sets was taken.

    Raises
    ------
    FileError
        If the trajectory is not Cartesian or the readouts do not form a matrix.
    SettingsError
        If there is no such repetition, contrast, phase or set.

    References
    ----------
    Inati et al., Magn Reson Med 77:411, 2017.
    """
    group = kspace_hdf5.member(path, file, group_name)
    header = parse_header(path, kspace_hdf5.text(path, group, "xml"))
    if header.trajectory not in ("", "cartesian"):
        raise FileError(
            f"'{path.name}' was measured along a {header.trajectory} trajectory; only Cartesian data can be "
            "reconstructed. Grid the data first, for example with BART's nufft."
        )
    if header.encoding is None:
        raise FileError(f"The header of '{path.name}' gives no encodedSpace/matrixSize. Convert the raw data again.")
    heads = _heads(path, group)
    records, taken = _choose(path, heads, first)
    lines = _lines(path, group_name, header, heads[records], records)
    seen = lines.seen()
    data, columns = (lines, seen[:, 0]) if lines.partitions == 1 else _transformed(path, lines, seen, header)
    crop = header.crop(lines.rows, lines.columns)
    kspace = KSpace(
        data,
        acquired=header.acquired(lines.columns),
        crop=crop,
        spacing=header.spacing(crop),
        metadata={"format": "ISMRMRD", **header.metadata(), **({"taken": taken} if taken else {})},
    )
    rows = lines.filled_rows()
    rows = rows[:, None] if not rows.all() else rows[:1, None]
    mask = joined([rows & own for own in columns])
    left, right = kspace.whole
    return kspace if mask[..., left:right].all() else replace(kspace, mask=mask, mask_origin="file")


def _heads(path: Path, group: h5py.Group) -> np.ndarray:
    """The fixed part of every readout; first the lengths of its other parts are held against what it declares."""
    import h5py

    found = kspace_hdf5.dataset(path, group, "data")
    fields = {name: found.dtype.fields[name][:2] for name in found.dtype.names or ()}
    if found.ndim != 1 or set(fields) != {"head", "traj", "data"}:
        raise FileError(f"'data' in '{path.name}' is not a list of ISMRMRD readouts. Convert the raw data again.")
    samples = [h5py.check_vlen_dtype(fields[name][0]) for name in ("traj", "data")]
    if fields["head"][0].hasobject or samples != [np.float32, np.float32]:
        raise FileError(f"The readouts in '{path.name}' are not of ISMRMRD's types. Convert the raw data again.")
    formats = [fields["head"][0] if name == "head" else kspace_hdf5.LENGTH for name in fields]
    offsets = [offset for _, offset in fields.values()]
    layout = {"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": found.dtype.itemsize}
    records = kspace_hdf5.stored_bytes(path, found, found.dtype.itemsize).view(np.dtype(layout))
    heads = records["head"]
    declared = 2 * heads["active_channels"].astype(np.int64) * heads["number_of_samples"]
    longest = 4 * max(int(declared.sum()), int(records["traj"].max()))
    if (records["data"] != declared).any() or longest > path.stat().st_size:
        raise FileError(
            f"The readouts in '{path.name}' are not as long as they declare, or longer than the file. "
            "Copy it again from its source."
        )
    return heads


def _flagged(heads: np.ndarray, *flags: int) -> np.ndarray:
    bits = sum(1 << (flag - 1) for flag in flags)
    return heads["flags"] & np.uint64(bits) != 0


def _choose(path: Path, heads: np.ndarray, first: Mapping[str, int]) -> tuple[np.ndarray, dict[str, int]]:
    """Indices of the readouts of one image, and which repetition and so on of several was taken."""
    unknown = set(first) - set(_COUNTERS)
    if unknown:
        raise SettingsError(
            f"Readouts are not counted by {', '.join(sorted(unknown))}, only by {', '.join(_COUNTERS)}."
        )
    keep = ~_flagged(heads, *_NO_IMAGE) & (heads["encoding_space_ref"] == 0)
    calibration = _flagged(heads, _CALIBRATION) & ~_flagged(heads, _CALIBRATION_AND_IMAGING)
    taken = {}
    for counter in _COUNTERS:
        values = np.unique(heads["idx"][counter][keep & ~calibration])
        number = first.get(counter, int(values[0]) if len(values) else 0)
        if counter in first and number not in values:
            raise SettingsError(f"'{path.name}' has no {counter} {number}; it has {', '.join(map(str, values[:20]))}.")
        if len(values) > 1:
            taken[counter] = number
        keep &= heads["idx"][counter] == number
    place = np.stack([heads["idx"][name] for name in ("slice", "kspace_encode_step_2", "kspace_encode_step_1")], 1)
    _, line = np.unique(place, axis=0, return_inverse=True)
    measured = np.bincount(line, weights=keep & ~calibration) > 0
    keep &= ~(calibration & measured[line])
    if not keep.any():
        raise FileError(f"'{path.name}' holds no readouts of an image among its {len(heads)}. Choose another file.")
    return np.flatnonzero(keep), taken


def _lines(path: Path, group: str, header: Header, heads: np.ndarray, records: np.ndarray) -> Lines:
    """Where every readout belongs."""
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
        partitions, partition = 1, np.zeros_like(partition)
    elif header.partition_centre is not None:
        partition += partitions // 2 - header.partition_centre
    inside = (kept > 0) & (start >= 0) & (start + kept <= rows) & (column >= 0) & (column < columns)
    if not (inside & (partition >= 0) & (partition < partitions)).all():
        raise FileError(
            f"Readouts in '{path.name}' lie outside the matrix of {rows} x {columns} x {partitions} that its header "
            "declares. Convert the raw data again."
        )
    numbers, slice_ = np.unique(heads["idx"]["slice"], return_inverse=True)
    checks.check_size(path, (partitions, coils, rows, columns), np.dtype(np.complex64).itemsize)
    plane, reverse = slice_ * partitions + partition, _flagged(heads, _REVERSE)
    table = np.rec.fromarrays(
        [records, plane, column, heads["discard_pre"], kept, start, reverse],
        names="record, plane, column, skip, kept, start, reverse",
    )
    return Lines(path, group, table, len(numbers), partitions, coils, samples, rows, columns)


@dataclass(frozen=True, eq=False)
class Lines:
    """Readouts of an ISMRMRD file, put together slice by slice when asked for.

    Parameters
    ----------
    path : pathlib.Path
    group : str
    table : numpy.recarray
        One row per readout: ``record`` in the file, ``plane`` (slice * partitions + partition), ``column``, ``skip``
        samples left out before ``kept`` ones, ``start`` row, ``reverse``.
    slices, partitions, coils, samples, rows, columns : int
    """

    path: Path
    group: str
    table: np.recarray
    slices: int
    partitions: int
    coils: int
    samples: int
    rows: int
    columns: int

    dtype = np.dtype(np.complex64)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (plane, coil, y, x); a plane is a slice unless there are several partitions."""
        return self.slices * self.partitions, self.coils, self.rows, self.columns

    def __len__(self) -> int:
        return self.shape[0]

    def seen(self) -> np.ndarray:
        """Where there is a readout, shape (slice, partition, x)."""
        seen = np.zeros((len(self), self.columns), bool)
        seen[self.table.plane, self.table.column] = True
        return seen.reshape(self.slices, self.partitions, self.columns)

    def filled_rows(self) -> np.ndarray:
        """Rows that readouts reach, shape (y,)."""
        ends = np.stack([self.table.start, self.table.start + self.table.kept], 1)
        turned = self.table.reverse[:, None]
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
        data = np.zeros(self.shape[1:], self.dtype)
        times = np.zeros(self.columns, int)
        with kspace_hdf5.opened(self.path) as file:
            readouts = kspace_hdf5.dataset(self.path, kspace_hdf5.member(self.path, file, self.group), "data")
            readouts = readouts.fields("data")
            for line in self.table[self.table.plane == plane]:
                data[:, :, line.column] += self._row(readouts[int(line.record)], line)
                times[line.column] += 1
        return data / np.maximum(times, 1).astype(np.float32)

    def _row(self, values: np.ndarray, line: np.record) -> np.ndarray:
        """One readout in its place, shape (coil, y)."""
        samples = np.ascontiguousarray(values, np.float32).view(np.complex64).reshape(self.coils, self.samples)
        row = np.zeros((self.coils, self.rows), np.complex64)
        row[:, line.start : line.start + line.kept] = samples[:, line.skip : line.skip + line.kept]
        return row[:, ::-1] if line.reverse else row


def _transformed(path: Path, lines: Lines, seen: np.ndarray, header: Header) -> tuple[np.ndarray, np.ndarray]:
    """Slices from partitions, shape (slice, coil, y, x), and the columns seen; for one sampling in all partitions."""
    from scipy import fft  # other files need none of it

    columns = seen.any((0, 1))[None]
    if (seen != (seen.any(2)[..., None] & columns)).any():
        raise FileError(
            f"The sampling of '{path.name}' differs from partition to partition; only data undersampled along one "
            "phase encoding can be reconstructed. Transform it along the readout first and save the slices."
        )
    checks.check_size(path, (3, *lines.shape), lines.dtype.itemsize)
    data = np.stack(list(lines)).reshape(lines.slices, lines.partitions, *lines.shape[1:])
    data = fft.fftshift(fft.ifft(fft.ifftshift(data, axes=1), axis=1, norm="ortho", overwrite_x=True), axes=1)
    # as along the readout, the slab can be measured wider than it is shown
    depth = min(header.recon[2] if header.recon else lines.partitions, lines.partitions)
    top = (lines.partitions - depth) // 2
    return data[:, top : top + depth].reshape(-1, *lines.shape[1:]), columns
