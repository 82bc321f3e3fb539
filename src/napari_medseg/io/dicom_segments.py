"""Segments of a DICOM segmentation: what a class is called, how it is coded, coloured and numbered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentDescription
from highdicom.sr import CodedConcept
from highdicom.uid import UID
from pydicom import Dataset

from .. import codes
from ..codes import Code, Coding
from ..volume import LabelClass, Volume, colour_of

GROUP = 0x0071
"""Where our notes are among the private elements of a file."""

CREATOR = "napari-medseg"
"""Who made these private elements."""

ELEMENT = 0x01
"""The one that holds the notes."""

_LABEL_BYTES = 64  # of a segment's name, in UTF-8: some readers count bytes
_TRACKED = re.compile(r"class (\d{1,10})")
_INTELLIGENCE = Code("DCM", "123110", "Artificial Intelligence")


@dataclass(frozen=True)
class Segment:
    """A segment that a file describes.

    Parameters
    ----------
    number : int
        In the file.
    row : LabelClass
        Under the number that the class has with us, as far as the file says it; else under that of the segment.
    tracked : bool
        Whether the file says which number the class has with us.
    """

    number: int
    row: LabelClass
    tracked: bool


@dataclass(frozen=True)
class Maker:
    """Who made labels.

    Parameters
    ----------
    kind : str
        ``AUTOMATIC``, ``SEMIAUTOMATIC`` or ``MANUAL``, as DICOM calls it.
    name, version : str
        Of the model and of this package; empty if a person drew the labels.
    """

    kind: str
    name: str = ""
    version: str = ""


def numbers_of(volume: Volume, present: Iterable[int]) -> list[LabelClass]:
    """A row for each class in the table of a volume and for each further number in it, by number."""
    known = {row.id: row for row in volume.classes if row.id > 0}
    further = sorted({*present} - known.keys() - {0})
    rows = [*known.values(), *(LabelClass(number, f"class {number}", colour_of(number)) for number in further)]
    if not rows:
        # a file needs a segment, though it is empty
        rows = [LabelClass(1, "class 1", colour_of(1))]
    return sorted(rows, key=lambda row: row.id)


def label_of(row: LabelClass) -> str:
    """The name of a class as a segment has it: in at most 64 bytes of UTF-8, without what DICOM splits texts at."""
    text = row.name.replace("\\", "/").strip() or f"class {row.id}"
    return text.encode()[:_LABEL_BYTES].decode(errors="ignore").strip()


def described(number: int, row: LabelClass, maker: Maker) -> SegmentDescription:
    """The description of a segment.

    Parameters
    ----------
    number : int
        Of the segment in the file.
    row : LabelClass
    maker : Maker
    """
    coding = row.code or codes.of_name(row.name)
    algorithm = None
    if maker.kind != "MANUAL":
        algorithm = AlgorithmIdentificationSequence(maker.name[:64], _concept(_INTELLIGENCE), maker.version[:64])
    found = SegmentDescription(
        number,
        label_of(row),
        _concept(coding.category),
        _concept(coding.kind),
        maker.kind,
        algorithm,
        tracking_uid=UID(),
        tracking_id=f"class {row.id}",
        display_color=CIELabColor.from_rgb(*bytes.fromhex(row.colour[1:])),
    )
    if coding.modifier is not None:
        kind = found.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(coding.modifier)]
    return found


def segments_of(header: Dataset, ours: bool) -> list[Segment]:
    """The segments that a file describes, without the background that label maps describe.

    Parameters
    ----------
    header : pydicom.Dataset
    ours : bool
        Whether this package wrote the file.
    """
    found = []
    for item in header.get("SegmentSequence") or []:
        number = int(item.SegmentNumber)
        if number == 0:
            continue
        tracked = _TRACKED.fullmatch(str(item.get("TrackingID") or "")) if ours else None
        id_ = int(tracked[1]) if tracked else number
        found.append(Segment(number, LabelClass(id_, _name(item), _colour(item, number), _coding(item)), bool(tracked)))
    return found


def with_notes(segments: Sequence[Segment], noted: Sequence[LabelClass]) -> tuple[LabelClass, ...]:
    """The class table of our notes where the segments are still those that it was written with, else theirs.

    Parameters
    ----------
    segments : sequence of Segment
    noted : sequence of LabelClass
        From the notes.
    """
    table = {row.id: row for row in noted}
    found = []
    for segment in segments:
        row = segment.row
        mine = table.pop(row.id, None)
        if mine is not None and _is_still(mine, row):
            found.append(mine)
        elif mine is not None or not _is_unlisted(segment):
            found.append(row)
    # as they were: files sort segments by number
    order = {row.id: place for place, row in enumerate(noted)}
    return tuple(sorted((*found, *table.values()), key=lambda row: order.get(row.id, len(order))))


def _is_still(noted: LabelClass, row: LabelClass) -> bool:
    """Whether a segment is what a class of the notes becomes in a file."""
    coding = noted.code or codes.of_name(noted.name)
    return (label_of(noted), noted.colour, coding) == (row.name, row.colour, row.code)


def _is_unlisted(segment: Segment) -> bool:
    """Whether a segment stands for a number that was not in the class table."""
    return segment.tracked and segment.row.name == f"class {segment.row.id}"


def _concept(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, code.meaning)


def _name(item: Dataset) -> str:
    kind = _first(item, "SegmentedPropertyTypeCodeSequence")
    return str(item.get("SegmentLabel") or kind.get("CodeMeaning") or f"segment {item.SegmentNumber}")


def _colour(item: Dataset, number: int) -> str:
    value = item.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return colour_of(number)
    return "#{:02x}{:02x}{:02x}".format(*CIELabColor.from_dicom_value(list(value)).to_rgb())


def _coding(item: Dataset) -> Coding | None:
    kind = _first(item, "SegmentedPropertyTypeCodeSequence")
    category = _first(item, "SegmentedPropertyCategoryCodeSequence")
    modifier = _first(kind, "SegmentedPropertyTypeModifierCodeSequence")
    if not (_value(kind) and _value(category)):
        return None
    return Coding(_code(kind), _code(category), _code(modifier) if _value(modifier) else None)


def _first(item: Dataset, keyword: str) -> Dataset:
    sequence = item.get(keyword)
    return sequence[0] if sequence else Dataset()


def _value(item: Dataset) -> str:
    return str(item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or "")


def _code(item: Dataset) -> Code:
    return Code(str(item.get("CodingSchemeDesignator") or ""), _value(item), str(item.get("CodeMeaning") or ""))
