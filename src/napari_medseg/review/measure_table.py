"""What was measured as a table: in units that can be read for people, with all digits for files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics import score_of
from ..quantities import rounded, suited, volume
from .cine import Cine
from .measure import Measured
from .regions import Row

_UM_PER_MM = 1e3


@dataclass(frozen=True)
class Column:
    """A column of the table for people.

    Parameters
    ----------
    title : str
    value : callable
        Of a row: a text, a number (NaN where there is none) or None.
    unit : str
        Of the number: where all are tiny, a smaller one is shown.
    decimals : int
    """

    title: str
    value: Callable[[Row], Any]
    unit: str = ""
    decimals: int = 2


def shown(measured: Measured, most: int | None = None) -> list[list[str]]:
    """The table for people: a heading, then a line per row; a column without any value is left out.

    Parameters
    ----------
    measured : Measured
    most : int, optional
        Lines at most.
    """
    columns = _columns(measured)
    rows = measured.rows[:most]
    texts = [_texts(column, rows) for column in columns]
    texts = [column for column in texts if not rows or set(column[1:]) != {"-"}]
    return [list(line) for line in zip(*texts, strict=True)]


def _texts(column: Column, rows: tuple[Row, ...]) -> list[str]:
    """Heading and cells of a column."""
    values = [column.value(row) for row in rows]
    numbers = [value for value in values if isinstance(value, float)]
    unit, factor = suited(column.unit, numbers)
    heading = f"{column.title} ({unit})" if unit else column.title
    return [heading, *(_text(value, factor, column.decimals) for value in values)]


def _text(value: Any, factor: float, decimals: int) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    return rounded(value * factor, decimals) if math.isfinite(value) else "inf"


def _columns(measured: Measured) -> list[Column]:
    """The columns, what people look for first."""
    rows = measured.rows
    voxels = Column("voxels", lambda row: row.voxels)
    columns = [Column("class", lambda row: row.name)]
    if any(row.object is not None for row in rows):
        columns.append(Column("object", lambda row: row.object))
    if any(row.time is not None for row in rows):
        columns.append(Column("time", lambda row: row.time))
    columns.append(voxels if measured.unit == "px" else _size_column(measured.flat))
    columns.append(Column("diameter", lambda row: row.diameter, "px" if measured.unit == "px" else "mm", 1))
    columns += [_score_column(key) for key in _score_keys(measured)]
    if measured.has_image:
        columns.append(Column("mean", lambda row: row.mean))
        columns.append(Column("SD", lambda row: row.sd))
    if measured.unit != "px":
        columns.append(voxels)
    columns.append(Column("not approved", _approval_text))
    return columns


def _approval_text(row: Row) -> str | None:
    return f"{row.not_approved} of {row.slices}" if row.slices else None


def _size_column(flat: bool) -> Column:
    if flat:
        return Column("area", lambda row: row.size, "mm2")
    return Column("volume", lambda row: row.size / 1000, "ml")


def _score_column(key: str) -> Column:
    score = score_of(key)
    if score is None:
        raise KeyError(key)
    unit = key.rpartition("_")[2] if score.length else ""
    return Column(score.title, lambda row: row.scores.get(key, math.nan), unit, score.decimals)


def _score_keys(measured: Measured) -> list[str]:
    """The keys of the scores that the rows hold."""
    keys = dict.fromkeys(key for row in measured.rows for key in row.scores)
    return list(keys)


# ---- a file ----


def csv_rows(measured: Measured) -> list[list[Any]]:
    """The table for a CSV file: a heading, then a line per row, with all digits; what does not exist is empty.

    Units are in the headings and follow from the voxel size alone: mm, or um for what a microscope sees.
    """
    lines = [_cells(measured, row) for row in measured.rows]
    heading = list(dict.fromkeys(key for line in lines for key in line))
    table: list[list[Any]] = [heading]
    for line in lines:
        table.append([_plain(line.get(key)) for key in heading])
    return table


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value


def _cells(measured: Measured, row: Row) -> dict[str, Any]:
    cells: dict[str, Any] = {"id": row.id, "class": row.name}
    if row.object is not None:
        cells["object"] = row.object
    if row.time is not None:
        cells["time"] = row.time
    cells["voxels"] = row.voxels
    cells |= _sizes(measured, row)
    lengths = _UM_PER_MM if measured.unit == "um" else 1.0
    cells[f"diameter_{measured.unit}"] = row.diameter * lengths
    if measured.has_image:
        cells["mean"] = row.mean
        cells["sd"] = row.sd
    for key in _score_keys(measured):
        value = row.scores.get(key, math.nan)
        name = key
        if key.endswith("_mm"):
            name = f"{key.removesuffix('mm')}{measured.unit}"
            value *= lengths
        cells[name] = value
    cells["slice"] = None if row.plane is None else row.plane % measured.slices
    cells["slices"] = row.slices
    cells["slices_not_approved"] = row.not_approved
    if row.object is not None:
        names = [f"centre_{axis}" for axis in "zyx"[-len(row.centre) :]]
        cells |= dict(zip(names, row.centre, strict=True))
    return cells | _phase(measured, row)


def _sizes(measured: Measured, row: Row) -> dict[str, float]:
    if measured.unit == "px":
        return {}
    if measured.flat:
        return {"area_um2": row.size * _UM_PER_MM**2} if measured.unit == "um" else {"area_mm2": row.size}
    if measured.unit == "um":
        return {"volume_um3": row.size * _UM_PER_MM**3}
    return {"volume_mm3": row.size, "volume_ml": row.size / 1000}


def _phase(measured: Measured, row: Row) -> dict[str, Any]:
    """What the heart cycle says of a row."""
    cine = next((cine for cine in measured.cines if cine.id == row.id), None)
    if cine is None or row.object is not None:
        return {}
    phases = {cine.systole: "end-systole", cine.diastole: "end-diastole"}
    return {
        "phase": phases.get(row.time, "") if row.time is not None else "",
        "ejection_fraction": cine.ejection_fraction,
        "phase_slices": cine.slices,
        "phase_slices_not_approved": cine.not_approved,
    }


# ---- sentences ----


def cine_text(cine: Cine, known_size: bool = True) -> str:
    """End-diastole, end-systole and ejection fraction of a class in words; empty if there is none.

    Parameters
    ----------
    cine : Cine
    known_size : bool
        Whether its sizes are in mm3; else they are voxels.
    """
    if cine.diastole is None or cine.systole is None:
        return ""
    sizes = [cine.sizes[time] for time in (cine.diastole, cine.systole)]
    largest, smallest = [volume(size, 1) if known_size else f"{size:.0f} voxels" for size in sizes]
    approved = f"{cine.not_approved} of {cine.slices} slices of these two are not approved"
    return (
        f"{cine.name}: end-diastole {largest} (time {cine.diastole}), end-systole {smallest} (time {cine.systole}), "
        f"ejection fraction {cine.ejection_fraction:.1%}; {approved}."
    )


# ---- several layers ----


def joined(tables: Mapping[str, Sequence[Sequence[Any]]]) -> list[list[Any]]:
    """Tables with headings as one: the name of each in a first column, cells that one does not have empty.

    Parameters
    ----------
    tables : mapping of str to sequence of rows
        By name; the first row of each is its heading.
    """
    # in the order of the longest one
    headings = sorted((table[0] for table in tables.values()), key=len, reverse=True)
    heading = list(dict.fromkeys(title for titles in headings for title in titles))
    lines: list[list[Any]] = [["layer", *heading]]
    for name, (titles, *rows) in tables.items():
        for row in rows:
            cells = dict(zip(titles, row, strict=True))
            lines.append([name, *(cells.get(title, "") for title in heading)])
    return lines
