"""What a DICOM file declares of its frames, judged before memory and time are taken for it."""

from __future__ import annotations

import zlib
from pathlib import Path

import pydicom
from pydicom.encaps import generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ..errors import FileError
from ..memory import free_bytes
from .codestreams import declared_size

_MOST_FRAMES = 100_000
_FEWEST_BYTES = 1  # of a compressed frame
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_HEAD = 4096  # bytes of a file that say how it is packed
_META = 144  # bytes before the elements that do
_PORTION = 2**20  # bytes that are unpacked at once


def check_count(path: Path, header: pydicom.Dataset, count: int) -> None:
    """Refuse more frames than the file can hold, and more than can be sorted."""
    halved = header.get("PhotometricInterpretation") == "YBR_FULL_422"
    samples = 2 if halved else int(header.get("SamplesPerPixel") or 1)
    bits = count * int(header.Rows) * int(header.Columns) * samples * int(header.BitsAllocated)
    if header.file_meta.TransferSyntaxUID not in _PLAIN:
        bits = 8 * count * _FEWEST_BYTES
    if bits > 8 * path.stat().st_size:
        raise ValueError(f"it declares {count} frames, more than it has bytes for")
    if count > _MOST_FRAMES:
        raise FileError(
            f"'{path.name}' holds {count} frames; at most {_MOST_FRAMES} are read. Export it in several parts."
        )


def check_layout(path: Path, header: pydicom.Dataset, count: int) -> None:
    """Refuse frames that are parts of a picture, and pictures that are made of slices."""
    if "MOSAIC" in (header.get("ImageType") or []):
        raise FileError(
            f"'{path.name}' is a Siemens mosaic: one picture with all slices of a volume next to each other. "
            "Convert it with dcm2niix and open the NIfTI file."
        )
    whole = header.get("TotalPixelMatrixRows"), header.get("TotalPixelMatrixColumns")
    if any(whole) and (count > 1 or whole != (header.Rows, header.Columns)):
        raise FileError(
            f"'{path.name}' is a slide in {count} tiles of {header.Rows} x {header.Columns} pixels, not a series of "
            "slices. Export the part that you want as TIFF, for example with QuPath."
        )
    groups = [
        *(header.get("PerFrameFunctionalGroupsSequence") or [])[:1],
        *(header.get("SharedFunctionalGroupsSequence") or []),
    ]
    if count > 1 and any("PlanePositionVolumeSequence" in group for group in groups):
        raise FileError(
            f"'{path.name}' is an ultrasound volume with places relative to the probe, which are not supported. "
            "Export it as NIfTI or as a classic DICOM series."
        )


def check_deflated(path: Path) -> None:
    """Refuse a deflated file that would unpack to more than there is room for: pydicom unpacks it whole."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if DeflatedExplicitVRLittleEndian.encode() not in head:
            return
        file.seek(_META + int(read_file_meta_info(path).FileMetaInformationGroupLength))
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        size, most = 0, free_bytes() // 2  # packed and unpacked are held, the pixels twice
        while part := unpacker.unconsumed_tail or file.read(_HEAD):
            size += len(unpacker.decompress(part, _PORTION))
            if size > most:
                raise FileError(f"'{path.name}' would unpack to more than {most / 2**30:.3g} GiB. It is not opened.")


def check_compressed(dataset: pydicom.Dataset) -> None:
    """Refuse compressed frames that are larger than the file says: unpacking would take what they declare."""
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    offsets = None
    if "ExtendedOffsetTable" in dataset:
        offsets = dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
    count = int(dataset.get("NumberOfFrames") or 1)
    for frame in generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=offsets):
        rows, columns = declared_size(frame) or (0, 0)
        if rows > dataset.Rows or columns > dataset.Columns:
            raise ValueError(f"a frame of {rows} x {columns} pixels is said to have {dataset.Rows} x {dataset.Columns}")
