"""The upper half of the Batch form: which images, where results go, with which model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLineEdit, QWidget

from ...io.formats import file_filters
from ...runs.plan import Wanted
from ...segmentation.settings import InferenceSettings
from ..kit.preferences import preferences
from .form import BatchForm
from .state import SEPARATOR, is_dataset, parse_inputs, suggested_output


class Chosen:
    """What the form says, and the dialogs that fill its lines.

    Parameters
    ----------
    owner : QWidget
        Whose dialogs they are.
    form : BatchForm
    changed : callable
        Called when something that a run depends on was chosen anew.
    """

    def __init__(self, owner: QWidget, form: BatchForm, changed: Callable[[], None]):
        self._owner, self._form, self._changed = owner, form, changed
        for line in (form.inputs, form.suffix, form.output, form.reference):
            line.editingFinished.connect(changed)
        form.model.currentIndexChanged.connect(changed)
        form.uncertainty.toggled.connect(changed)
        form.files.clicked.connect(self._ask_for_files)
        form.folder.clicked.connect(self._ask_for_folder)
        form.output_folder.clicked.connect(partial(self._ask, form.output, "Folder for the labels"))
        form.reference_folder.clicked.connect(partial(self._ask, form.reference, "Folder of the reference labels"))

    def inputs(self) -> tuple[str, ...]:
        """Files, folders and globs."""
        return parse_inputs(self._form.inputs.text())

    def reference(self) -> Path | None:
        """The folder of the reference labels, if any."""
        given = self._form.reference.text().strip()
        return Path(given).expanduser() if given else None

    def wanted(self) -> Wanted:
        """What is to be segmented, once everything is chosen."""
        form = self._form
        inputs = self.inputs()
        output = Path(form.output.text().strip()).expanduser()
        maps = {"uncertainty": output} if form.uncertainty.isChecked() else {}
        suffix = form.suffix.text().strip() if is_dataset(inputs) else None
        return Wanted(inputs, output, (form.model.currentData(),), maps, suffix, self.reference())

    def settings(self) -> InferenceSettings:
        """How it is segmented; the device is that of the preferences."""
        return InferenceSettings(device=preferences().device, uncertainty=self._form.uncertainty.isChecked())

    def choose(self, names: list[str]) -> None:
        """Choose the images; where no folder for the results was chosen, one next to them is suggested."""
        before = suggested_output(self.inputs())
        self._form.inputs.setText(SEPARATOR.join(names))
        if self._form.output.text() in ("", before):
            self._form.output.setText(suggested_output(self.inputs()))
        self._changed()

    def near(self, line: QLineEdit) -> str:
        """Where a dialog begins that fills a line."""
        given = parse_inputs(line.text())
        return str(Path(given[0]).parent) if given else str(Path.home())

    def _ask_for_files(self) -> None:
        filters = ";;".join(file_filters())
        names, _ = QFileDialog.getOpenFileNames(self._owner, "Images", self.near(self._form.inputs), filters)
        if names:
            self.choose(names)

    def _ask_for_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self._owner, "Folder of images", self.near(self._form.inputs))
        if name:
            self.choose([name])

    def _ask(self, line: QLineEdit, title: str, pressed: bool = False) -> None:
        name = QFileDialog.getExistingDirectory(self._owner, title, self.near(line))
        if name:
            line.setText(name)
            self._changed()
