"""Tables and plots as files: written next to the target and renamed, so an earlier file is replaced wholly or not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..errors import FileError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_table(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Write rows as CSV, UTF-8.

    Raises
    ------
    FileError
        If it cannot be written; an earlier file is then unchanged.
    """
    _replace(path, files.csv_text(rows).encode("utf-8", "backslashreplace"))


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
    _replace(path, picture.getvalue())


def _replace(path: Path, content: bytes) -> None:
    def check(saved: Path) -> None:
        if saved.read_bytes() != content:
            raise FileError("the copy read back is another one")

    files.replace(path, lambda temporary: temporary.write_bytes(content), check)
