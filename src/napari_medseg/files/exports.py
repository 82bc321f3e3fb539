"""Tables and plots for other programs: CSV that a spreadsheet can open without harm, and figures as pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileError
from .replacing import replace_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how cells begin that spreadsheets compute


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV; names come from others, so text that a spreadsheet would compute begins with an apostrophe."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def save_table(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV, UTF-8.

    Raises
    ------
    FileError
        If it cannot be written; an earlier file is then unchanged.
    """
    replace_bytes(path, csv_text(rows).encode("utf-8", "backslashreplace"))


def save_plot(path: Path, figure: Figure) -> None:
    """Write a figure in the format that the name of the file ends with, pictures with 150 dots per inch.

    Raises
    ------
    FileError
        If there is no such format or it cannot be written; an earlier file is then unchanged.
    """
    picture = io.BytesIO()
    try:
        figure.savefig(picture, format=path.suffix.removeprefix(".") or "png", dpi=150)
    except ValueError as error:
        raise FileError(f"The plot '{path.name}' cannot be written ({error}). End its name in .png.") from error
    replace_bytes(path, picture.getvalue())


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
