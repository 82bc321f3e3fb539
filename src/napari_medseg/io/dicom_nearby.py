"""The images that a DICOM segmentation belongs to, if they lie near it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydicom import Dataset, dcmread

from ..errors import FileError
from ..reference import Reference
from . import checks, formats
from .clutter import is_hidden
from .dicom import stack_of
from .dicom_frames import opened
from .regrid import Grid

_MOST_FILES = 5000  # of a folder that is looked through
_MOST_FOLDERS = 200
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Found:
    """Images near a segmentation.

    Parameters
    ----------
    reference : Reference
    grid : Grid
        Where their voxels lie.
    """

    reference: Reference
    grid: Grid


def images_nearby(path: Path, header: Dataset) -> Found | None:
    """The series that a segmentation names: in its folder, in one inside or next to it, or in the one above.

    Parameters
    ----------
    path : pathlib.Path
        The segmentation.
    header : pydicom.Dataset
    """
    wanted = _named(header)
    if not wanted:
        return None
    for file in _candidates(path.absolute()):
        uid = _series_uid(file)
        if uid not in wanted:
            continue
        try:
            stack, affine = stack_of(file)
        except FileError as error:
            _logger.warning("The images of '%s' cannot be used: %s", path.name, error)
            return None
        if stack[0][0].position is None:
            return None
        rows, columns, _ = stack[0][0].shape
        return Found(Reference(uid, str(file)), Grid(affine, (len(stack[0]), rows, columns)))
    return None


def series_of_segmentation(path: Path) -> frozenset[str]:
    """The series that a segmentation was made on, by their identifiers.

    Raises
    ------
    FileError
        If the file is damaged.
    """
    with checks.damaged(path):
        return _named(opened(path, stop_before_pixels=True))


def _named(header: Dataset) -> frozenset[str]:
    return frozenset(str(item.SeriesInstanceUID) for item in header.get("ReferencedSeriesSequence") or [])


def _candidates(path: Path) -> Iterator[Path]:
    """DICOM files that may be of the images, the nearest first; one of each folder inside its own and next to it."""
    own = path.parent
    above = own.parent
    yield from (file for file in _dicom_files(own) if file != path)
    yield from _one_of_each(own)
    if above != own:
        yield from _dicom_files(above)
        yield from (file for file in _one_of_each(above) if file.parent != own)


def _one_of_each(folder: Path) -> Iterator[Path]:
    """A DICOM file of each folder in `folder`."""
    try:
        inner = sorted(path for path in islice(folder.iterdir(), _MOST_FILES) if path.is_dir())
    except OSError:
        return
    for each in inner[:_MOST_FOLDERS]:
        yield from islice(_dicom_files(each), 1)


def _dicom_files(folder: Path) -> Iterator[Path]:
    try:
        files = sorted(islice((path for path in folder.iterdir() if path.is_file()), _MOST_FILES))
    except OSError:
        return
    yield from (file for file in files if not is_hidden(file) and formats.is_dicom(file))


def _series_uid(file: Path) -> str:
    """The series of a file; empty if it cannot be read."""
    try:
        header = dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"], force=True)
        return str(header.get("SeriesInstanceUID", ""))
    except Exception:  # a file next to it that is damaged is another matter
        return ""
