"""Small DICOM files for `fuzz.py`: plain, compressed, of several frames, and a series of files."""

from __future__ import annotations

import io as memory
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from fuzz_seeds import Seed
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)

_ROOT = "1.2.826.0.1.3680043.8.498."
_GREY = np.arange(256, dtype=np.uint16).reshape(16, 16)


def image(pixels: np.ndarray, number: int = 1, syntax: str = ExplicitVRLittleEndian, **elements: Any) -> bytes:
    """A file with plain pixels (y, x) or (y, x, 3), or with what was packed as the element ``packed``."""
    packed = elements.pop("packed", None)
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"{_ROOT}{number}"
    dataset.SeriesInstanceUID = dataset.FrameOfReferenceUID = f"{_ROOT}9"
    dataset.Modality = "MR"
    dataset.SeriesDescription = "short axis"
    dataset.InstanceNumber = number
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PixelRepresentation = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelSpacing = [1.5, 0.5]
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -100
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [0, 0, 5 * number]
    little = syntax != ExplicitVRBigEndian
    content = pixels.astype(pixels.dtype.newbyteorder("<" if little else ">")).tobytes()
    wide = "OW" if pixels.dtype.itemsize > 1 and packed is None else "OB"
    dataset["PixelData"] = DataElement("PixelData", wide, encapsulate(packed) if packed else content)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    stream = memory.BytesIO()
    implicit = syntax == ImplicitVRLittleEndian
    pydicom.dcmwrite(stream, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return stream.getvalue()


def plain(folder: Path) -> Iterator[Seed]:
    small = _GREY[:4, :6]
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        kind = "dicom" if syntax == ExplicitVRLittleEndian else "bytes"
        yield Seed({"a.dcm": image(small, syntax=syntax)}, kind)
    yield Seed({"b.dcm": image(np.zeros((4, 6, 3), np.uint8))}, "dicom")
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        palette[f"{colour}PaletteColorLookupTableData"] = np.arange(4, dtype="<u2").tobytes()
    yield Seed({"c.dcm": image(np.ones((4, 6), np.uint8), **palette)}, "dicom")
    yield Seed({"d.dcm": image(small, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)}, "dicom")


def compressed(folder: Path) -> Iterator[Seed]:
    import imagecodecs

    bytes_ = _GREY.astype(np.uint8)
    options = {"rows": 16, "columns": 16, "samples_per_pixel": 1, "bits_allocated": 16, "bits_stored": 16}
    more = {"pixel_representation": 0, "photometric_interpretation": "MONOCHROME2", "number_of_frames": 1}
    rle = RLELosslessEncoder.encode(_GREY, encoding_plugin="pydicom", **options, **more)
    forms = [
        (RLELossless, _GREY, rle),
        (JPEGBaseline8Bit, bytes_, imagecodecs.jpeg8_encode(bytes_)),
        (JPEGLosslessSV1, bytes_, imagecodecs.jpeg8_encode(bytes_, lossless=True)),
        (JPEGLSLossless, _GREY, imagecodecs.jpegls_encode(_GREY)),
        (JPEG2000Lossless, _GREY, imagecodecs.jpeg2k_encode(_GREY, codecformat="j2k", reversible=True)),
    ]
    for syntax, pixels, content in forms:
        yield Seed({"a.dcm": image(pixels, syntax=syntax, packed=[bytes(content)])}, "dicom")


def frames(folder: Path) -> Iterator[Seed]:
    stack = np.stack([_GREY[:4, :6]] * 3)
    yield Seed({"a.dcm": image(stack, NumberOfFrames=3, FrameTime=30)}, "dicom")
    groups, places = [], []
    for z in range(3):
        position, content = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, 4 * z]
        content.DimensionIndexValues = [1, z + 1]
        places.append(Dataset())
        places[-1].PlanePositionSequence = Sequence([position])
        places[-1].FrameContentSequence = Sequence([content])
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
    groups.append(Dataset())
    groups[0].PixelMeasuresSequence = Sequence([measures])
    groups[0].PlaneOrientationSequence = Sequence([orientation])
    enhanced = {
        "NumberOfFrames": 3,
        "SOPClassUID": EnhancedMRImageStorage,
        "SharedFunctionalGroupsSequence": Sequence(groups),
        "PerFrameFunctionalGroupsSequence": Sequence(places),
    }
    yield Seed({"b.dcm": image(stack, **enhanced)}, "dicom")


def series(folder: Path) -> Iterator[Seed]:
    yield Seed({f"{n}.dcm": image(_GREY[:4, :6], n) for n in (1, 2, 3)}, "dicom")
