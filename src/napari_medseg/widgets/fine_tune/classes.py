"""The table of classes in the Fine-tune form."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QTableWidgetItem

from ..kit.tables import fit, table
from .class_rows import ClassRow, labels_text

_HEAD = ("Learn", "Label", "Model")
_TOOLTIP = (
    "What the new model is to find. Double-click a name to change it; two labels with one name become one class, "
    "and one called background is learnt as background. Voxels of a class that is not ticked are ignored."
)


class ClassTable(QObject):
    """Classes with their labels; which are learnt can be ticked, and what is painted can be named.

    Attributes
    ----------
    widget : QTableWidget
    renamed : dict of str to str
        What the person calls a class, by its first name.
    dropped : set of (str, bool)
        Keys of the rows that are not to be learnt.
    """

    changed = Signal()

    def __init__(self, parent: QObject):
        super().__init__(parent)
        self.renamed: dict[str, str] = {}
        self.dropped: set[tuple[str, bool]] = set()
        self._rows: Sequence[ClassRow] = ()
        self._shown: tuple[Sequence[ClassRow], str, bool] | None = None
        self.widget = table(_HEAD, _TOOLTIP)
        triggers = QAbstractItemView.EditTrigger
        self.widget.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed | triggers.AnyKeyPressed)
        self.widget.itemChanged.connect(self._edited)

    def show(self, rows: Sequence[ClassRow], model: str, fixed: bool) -> None:
        """Show what is to be learnt.

        Parameters
        ----------
        rows : sequence of ClassRow
        model : str
            Name of the model to begin with.
        fixed : bool
            Show names and ticks as they are, for a data set that brings its own classes.
        """
        shown = (tuple(rows), model, fixed)
        if shown == self._shown or self.widget.state() == QAbstractItemView.State.EditingState:
            return  # the next look comes after the person has typed a name
        self._rows = rows
        self._shown = shown
        self.widget.blockSignals(True)
        self.widget.setRowCount(len(rows))
        for place, row in enumerate(rows):
            self._show_row(place, row, model, fixed)
        self.widget.blockSignals(False)
        fit(self.widget)

    def _show_row(self, place: int, row: ClassRow, model: str, fixed: bool) -> None:
        labels = labels_text(row.labels) or "-"
        name = _item(row.name, f"{row.name}\n{_TOOLTIP}")
        name.setData(Qt.ItemDataRole.DecorationRole, QColor(row.colour))
        if not fixed:
            name.setFlags(name.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            name.setCheckState(Qt.CheckState.Checked if row.learn else Qt.CheckState.Unchecked)
        if row.labels and not fixed:
            name.setFlags(name.flags() | Qt.ItemFlag.ItemIsEditable)
        known = f"{model} finds this class."
        new = f"{model} does not know this class; it is learnt anew."
        self.widget.setItem(place, 0, name)
        self.widget.setItem(place, 1, _item(labels, f"{row.name}\n{_TOOLTIP}"))
        self.widget.setItem(place, 2, _item("known", known) if row.known else _item("new", new))

    def _edited(self, item: QTableWidgetItem) -> None:
        row = self._rows[item.row()]
        if item.text().strip() != row.name:
            self.renamed[row.first] = item.text().strip() or row.first
        self._shown = None
        if item.checkState() == Qt.CheckState.Checked:
            self.dropped.discard(row.key)
        else:
            self.dropped.add(row.key)
        self.changed.emit()


def _item(text: str, tooltip: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    item.setToolTip(tooltip)
    return item
