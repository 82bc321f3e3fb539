"""Class names from a file and into a file, next to the list of classes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from ...errors import FileError
from ...io import class_tables
from ...io.contributions import HIGHEST_COLOURED, UNLISTED
from ...review.planes import Planes
from ..kit.controls import described
from .palette import class_rows, give_table

_READ = "Class tables (*.txt *.label *.tsv *.csv)"
_WRITTEN = {"ITK-SNAP label descriptions (*.txt)": "itksnap", "BIDS table (*.tsv)": "bids"}
_ENDINGS = (".txt", ".label", ".tsv")  # others get one, so that the file can be loaded again
_LOAD = (
    "Take names and colours of classes from label descriptions of ITK-SNAP, a BIDS .tsv or a CSV table with id and "
    "name. Voxels stay as they are."
)
_WRITE = "Write names and colours of the classes to a file, for ITK-SNAP or as a BIDS table."


class NamesButton(QPushButton):
    """Opens a menu: load class names from a file, write them to one."""

    def __init__(self) -> None:
        super().__init__("Class names")
        described(self, "Class names: load them from a file, or write them to one.")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.load = QAction("Load class names…", menu)
        self.load.setToolTip(_LOAD)
        self.write = QAction("Write class names…", menu)
        self.write.setToolTip(_WRITE)
        menu.addActions([self.load, self.write])
        self.setMenu(menu)

    def ask_what_to_load(self) -> Path | None:
        """The file that a person chooses."""
        name, _ = QFileDialog.getOpenFileName(self, "Load class names", "", _READ)
        return Path(name) if name else None

    def ask_where_to_write(self, suggested: str) -> Path | None:
        """The file that a person names; its ending says of which kind it is."""
        while True:
            name, chosen = QFileDialog.getSaveFileName(self, "Write class names", suggested, ";;".join(_WRITTEN))
            if not name:
                return None
            path = Path(name)
            if path.suffix.lower() in _ENDINGS:
                return path
            whole = path.with_name(path.name + class_tables.KINDS[_WRITTEN.get(chosen, "itksnap")].ending)
            if not whole.exists():
                return whole
            suggested = str(whole)  # the dialog has asked only about the name as it was typed


def load(layer: Labels, numbers: Iterable[int], path: Path) -> str:
    """Give the classes of a layer the names and colours in a file; what came of it, in a sentence.

    Parameters
    ----------
    layer : napari.layers.Labels
    numbers : iterable of int
        Classes that it holds, also those without a name.
    path : pathlib.Path

    Raises
    ------
    FileError
        If the file does not hold a class table, or none whose numbers these labels can hold.
    """
    found = class_tables.read(path)
    kind: Any = Planes(layer.data).dtype
    largest = int(np.iinfo(kind).max)
    rows = [row for row in found if row.id <= largest]
    if not rows:
        raise FileError(
            f"'{path.name}' names no class up to {largest}, where labels of type {kind} end. Choose another file."
        )
    held = sorted(numbers)
    listed = class_tables.renamed(class_rows(layer, [*held, *(row.id for row in rows)]), rows)
    give_table(layer, listed)
    if listed[-1].id <= HIGHEST_COLOURED:
        colours = {row.id: row.colour for row in listed}
        layer.colormap = DirectLabelColormap(color_dict={None: UNLISTED, 0: "transparent", **colours})
    said = "1 class has its name" if len(rows) == 1 else f"{len(rows)} classes have their names"
    sentences = [f"{said} from '{path.name}'."]
    if held and not set(held) & {row.id for row in rows}:
        sentences.append(
            f"None of them is in these labels, which hold {class_tables.numbers_text(held)}: load another table if it "
            "was made for other labels."
        )
    beyond = len(found) - len(rows)
    if beyond:
        sentences.append(f"{beyond} with numbers above {largest} are left out.")
    return " ".join(sentences)


def write(layer: Labels, numbers: Iterable[int], path: Path) -> str:
    """Write the classes of a layer to a file; a sentence that says so.

    Parameters
    ----------
    layer : napari.layers.Labels
    numbers : iterable of int
        Classes that it holds, also those without a name.
    path : pathlib.Path
        A BIDS table if it ends in ``.tsv``, else label descriptions of ITK-SNAP.

    Raises
    ------
    FileError
        If there are no classes, or the file cannot be written.
    """
    rows = class_rows(layer, numbers)
    if not rows:
        raise FileError("These labels have no class to write. Paint one, or load class names first.")
    class_tables.save(path, rows, "bids" if path.suffix.lower() == ".tsv" else "itksnap")
    return f"{len(rows)} class names are in {path.name}."
