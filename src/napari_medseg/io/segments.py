"""Segments of 3D Slicer in the header of a ``.seg.nrrd`` file: names, colours, codes and layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from .. import codes
from ..codes import Code, Coding
from ..errors import FileError
from ..volume import LabelClass, Volume
from .blocks import Block, volume_of
from .notes import Notes

_KEY = re.compile(r"Segment(\d{1,6})_(ID|Name|LabelValue|Layer|Color|Tags)")
_TERMINOLOGY = "TerminologyEntry:"
_TAGS = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list~^^~^^"
_UNLISTED = "Unlisted_"  # how the segment of a number that has no class is called
_GREY = "#9a9a9a"
_DIRECT = 2**16  # numbers up to here are looked up in a table
_HEAD = {
    "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
    "Segmentation_MasterRepresentation": "Binary labelmap",
    "Segmentation_ReferenceImageExtentOffset": "0 0 0",
}


@dataclass(frozen=True)
class Segment:
    """One segment: where its voxels are, and what they mean.

    Parameters
    ----------
    layer : int
        Its place along the axis of layers.
    value : int
        Its number there.
    label : LabelClass
    """

    layer: int
    value: int
    label: LabelClass


def are_in(keys: Mapping[str, str]) -> bool:
    """Whether the keys of a header describe segments."""
    return any(_KEY.fullmatch(key) for key in keys) or "Segmentation_MasterRepresentation" in keys


def keys_of(data: np.ndarray, classes: Sequence[LabelClass]) -> dict[str, str]:
    """The keys that describe labels as 3D Slicer does.

    Parameters
    ----------
    data : numpy.ndarray, shape (z, y, x)
    classes : sequence of LabelClass
    """
    extents = _extents(data)
    listed = {row.id: row for row in classes if row.id}
    unlisted = {number: LabelClass(number, str(number), _GREY) for number in extents if number not in listed}
    keys = dict(_HEAD)
    for i, (number, row) in enumerate(sorted((listed | unlisted).items())):
        red, green, blue = bytes.fromhex(row.colour[1:])
        keys |= {
            f"Segment{i}_ID": f"{_UNLISTED}{number}" if number in unlisted else f"Segment_{number}",
            f"Segment{i}_Name": _shown(row).name,
            f"Segment{i}_LabelValue": str(number),
            f"Segment{i}_Layer": "0",
            f"Segment{i}_Color": " ".join(repr(round(part / 255, 6)) for part in (red, green, blue)),
            f"Segment{i}_Extent": extents.get(number, "0 -1 0 -1 0 -1"),
            f"Segment{i}_Tags": f"{_TERMINOLOGY}{_terminology(row.code or codes.of_name(row.name))}|",
        }
    return keys


def volumes(path: Path, block: Block, keys: Mapping[str, str]) -> list[Volume]:
    """The labels that a block and its keys describe: one volume, or several where segments overlap.

    Raises
    ------
    FileError
        If there is no segment.
    """
    found = _segments(keys)
    # 3D Slicer saves a segmentation without any as a single voxel
    nothing = not found or (block.data.size == 1 and not block.data.any())
    if nothing and block.notes is None:
        raise FileError(f"'{path.name}' holds no segments. Save the segmentation again when it has some.")
    # with segments, what looks like time or channels is an axis of layers
    axes = block.axes.replace("t", "l").replace("c", "l")
    data = np.moveaxis(block.data, axes.index("l"), 0) if "l" in axes else block.data[None]
    for segment in found:
        if not 0 <= segment.layer < len(data):
            raise FileError(
                f"'{path.name}' places a segment in layer {segment.layer + 1} of {len(data)}. Save it again."
            )
    plain = axes.replace("l", "")
    if len(data) == 1:
        listed = {segment.value: segment.label for segment in found}
        groups = [(data[0], _as_noted(tuple(listed.values()), block.notes))]
    else:
        groups = _without_overlap(data, found)
    made = []
    for labels, classes in groups:
        volume = volume_of(Block(labels, plain, block.affine, block.notes if len(groups) == 1 else None))
        made.append(replace(volume, classes=classes, metadata={**volume.metadata, "labels": True}))
    return made


def _segments(keys: Mapping[str, str]) -> list[Segment]:
    """The segments in the order of their numbers; those of labels that have no class left out."""
    rows: dict[int, dict[str, str]] = {}
    for key, value in keys.items():
        match = _KEY.fullmatch(key)
        if match:
            rows.setdefault(int(match.group(1)), {})[match.group(2)] = value
    found = []
    for place, (i, row) in enumerate(sorted(rows.items())):
        # early versions of 3D Slicer gave each segment a layer of its own
        early = "LabelValue" not in row
        value = 1 if early else int(row["LabelValue"])
        if row.get("ID", "").startswith(_UNLISTED):
            continue
        name = row.get("Name") or row.get("ID") or f"Segment {i + 1}"
        label = LabelClass(value, name, _colour(row.get("Color", "")), _coding(name, row.get("Tags", "")))
        found.append(Segment(int(row.get("Layer", place if early else 0)), value, label))
    return found


def _as_noted(found: tuple[LabelClass, ...], notes: Notes | None) -> tuple[LabelClass, ...]:
    """The classes of our notes if the segments say the same, which have codes for all of them."""
    noted = notes.classes if notes else ()
    plain = {replace(_shown(row), code=row.code or codes.of_name(row.name)) for row in noted if row.id}
    coded = {replace(row, code=row.code or codes.of_name(row.name)) for row in found}
    return noted if plain == coded else found


def _shown(row: LabelClass) -> LabelClass:
    """A class as a segment has it, which needs a name."""
    return row if row.name else replace(row, name=f"class {row.id}")


def _without_overlap(data: np.ndarray, found: Sequence[Segment]) -> list[tuple[np.ndarray, tuple[LabelClass, ...]]]:
    """Segments in as few label arrays as their overlap allows, each in the first where it fits."""
    present = [set(np.unique(layer).tolist()) for layer in data]
    dtype = np.min_scalar_type(max((segment.value for segment in found), default=0) + len(found))
    groups: list[tuple[np.ndarray, list[LabelClass]]] = [(np.zeros(data.shape[1:], dtype), [])]
    seen = set()
    for segment in found:
        if (segment.layer, segment.value) in seen:
            continue
        seen.add((segment.layer, segment.value))
        there = segment.value in present[segment.layer]
        mask = data[segment.layer] == segment.value if there else None
        # a segment without voxels fits anywhere
        fitting = (i for i, (labels, _) in enumerate(groups) if mask is None or not labels[mask].any())
        place = next(fitting, len(groups))
        if place == len(groups):
            groups.append((np.zeros(data.shape[1:], dtype), []))
        labels, classes = groups[place]
        taken = {row.id for row in classes}
        value = segment.value if segment.value not in taken else max(taken) + 1
        if mask is not None:
            labels[mask] = value
        classes.append(replace(segment.label, id=value))
    return [(labels, tuple(classes)) for labels, classes in groups]


def _extents(data: np.ndarray) -> dict[int, str]:
    """First and last voxel along x, y and z of each number in labels (z, y, x)."""
    highest = int(data.max())
    if highest < _DIRECT:
        present, compact = range(1, highest + 1), data
    else:
        values, places = np.unique(data, return_inverse=True)
        # 0 has to stay 0
        first = int(values[0] != 0)
        present, compact = values[1 - first :].tolist(), places.reshape(data.shape) + first
    boxes = zip(present, ndimage.find_objects(compact), strict=True)
    return {
        int(number): " ".join(f"{side.start} {side.stop - 1}" for side in box[::-1]) for number, box in boxes if box
    }


def _colour(text: str) -> str:
    """``0.9 0.2 0.2`` as ``#e63333``; grey if it does not say a colour."""
    parts = text.split()
    if len(parts) < 3:
        return _GREY
    values = [round(255 * min(max(float(part), 0.0), 1.0)) for part in parts[:3]]
    return f"#{bytes(values).hex()}"


def _terminology(coding: Coding) -> str:
    parts = (coding.category, coding.kind, coding.modifier)
    return "~".join((_TAGS, *map(_code_text, parts), _REGIONS))


def _code_text(code: Code | None) -> str:
    if code is None:
        return "^^"
    return "^".join(re.sub(r"[\^~|]", " ", part) for part in (code.scheme, code.value, code.meaning))


def _coding(name: str, tags: str) -> Coding | None:
    """What the tags of a segment say that it is; None if that is what its name says too."""
    entry = next((tag for tag in tags.split("|") if tag.startswith(_TERMINOLOGY)), "")
    parts = [_code(part) for part in entry.split("~")[1:4]]
    if len(parts) < 3 or parts[0] is None or parts[1] is None:
        return None
    coding = Coding(parts[1], parts[0], parts[2])
    return None if coding == codes.of_name(name) else coding


def _code(text: str) -> Code | None:
    parts = text.split("^")
    return Code(*parts) if len(parts) == 3 and all(parts[:2]) else None
