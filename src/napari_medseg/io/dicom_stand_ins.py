"""Stand-ins for the images that labels were made on: their headers without pixels and without their faults.

highdicom copies from the headers of the images. Those of scanners and anonymisers hold invalid dates, several frames of
reference in one series, or a distance between slices that is not the true one; others lack what it asks for. Of files
with many frames it reads one alone, with a single image at each position. So every slice gets a stand-in of a file with
one image and a made-up identifier, and what highdicom has written refers to the real images in the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.uid import MRImageStorage, generate_uid
from pydicom.valuerep import DA, TM

from ..errors import FileError
from ..reference import Reference
from .dicom import stack_of
from .dicom_frames import Frame, opened
from .dicom_stack import LPS_TO_RAS
from .regrid import Grid

_TEXTS = (
    "PatientID",
    "PatientName",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "ReferringPhysicianName",
)
_DATES = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_MOST = 2**31 - 1  # of a series number
_TILTED = 1e-3  # cosine between slices and the way from one to the next that counts as a tilt


@dataclass(frozen=True)
class Source:
    """The image that a stand-in stands for.

    Parameters
    ----------
    kind, uid : str
        Class and identifier of its file.
    frame : int or None
        Of a file with several frames, which one it is, counted from 1.
    """

    kind: str
    uid: str
    frame: int | None


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a series as labels need them.

    Parameters
    ----------
    name : str
        Of the folder or file, for messages.
    path, series_uid : str
        As of `Reference`.
    grid : Grid
        Where their voxels lie.
    stand_ins : list of pydicom.Dataset
        One per slice in the order of the grid.
    sources : dict of str to Source
        By the identifier of the stand-in.
    series_number : int or None
    notes : tuple of str
        What is not right with the images, in sentences.
    """

    name: str
    path: str
    series_uid: str
    grid: Grid
    stand_ins: list[Dataset]
    sources: dict[str, Source]
    series_number: int | None
    notes: tuple[str, ...]


def images_of(reference: Reference) -> Images:
    """The images that labels were made on.

    Raises
    ------
    FileError
        If they cannot be read, are another series than that of the labels, or have no place in the patient.
    """
    path = Path(reference.path)
    stack, affine = stack_of(path)
    first = stack[0][0]
    if reference.series_uid and first.series.uid != reference.series_uid:
        raise FileError(
            f"'{path.name}' holds another series than the one that the labels were made on. Choose that series."
        )
    if first.position is None or first.spacing is None:
        raise FileError(
            f"The images in '{path.name}' have no position or voxel size, which DICOM segmentations need. "
            "Save the labels as .nii.gz or .seg.nrrd."
        )
    _refuse_tilt(affine)
    phase = reference.phase if reference.phase is not None and reference.phase < len(stack) else 0
    slices = stack[phase]
    step = float(np.linalg.norm(affine[:3, 2]))
    with disable_value_validation():
        stand_ins, sources, notes = _made(slices, step)
    rows, columns, _ = first.shape
    grid = Grid(affine, (len(slices), rows, columns))
    return Images(
        path.name,
        str(path.absolute()),
        first.series.uid,
        grid,
        stand_ins,
        sources,
        first.series.number,
        notes,
    )


def series_number(images: Images) -> int:
    """A number for a series that was made of the images, after theirs."""
    number = (images.series_number or 0) * 100 + 1
    return number if number <= _MOST else 1


def _refuse_tilt(affine: np.ndarray) -> None:
    lps = LPS_TO_RAS[:3, :3] @ affine[:3, :3]
    x, y, z = (lps / np.linalg.norm(lps, axis=0)).T
    cosine = abs(float(np.cross(x, y) @ z))
    if np.hypot(x @ z, y @ z) < _TILTED:
        return
    degrees = np.degrees(np.arccos(min(1.0, cosine)))
    raise FileError(
        f"The slices are tilted by {degrees:.1f} degrees (gantry tilt); DICOM SEG and MR viewers cannot hold that. "
        "Save as .seg.nrrd."
    )


