"""Stand-ins for the images that labels were made on: their headers without pixels and without their faults.

highdicom copies from the headers of the images. Those of scanners and anonymisers hold invalid dates, several frames of
reference in one series, or a distance between slices that is not the true one; others lack what it asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid
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
_MOST = 2**31 - 1  # of a series number
_TILTED = 1e-3  # cosine between slices and the way from one to the next that counts as a tilt


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
        One per slice in the order of the grid, or a single one for a file with many frames.
    frames : list of int
        For each slice, which frame of the stand-ins it is.
    count : int
        Frames of the stand-ins.
    series_number : int or None
    notes : tuple of str
        What is not right with the images, in sentences.
    """

    name: str
    path: str
    series_uid: str
    grid: Grid
    stand_ins: list[Dataset]
    frames: list[int]
    count: int
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
        stand_ins, frames, count, notes = _made(path, slices, step)
    rows, columns, _ = first.shape
    grid = Grid(affine, (len(slices), rows, columns))
    return Images(
        path.name,
        str(path.absolute()),
        first.series.uid,
        grid,
        stand_ins,
        frames,
        count,
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


def _made(path: Path, slices: Sequence[Frame], step: float) -> tuple[list[Dataset], list[int], int, tuple[str, ...]]:
    """Stand-ins, the frame of each slice, the number of frames, and notes."""
    headers = [opened(file, stop_before_pixels=True) for file in dict.fromkeys(frame.path for frame in slices)]
    many = [header for header in headers if int(header.get("NumberOfFrames") or 1) > 1]
    if many and len(headers) > 1:
        raise FileError(
            f"The slices in '{path.name}' lie in {len(headers)} files with several frames each; expected one such file "
            "or one file per slice. Save the labels as .nii.gz or .seg.nrrd."
        )
    reference, note = _frame_of_reference(slices, headers)
    if many:
        whole = _whole(many[0], reference, step)
        return [whole], [frame.index for frame in slices], int(whole.NumberOfFrames), note
    found = [_single(header, frame, reference, step) for header, frame in zip(headers, slices, strict=True)]
    return found, list(range(len(found))), len(found), note


def _frame_of_reference(slices: Sequence[Frame], headers: Sequence[Dataset]) -> tuple[str, tuple[str, ...]]:
    """One frame of reference for all, and what is wrong with those of the images."""
    known = list(dict.fromkeys(frame.reference for frame in slices if frame.reference))
    if not known:
        return generate_uid(), ("The images have no frame of reference; viewers may not show the labels over them.",)
    if len(known) > 1:
        return known[0], (f"The images have {len(known)} frames of reference; the labels have the first one.",)
    return known[0], ()


def _whole(header: Dataset, reference: str, step: float) -> Dataset:
    """A file with many frames, without its pixels."""
    found = deepcopy(header)
    _fill(found, header)
    found.FrameOfReferenceUID = reference
    groups = list(found.get("SharedFunctionalGroupsSequence") or [])
    groups += list(found.get("PerFrameFunctionalGroupsSequence") or [])
    for group in groups:
        for measures in group.get("PixelMeasuresSequence") or []:
            measures.SpacingBetweenSlices = _text(step)
            if not measures.get("SliceThickness"):
                measures.SliceThickness = _text(step)
    return found


def _single(header: Dataset, frame: Frame, reference: str, step: float) -> Dataset:
    """The stand-in of a file with one image."""
    found = Dataset()
    found.SOPClassUID = header.SOPClassUID
    found.SOPInstanceUID = header.SOPInstanceUID
    found.SeriesInstanceUID = header.SeriesInstanceUID
    found.Modality = header.get("Modality") or "OT"
    found.Rows, found.Columns = frame.shape[:2]
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        found[keyword] = _element(header, keyword)
    found.SliceThickness = header.get("SliceThickness") or _text(step)
    found.SpacingBetweenSlices = _text(step)
    found.FrameOfReferenceUID = reference
    _fill(found, header)
    return found


def _element(header: Dataset, keyword: str) -> pydicom.DataElement:
    """An element of the header, or of the groups that describe its only frame."""
    if keyword in header:
        return header[keyword]
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    for group in (*own, *shared):
        for sequence in group:
            for item in sequence.value if sequence.VR == "SQ" else ():
                if keyword in item:
                    return item[keyword]
    raise KeyError(keyword)


def _fill(found: Dataset, header: Dataset) -> None:
    """Patient and study as the header says, empty where it says nothing or something invalid."""
    found.StudyInstanceUID = header.get("StudyInstanceUID") or generate_uid()
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
