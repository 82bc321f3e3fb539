"""The table of DICOM elements in which all images of one volume agree, and by which volumes are kept apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from ..volume import LOW_IS_BRIGHT

Value = tuple[float | str, ...]
"""What an image has in one row of the table; empty if it has nothing there."""

_DIFFUSION_NAME = re.compile(r"b(\d+)(#\d+|t)?$")  # Siemens ends names of sequences so: '*ep_b1000#12'
_IN_SPACE = {
    Tag(keyword)
    for keyword in (
        "StackID",
        "InStackPositionNumber",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "SliceLocation",
    )
}


@dataclass(frozen=True)
class Contrast:
    """One row of the table.

    Parameters
    ----------
    name : str
        As people call it.
    places : tuple of str
        Where it is found: a keyword, or the keywords of the functional groups that lead to it, joined by dots.
    private : tuple of (int, str, int)
        Group, creator and element of vendors.
    orders : bool
        Whether images that differ in it make an axis; if not, they are of different kinds and never in one volume.
    steady : bool
        Whether it also agrees from slice to slice of one volume.
    measured : bool
        Whether numbers that are almost equal are one setting of the scanner.
    """

    name: str
    places: tuple[str, ...] = ()
    private: tuple[tuple[int, str, int], ...] = ()
    orders: bool = True
    steady: bool = True
    measured: bool = False


KINDS = (
    Contrast(
        "image type",
        (
            "MRImageFrameTypeSequence.FrameType",
            "CTImageFrameTypeSequence.FrameType",
            "PETFrameTypeSequence.FrameType",
            "ImageType",
        ),
        orders=False,
    ),
    Contrast(
        "complex component",
        ("MRImageFrameTypeSequence.ComplexImageComponent", "ComplexImageComponent"),
        ((0x0043, "GEMS_PARM_01", 0x2F), (0x2005, "Philips MR Imaging DD 001", 0x11)),
        orders=False,
    ),
    Contrast("photometric interpretation", ("PhotometricInterpretation",), orders=False),
    Contrast("stack", ("FrameContentSequence.StackID",), orders=False),
    Contrast("protocol", ("ProtocolName",), orders=False),
    Contrast("sequence", ("PulseSequenceName", "SequenceName"), orders=False),
    Contrast("kernel", ("CTReconstructionSequence.ConvolutionKernel", "ConvolutionKernel"), orders=False),
    Contrast("tube voltage", ("CTXRayDetailsSequence.KVP", "KVP"), orders=False),
)
"""What makes images of different kinds."""

AXES = (
    Contrast("temporal position", ("FrameContentSequence.TemporalPositionIndex", "TemporalPositionIdentifier")),
    Contrast("echo time", ("MREchoSequence.EffectiveEchoTime", "EffectiveEchoTime", "EchoTime"), measured=True),
    Contrast("echo number", ("EchoNumbers",)),
    Contrast(
        "b-value",
        ("MRDiffusionSequence.DiffusionBValue", "DiffusionBValue"),
        (
            (0x0019, "SIEMENS MR HEADER", 0x0C),
            (0x2001, "Philips Imaging DD 001", 0x03),
            (0x0043, "GEMS_PARM_01", 0x39),
            (0x0065, "Image Private Header", 0x09),
        ),
        measured=True,
    ),
    Contrast(
        "gradient direction",
        (
            "MRDiffusionSequence.DiffusionGradientDirectionSequence.DiffusionGradientOrientation",
            "DiffusionGradientOrientation",
        ),
        ((0x0019, "SIEMENS MR HEADER", 0x0E), (0x0065, "Image Private Header", 0x37)),
    ),
    Contrast("gradient direction along x", private=((0x2005, "Philips MR Imaging DD 001", 0xB0),), steady=False),
    Contrast("gradient direction along y", private=((0x2005, "Philips MR Imaging DD 001", 0xB1),), steady=False),
    Contrast("gradient direction along z", private=((0x2005, "Philips MR Imaging DD 001", 0xB2),), steady=False),
    Contrast("gradient direction along x", private=((0x0019, "GEMS_ACQU_01", 0xBB),), steady=False),
    Contrast("gradient direction along y", private=((0x0019, "GEMS_ACQU_01", 0xBC),), steady=False),
    Contrast("gradient direction along z", private=((0x0019, "GEMS_ACQU_01", 0xBD),), steady=False),
    Contrast("velocity encoding direction", ("MRVelocityEncodingSequence.VelocityEncodingDirection",), steady=False),
    Contrast("inversion time", ("MRModifierSequence.InversionTimes", "InversionTime"), steady=False),
    Contrast("flip angle", ("MRTimingAndRelatedParametersSequence.FlipAngle", "FlipAngle"), steady=False),
    Contrast(
        "cardiac phase",
        ("CardiacSynchronizationSequence.NominalPercentageOfCardiacPhase", "NominalPercentageOfCardiacPhase"),
        steady=False,
    ),
    Contrast("dimension index", steady=False),
)
"""What makes an axis, in the order in which images are sorted."""


def found_in(header: pydicom.Dataset, level: list[pydicom.Dataset], rows: Sequence[Contrast]) -> tuple[Value, ...]:
    """What one image has in each of `rows`.

    Parameters
    ----------
    header : pydicom.Dataset
        The file.
    level : list of pydicom.Dataset
        Functional groups of the image, then those that all images of the file share.
    rows : sequence of Contrast
    """
    groups = {tag >> 16 for tag in header.keys()}  # noqa: SIM118, for a dataset yields elements, which it decodes
    return tuple(_value(header, level, row, groups) for row in rows)


def _value(header: pydicom.Dataset, level: list[pydicom.Dataset], row: Contrast, groups: set[int]) -> Value:
    if row.name == "dimension index":
        return _dimensions(header, level)
    public = (_at(dataset, place) for dataset in [*level, header] for place in row.places)
    private = (_private(header, *place) for place in row.private if place[0] in groups)
    value = next((value for value in (*public, *private) if value), ())
    if row.name == "photometric interpretation":
        # the names of colours follow the compression
        return tuple(part for part in value if str(part).startswith("MONOCHROME"))
    if row.name == "sequence":
        return tuple(_DIFFUSION_NAME.sub("b", str(part)) for part in value)
    if row.name == "b-value":
        return _b_value(header, value)
    return value


def _at(dataset: pydicom.Dataset, place: str) -> Value:
    *groups, keyword = place.split(".")
    for group in groups:
        items = dataset.get(group)
        if not items:
            return ()
        dataset = items[0]
    return _plain(dataset.get(keyword))


def _private(header: pydicom.Dataset, group: int, creator: str, element: int) -> Value:
    try:
        return _plain(header.private_block(group, creator)[element].value)
    except KeyError:
        return ()


def _plain(value: Any) -> Value:
    """Numbers and texts; nothing for what is empty or could not be decoded."""
    if value is None or value == "" or isinstance(value, bytes):
        return ()
    parts = value if isinstance(value, (MultiValue, list, tuple)) else [value]
    return tuple(_number_or_text(part) for part in parts)


def _number_or_text(part: Any) -> float | str:
    try:
        return float(part)
    except (TypeError, ValueError):
        return str(part).strip()


def _b_value(header: pydicom.Dataset, value: Value) -> Value:
    if value and isinstance(value[0], float):
        # GE adds 1e9 and lists further numbers
        return (value[0] % 100_000,)
    named = _DIFFUSION_NAME.search(str(header.get("SequenceName") or ""))
    return (float(named[1]),) if named else ()


def _dimensions(header: pydicom.Dataset, level: list[pydicom.Dataset]) -> Value:
    """The indices of a frame along all dimensions of its file that are not places."""
    pointers = [item.get("DimensionIndexPointer") for item in header.get("DimensionIndexSequence") or []]
    indices = next(filter(None, (_at(item, "FrameContentSequence.DimensionIndexValues") for item in level)), ())
    if len(indices) != len(pointers):
        return ()
    return tuple(index for index, pointer in zip(indices, pointers, strict=True) if pointer not in _IN_SPACE)


def low_is_bright(kind: tuple[Value, ...]) -> bool:
    """Whether low values of images of a kind are bright."""
    return (LOW_IS_BRIGHT,) in kind


def kind_words(kind: tuple[Value, ...], other: tuple[Value, ...]) -> str:
    """In what a kind of image differs from another: ``image type ORIGINAL\\PRIMARY\\P``."""
    rows = zip(KINDS, kind, other, strict=True)
    return ", ".join(f"{row.name} {value_text(mine)}" for row, mine, theirs in rows if mine != theirs)


def value_text(value: Value) -> str:
    """What an image has in one row, for people."""
    parts = [f"{part:g}" if isinstance(part, float) else str(part) for part in value]
    return "\\".join(parts) or "none"
