"""A label volume against a reference: a row of scores for every class, or objects matched by their overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import SettingsError, VolumeError
from ..label_values import whole_labels
from ..volume import Volume
from .grid import check_same_grid, squeezed, turned
from .labels import SCORES, Pair, score_of, surface_distances
from .objects import COUNTS, match, numbered

_MANY_NUMBERS = 10  # more of them without names number objects rather than classes
_SEVERAL = 3  # numbers against a single one are worth a sentence
_NAMED = 5  # numbers that a sentence lists
_NOTHING = "no label on either side"
_WAYS = (
    "If they number objects, match them by their overlap (evaluate --objects). If all of them mean one class, compare "
    "them as such (--foreground). If they are classes, renumber one side, or insist on the numbers (--no-foreground)."
)


@dataclass(frozen=True)
class Comparison:
    """Rows of scores, see `compare`, and sentences on how they came to be."""

    rows: list[dict[str, Any]]
    notes: tuple[str, ...] = ()


def compare(prediction: Volume, reference: Volume, *, foreground: bool | None = None) -> list[dict[str, Any]]:
    """Score every class of `prediction` against `reference`.

    Parameters
    ----------
    prediction, reference : Volume
        Labels of one image. One may be stored with other directions or another order of the axes, or have further axes
        of length one.
    foreground : bool, optional
        True takes everything but the background as one class, False insists that every number is a class; left out,
        labels that seem to number objects, or classes in another way on each side, are refused.

    Returns
    -------
    list of dict
        A row per class, and per time point where there are several: ``id``, ``name``, ``time``, ``dice``, ``iou``,
        ``hd95_mm``, ``mean_surface_distance_mm`` (``_px`` where the voxel size is not known), ``volume_ml`` and
        ``reference_volume_ml`` (``area_mm2`` for single images, ``voxels`` where the voxel size is not known). Without
        any label a single row with the ``id`` 0, whose scores are NaN.

    Raises
    ------
    VolumeError
        If shape or place differ, a volume does not hold labels, or their numbers do not mean the same.
    """
    return comparison(prediction, reference, foreground=foreground).rows


def comparison(
    prediction: Volume, reference: Volume, *, foreground: bool | None = None, objects: bool = False
) -> Comparison:
    """As `compare`, with what a person should know of it; `objects` matches objects by their overlap instead.

    Returns
    -------
    Comparison
        With `objects` its rows hold ``f1``, ``precision`` and ``recall`` of objects whose intersection over union
        exceeds one half, ``matched_iou``, the mean of it over the matched pairs, and how many ``objects``,
        ``reference_objects`` and ``matched`` pairs there are.

    Raises
    ------
    VolumeError
        As `compare` does.
    SettingsError
        If both `foreground` and `objects` are asked for.
    """
    if objects and foreground is not None:
        raise SettingsError("Objects are matched whatever their numbers. Give either --objects or --foreground.")
    prediction, reference, notes = _on_one_grid(prediction, reference)
    if not prediction.data.any() and not reference.data.any():
        notes.append("Neither side holds a label, so there is nothing to score: no figure exists.")
    if objects:
        notes += _of_masks(prediction, reference)
        rows = _object_rows(prediction, reference)
    elif foreground:
        rows = _class_rows(_as_mask(prediction), _as_mask(reference), {1: "foreground"})
    else:
        names = {row.id: row.name for row in (*reference.classes, *prediction.classes)}
        if foreground is None:
            notes += _doubts(prediction.data, reference.data, names)
        rows = _class_rows(prediction, reference, names)
    return Comparison(rows, tuple(notes))


def _on_one_grid(prediction: Volume, reference: Volume) -> tuple[Volume, Volume, list[str]]:
    """Both as whole numbers on one grid, and what had to be done for that."""
    ours = squeezed(prediction, reference)
    theirs = squeezed(reference, ours)
    turned_theirs = turned(theirs, ours)
    notes = []
    if turned_theirs is not theirs:
        notes.append(
            f"The reference stores the same place with other axes ({theirs.orientation}, the prediction "
            f"{ours.orientation}); it was turned before comparing."
        )
    check_same_grid(ours, turned_theirs)
    ours = replace(ours, data=_whole(ours, "The prediction"))
    theirs = replace(turned_theirs, data=_whole(turned_theirs, "The reference"))
    return ours, theirs, notes


def _whole(volume: Volume, name: str) -> np.ndarray:
    if "c" in volume.axes:
        raise VolumeError(
            f"{name} is not a label image (axes {volume.axes}, {volume.data.dtype}); expected whole numbers from 0 up, "
            "one per voxel."
        )
    return whole_labels(volume.data, name)


def _as_mask(volume: Volume) -> Volume:
    return replace(volume, data=volume.data > 0)


def _frames(prediction: Volume, reference: Volume) -> Iterable[tuple[int | None, np.ndarray, np.ndarray]]:
    """Time and both label arrays (z) y x, per time point; without a time axis once, with None."""
    if not prediction.axes.startswith("t"):
        yield None, prediction.data, reference.data
        return
    for time, ours in enumerate(prediction.data):
        yield time, ours, reference.data[time]


def _numbers(labels: np.ndarray) -> set[int]:
    """The numbers other than 0."""
    return set(np.unique(labels).tolist()) - {0}


# ---- classes ----


def _class_rows(prediction: Volume, reference: Volume, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """A row for each class of `names` and each further number; without any a row of NaN."""
    grid = prediction if prediction.has_spacing and reference.has_spacing else None
    found = names.keys() | _numbers(prediction.data) | _numbers(reference.data)
    rows = []
    for time, ours, theirs in _frames(prediction, reference):
        for number in sorted(found - {0}):
            name = names.get(number, f"class {number}")
            score = _score(ours == number, theirs == number, grid)
            rows.append({"id": number, "name": name, "time": time, **score})
        if not found:
            rows.append({"id": 0, "name": _NOTHING, "time": time, **_score(ours > 0, theirs > 0, grid)})
    return rows


def _score(ours: np.ndarray, theirs: np.ndarray, grid: Volume | None) -> dict[str, float]:
    """Scores of a class, and its size on both sides; lengths in pixels where there is no grid with a voxel size."""
    size = "voxels"
    unit = "_px"
    scale = 1.0
    steps = np.eye(ours.ndim)
    if grid is not None:
        size = "volume_ml" if ours.ndim == 3 else "area_mm2"
        unit = "_mm"
        scale = grid.voxel_size * (1e-3 if ours.ndim == 3 else 1.0)
        steps = grid.steps
    pair = Pair(ours, theirs, surface_distances(ours, theirs, steps))
    row = {}
    for key, score in SCORES.items():
        name = key + unit if score.length else key
        row[name] = score.function(pair)
    row[size] = float(np.count_nonzero(ours) * scale)
    row[f"reference_{size}"] = float(np.count_nonzero(theirs) * scale)
    return row


def complete(tables: Sequence[Sequence[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """The rows of several cases, each with every class that any of them has: none vanishes from a table.

    A class that a case does not have on either side has no score there (NaN), and the size 0.
    """
    names: dict[int, str] = {}
    for table in tables:
        for row in table:
            names.setdefault(row["id"], row["name"])
    if names.keys() - {0}:
        names.pop(0, None)
    return [_completed(table, names) for table in tables]


def _completed(table: Sequence[dict[str, Any]], names: Mapping[int, str]) -> list[dict[str, Any]]:
    by_time: dict[int | None, dict[int, dict[str, Any]]] = {}
    for row in table:
        by_time.setdefault(row["time"], {})[row["id"]] = row
    rows = []
    for there in by_time.values():
        like = next(iter(there.values()))
        for number in sorted(names):
            rows.append(there.get(number) or _absent(like, number, names[number]))
    return rows


def _absent(like: Mapping[str, Any], number: int, name: str) -> dict[str, Any]:
    """The row of a class that is on neither side, with the columns of another row."""
    row = dict(like)
    for key, value in like.items():
        if isinstance(value, float):
            row[key] = math.nan if score_of(key) else 0.0
    return row | {"id": number, "name": name}


# ---- objects ----


def _object_rows(prediction: Volume, reference: Volume) -> list[dict[str, Any]]:
    rows = []
    for time, ours, theirs in _frames(prediction, reference):
        found = match(numbered(ours), numbered(theirs))
        counts = found.counts
        row: dict[str, Any] = {"id": 1, "name": "objects", "time": time}
        row |= {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
        row["matched_iou"] = float(found.overlap.mean()) if counts.matched else math.nan
        row |= dict(zip(COUNTS, map(float, (counts.predicted, counts.true, counts.matched)), strict=True))
        rows.append(row)
    return rows


def _of_masks(prediction: Volume, reference: Volume) -> list[str]:
    notes = []
    for name, volume in (("prediction", prediction), ("reference", reference)):
        if len(_numbers(volume.data)) == 1:
            notes.append(f"The {name} holds a single number; its connected regions count as objects.")
    return notes


# ---- numbers that do not mean the same ----


def _doubts(ours: np.ndarray, theirs: np.ndarray, names: Mapping[int, str]) -> list[str]:
    """Sentences on numbers that may mean something else on each side; refused where no class table names them."""
    mine = _numbers(ours)
    other = _numbers(theirs)
    found = mine | other
    unnamed = found - names.keys()
    if unnamed and len(found | names.keys()) > max(_MANY_NUMBERS, len(names)):
        raise VolumeError(
            f"The labels hold {len(found)} different numbers without names: they seem to number objects, not classes. "
            f"{_WAYS}"
        )
    if unnamed and mine and other and not mine & other:
        raise VolumeError(
            f"The prediction holds {_listed(mine)}, the reference {_listed(other)}: they have no number in common, so "
            f"no class can be compared. {_WAYS}"
        )
    text = _renumbered(ours, theirs) if len(found) > 1 else ""
    if text and unnamed:
        raise VolumeError(f"{text} {_WAYS}")
    if text:
        return [text]
    few, many = sorted((len(mine), len(other)))
    if unnamed and few == 1 and many >= _SEVERAL:
        return [f"The prediction holds {_listed(mine)}, the reference {_listed(other)}. {_WAYS}"]
    return []


def _renumbered(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Which regions have other numbers on each side, if those are the most and several; else empty."""
    found = match(ours, theirs)
    moved = found.ours != found.theirs
    count = np.count_nonzero(moved)
    if count < 2 or 2 * count <= len(moved):
        return ""
    pairs = zip(found.ours[moved].tolist(), found.theirs[moved].tolist(), strict=True)
    texts = [f"{mine} is {other}" for mine, other in pairs]
    more = ", ..." if len(texts) > _NAMED else ""
    return (
        f"The same regions have other numbers in the prediction than in the reference ({', '.join(texts[:_NAMED])}"
        f"{more}): compared number by number they have nothing in common."
    )


def _listed(numbers: Iterable[int]) -> str:
    texts = [str(number) for number in sorted(numbers)]
    more = ["..."] if len(texts) > _NAMED else []
    return ", ".join([*texts[:_NAMED], *more])
