"""The classes of labels by name and colour: a click paints with one, a tick protects it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QTableWidgetItem

from ...io.contributions import HIGHEST_COLOURED, KEY
from ...review.planes import Planes
from ...volume import LabelClass
from ..kit.records import noted
from ..kit.tables import numbers_of, table, titles_of

if TYPE_CHECKING:
    from qtpy.QtWidgets import QTableWidget

_ROWS_SHOWN = 4
# that of the style is dark on dark
_TICKS = (
    "QTableView::indicator {width: 12px; height: 12px; border: 1px solid #8a8f98; border-radius: 2px;}"
    "QTableView::indicator:checked {background: #5472d3;}"
)
_NEW_COLOURS = ("#f5d547", "#b07aa1", "#9ccc65", "#ff9da7", "#76b7ff", "#d37295", "#bcbd22")
_TIP = (
    "Click a class to paint with it (. and , step through them); double-click to name it. Tick to protect it: its "
    "voxels stay as they are."
)


def numbers_in(array: Any) -> list[int]:
    """The classes that labels hold, without 0."""
    planes = Planes(array)
    found: set[int] = set()
    for number in range(planes.count):
        found |= set(np.unique(planes.read(number)).tolist())
    return sorted(number for number in found if number > 0)


def free_number(array: Any, known: Iterable[int]) -> int | None:
    """A number that neither labels nor the `known` classes use: the next one, or the lowest where the type ends."""
    planes = Planes(array)
    kind: Any = planes.dtype
    most = int(np.iinfo(kind).max)
    highest = max((int(planes.read(number).max(initial=0)) for number in range(planes.count)), default=0)
    highest = max(highest, *known, 0)
    if highest < most:
        return highest + 1
    used = set(known)
    for number in range(planes.count):
        used |= set(np.unique(planes.read(number)).tolist())
    return next((number for number in range(1, most) if number not in used), None)


def class_names(layer: Labels) -> dict[int, str]:
    """The class table of a layer."""
    return {row.id: row.name for row in noted(layer).get("classes", ()) if row.id > 0}


def class_text(number: int, names: Mapping[int, str]) -> str:
    """A class for people: ``2 myocardium``."""
    name = names.get(number, "")
    return f"{number} {name}" if name not in ("", str(number), nameless(number)) else nameless(number)


def nameless(number: int) -> str:
    """What a class without a name is called."""
    return f"class {number}"


def keep_classes(layer: Labels, wanted: Iterable[int], names: Mapping[int, str] | None = None) -> None:
    """Have these classes in the class table of a layer, which files keep, with their colours and other `names`."""
    rows = {row.id: row for row in class_rows(layer, wanted)}
    for number, name in (names or {}).items():
        rows[number] = replace(rows[number], name=name)
    give_table(layer, tuple(rows.values()))


def class_rows(layer: Labels, wanted: Iterable[int]) -> tuple[LabelClass, ...]:
    """The class table of a layer by number, with a row for each of these classes."""
    rows = {row.id: row for row in noted(layer).get("classes", ())}
    for number in set(wanted) - set(rows):
        rows[number] = LabelClass(number, nameless(number), _colour(layer, number))
    return tuple(rows[number] for number in sorted(rows))


def give_table(layer: Labels, listed: tuple[LabelClass, ...]) -> None:
    """Make this the class table of a layer."""
    layer.metadata = {**layer.metadata, KEY: {**noted(layer), "classes": listed}}
    shown = [row for row in listed if row.id]
    numbers = np.array([0, *(row.id for row in shown)])
    texts = np.array(["background", *(row.name for row in shown)], object)
    layer.features = {"index": numbers, "class": texts}


class Palette:
    """Fills a table with classes.

    Parameters
    ----------
    target : QTableWidget
        Of `palette_table`.
    """

    def __init__(self, target: QTableWidget):
        self._table = target
        self._shown: Any = None

    def show(self, layer: Labels, numbers: list[int], protected: frozenset[int]) -> None:
        """List the classes of a layer; the one that is painted with is selected."""
        names = class_names(layer)
        shown = (id(layer), id(layer.colormap), tuple(numbers), tuple(names.items()), protected)
        self._table.blockSignals(True)
        if shown != self._shown:  # colours take time, and this is called after every stroke
            self._shown = shown
            self._table.setRowCount(len(numbers))
            for place, number in enumerate(numbers):
                self._fill(place, number, class_text(number, names), _colour(layer, number), number in protected)
        current = layer.selected_label
        self._table.setCurrentCell(numbers.index(current) if current in numbers else -1, 0)
        self._table.blockSignals(False)

    def _fill(self, place: int, number: int, text: str, colour: str, protected: bool) -> None:
        pixels = QPixmap(12, 12)
        pixels.fill(QColor(colour))
        icon = QIcon(pixels)
        icon.addPixmap(pixels, QIcon.Mode.Selected)  # Qt would tint it
        name = QTableWidgetItem(icon, text)
        name.setData(Qt.ItemDataRole.UserRole, number)
        name.setToolTip(f"{text}. {_TIP}")
        tick = QTableWidgetItem()
        tick.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        tick.setCheckState(Qt.CheckState.Checked if protected else Qt.CheckState.Unchecked)
        tick.setToolTip(f"Protect {text}: neither brush nor tool changes its voxels.")
        self._table.setItem(place, 0, name)
        self._table.setItem(place, 1, tick)

    def number_at(self, row: int) -> int:
        """The class in a row; 0 if there is none."""
        item = self._table.item(row, 0)
        return 0 if item is None else int(item.data(Qt.ItemDataRole.UserRole))

    def name_in(self, row: int) -> str:
        """The name that a person has typed into a row; empty if there is none."""
        item = self._table.item(row, 0)
        text = "" if item is None else item.text().strip()
        return text.removeprefix(f"{self.number_at(row)} ").strip()

    def forget(self) -> None:
        """Fill all rows next time: a person has changed one."""
        self._shown = None

    def ticked(self) -> frozenset[int]:
        """The protected classes."""
        found = set()
        for row in range(self._table.rowCount()):
            tick = self._table.item(row, 1)
            if tick is not None and tick.checkState() == Qt.CheckState.Checked:
                found.add(self.number_at(row))
        return frozenset(found)


def palette_table() -> QTableWidget:
    """An empty table of classes."""
    found = table(("Class", "Protect"), _TIP)
    found.setAccessibleName("Classes")
    found.setStyleSheet(_TICKS)
    found.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
    numbers_of(found).setDefaultSectionSize(22)
    found.setFixedHeight(titles_of(found).sizeHint().height() + _ROWS_SHOWN * 22 + 4)
    return found


def give_colour(layer: Labels, number: int) -> None:
    """Give a class a colour of its own where the classes of a layer have chosen ones, and napari can draw it."""
    colours = layer.colormap
    if number > HIGHEST_COLOURED:
        return
    if isinstance(colours, DirectLabelColormap) and number not in colours.color_dict:
        others = np.reshape([colour[:3] for key, colour in colours.color_dict.items() if key], (-1, 3))
        wanted = [QColor(name).getRgbF()[:3] for name in _NEW_COLOURS]
        nearest = [np.abs(others - colour).sum(axis=1).min(initial=9) for colour in wanted]
        added = {number: _NEW_COLOURS[int(np.argmax(nearest))]}
        layer.colormap = DirectLabelColormap(color_dict={**colours.color_dict, **added})


def _colour(layer: Labels, number: int) -> str:
    rgba = layer.get_color(number)
    if layer.show_selected_label and number != layer.colormap.background_value:
        # hidden now, and no other colour for that
        rgba = layer.colormap.model_copy(update={"use_selection": False}).map(number)
    if rgba is None:
        return "#00000000"
    return QColor.fromRgbF(*(float(part) for part in rgba[:3])).name()
