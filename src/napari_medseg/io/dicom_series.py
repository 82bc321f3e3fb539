"""Which DICOM images belong to one series, and how several of them are named to a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import FileError
from ..volume import LOW_IS_BRIGHT
from .dicom_contrast import kind_words, low_is_bright
from .dicom_frames import Frame, same_pixels

SAME_DIRECTION = 1e-3
"""Difference between directions that count as equal."""

_LISTED = 20  # series that are named one by one


def groups_of(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Sort frames by series, kind, matrix and orientation; copies of a file count once.

    Raises
    ------
    FileError
        If images of one identifier and place have other pixels.
    """
    groups: list[list[Frame]] = []
    seen: dict[tuple[Any, ...], Frame] = {}
    for frame in frames:
        if frame.uid and _is_copy(frame, seen.setdefault(_identity(frame), frame)):
            continue
        group = next((group for group in groups if fit(group[0], frame)), None)
        if group is None:
            groups.append([frame])
        else:
            group.append(frame)
    return groups


def _identity(frame: Frame) -> tuple[Any, ...]:
    """What the copies of an image share. Its identifier is not enough: careless programs give one to all images."""
    place = None if frame.position is None else tuple(frame.position)
    return frame.uid, frame.index, frame.series.uid, place, frame.order, frame.kind, frame.contrast


def _is_copy(frame: Frame, first: Frame) -> bool:
    if frame is first:
        return False
    if not same_pixels(first.path, frame.path):
        raise FileError(
            f"'{first.path.name}' and '{frame.path.name}' have the same identifier and place, but other pixels. "
            "Move one of them to another folder."
        )
    return True


def described(frames: list[Frame]) -> dict[str, Any]:
    """What the files of a series say of it: metadata of its volume, see `dicom.read`."""
    first = frames[0]
    metadata: dict[str, Any] = {
        "modality": first.series.modality,
        "series_uid": first.series.uid,
        "series_description": first.series.description,
        "frame_of_reference_shared": len({frame.reference for frame in frames}) == 1,
        "has_spacing": first.spacing is not None,
    }
    if first.position is None:
        metadata["has_place"] = False
    if first.series.body_part:
        metadata["body_part"] = first.series.body_part
    if first.series.localizer:
        metadata["localizer"] = True
    if low_is_bright(first.kind):
        metadata["photometric"] = LOW_IS_BRIGHT
    return metadata


def fit(a: Frame, b: Frame) -> bool:
    """Whether two images may be parts of one volume."""
    return a.kind == b.kind and _alike(a, b)


def _alike(a: Frame, b: Frame) -> bool:
    """Whether two images are of one series, matrix and orientation."""
    same_kind = (a.series.uid, a.shape, a.position is None) == (b.series.uid, b.shape, b.position is None)
    # frames of one description share it
    one = a.directions is b.directions
    same_direction = one or np.allclose(a.directions, b.directions, rtol=0, atol=SAME_DIRECTION)
    return same_kind and same_direction and _same_spacing(a.spacing, b.spacing)


def _same_spacing(a: tuple[float, float] | None, b: tuple[float, float] | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.allclose(a, b, rtol=1e-4)


def listed(groups: list[list[Frame]]) -> str:
    """Several series in the order of their numbers, so that a person can choose, for a message."""
    ordered = sorted(groups, key=lambda group: group[0].series.number or 0)
    names = [_named(group, groups) for group in ordered[:_LISTED]]
    more = f" and {len(groups) - _LISTED} more" if len(groups) > _LISTED else ""
    return f"{len(groups)} series or orientations: {', '.join(names)}{more}"


def _named(group: list[Frame], groups: list[list[Frame]]) -> str:
    """Description, size, number and date of a series, and one of its files."""
    first = group[0]
    name = f"'{first.series.description or first.series.modality or 'unnamed'}'"
    if kind := differing(group, groups):
        name += f" of {kind}"
    facts = [f"{len(group)} of {first.shape[0]} x {first.shape[1]} pixels{_depth(group)}"]
    if first.series.number is not None:
        facts.append(f"series {first.series.number}")
    if first.series.time:
        facts.append(first.series.time)
    return f"{name} ({', '.join(facts)}, for example {first.path.name})"


def differing(group: list[Frame], groups: list[list[Frame]]) -> str:
    """In what a series differs from another one that is like it otherwise; empty if there is none."""
    first = group[0]
    alike = [other[0] for other in groups if other[0] is not first and _alike(other[0], first)]
    return kind_words(first.kind, alike[0].kind) if alike else ""


def _depth(group: list[Frame]) -> str:
    """How many slices the images of a series are, if they have places."""
    if group[0].position is None:
        return ""
    positions = np.array([frame.position for frame in group])
    places = np.unique(np.round(positions, 2), axis=0)
    return f" in {len(places)} slice{'' if len(places) == 1 else 's'}"
