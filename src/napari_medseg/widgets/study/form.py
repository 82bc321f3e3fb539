"""The controls of the Acceleration study dock and where they stand; what they do is in `dock.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTableWidgetItem

from ...runs.settings import StudySettings
from ..kit.controls import Page, Paragraph, ShortBox, beside, button, choice, line, progress_bar
from ..kit.copying import CopyButton
from ..kit.tables import fit, table

if TYPE_CHECKING:
    from ...runs.study import Row

_HEAD = ("Times", "Dice", "Drift\n(%)", "PSNR\n(dB)", "SSIM", "Class")
_CLASS = 5


class StudyForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self.image = choice("Image whose scan is simulated at increasing acceleration.")
        self.model = choice("The model that segments every reconstruction.", ShortBox)
        self.method = choice("How the images are reconstructed.")
        self.accelerations = line("How many times fewer columns are measured: numbers from 1 up, with commas.")
        self.accelerations.setText(", ".join(map(str, StudySettings.accelerations)))
        self.run = button("&Run")
        self.cancel = button("Cancel")
        self.bar = progress_bar()
        self.status = Paragraph()
        self.table = table(_HEAD, "One line per acceleration and class.", wide=_CLASS)
        self.table.setTextElideMode(Qt.TextElideMode.ElideLeft)  # the ends of names tell classes apart
        self.table.setVisible(False)
        self.save_table = button("Save &table…")
        self.save_plot = button("Save pl&ot…")
        self.copy = CopyButton("Cop&y as command")
        self.hint = Paragraph()
        self._make_plot()
        self._lay_out()

    def _make_plot(self) -> None:
        from matplotlib.figure import Figure

        from ..kit.plots import Plot

        self.figure = Figure(figsize=(4, 3), layout="constrained")
        self.canvas = Plot(self.figure)
        self.canvas.setToolTip("Dice against the labels of the fully sampled image, and the change of their volume.")
        self.canvas.setMinimumSize(330, 320)
        self.canvas.setVisible(False)

    def _lay_out(self) -> None:
        self.stack(
            self.rows(
                ("&Image", self.image, self.image),
                ("&Model", self.model, self.model),
                ("R&econstruction", self.method, self.method),
                ("&Accelerations", self.accelerations, self.accelerations),
            ),
            beside(self.run, self.cancel),
            self.bar,
            self.status,
            self.canvas,
            self.table,
            beside(self.save_table, self.save_plot),
            self.copy,
            self.hint,
        )

    def show_rows(self, rows: Sequence[Row], title: str) -> None:
        """Show what was found so far, as a plot and as a table."""
        from ...runs.study import plot

        plot(rows, self.figure, title=title)
        self.canvas.setVisible(True)
        self.canvas.refresh()
        lines = [(row, name) for row in rows for name in row.dice]
        self.table.setVisible(True)
        self.table.setRowCount(len(lines))
        self.table.setColumnHidden(_CLASS, len(rows[0].dice) == 1)  # the plot names it
        for place, (row, name) in enumerate(lines):
            self._show_line(place, row, name)
        fit(self.table)

    def _show_line(self, place: int, row: Row, name: str) -> None:
        figures = (row.effective, row.dice[name], row.drift_percent[name], row.psnr, row.ssim)
        texts = [f"{figure:.3g}" for figure in figures]
        for column, text in enumerate([*texts, name]):
            item = QTableWidgetItem(text)
            item.setToolTip(f"{name} at {row.acceleration:g} times")
            self.table.setItem(place, column, item)
