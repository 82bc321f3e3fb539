"""DICOM segmentations, read: ours and those of other programs, as labels on the grid of their images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from highdicom import Volume as HighdicomVolume
from highdicom.seg import Segmentation, segread
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.uid import ExplicitVRBigEndian

from ..errors import FileError
from ..reference import KEY as REFERENCE
from ..volume import Volume
from . import checks, regrid
from .dicom_declared import check_compressed, check_count
from .dicom_frames import opened
from .dicom_nearby import Found, images_nearby
from .dicom_segments import CREATOR, ELEMENT, GROUP, Segment, segments_of, with_notes
from .dicom_stack import LPS_TO_RAS
from .notes import KEY as NOTES
from .notes import Notes, content_with_notes
from .regrid import Grid

_UNEVEN = 0.03  # of a gap between slices; images may differ by less
_LAYERS = "layers"  # key in the metadata
_logger = logging.getLogger(__name__)


def read(path: Path, axes: str | None = None) -> Volume:
    """Read the labels of a DICOM segmentation; of labels that overlap, the first layer.

    Parameters
    ----------
    path : pathlib.Path
    axes : str, optional
        Axis names in place of those found.

    Returns
    -------
    Volume
        As of `read_all`; ``layers`` in its metadata says how many there are if there are several.

    Raises
    ------
    FileError
        As of `read_all`.
    """
    volumes = read_all(path)
    first = volumes[0]
    if len(volumes) > 1:
        _logger.warning(
            "The segments of '%s' overlap; they are %d layers of labels, of which this is the first.",
            path.name,
            len(volumes),
        )
        first = replace(first, metadata={**first.metadata, _LAYERS: len(volumes)})
    return first if axes is None else replace(first, axes=axes)


def read_all(path: Path) -> list[Volume]:
    """Read the labels of a DICOM segmentation, as one volume for each layer of segments that do not overlap.

    Slices without labels are not in such files. The labels lie on the grid that our notes name, else on that of the
    images if these are in the same folder, the one above or one next to it, else they reach from the first slice with
    labels to the last.

    Returns
    -------
    list of Volume
        Labels with names, colours and codes, and the ``reference`` to their images if it is known.

    Raises
    ------
    FileError
        If the file is damaged, too large, or holds probabilities, or its slices are not evenly spaced.
    """
    with disable_value_validation(), checks.damaged(path):
        header = opened(path, stop_before_pixels=True)
        _check(path, header)
        noted, shape = _notes(header)
        segments = _unique(segments_of(header, noted is not None))
        layers, affine = _layers(path, [segment.number for segment in segments])
    own = Grid(affine, layers[0].shape)
    placed = _on_notes(layers, own, noted, shape) or _on_images(path, header, layers, own)
    if placed is None:
        _logger.warning(
            "The images of '%s' were not found next to it. Such files leave out empty slices: the labels have the %d "
            "slices from the first to the last that is not empty.",
            path.name,
            own.shape[0],
        )
        placed = layers, "zyx", own.affine, None
    return [_volume(layer, *placed[1:], segments, noted) for layer in placed[0]]


Placed = tuple[list[np.ndarray], str, np.ndarray, "Found | None"]


def _volume(
    layer: np.ndarray, axes: str, affine: np.ndarray, found: Found | None, segments: list[Segment], noted: Notes | None
) -> Volume:
    ids = np.zeros(max(segment.number for segment in segments) + 1, np.int64)
    for segment in segments:
        ids[segment.number] = segment.row.id
    unchanged = all(segment.number == segment.row.id for segment in segments)
    data = layer if unchanged else ids.astype(np.min_scalar_type(int(ids.max())))[layer]
    classes = with_notes(segments, noted.classes if noted else ())
    metadata = {**(noted.metadata if noted else {}), "labels": True, "has_spacing": True}
    if found is not None:
        metadata[REFERENCE] = found.reference
    return Volume(data, axes, affine, classes, metadata)


def _check(path: Path, header: Dataset) -> None:
    """Refuse what would take too much memory or cannot be read, from the header alone."""
    if header.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        raise FileError(
            f"'{path.name}' is stored big-endian, which is not read for segmentations. Convert it to explicit little "
            "endian, for example with dcmconv of DCMTK."
        )
    count = int(header.get("NumberOfFrames") or 1)
    size = (int(header.Rows), int(header.Columns))
    checks.check_size(path, (count, *size), 1)
    check_count(path, header, count)
    if not header.get("SegmentSequence"):
        raise ValueError("it describes no segments")
    frames = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    if len(frames) != count:
        raise ValueError(f"it declares {count} frames and describes {len(frames)}")
    _check_extent(path, header, frames, size)
    known = {int(item.SegmentNumber) for item in header.SegmentSequence}
    for frame in frames:
        for item in frame.get("SegmentIdentificationSequence") or []:
            if int(item.ReferencedSegmentNumber) not in known:
                raise ValueError(f"a frame belongs to segment {item.ReferencedSegmentNumber}, which is not described")


def _check_extent(path: Path, header: Dataset, frames: Sequence[Dataset], size: tuple[int, int]) -> None:
    """Refuse slices that lie so far apart that what is between them has no room in memory."""
    places = []
    for frame in frames:
        for plane in frame.get("PlanePositionSequence") or []:
            places.append([float(number) for number in plane.ImagePositionPatient])
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    measures = [item for group in (*shared, *frames[:1]) for item in group.get("PixelMeasuresSequence") or []]
    gap = float(measures[0].get("SpacingBetweenSlices") or measures[0].get("SliceThickness") or 0) if measures else 0.0
    if len(places) < 2 or gap <= 0:
        return
    reach = float(np.linalg.norm(np.ptp(np.array(places), axis=0)))
    if not np.isfinite(reach):
        raise ValueError("a position is not a finite number")
    checks.check_size(path, (int(reach / gap) + 1, *size), 1, 4)


def _layers(path: Path, numbers: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Numbers of segments as arrays (z, y, x), one for each layer without overlap, and the affine."""
    kind = np.min_scalar_type(max(numbers))
    dataset = _opened(path)
    fractional = dataset.SegmentationType == "FRACTIONAL"
    try:
        return _turned([_volume_of(dataset, numbers, kind)])
    except (RuntimeError, ValueError) as error:
        text = str(error).lower()
        if fractional and "fraction" in text:
            raise FileError(
                f"'{path.name}' holds probabilities (FRACTIONAL), not labels. Convert them to labels in the program "
                "that made them."
            ) from error
        if "overlap" not in text:
            raise
    # opened anew: highdicom keeps its tables locked after an error
    return _apart(_opened(path), numbers, kind)


