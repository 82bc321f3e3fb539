"""What the Fine-tune dock shows of a run: curves while it goes on, and before against after when it has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QSizePolicy, QTableWidgetItem, QVBoxLayout, QWidget

from ...quantities import duration, rounded
from ...training.comparison import change_text, verdict
from ..kit.tables import fit, table

if TYPE_CHECKING:
    from ...training.comparison import Comparison
    from ..kit.tuning import Run

_DICE, _LOSS = "#1f77b4", "#9a9a9a"
_HEAD = ("Dice", "Before", "After", "Change")
_TABLE = (
    "Dice on the reviewed slices that were held back, before and after the training; the card of the new model has the "
    "same. After ±: half of the 98 % interval of the change, from the differences of these slices."
)
_HARDLY = 0.1  # Dice


class Curves(QWidget):
    """Loss, and Dice on reviewed slices, against steps; drawn anew only where there is something new."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "Blue: Dice on the slices that decide which weights are kept (left axis). Grey: loss (right). Dashed: the "
            "starting model. With fewer than five held-out slices these are all reviewed slices; the Dice of the new "
            "model, on held-out slices alone, comes at the end."
        )
        self.setVisible(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.figure: Any = None

    def show_lines(self, lines: Sequence[Mapping[str, Any]], steps: int) -> None:
        """Show the log of a run; nothing of one without validations."""
        self.setVisible(bool(lines))
        if not lines:
            return
        if self.figure is None:
            self._make()
        places = [line["step"] for line in lines]
        dice = [line["val"] for line in lines]
        self._dice.set_data(places, dice)
        learnt = [line for line in lines if line["loss"] is not None]
        losses = [line["loss"] for line in learnt]
        self._loss.set_data([line["step"] for line in learnt], losses)
        first = lines[0]
        before = first["val"] if first["step"] == 0 else None
        height = float("nan") if before is None else before
        self._before.set_ydata([height, height])
        self._left.set_xlim(0, max(steps, places[-1], 1))
        self._left.set_ylim(*dice_limits([value for value in (*dice, before) if value is not None]))
        self._right.set_ylim(0, 1.05 * max(losses, default=1))
        self._canvas.draw_idle()

    def _make(self) -> None:
        # heavy, and not needed before the first run
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        from ..kit.plots import Plot

        self.figure = Figure(figsize=(4, 2.2))
        self._canvas = Plot(self.figure)
        self._canvas.setMinimumSize(330, 190)
        # fixed margins: laying them out anew would take longer than the drawing
        self.figure.subplots_adjust(left=0.15, right=0.84, top=0.95, bottom=0.2)
        self._left = self.figure.add_subplot()
        self._right = self._left.twinx()
        (self._loss,) = self._right.plot([], [], color=_LOSS, linewidth=1)
        (self._dice,) = self._left.plot([], [], "o-", color=_DICE, markersize=3, linewidth=1.5)
        self._before = self._left.axhline(float("nan"), color=_DICE, linestyle="--", linewidth=1)
        self._left.xaxis.set_major_locator(MaxNLocator(integer=True))
        self._left.set_xlabel("steps", fontsize=8)
        self._left.set_ylabel("Dice", color=_DICE, fontsize=8)
        self._right.set_ylabel("loss", color=_LOSS, fontsize=8)
        for axes in (self._left, self._right):
            axes.tick_params(labelsize=7)
        self._left.grid(alpha=0.3)
        self._left.set_zorder(self._right.get_zorder() + 1)
        self._left.patch.set_visible(False)
        self._canvas.refresh()
        self._column.addWidget(self._canvas)


def dice_limits(values: Sequence[float]) -> tuple[float, float]:
    """Ends of the axis of Dice: always up to 1, and from the tenth below the lowest value, so that changes are seen."""
    low = max(0.0, math.floor(10 * min(values, default=0.0) - 0.5) / 10)
    return low, 1 + 0.02 * (1 - low)


class Verdict(QWidget):
    """Dice by class before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.table = table(_HEAD, _TABLE)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def show_figures(self, found: Comparison | None, classes: Sequence[str]) -> None:
        """Show a comparison; None hides the table."""
        self.setVisible(found is not None)
        if found is None:
            return
        rows = figure_rows(found, classes)
        self.table.setRowCount(len(rows))
        for place, row in enumerate(rows):
            for column, text in enumerate(row):
                item = QTableWidgetItem(text)
                item.setToolTip(row[0])
                self.table.setItem(place, column, item)
        fit(self.table)


def figure_rows(found: Comparison, classes: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """The rows of the table: the classes, and if there are several, their mean."""
    one = len(classes) == 1
    rows = []
    for name in classes:
        old = found.before.get(name)
        new = found.after.get(name)
        change = "-"
        if old is not None and new is not None:
            change = change_text(new - old, found.half_width if one else math.nan)
        rows.append((name, _shown(old), _shown(new), change))
    if one:
        return rows
    old, change = None, "-"
    if found.change is not None and found.is_complete:
        old, change = found.dice_before, change_text(found.change, found.half_width)
    return [*rows, ("mean", _shown(old), _shown(found.dice), change)]


def doubtful(found: Comparison) -> bool:
    """Whether the new model is not better than the one before, beyond chance, or does not find a class."""
    return not found.worth_it or bool(_missed(found))


def doubts_text(doubts: Sequence[str]) -> str:
    """The question before a training on images that are unlike those of the model that begins it."""
    found = "\n".join(doubts)
    return f"{found}\n\nWhat it knows may not help there. Train anyway?"


def verdict_text(found: Comparison, run: Run) -> str:
    """What came of the training, in a few sentences."""
    text = verdict(found, run.base)
    missed = ", ".join(_missed(found))
    return f"{text} It hardly finds {missed}: train longer." if missed else text


def _missed(found: Comparison) -> list[str]:
    measured = {name: dice for name, dice in found.after.items() if dice is not None}
    return [name for name, dice in measured.items() if dice < _HARDLY]


def status_text(run: Run, running: bool, stopping: bool) -> str:
    """How far a run is."""
    if not run.lines:
        return "Starting: the first figures take some seconds." if running else "It ended before its first figures."
    text = f"Step {run.step} of {run.steps}"
    left = run.seconds_left() if running else None
    if running and stopping:
        text += ", ending with the best weights"
    elif left is not None:
        text += f", about {duration(left)} left"
    if run.lines[-1]["val"] is None:
        return f"{text}. No label lies on the slices that are held back: there is no Dice, the last weights are kept."
    if not running:
        return f"{text}."  # the one Dice of the new model is that of the table
    now = _shown(run.lines[-1]["val"])
    return f"{text}. Dice on {run.judged_on}: {now}, best {_shown(run.best)}."


def _shown(value: float | None) -> str:
    return "-" if value is None else rounded(value, 3)
