"""One DICOM file: the frames it holds, where they lie, and their values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ..errors import FileError
from . import checks
from .dicom_contrast import AXES, KINDS, Value, found_in
from .dicom_declared import check_compressed, check_count, check_deflated, check_layout
from .dicom_jpeg import plugins

_NO_IMAGES = {"SEG", "RTDOSE"}  # modalities whose pixels are not grey values
_CONTOURS = "RTSTRUCT"
_TIMES = {0x00181063, 0x00181065}  # FrameTime, FrameTimeVector
_AXIAL = np.eye(3)[:2]


@dataclass(frozen=True)
class Series:
    """What the files of one series share.

    Parameters
    ----------
    uid, modality, description
        As in its files.
    number
        Of the series in its study, or None.
    time
        When it was taken, as far as that is known: ``2019-03-04 10:22``; may differ between its files.
    body_part
        In the words of DICOM, ``HEART`` for example; empty where the file does not say.
    localizer
        Whether it says that it is one: a quick overview on which others are planned.
    """

    uid: str
    modality: str
    description: str
    number: int | None = None
    time: str = ""
    body_part: str = ""
    localizer: bool = False


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a file.

    Parameters
    ----------
    path, index
        File, and number of the frame in it.
    uid
        Names the instance, to find copies of one file.
    series
        Which series it belongs to.
    shape
        Rows, columns and samples per pixel.
    spacing
        Distance between rows and between columns in mm, or None.
    directions
        Unit vectors along a row and along a column, shape (2, 3), LPS.
    position
        Centre of the first pixel in mm, LPS, or None.
    order
        Sorts images of equal position by time.
    scale
        Slope and intercept, from stored values to output values.
    reference
        Identifier of the frame of reference.
    kind, contrast
        Its values in `dicom_contrast.KINDS` and `dicom_contrast.AXES`.
    """

    path: Path
    index: int
    uid: str
    series: Series
    shape: tuple[int, int, int]
    spacing: tuple[float, float] | None
    directions: np.ndarray
    position: np.ndarray | None
    order: tuple[float, ...]
    scale: tuple[float, float]
    reference: str
    kind: tuple[Value, ...]
    contrast: tuple[Value, ...]


