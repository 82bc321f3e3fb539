"""The DICOM series in a folder and the folders in it, from their headers: to be looked at before one is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydicom.config import disable_value_validation

from ..errors import FileError, readable
from ..files import refuse_special
from ..progress import Job, Progress
from ..volume import Volume
from . import checks, formats
from .clutter import is_clutter, is_hidden
from .dicom import check_other, promises_dicom, series_among, volume_of
from .dicom_contrast import low_is_bright
from .dicom_folder import labels_made_on
from .dicom_frames import Frame, Series, decode, frames_of, scaled, without_image
from .dicom_nearby import series_of_segmentation
from .dicom_series import differing, groups_of
from .dicom_stack import arrange

_MOST_FILES = 100_000
_INDEX = "DICOMDIR"  # lists the files of a disc, and holds no image
_LARGEST_PICTURE = 2**28  # bytes of a file that are unpacked for one of its frames
_PICTURE = 192  # pixels along the longer side, at most
_DARKEST, _BRIGHTEST = 1, 99.5  # percentiles


@dataclass(frozen=True)
class ListedSeries:
    """One series, or the part of one that makes a volume.

    Parameters
    ----------
    files : tuple of pathlib.Path
        Sorted.
    series : Series
        What they say of themselves.
    kind : str
        In what it differs from a series that is like it otherwise, such as its image type; empty if there is none.
    shape : (int, int, int, int)
        Times, slices, rows and columns.
    spacing : tuple of float
        In mm, (z, y, x), or (y, x) of a single slice; empty where the files do not say it.
    problem : str
        Why it cannot be opened, in a sentence; empty if it can.
    middle : Frame
        The image in the middle.
    segmentations : tuple of pathlib.Path
        DICOM segmentations in the folder that were made on this series.
    """

    files: tuple[Path, ...]
    series: Series
    kind: str
    shape: tuple[int, int, int, int]
    spacing: tuple[float, ...]
    problem: str
    middle: Frame = field(repr=False)
    segmentations: tuple[Path, ...] = ()

    @property
    def title(self) -> str:
        """Its description, and the kind where others have the same."""
        first = self.files[0]
        name = self.series.description
        if not name and len(self.files) == 1:
            name = first.stem
        elif not name:
            number = self.series.number
            name = f"series {number}" if number else first.parent.name
        return readable(f"{name} ({self.kind})" if self.kind else name)

    @property
    def size(self) -> str:
        """For example ``25 times, 12 slices of 256 x 256, 1 segmentation``."""
        times, slices, rows, columns = self.shape
        counted = [_count(times, "time") if times > 1 else "", f"{_count(slices, 'slice')} of {rows} x {columns}"]
        if self.segmentations:
            counted.append(_count(len(self.segmentations), "segmentation"))
        return ", ".join(filter(None, counted))

    @property
    def voxel(self) -> str:
        """For example ``8 x 1.37 x 1.37 mm``, along z, y and x."""
        return f"{' x '.join(f'{mm:.3g}' for mm in self.spacing)} mm" if self.spacing else "size not known"


@dataclass(frozen=True)
class Unreadable:
    """A file that may belong to a series and cannot be read, and why, in a sentence."""

    path: Path
    reason: str


@dataclass(frozen=True)
class _Found:
    """What the files of a folder are, filled while they are looked at.

    Parameters
    ----------
    frames : list of Frame
        Of the files in one folder.
    others : list of pathlib.Path
        Its files that are not DICOM.
    segmentations : list of (pathlib.Path, frozenset of str)
        Of all folders, with the series that they were made on.
    unreadable : list of Unreadable
        Of all folders.
    """

    frames: list[Frame] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    segmentations: list[tuple[Path, frozenset[str]]] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Parameters
    ----------
    folder : pathlib.Path
    series : tuple of ListedSeries
        By folder, and there by number.
    unreadable : tuple of Unreadable
    """

    folder: Path
    series: tuple[ListedSeries, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def only(self) -> ListedSeries | None:
        """The series that need not be chosen: there is no other, and nothing that could be a part of it."""
        alone = len(self.series) == 1 and not self.unreadable
        return self.series[0] if alone and not self.series[0].problem else None


def list_job(folder: Path) -> Job[Listing]:
    """List the series in a folder and in those in it; of the files, only headers are read.

    Links to folders are not followed. A damaged file is listed and stops nothing.

    Raises
    ------
    FileError
        If the folder cannot be opened, or holds more files than can be looked at.
    """
    by_folder: dict[Path, list[Path]] = {}
    total = 0
    for inner, found in _walk(folder):
        by_folder[inner] = found
        total += len(found)
        if total > _MOST_FILES:
            raise FileError(f"'{folder.name}' holds more than {_MOST_FILES} files. Choose a folder further down.")
        yield Progress(0, total)
    series: list[ListedSeries] = []
    seen = _Found()
    done = 0
    for paths in by_folder.values():
        seen = replace(seen, frames=[], others=[])
        for path in paths:
            _look(path, seen)
            done += 1
            yield Progress(done, total)
        if seen.frames:
            _check_others(seen.others, seen.unreadable)
            series += _series_in(seen.frames, seen.unreadable)
    listed = _with_segmentations(series, seen)
    return Listing(folder, tuple(listed), tuple(seen.unreadable))


def read_listed(chosen: ListedSeries) -> Volume:
    """The volume of one series of a list; other files in its folder are left alone.

    Raises
    ------
    FileError
        If the series has a problem, or a file is damaged or gone.
    """
    first = chosen.files[0]
    if chosen.problem:
        raise FileError(chosen.problem)
    with checks.damaged(first), disable_value_validation():
        frames = [frame for path in chosen.files for frame in frames_of(path)]
        volume = volume_of(first, series_among(first, groups_of(frames), frames))
    return replace(volume, metadata={"source": str(first), "format": "DICOM", **volume.metadata})


def read_with_labels(chosen: ListedSeries) -> list[Volume]:
    """The volume of one series of a list, and the labels of its segmentations; those that cannot be read are logged.

    Raises
    ------
    FileError
        As of `read_listed`.
    """
    image = read_listed(chosen)
    if not chosen.segmentations:
        return [image]
    return [image, *labels_made_on(image, chosen.segmentations)]


def picture(series: ListedSeries) -> np.ndarray | None:
    """The middle slice of a series, small, to recognise it by.

    Returns
    -------
    numpy.ndarray, shape (y, x) or (y, x, 3), uint8, or None
        Every few pixels of the slice; None where the file is too large to be unpacked for it.

    Raises
    ------
    FileError
        If the file is damaged, or compressed in a way that cannot be unpacked.
    """
    frame = series.middle
    if os.path.getsize(frame.path) > _LARGEST_PICTURE:
        return None
    with disable_value_validation():
        image = scaled(decode(frame.path, frame.shape)[frame.index], frame.scale)
    step = -(-max(image.shape[:2]) // _PICTURE)
    image = image[::step, ::step]
    if image.ndim == 3:
        return np.ascontiguousarray(image[..., :3], np.uint8)
    low, high = np.percentile(image, (_DARKEST, _BRIGHTEST))
    grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    if low_is_bright(frame.kind):
        grey = 1 - grey
    return np.ascontiguousarray(255 * grey, np.uint8)


def _walk(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder from `folder` down that holds files, with them, sorted."""

    def refuse(error: OSError) -> None:
        if Path(error.filename or folder) == folder:
            raise FileError(f"The folder '{folder}' cannot be opened ({error.strerror}). Check its rights.") from error

    refuse_special(folder)
    for name, inner, found in os.walk(folder, onerror=refuse):
        place = Path(name)
        inner[:] = sorted(each for each in inner if not is_hidden(place / each))
        paths = [place / each for each in sorted(found) if not is_clutter(place / each)]
        paths = [path for path in paths if path.is_file()]
        if paths:
            yield place, paths


def _look(path: Path, seen: _Found) -> None:
    """Add what a file holds to what was seen before."""
    try:
        if not promises_dicom(path):
            seen.others.append(path)
            return
        with disable_value_validation():
            found = frames_of(path)
        seen.frames.extend(found)
        if found or path.name == _INDEX:
            return
        if formats.recognise(path) is formats.DICOM_SEG:
            seen.segmentations.append((path, series_of_segmentation(path)))
        else:
            seen.unreadable.append(Unreadable(path, without_image(path)))
    except FileError as error:
        seen.unreadable.append(Unreadable(path, str(error)))


def _with_segmentations(series: Sequence[ListedSeries], seen: _Found) -> list[ListedSeries]:
    """The series with the segmentations that were made on them; other segmentations are noted as unreadable."""
    known = {entry.series.uid for entry in series}
    for path, uids in seen.segmentations:
        if not uids & known:
            reason = f"'{path.name}' is a segmentation of images that are not in this folder. Open the file by itself."
            seen.unreadable.append(Unreadable(path, reason))
    found = []
    for entry in series:
        own = tuple(path for path, uids in seen.segmentations if entry.series.uid in uids)
        found.append(replace(entry, segmentations=own))
    return found


def _check_others(others: Sequence[Path], unreadable: list[Unreadable]) -> None:
    for path in others:
        try:
            check_other(path)
        except FileError as error:
            unreadable.append(Unreadable(path, str(error)))


def _series_in(frames: list[Frame], unreadable: list[Unreadable]) -> list[ListedSeries]:
    """The series of one folder, in the order of their numbers."""
    by_series: dict[str, list[Frame]] = {}
    for frame in frames:
        by_series.setdefault(frame.series.uid, []).append(frame)
    found: list[ListedSeries] = []
    for related in by_series.values():
        try:
            groups = groups_of(related)
        except FileError as error:
            unreadable.append(Unreadable(related[0].path, str(error)))
            continue
        found += [_listed(part, groups, related) for group in groups for part in _openable(group)]
    return sorted(found, key=lambda entry: (entry.series.number or 0, entry.files[0].name))


def _openable(group: list[Frame]) -> list[list[Frame]]:
    """The parts of a group that are opened together: images without a position are opened file by file."""
    if group[0].position is not None:
        return [group]
    by_file: dict[Path, list[Frame]] = {}
    for frame in group:
        by_file.setdefault(frame.path, []).append(frame)
    return list(by_file.values())


def _listed(part: list[Frame], groups: list[list[Frame]], related: list[Frame]) -> ListedSeries:
    first = part[0]
    problem = ""
    stack, spacing = [part], first.spacing or ()
    try:
        series_among(first.path, groups, related)
        stack, affine, _ = arrange(first.path, part)
        if spacing and len(stack[0]) > 1:
            spacing = (float(np.linalg.norm(affine[:3, 2])), *spacing)
    except FileError as error:
        problem = str(error)
    slices = stack[len(stack) // 2]
    return ListedSeries(
        files=tuple(sorted({frame.path for frame in part})),
        series=first.series,
        kind=differing(part, groups),
        shape=(len(stack), len(slices), *first.shape[:2]),
        spacing=spacing,
        problem=problem,
        middle=slices[len(slices) // 2],
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
