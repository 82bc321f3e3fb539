"""The controls of the Tools part of the Review dock; what they do is in `workbench.py`."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QSpinBox, QVBoxLayout, QWidget

from ...review.tools.table import CLASS, COUNT, INTENSITY, MM, MM3, RANGE, SLICE, TOOLS, VOLUME, Tool
from ..kit.controls import Page, Paragraph, beside, button, check, choice, described, fill, number
from .naming import NamesButton
from .palette import palette_table

SCOPES = {SLICE: "this slice", RANGE: "a range of slices", VOLUME: "the whole volume"}
_WIDEST = 1e9
_DECIMALS = {CLASS: 0, COUNT: 0, MM: 1, MM3: 2}  # those of intensities depend on the image


class ToolsForm(QWidget):
    """Controls as attributes.

    Parameters
    ----------
    page : Page
        Knows the rows of the dock.
    """

    def __init__(self, page: Page):
        super().__init__()
        self._page = page
        self._decimals = 1
        self.palette_table = palette_table()
        self.unlisted = Paragraph()
        self.new_class = button("New class")
        self.names = NamesButton()
        self.compare = choice("Other labels to compare with; K shows where they differ.")
        self.within = check("Limit intensities")
        self.within_low = number(-_WIDEST, _WIDEST, 0, 1, "Lowest intensity that gets a class.", "")
        self.within_high = number(-_WIDEST, _WIDEST, 1, 1, "Highest intensity that gets a class.", "")
        self.limits = beside(self.within_low, self.within_high)
        self.guide = Paragraph()
        self.tool = choice("What the tool does is said here once labels are chosen.")
        fill(self.tool, [(tool.title, key) for key, tool in TOOLS.items()], next(iter(TOOLS)))
        self.numbers = (_plain_number(), _plain_number())
        self.numbers_row = beside(*self.numbers)
        self.scope = choice("Where the tool works; it sees nothing else.")
        self.classes = choice("Whether the tool works on the class that you paint with, or on all classes.")
        fill(self.classes, [("the class of the brush", False), ("all classes", True)], False)
        self.first = _slice_number("First slice of the range.")
        self.last = _slice_number("Last slice of the range.")
        self.range_row = beside(self.first, self.last)
        self.preview = button("Preview")
        self.apply = button("Appl&y tool")
        self.cancel = button("Cancel")
        self.report = Paragraph()
        self._lay_out(page)

    def show_row(self, control: QWidget, shown: bool) -> None:
        """Show or hide `control`, with its whole row where it has one."""
        self._page.show_row(control, shown)

    def _lay_out(self, page: Page) -> None:
        for control in (self.new_class, self.names, self.preview, self.apply, self.cancel):
            control.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        rows = page.rows(
            ("&Tool", self.tool, self.tool),
            ("Nu&mber", self.numbers[0], self.numbers_row),
            ("&On", self.scope, self.scope),
            ("Slices", self.first, self.range_row),
            ("Of", self.classes, self.classes),
        )
        compared = page.rows(("Compare", self.compare, self.compare))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.palette_table)
        column.addWidget(self.unlisted)
        column.addWidget(beside(self.new_class, self.names, self.within))
        column.addWidget(self.limits)
        column.addWidget(self.guide)
        column.addLayout(rows)
        column.addWidget(beside(self.preview, self.apply, self.cancel))
        column.addWidget(self.report)
        column.addLayout(compared)

    def show_numbers(self, tool: Tool, units: dict[str, str], chosen: dict[str, float]) -> None:
        """Ask for the numbers of a tool."""
        self.show_row(self.numbers[0], bool(tool.numbers))
        for field in self.numbers:
            field.setVisible(False)
        for field, wanted in zip(self.numbers, tool.numbers, strict=False):
            field.blockSignals(True)
            field.setRange(wanted.low, wanted.high)
            decimals = _DECIMALS.get(wanted.unit, self._decimals)
            field.setDecimals(decimals)
            field.setSingleStep(10.0**-decimals if wanted.unit == INTENSITY else wanted.step)
            field.setPrefix(f"{wanted.title.lower()} ")
            field.setSuffix(units.get(wanted.unit, ""))
            described(field, f"{wanted.title}. {tool.says}")
            field.setValue(chosen.get(wanted.name, wanted.default))
            field.setVisible(True)
            field.blockSignals(False)

    def show_limits(self, low: float, high: float) -> None:
        """Propose intensities for the brush, as finely as those of an image with this range need."""
        span = max(high - low, 1e-12)
        self._decimals = min(9, max(0, 2 - math.floor(math.log10(span))))
        for field, value in ((self.within_low, low), (self.within_high, high)):
            field.blockSignals(True)
            field.setDecimals(self._decimals)
            field.setSingleStep(10.0**-self._decimals)
            field.setValue(value)
            field.blockSignals(False)

    def values(self, tool: Tool) -> dict[str, float]:
        """The numbers of a tool, by name."""
        return {wanted.name: field.value() for field, wanted in zip(self.numbers, tool.numbers, strict=False)}


def _plain_number() -> QDoubleSpinBox:
    field = number(0, 1, 0, 1, "A number of the tool.", "")
    field.setMinimumWidth(80)
    return field


def _slice_number(tooltip: str) -> QSpinBox:
    field = QSpinBox()
    described(field, tooltip)
    field.setKeyboardTracking(False)
    return field