def frames_of(path: Path) -> list[Frame]:
    """The frames of a file; none if it holds no image.

    Raises
    ------
    FileError
        If the file is damaged or declares an image that is too large.
    """
    with checks.damaged(path):
        header = opened(path, stop_before_pixels=True)
        if header.get("Modality") in _NO_IMAGES:
            return []
        if "Rows" not in header:
            kind = UID(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "").name
            if not kind or "Image Storage" in kind:
                raise ValueError("it ends before its image")
            return []
        count = int(header.get("NumberOfFrames") or 1)
        check_layout(path, header, count)
        shape = (int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel") or 1))
        checks.check_size(path, (count, *shape), max(int(header.BitsAllocated) // 8, 1))
        check_count(path, header, count)
        shared = list(header.get("SharedFunctionalGroupsSequence") or [])
        frames = list(header.get("PerFrameFunctionalGroupsSequence") or [])
        if count > 1 and not frames and not _in_time(header):
            return []
        if frames and len(frames) != count:
            raise ValueError(f"it declares {count} frames and describes {len(frames)}")
        if not frames:
            first = _frame(path, header, shape, 0, shared)
            return [first, *(_later(first, index) for index in range(1, count))]
        return [_frame(path, header, shape, index, [own, *shared]) for index, own in enumerate(frames)]


def _later(first: Frame, index: int) -> Frame:
    """A further frame of a file that says of all its frames the same."""
    return replace(first, index=index, order=(*first.order[:-1], index))


def opened(path: Path, stop_before_pixels: bool = False) -> pydicom.Dataset:
    """The dataset of a file, also of one without the preamble, which does not say how it is encoded."""
    check_deflated(path)
    dataset = pydicom.dcmread(path, stop_before_pixels=stop_before_pixels, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def without_image(path: Path) -> str:
    """Why a DICOM file cannot be opened that holds no image, and what to do.

    Raises
    ------
    FileError
        If it is damaged.
    """
    with checks.damaged(path):
        header = opened(path, stop_before_pixels=True)
        kind = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
        name = kind.name if kind else "unknown"
    if header.get("Modality") == _CONTOURS:
        return (
            f"'{path.name}' holds contours (RTSTRUCT), which are not read. In 3D Slicer, load it with its images, and "
            "save the segmentation as .seg.nrrd or DICOM SEG."
        )
    return (
        f"'{path.name}' is a DICOM file of the kind '{name}', without an image that can be read. Choose an image file."
    )


def holds_contours(path: Path) -> bool:
    """Whether a DICOM file holds contours, as programs for radiotherapy write them.

    Raises
    ------
    FileError
        If it is damaged.
    """
    with checks.damaged(path):
        return opened(path, stop_before_pixels=True).get("Modality") == _CONTOURS


def same_pixels(a: Path, b: Path) -> bool:
    """Whether two files hold the same stored pixels, byte for byte.

    Raises
    ------
    FileError
        If one is damaged.
    """
    with checks.damaged(a):
        return opened(a).PixelData == opened(b).PixelData


def _in_time(header: pydicom.Dataset) -> bool:
    """Whether the frames of a file without geometry of its frames follow each other in time."""
    pointer = header.get("FrameIncrementPointer")
    return not pointer or {*(pointer if isinstance(pointer, list) else [pointer])} <= _TIMES


def _frame(
    path: Path, header: pydicom.Dataset, shape: tuple[int, int, int], index: int, level: list[pydicom.Dataset]
) -> Frame:
    def numbers(sequence: str, keyword: str, length: int) -> tuple[float, ...] | None:
        return _numbers(_find(header, level, sequence, keyword), keyword, length)

    spacing = numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    position = numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    directions = numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    times = (
        numbers("FrameContentSequence", "TemporalPositionIndex", 1),
        numbers("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", 1),
        numbers("", "TriggerTime", 1),
        numbers("", "TemporalPositionIdentifier", 1),
    )
    clock = _clock(header, level)
    acquired = numbers("", "AcquisitionNumber", 1) or (0.0,)
    instance = numbers("", "InstanceNumber", 1) or (0.0,)
    slope = numbers("PixelValueTransformationSequence", "RescaleSlope", 1) or (1.0,)
    intercept = numbers("PixelValueTransformationSequence", "RescaleIntercept", 1) or (0.0,)
    return Frame(
        path,
        index,
        str(header.get("SOPInstanceUID", "")),
        Series(
            str(header.get("SeriesInstanceUID", "")),
            str(header.get("Modality") or ""),
            str(header.get("SeriesDescription") or ""),
            _series_number(header),
            _series_time(header),
            str(header.get("BodyPartExamined") or ""),
            "LOCALIZER" in (header.get("ImageType") or ()),
        ),
        shape,
        None if spacing is None else (spacing[0], spacing[1]),
        _AXIAL if directions is None else np.array(directions).reshape(2, 3),
        None if position is None or directions is None else np.array(position),
        (*next(filter(None, times), (0.0,)), *acquired, clock, *instance, index),
        (slope[0], intercept[0]),
        str(header.get("FrameOfReferenceUID", "")),
        found_in(header, level, KINDS),
        found_in(header, level, AXES),
    )


def _series_number(header: pydicom.Dataset) -> int | None:
    found = re.fullmatch(r"\s*(\d{1,9})\s*", str(header.get("SeriesNumber") or ""))
    return int(found[1]) if found else None


def _series_time(header: pydicom.Dataset) -> str:
    """Day and minute of a series, else of its acquisition, else of its study."""
    for kind in ("Series", "Acquisition", "Content", "Study"):
        day = re.match(r"(\d{4})\.?(\d{2})\.?(\d{2})", str(header.get(f"{kind}Date") or ""))
        if day:
            minute = re.match(r"(\d{2}):?(\d{2})", str(header.get(f"{kind}Time") or ""))
            return "-".join(day.groups()) + (f" {minute[1]}:{minute[2]}" if minute else "")
    return ""


def _clock(header: pydicom.Dataset, level: list[pydicom.Dataset]) -> float:
    """When an image was acquired, as digits that sort; 0 if that is not known."""
    whole = _find(header, level, "FrameContentSequence", "FrameAcquisitionDateTime")
    text = str(whole or header.get("AcquisitionDateTime") or "")
    if not text and header.get("AcquisitionTime"):
        text = f"{header.get('AcquisitionDate') or '00000000'}{header.AcquisitionTime}"
    digits = re.match(r"\d{8,14}(\.\d+)?", text)
    return float(digits[0]) if digits else 0.0


def _find(header: pydicom.Dataset, level: list[pydicom.Dataset], sequence: str, keyword: str) -> Any:
    """A value of one frame: its own, else the one all frames share, else that of the file."""
    for group in level:
        items = group.get(sequence) if sequence else None
        for item in items or []:
            if keyword in item:
                return item.get(keyword)
    return header.get(keyword)


def _numbers(value: Any, keyword: str, length: int) -> tuple[float, ...] | None:
    """`length` finite numbers, None if there are none or the size is 0; the error goes through `checks.damaged`."""
    if value is None or value == "" or value == []:
        return None
    several = isinstance(value, Sequence) and not isinstance(value, str)
    numbers = tuple(float(each) for each in (value if several else [value]))
    fits = len(numbers) == length and all(map(math.isfinite, numbers))
    if keyword == "PixelSpacing":
        if not any(numbers):
            return None  # programs write 0 where they do not know it
        fits = fits and min(numbers) > 0
    elif keyword == "ImageOrientationPatient" and fits:
        a, b = np.array(numbers).reshape(2, 3)
        fits = np.allclose([a @ a, b @ b, a @ b], [1, 1, 0], rtol=0, atol=0.01)
    if not fits:
        raise ValueError(f"its {keyword} is {value}")
    return numbers


def decode(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Stored values of all frames of a file.

    Parameters
    ----------
    path : pathlib.Path
    shape : (int, int, int)
        Rows, columns and samples per pixel.

    Returns
    -------
    numpy.ndarray, shape (frame, y, x) or (frame, y, x, 3)

    Raises
    ------
    FileError
        If the file is damaged, or compressed in a way that cannot be unpacked.
    """
    with checks.damaged(path):
        dataset = opened(path)
        pixels = _unpacked(path, dataset)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            _turn_palettes(dataset)
            pixels = apply_color_lut(pixels, dataset)
            pixels = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        elif "ModalityLUTSequence" in dataset:
            pixels = apply_modality_lut(pixels, dataset)
        colour = dataset.PhotometricInterpretation == "PALETTE COLOR" or shape[2] > 1
        images = pixels.reshape(-1, *pixels.shape[-3 if colour else -2 :])
        count = int(dataset.get("NumberOfFrames") or 1)
        if len(images) != count or images.shape[1:3] != shape[:2]:
            raise ValueError(f"its pixels have the shape {pixels.shape}")
        return images


def _turn_palettes(dataset: pydicom.Dataset) -> None:
    """Bring the palettes of big-endian files into the order that pydicom takes for granted."""
    if dataset.file_meta.TransferSyntaxUID != ExplicitVRBigEndian:
        return
    for colour in ("Red", "Green", "Blue"):
        element = dataset.get(f"{colour}PaletteColorLookupTableData")
        if element:
            words = np.frombuffer(element, ">u2").astype("<u2")
            setattr(dataset, f"{colour}PaletteColorLookupTableData", words.tobytes())


def _unpacked(path: Path, dataset: pydicom.Dataset) -> np.ndarray:
    check_compressed(dataset)
    for plugin in plugins(dataset):
        dataset.pixel_array_options(decoding_plugin=plugin)
        with suppress(RuntimeError):
            return dataset.pixel_array
    raise FileError(
        f"'{path.name}' is compressed as {dataset.file_meta.TransferSyntaxUID.name} and cannot be unpacked: it is "
        "damaged or needs other packages. Type 'pip install imagecodecs pylibjpeg-openjpeg', or export it uncompressed."
    )


def scaled(image: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Output values; whole numbers stay whole, in the smallest signed type from 16 bits on that holds them."""
    slope, intercept = scale
    if scale == (1, 0):
        return image
    whole = float(slope).is_integer() and float(intercept).is_integer() and max(abs(slope), abs(intercept)) < 2**31
    if image.dtype.kind not in "iu" or not whole:
        return (image * slope + intercept).astype(np.float32)
    values = image.astype(np.int64) * int(slope) + int(intercept)
    low, high = values.min(), values.max()
    kinds = map(np.iinfo, (np.int16, np.int32, np.int64))
    return values.astype(next(kind.dtype for kind in kinds if kind.min <= low and high <= kind.max))