def _opened(path: Path) -> Segmentation:
    dataset = segread(path)
    check_compressed(dataset)
    return dataset


def _volume_of(dataset: Segmentation, numbers: list[int], kind: np.dtype) -> HighdicomVolume:
    return dataset.get_volume(segment_numbers=numbers, combine_segments=True, dtype=kind, rtol=_UNEVEN)


def _apart(dataset: Segmentation, numbers: list[int], kind: np.dtype) -> tuple[list[np.ndarray], np.ndarray]:
    """Segments that overlap: each goes into the first layer in which its place is free."""
    layers: list[HighdicomVolume] = []
    for number in numbers:
        one = _volume_of(dataset, [number], kind)
        inside = one.array == number
        free = next((layer.array for layer in layers if not layer.array[inside].any()), None)
        if free is None:
            layers.append(one)
        else:
            free[inside] = number
    return _turned(layers)


def _turned(layers: list[HighdicomVolume]) -> tuple[list[np.ndarray], np.ndarray]:
    """Arrays whose slices follow each other as those of images, and the affine.

    highdicom's run the other way, and its affine is of (slice, row, column) to LPS.
    """
    first = layers[0]
    affine = LPS_TO_RAS @ first.affine[:, [2, 1, 0, 3]]
    affine[:3, 3] += (len(first.array) - 1) * affine[:3, 2]
    affine[:3, 2] *= -1
    return [np.ascontiguousarray(layer.array[::-1]) for layer in layers], affine


def _notes(header: Dataset) -> tuple[Notes | None, tuple[int, ...]]:
    """Our notes and the shape that they say; None and () if there are none."""
    try:
        text = header.private_block(GROUP, CREATOR)[ELEMENT].value
    except KeyError:
        return None, ()
    content = content_with_notes(text)
    if content is None:
        return None, ()
    shape = content[NOTES].get("shape") if isinstance(content[NOTES], dict) else None
    fits = isinstance(shape, list) and all(type(n) is int and 0 < n < 2**31 for n in shape)
    return Notes.from_json(content[NOTES]), tuple(shape) if fits else ()


def _unique(segments: list[Segment]) -> list[Segment]:
    """The segments under our numbers if these are different ones, else under those of the file."""
    if not segments:
        raise ValueError("it describes no segments")
    if len({segment.row.id for segment in segments}) == len(segments):
        return segments
    return [replace(each, row=replace(each.row, id=each.number), tracked=False) for each in segments]


def _on_notes(layers: list[np.ndarray], own: Grid, noted: Notes | None, shape: tuple[int, ...]) -> Placed | None:
    """The labels on the grid of our notes, if they lie on it."""
    if noted is None or noted.affine is None or noted.axes not in ("yx", "zyx") or len(shape) != len(noted.axes):
        return None
    target = Grid(noted.affine, shape if len(shape) == 3 else (1, *shape))
    if target.shape[1:] != own.shape[1:] or target.shape[0] > 100 * own.shape[0] + 10_000:
        return None
    moved = _moved(layers, own, target)
    if moved is None:
        return None
    return [each.reshape(shape) for each in moved], noted.axes, noted.affine, None


def _on_images(path: Path, header: Dataset, layers: list[np.ndarray], own: Grid) -> Placed | None:
    """The labels on the grid of the images, if these are near and the labels lie on it."""
    found = images_nearby(path, header)
    if found is None:
        return None
    moved = _moved(layers, own, found.grid)
    return None if moved is None else (moved, "zyx", found.grid.affine, found)


def _moved(layers: list[np.ndarray], own: Grid, target: Grid) -> list[np.ndarray] | None:
    shift = regrid.shift(own, target)
    if shift is None:
        return None
    moved = [regrid.moved(layer, shift, target.shape) for layer in layers]
    found = [each for each in moved if each is not None]
    return found if len(found) == len(layers) else None
