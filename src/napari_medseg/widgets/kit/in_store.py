"""Where to save labels whose image lies in an OME-Zarr store: in this store, or elsewhere.

Dialogs for files cannot name labels in a store: their folder may not be there yet, or they are a folder themselves.
"""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QVBoxLayout, QWidget

from ...errors import escaped
from ...io import formats, zarr_groups, zarr_labels
from ...io.notes import NAME
from ...volume import Volume
from .controls import Paragraph, button, line

_WIDTH = 420


class InStore(QDialog):
    """A small window that asks for the name of labels in the store of their image.

    Parameters
    ----------
    store : pathlib.Path
    name : str
        That is suggested.
    parent : qtpy.QtWidgets.QWidget
    """

    def __init__(self, store: Path, name: str, parent: QWidget):
        super().__init__(parent)
        self._store = store
        self.elsewhere = False
        self.setWindowTitle("Save labels")
        text = Paragraph()
        text.say(f"The image lies in {store.name}. Labels can be saved in it, where OME-Zarr keeps them.")
        self.name = line("Name of the labels among those of the image.")
        self.note = Paragraph()
        self.save = button("Save in the store")
        other = button("Elsewhere…", "Choose a file of any format, or a store of its own.")
        other.setObjectName("elsewhere")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        buttons.addButton(self.save, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.addButton(other, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        other.clicked.connect(self._leave)
        self.save.setDefault(True)
        row = QFormLayout()
        row.addRow("labels/", self.name)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addLayout(row)
        layout.addWidget(self.note)
        layout.addWidget(buttons)
        self.setMinimumWidth(_WIDTH)
        self.name.textChanged.connect(self._look)
        self.name.setText(name)
        self.name.selectAll()

    @property
    def path(self) -> Path:
        """Where the labels are to lie."""
        return self._store / zarr_groups.LABELS / self.name.text().strip()

    def _look(self) -> None:
        """Say what is wrong with the name, or what has it."""
        name = self.name.text().strip()
        sentence = zarr_labels.misnamed(name) if name else "Give the labels a name."
        self.save.setEnabled(not sentence)
        there = not sentence and self.path.exists()
        self.save.setText("Replace in the store" if there else "Save in the store")
        self.note.say(f"The store has labels '{name}', which will be replaced." if there else sentence)
        self.adjustSize()  # sentences may take several lines

    def _leave(self) -> None:
        self.elsewhere = True
        self.reject()


def question(volume: Volume, layer_name: str, parent: QWidget) -> InStore | None:
    """The window that asks about labels; None if they cannot lie in a store of an image.

    Parameters
    ----------
    volume : Volume
        The labels.
    layer_name : str
        Of their layer.
    parent : qtpy.QtWidgets.QWidget
    """
    source = Path(volume.metadata.get("source") or "")
    name = _suggested(source, str(volume.metadata.get(NAME) or layer_name))
    store = zarr_labels.store_for(source, name, volume.axes, tuple(volume.data.shape))
    return None if store is None else InStore(store, name, parent)


def _suggested(source: Path, known: str) -> str:
    """A name for labels: without that of their image, with which names of layers begin."""
    short = known.removeprefix(formats.stem(source)).strip()
    name = escaped(short or zarr_groups.LABELS).replace("/", "-").replace("\\", "-")
    return zarr_groups.LABELS if zarr_labels.misnamed(name) else name
