"""ISMRMRD: raw data stored readout by readout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileError, SettingsError
from ..kspace import KSpace
from . import kspace_hdf5
from .across import Scan3D, stacked
from .kspace_header import Header, parse_header
from .kspace_masks import masked
from .noise_scan import noise_of
from .readouts import Lines, arranged_lines, flagged, found_frames, only_calibration

if TYPE_CHECKING:
    import h5py

# noise, navigation, phase correction, feedback, dummy, feedback, surface coil correction, phase stabilisation
_NO_IMAGE = (19, 23, 24, 26, 27, 28, 29, 30, 31)
_COUNTERS = ("repetition", "contrast", "phase", "set")
_AVERAGE = "average"
_ON_A_GRID = ("", "cartesian", "epi")
_EPI = (
    "Echo planar data are taken as they lie on the grid: shifts between forward and backward readouts are not "
    "corrected, so ghosts may remain."
)
_GROUP = "dataset"
_MAX_GROUPS = 100


def find_group(path: Path, file: h5py.File) -> str | None:
    """Name of the group with ``xml`` and ``data``, usually ``dataset``; None if there is none."""
    import h5py

    names = [_GROUP, *kspace_hdf5.names(file, _MAX_GROUPS)]
    for name in filter(lambda name: kspace_hdf5.has(file, name), names):
        group = kspace_hdf5.member(path, file, name) if kspace_hdf5.is_inside(file, name) else None
        if isinstance(group, h5py.Group) and kspace_hdf5.has(group, "xml") and kspace_hdf5.has(group, "data"):
            return name
    return None


def read(path: Path, file: h5py.File, group_name: str, first: Mapping[str, int]) -> KSpace:
    """Sort the readouts of an ISMRMRD file into Cartesian k-space.

    Readouts that are not image data (noise, navigators, phase correction, feedback, dummies, and calibration where
    the line was measured for the image too) are left out, repeated lines averaged. The mask holds the columns that were
    measured, slice by slice where they differ. Repetitions, contrasts, phases and sets become frames. Where all
    partitions of a second phase encoding are sampled alike, they are transformed to slices, else the readout is. Of a
    noise scan the covariance is kept.

    Parameters
    ----------
    path : pathlib.Path
    file : h5py.File
    group_name : str
    first : mapping
        Number of the ``repetition``, ``contrast``, ``phase``, ``set`` or ``average`` to take in place of all.

    Returns
    -------
    KSpace
        ``taken`` in its metadata says what `first` has chosen of several.

    Raises
    ------
    FileError
        If the trajectory is not Cartesian, the readouts do not form a matrix or cannot be unfolded.
    SettingsError
        If there is no such repetition, contrast, phase or set.

    References
    ----------
    Inati et al., Magn Reson Med 77:411, 2017.
    """
    group = kspace_hdf5.group(path, file, group_name)
    header = parse_header(path, kspace_hdf5.text(path, group, "xml"))
    if header.trajectory not in _ON_A_GRID:
        raise FileError(
            f"'{path.name}' was measured along a {header.trajectory} trajectory; only Cartesian data can be "
            "reconstructed. Grid the data first, for example with BART's nufft."
        )
    heads = _heads(path, group)
    records, taken = _choose(path, heads, first)
    if header.trajectory == "epi" and heads["trajectory_dimensions"][records].any():
        raise FileError(
            f"'{path.name}' holds echo planar readouts that do not lie on a grid (they come with a trajectory). "
            "Regrid them first."
        )
    frames = found_frames(path, heads[records], _COUNTERS)
    lines = arranged_lines(path, group_name, header, heads, records[frames.kept], frames)
    noise = noise_of(group["data"], heads, records)
    notes = [*frames.notes, *([_EPI] if header.trajectory == "epi" else []), *filter(None, [noise.note])]
    metadata: dict[str, Any] = {"format": "ISMRMRD", **header.metadata()}
    if taken:
        metadata["taken"] = taken
    if len(frames.numbers) > 1:
        metadata["frames"] = frames.named()
    averages = len(np.unique(heads["idx"][_AVERAGE][records]))
    if averages > 1:
        metadata["averages"] = averages
    kspace = _sorted(lines, header)
    metadata |= kspace.metadata
    return replace(kspace, metadata=metadata, noise=noise.covariance, notes=(*notes, *kspace.notes))


def _sorted(lines: Lines, header: Header) -> KSpace:
    """k-space of the lines, with the mask that they leave."""
    seen = lines.seen()
    rows = lines.filled_rows()
    acquired = header.acquired(lines.columns)
    crop = header.crop(lines.rows, lines.columns)
    spacing = header.spacing(crop)
    if lines.partitions > 1:
        depth = min(header.recon[2] if header.recon else lines.partitions, lines.partitions)
        shown = (depth, *(crop or (lines.rows, lines.columns)))
        return stacked(Scan3D(lines.path, lines, seen, rows, shown, spacing, acquired, lines.frames))
    kspace = KSpace(lines, acquired=acquired, crop=crop, spacing=spacing, frames=lines.frames)
    reached = (rows[:1] if rows.all() else rows)[:, None]
    return masked(kspace, [reached & own for own in seen])


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
    records = kspace_hdf5.stored_bytes(path, found, found.dtype.itemsize).view(_layout(fields, found.dtype.itemsize))
    heads = records["head"]
    declared = 2 * heads["active_channels"].astype(np.int64) * heads["number_of_samples"]
    longest = 4 * max(int(declared.sum()), int(records["traj"].max()))
    if (records["data"] != declared).any() or longest > path.stat().st_size:
        raise FileError(
            f"The readouts in '{path.name}' are not as long as they declare, or longer than the file. "
            "Copy it again from its source."
        )
    return heads


def _layout(fields: Mapping[str, tuple[np.dtype, int]], itemsize: int) -> np.dtype:
    """How a readout lies in the file: its head, and of the other parts the lengths."""
    formats = [kind if name == "head" else kspace_hdf5.LENGTH for name, (kind, _) in fields.items()]
    offsets = [offset for _, offset in fields.values()]
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": itemsize})


def _choose(path: Path, heads: np.ndarray, first: Mapping[str, int]) -> tuple[np.ndarray, dict[str, int]]:
    """Indices of the readouts of images, and what was chosen of several repetitions and so on."""
    known = (*_COUNTERS, _AVERAGE)
    unknown = set(first) - set(known)
    if unknown:
        raise SettingsError(f"Readouts are not counted by {', '.join(sorted(unknown))}, only by {', '.join(known)}.")
    keep = ~flagged(heads, *_NO_IMAGE) & (heads["encoding_space_ref"] == 0)
    calibration = only_calibration(heads)
    taken = {}
    for counter, number in first.items():
        numbers = heads["idx"][counter]
        values = np.unique(numbers[keep & ~calibration])
        if number not in values:
            raise SettingsError(f"'{path.name}' has no {counter} {number}; it has {', '.join(map(str, values[:20]))}.")
        if len(values) > 1:
            taken[counter] = number
        keep &= numbers == number
    names = ("slice", "kspace_encode_step_2", "kspace_encode_step_1", *_COUNTERS)
    place = np.stack([heads["idx"][name] for name in names], 1)
    _, line = np.unique(place, axis=0, return_inverse=True)
    measured = np.bincount(line, weights=keep & ~calibration) > 0
    keep &= ~(calibration & measured[line])
    if not keep.any():
        raise FileError(f"'{path.name}' holds no readouts of an image among its {len(heads)}. Choose another file.")
    return np.flatnonzero(keep), taken
