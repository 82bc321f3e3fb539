"""The controls of the Segment dock and where they stand; what they do is in `segment.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ._job import duration
from ._ticks import Ticks

if TYPE_CHECKING:
    from ..inference import Plan, Segmentation


class SegmentForm(QScrollArea):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self.image = choice("The image to segment.")
        self.axes = choice("What the axes of this image mean; its file does not say.")
        self.channel = choice("The channel to segment.")
        self.model = choice("The model to use. Its card says what it was made for.")
        self.model.setMinimumContentsLength(14)  # room for the names of the bundled ones
        self.card = QPushButton("Car&d")
        self.others = Ticks(
            "Compare with…",
            "Tick further models to run them as well: each voxel gets the label that most models give it, in a tie "
            "that of the model above; an image layer shows where the models disagree.",
        )
        self.context = choice(
            "Where the model finds the slices before and after each slice, which it looks at too. "
            "With None every slice stands alone."
        )
        self.device = choice("Where to compute. Automatic takes the fastest one present.")
        self.uncertainty = check(
            "&Uncertainty layer", "Also make an image of where the model was undecided (0 to 255)."
        )
        self.split = check("Split &touching objects", "Number objects one by one instead of by class, slice by slice.")
        self.plan = Paragraph()
        self.preview = check(
            "Preview &slice", "Label the slice in view as Run would, and the next ones while you scroll."
        )
        self.routers = QPushButton("Router map")
        self.run = QPushButton("&Run")
        self.cancel = QPushButton("&Cancel")
        self.bar = QProgressBar()
        self.status = Paragraph()
        self.save = QPushButton("S&ave labels…")
        self.copy = QPushButton("C&opy as command")
        self.hint = Paragraph()
        self._lay_out()

    def _lay_out(self) -> None:
        self.bar.setTextVisible(False)
        page = QWidget()
        column = QVBoxLayout(page)
        column.addLayout(self._choices())
        for part in (
            self.uncertainty,
            self.split,
            self.plan,
            None,
            beside(self.preview, self.routers),
            beside(self.run, self.cancel),
            self.bar,
            self.status,
            None,
            beside(self.save, self.copy),
            self.hint,
        ):
            if part is None:
                column.addSpacing(8)
            else:
                column.addWidget(part)
        column.addStretch()
        self.setWidget(page)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(page.minimumSizeHint().width() + 16)

    def _choices(self) -> QGridLayout:
        # a grid, since a form layout leaves gaps for hidden rows; rows without a title belong to the model
        grid = QGridLayout()
        self._titles: dict[QWidget, QLabel] = {}
        # the underlined letters are none of napari's menus
        for title, control, field in (
            ("&Image", self.image, self.image),
            ("A&xes", self.axes, self.axes),
            ("Cha&nnel", self.channel, self.channel),
            ("&Model", self.model, beside(self.model, self.card)),
            ("", self.others, self.others),
            ("", self.context, self.context),
            ("D&evice", self.device, self.device),
        ):
            self._titles[control] = label = QLabel(title)
            label.setBuddy(control)
            grid.addWidget(label, grid.rowCount(), 0)
            grid.addWidget(field, grid.rowCount() - 1, 1)
        return grid

    def show_row(self, control: QWidget, shown: bool) -> None:
        """Show or hide `control` together with its title."""
        control.setVisible(shown)
        self._titles[control].setVisible(shown)


def choice(tooltip: str) -> QComboBox:
    """A drop-down list that long entries do not widen."""
    box = QComboBox()
    box.setToolTip(tooltip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(10)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def fill(box: QComboBox, entries: Sequence[tuple[str, Any]], current: Any) -> None:
    """Replace the entries (text, value) of `box` without a signal; choose the one whose value is `current`."""
    box.blockSignals(True)
    box.clear()
    for index, (title, value) in enumerate(entries):
        box.addItem(title, value)
        box.setItemData(index, title, Qt.ItemDataRole.ToolTipRole)  # long ones are cut off
    box.setCurrentIndex(next((i for i, (_, value) in enumerate(entries) if value is current or value == current), -1))
    box.blockSignals(False)


def switch_off(box: QComboBox, value: Any, why: str) -> None:
    """Make one entry of `box` impossible to choose, and say why."""
    index = box.findData(value)
    box.setItemText(index, f"{box.itemText(index)}: {why}")
    box.setItemData(index, why, Qt.ItemDataRole.ToolTipRole)
    box.model().item(index).setEnabled(False)


def check(title: str, tooltip: str) -> QCheckBox:
    """A box to tick."""
    box = QCheckBox(title)
    box.setToolTip(tooltip)
    return box


class Paragraph(QLabel):
    """Text that can be selected, takes no more width than there is, and no room when empty."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setVisible(False)

    def say(self, text: str) -> None:
        """Show `text`."""
        self.setText(text)
        self.setVisible(bool(text))


def beside(*controls: QWidget) -> QWidget:
    """Controls in one row."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for control in controls:
        layout.addWidget(control)
    return row


def allow(control: QWidget, why_not: str, tooltip: str) -> None:
    """Enable `control` if there is nothing against it; its tooltip says what it does or why it cannot."""
    control.setEnabled(not why_not)
    control.setToolTip(why_not or tooltip)


def axes_text(axes: str) -> str:
    """What the axes of an image mean, for example ``time, slices (t, z, y, x)``."""
    words = {"t": "time", "c": "channels", "z": "slices"}
    lead = ", ".join(words[axis] for axis in axes.removesuffix("c") if axis in words)
    return f"{lead} ({', '.join(axes)})"


def hint_text(reasons: Mapping[str, str]) -> str:
    """Why controls are off, one line per reason: ``Run, Preview: open an image first.``"""
    lines = []
    for reason in dict.fromkeys(reasons.values()):
        if reason:
            lines.append(f"{', '.join(name for name, why in reasons.items() if why == reason)}: {reason}")
    return "\n".join(lines)


def plan_text(plan: Plan, models: int = 1) -> str:
    """What a run of so many models will take, and what to be warned of."""
    slices = "1 slice" if plan.slices == 1 else f"{plan.slices} slices, {min(plan.batch, plan.slices)} at a time,"
    if models > 1:
        slices = f"{models} models, {slices}"
    time = "" if math.isnan(plan.seconds) else f"about {duration(plan.seconds)}, "
    first = f"{slices} on {plan.device.upper()}: {time}{max(1, round(plan.memory_mb))} MB of extra memory."
    return "\n".join([first, *(f"⚠ {warning}" for warning in plan.warnings)])


def result_text(found: Segmentation) -> str:
    """What a run found: one line per class."""
    report = found.report
    lines = [f"Done in {duration(report['seconds'])}."]
    if "objects" in report:
        return f"{lines[0]} {report['objects']} {'object' if report['objects'] == 1 else 'objects'}."
    for row in report["classes"]:
        size = f"{row['voxels']} voxels"
        if "volume_mm3" in row and "t" not in found.labels.axes:
            size = f"{row['volume_mm3'] / 1000:.1f} ml"
        dice = report.get("agreement", {}).get(row["name"])
        agreement = "" if dice is None else f", agreement {dice:.2f} (Dice)"
        lines.append(f"{row['name']}: {size}{agreement}")
    return "\n".join(lines)