def _made(slices: Sequence[Frame], step: float) -> tuple[list[Dataset], dict[str, Source], tuple[str, ...]]:
    """Stand-ins, what they stand for, and notes."""
    paths = dict.fromkeys(frame.path for frame in slices)
    headers = {path: opened(path, stop_before_pixels=True) for path in paths}
    reference, note = _frame_of_reference(slices)
    study = headers[slices[0].path].get("StudyInstanceUID") or generate_uid()
    stand_ins = []
    sources = {}
    for frame in slices:
        header = headers[frame.path]
        stand_in = _stand_in(header, frame, step)
        stand_in.FrameOfReferenceUID = reference
        stand_in.StudyInstanceUID = study
        sources[stand_in.SOPInstanceUID] = _source(header, frame)
        stand_ins.append(stand_in)
    return stand_ins, sources, note


def _source(header: Dataset, frame: Frame) -> Source:
    missing = [keyword for keyword in _IDENTIFIERS if not header.get(keyword)]
    if missing:
        raise FileError(
            f"'{frame.path.name}' has no {' and no '.join(missing)}, by which DICOM segmentations name their images. "
            "Save the labels as .nii.gz or .seg.nrrd."
        )
    several = int(header.get("NumberOfFrames") or 1) > 1
    return Source(header.SOPClassUID, header.SOPInstanceUID, frame.index + 1 if several else None)


def _frame_of_reference(slices: Sequence[Frame]) -> tuple[str, tuple[str, ...]]:
    """One frame of reference for all, and what is wrong with those of the images."""
    known = list(dict.fromkeys(frame.reference for frame in slices if frame.reference))
    if not known:
        return generate_uid(), ("The images have no frame of reference; viewers may not show the labels over them.",)
    if len(known) > 1:
        return known[0], (f"The images have {len(known)} frames of reference; the labels have the first one.",)
    return known[0], ()


def _stand_in(header: Dataset, frame: Frame, step: float) -> Dataset:
    found = Dataset()
    # of the classes with one image, as good as any
    found.SOPClassUID = MRImageStorage
    found.SOPInstanceUID = generate_uid()
    found.SeriesInstanceUID = frame.series.uid
    found.Modality = header.get("Modality") or "OT"
    found.Rows, found.Columns = frame.shape[:2]
    found.ImageOrientationPatient = frame.directions.ravel().tolist()
    found.ImagePositionPatient = np.array(frame.position).tolist()
    found.PixelSpacing = np.array(frame.spacing).tolist()
    found.SliceThickness = header.get("SliceThickness") or _text(step)
    found.SpacingBetweenSlices = _text(step)
    _fill(found, header)
    return found


def refer(dataset: Dataset, images: Images) -> None:
    """Let a segmentation that was made of stand-ins refer to the real images.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    images : Images
        With the stand-ins.
    """
    for item in _sources_of_frames(dataset):
        source = images.sources[item.ReferencedSOPInstanceUID]
        _name(item, source)
        if source.frame is not None:
            item.ReferencedFrameNumber = source.frame
    for holder, keyword in _lists_of_files(dataset):
        named = [images.sources[item.ReferencedSOPInstanceUID] for item in holder[keyword]]
        # a file with several frames is named once
        files = {source.uid: source for source in named}
        setattr(holder, keyword, [_name(Dataset(), source) for source in files.values()])


def _sources_of_frames(dataset: Dataset) -> list[Dataset]:
    """The items that name the image of a frame; frames of one image may share them."""
    found = {}
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        for derivation in frame.get("DerivationImageSequence") or []:
            found |= {id(item): item for item in derivation.SourceImageSequence}
    return list(found.values())


def _lists_of_files(dataset: Dataset) -> Iterator[tuple[Dataset, str]]:
    """The sequences that name the files of all frames, by the dataset that holds them and their keyword."""
    for series in dataset.get("ReferencedSeriesSequence") or []:
        yield series, "ReferencedInstanceSequence"
    if "SourceImageSequence" in dataset:
        yield dataset, "SourceImageSequence"


def _name(item: Dataset, source: Source) -> Dataset:
    item.ReferencedSOPClassUID = source.kind
    item.ReferencedSOPInstanceUID = source.uid
    return item


def _fill(found: Dataset, header: Dataset) -> None:
    """Patient and study as the header says them, empty where it says nothing or something invalid."""
    for keyword in _TEXTS:
        setattr(found, keyword, str(header.get(keyword) or ""))
    for keyword, kind in _DATES.items():
        setattr(found, keyword, _date(header.get(keyword), kind))


def _date(value: object, kind: type) -> str:
    text = str(value or "")
    try:
        kind(text)
    except (ValueError, TypeError):
        return ""
    return text


def _text(number: float) -> str:
    """A number as DICOM's decimal strings hold it."""
    return f"{number:.10g}"
