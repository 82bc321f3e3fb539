"""The controls of the Review dock and where they stand; what they do is in `dock.py`."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QPushButton, QSizePolicy

from ...review.history import Step
from ..kit.controls import Page, Paragraph, beside, button, check, choice, described
from .learning_state import TITLE
from .state import legend_parts
from .strip import COLOURS, Strip
from .teaching_state import TITLE as TEACH
from .tools_form import ToolsForm

_LISTED = 100  # steps: more would take long to fill in after every stroke


class ReviewForm(Page):
    """Controls as attributes; every one has a tooltip, and one that is off says why."""

    def __init__(self) -> None:
        super().__init__()
        self.offer = Paragraph()
        self.restore = button("&Restore")
        self.later = button("Later")
        self.discard = button("Discard…")
        self.labels = choice("The labels to review and correct.")
        self.image = choice("The image that they were drawn on; they are restored on it after a crash.")
        self.order = choice(
            "What says which slice comes next: where the labels differ from those of another model, or how uncertain "
            "they are; else one slice after the other."
        )
        self.order.setMinimumContentsLength(4)  # next to the aim
        self.aim = choice("Slices that went wrong first, or those with the most doubtful voxels.")
        self.aim.setMinimumContentsLength(5)
        self.aim.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.rest = Paragraph()
        self.strip = Strip()
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.approve = button("&Approve   A")
        self.take_back = button("Ta&ke back")
        self.following = button("&Next to review   N")
        self.approve_filled = button("Approve all fille&d")
        self.learn = check(TITLE)
        self.learnt = Paragraph()
        self.teachable = Paragraph()
        self.teach = button(TEACH)
        self._shown: tuple[int, list[Step], int] | None = None
        self.steps = QListWidget()
        described(self.steps, "Steps, the newest last; grey ones were taken back. Choose one to go to its slice.")
        self.steps.setFixedHeight(84)
        self.tools = ToolsForm(self)
        self.undo = button("&Undo")
        self.redo = button("R&edo")
        self.save = button("Save labels…")
        self.journal = Paragraph()
        self.notes = Paragraph()
        self.status = Paragraph()
        self.keys = Paragraph()
        self.hint = Paragraph()
        self._lay_out()

    def _lay_out(self) -> None:
        # a click leaves the keys with the canvas; the tabulator reaches the buttons all the same
        for control in (*self._buttons(), self.learn):
            control.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        rows = self.rows(
            ("La&bels", self.labels, self.labels),
            ("&Image", self.image, self.image),
            ("Ne&xt by", self.order, beside(self.order, self.aim)),
        )
        self.stack(
            self.offer,
            beside(self.restore, self.later, self.discard),
            rows,
            self.strip,
            self.legend,
            beside(self.approve, self.following),
            beside(self.take_back, self.approve_filled),
            self.rest,
            self.learn,
            self.learnt,
            self.teachable,
            self.teach,
            self.tools,
            self.steps,
            beside(self.undo, self.redo),
            self.save,
            self.journal,
            self.notes,
            self.status,
            self.keys,
            self.hint,
        )

    def sizeHint(self) -> QSize:
        """No wider than the controls need: the image is what people look at."""
        hint = super().sizeHint()
        hint.setWidth(self.minimumSizeHint().width())
        return hint

    def _buttons(self) -> list[QPushButton]:
        return [
            self.restore,
            self.later,
            self.discard,
            self.approve,
            self.take_back,
            self.following,
            self.approve_filled,
            self.teach,
            self.undo,
            self.redo,
            self.save,
        ]

    def show_legend(self, states: Mapping[str, int]) -> None:
        """Say how many slices are in which state, with the colours of the strip."""
        parts = [f'<span style="color:{COLOURS[state]}">■</span> {text}' for state, text in legend_parts(states)]
        self.legend.setText("&nbsp; ".join(parts))

    def show_steps(self, steps: list[Step], position: int) -> None:
        """List the newest steps; the last one that counts is chosen."""
        first = max(0, min(len(steps), position + _LISTED // 4) - _LISTED)
        listed = steps[first : first + _LISTED]
        before, self._shown = self._shown, (first, listed, position)
        if before == self._shown:
            return
        self.steps.blockSignals(True)
        one_more = before is not None and before == (first, listed[:-1], position - 1)
        if not one_more:
            self.steps.clear()
        for number in range(first + self.steps.count(), first + len(listed)):
            self.steps.addItem(_step_item(steps[number], number, number >= position))
        self.steps.setCurrentRow(position - 1 - first)
        self.steps.blockSignals(False)
        if position > first:
            self.steps.scrollToItem(self.steps.item(position - 1 - first))


def _step_item(step: Step, number: int, taken_back: bool) -> QListWidgetItem:
    item = QListWidgetItem(step.name)
    item.setData(Qt.ItemDataRole.UserRole, step.planes[0] if step.planes else None)
    item.setToolTip(f"Step {number + 1}: {step.name}")
    if taken_back:
        item.setForeground(QColor("#888888"))
    return item
