"""The cases of a cohort with their figures, out of what came of its tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..metrics import SCORES, score_of
from ..metrics.objects import RATIOS
from .outputs import unique_stems
from .tasks import Failure, LookOfClass, Outcome, Task


@dataclass(frozen=True)
class Measure:
    """A figure of cases that is drawn, and compared with that of the others.

    Parameters
    ----------
    title, unit : str
    side : {"high", "low", "both"}
        What is suspicious.
    least : float
        A deviation that is too small to matter, in the units that are compared.
    logarithmic : bool
        Whether ratios are compared.
    decimals : int
    brief : str
        What is suspicious in a word or two, where the title and ``high`` or ``low`` are too long for a column.
    """

    title: str
    unit: str = ""
    side: str = "high"
    least: float = 0.02
    logarithmic: bool = False
    decimals: int = 2
    brief: str = ""


MEASURES = {
    "volume_ml": Measure("volume", "ml", "both", 0.05, True, 1),
    "area_mm2": Measure("area", "mm2", "both", 0.05, True, 1),
    "voxels": Measure("voxels", "", "both", 0.05, True, 0),
    "dice": Measure("Dice", "", "low"),
    "hd95_mm": Measure("HD95", "mm", "high", 1.0, False, 1),
    "f1": Measure("F1", "", "low"),
    "agreement": Measure("agreement of the models (Dice)", "", "low", brief="models disagree"),
    "uncertainty": Measure("uncertainty at the border", "", "high", brief="uncertain"),
    "area_jump": Measure("largest jump of the area", "", "high", 0.05, brief="area jumps"),
    "parts": Measure("separate parts", "", "high", 1.0, False, 0, brief="many parts"),
    "residual": Measure("data residual", "", "high", 0.01, False, 4, brief="residual high"),
    "noise": Measure("noise", "", "high", 0.005, False, 4),
}
"""What is drawn and compared, by the keys that figures have."""

SIZES = ("volume_ml", "area_mm2", "voxels")
"""Measures of which one says how large a class is: the first that is known."""


@dataclass(frozen=True)
class Row:
    """The figures of one class of a case; of what is not a class, an empty name.

    Parameters
    ----------
    name : str
    id : int or None
    figures : mapping of str to float
    """

    name: str = ""
    id: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One input and what came of it.

    Parameters
    ----------
    name : str
        Different for all cases.
    outcome : Outcome
    rows : tuple of Row
    """

    name: str
    outcome: Outcome
    rows: tuple[Row, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the run warned of."""
        record = self.outcome.record
        return record.warnings if record else ()


def cases(outcomes: Sequence[Outcome], failures: Iterable[Failure] = ()) -> list[Case]:
    """The cases of a cohort, in the order of the outcomes.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Those that failed or were not reached too.
    failures : iterable of Failure
        Inputs that mean nothing.
    """
    nowhere = [Outcome(Task("", (each.file,)), "failed", error=each.error, detail=each.detail) for each in failures]
    everything = [*outcomes, *nowhere]
    names = unique_stems([_named_after(outcome) for outcome in everything])
    found = []
    for name, outcome in zip(names, everything, strict=True):
        rows = FIGURES.get(outcome.task.what, _no_figures)(outcome)
        found.append(Case(name, outcome, tuple(rows)))
    return found


def _named_after(outcome: Outcome) -> Path:
    """The output where there is one: no two cases have the same."""
    return Path(next(iter(outcome.task.outputs.values()), outcome.task.inputs[0]))


def _no_figures(_: Outcome) -> list[Row]:
    return []


def _of_labels(outcome: Outcome) -> list[Row]:
    agreement = outcome.record.figures.get("agreement") if outcome.record else None
    if outcome.look is not None:
        found = [Row(row.name, row.id, _look_figures(row)) for row in outcome.look.classes]
    else:
        found = [Row(row["name"], row["id"], _record_figures(row)) for row in _recorded(outcome)]
    found = _with_scores(found, outcome.scores)
    if not isinstance(agreement, Mapping):
        return found
    rows = []
    for row in found:
        agreed = _number(agreement.get(row.name))
        rows.append(Row(row.name, row.id, {**row.figures, "agreement": agreed}) if agreed is not None else row)
    return rows


def _with_scores(rows: Sequence[Row], scores: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows with the figures against a reference; classes that only the reference has come last."""
    known = {score["id"]: score for score in scores}
    found = [Row(row.name, row.id, {**row.figures, **_score_figures(known.pop(row.id, {}))}) for row in rows]
    return found + [Row(score["name"], score["id"], _score_figures(score)) for score in known.values()]


def _score_figures(score: Mapping[str, Any]) -> dict[str, float]:
    figures = {key: _number(value) for key, value in score.items() if key not in ("id", "name")}
    return {key: value for key, value in figures.items() if value is not None}


def _recorded(outcome: Outcome) -> list[Mapping[str, Any]]:
    """The rows of classes in the record of a run."""
    items = outcome.record.outputs if outcome.record else ()
    return [row for item in items if item.role == "labels" for row in item.classes]


def _record_figures(row: Mapping[str, Any]) -> dict[str, float]:
    found = {"voxels": _number(row.get("voxels"))}
    volume_mm3 = _number(row.get("volume_mm3"))
    found["volume_ml"] = None if volume_mm3 is None else volume_mm3 / 1000
    found["area_mm2"] = _number(row.get("area_mm2"))
    return {key: value for key, value in found.items() if value is not None}


def _look_figures(row: LookOfClass) -> dict[str, float]:
    found = {key: _number(getattr(row, key)) for key in ("voxels", "volume_ml", "area_mm2")}
    if row.voxels:
        found |= {key: _number(getattr(row, key)) for key in ("uncertainty", "area_jump", "parts", "touches_border")}
    return {key: value for key, value in found.items() if value is not None}


def _of_scores(outcome: Outcome) -> list[Row]:
    scores = outcome.record.figures.get("scores", ()) if outcome.record else ()
    looks = {row.id: _look_figures(row) for row in outcome.look.classes} if outcome.look else {}
    found = []
    for score in scores:
        figures = {key: _number(value) for key, value in score.items() if key not in ("id", "name", "time")}
        known = {key: value for key, value in figures.items() if value is not None}
        name = score["name"] if score.get("time") is None else f"{score['name']}, time {score['time']}"
        found.append(Row(name, score["id"], {**looks.get(score["id"], {}), **known}))
    return found


def _of_image(outcome: Outcome) -> list[Row]:
    figures = outcome.record.figures if outcome.record else {}
    plain = {key: _number(figures.get(key)) for key in ("residual", "noise")}
    found = [Row("", None, {key: value for key, value in plain.items() if value is not None})]
    for name, row in (figures.get("metrics") or {}).items():
        numbers = {key: _number(value) for key, value in row.items()}
        found.append(Row(name, None, {key: value for key, value in numbers.items() if value is not None}))
    return [row for row in found if row.figures]


FIGURES: dict[str, Callable[[Outcome], list[Row]]] = {
    "segment": _of_labels,
    "evaluate": _of_scores,
    "reconstruct": _of_image,
}
"""The figures of an outcome, for each kind of task that has some."""


def _number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


Key = tuple[str, str]
"""Of a figure and the class that it is of."""


def values(found: Iterable[Case]) -> dict[Key, list[tuple[Case, float]]]:
    """The figures that are compared, with their cases, by key and class; of several sizes the first one."""
    together: dict[Key, list[tuple[Case, float]]] = {}
    for case in found:
        for row in case.rows:
            size = next((key for key in SIZES if key in row.figures), "")
            for key in MEASURES:
                if key in row.figures and (key not in SIZES or key == size):
                    together.setdefault((key, row.name), []).append((case, row.figures[key]))
    return together


def heading(key: str) -> str:
    """What a figure is called, with its unit."""
    if key in MEASURES:
        measure = MEASURES[key]
        return f"{measure.title} ({measure.unit})" if measure.unit else measure.title
    if key in RATIOS:
        return RATIOS[key]
    score = score_of(key) if key not in SCORES else SCORES[key]
    return score.title if score else key.replace("_", " ")
