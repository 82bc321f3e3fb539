"""What the Fine-tune dock shows of a run: curves while it goes on, and before against after when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QSizePolicy, QTableWidgetItem, QVBoxLayout, QWidget

from ...quantities import rounded
from ..kit.jobs import duration
from ..kit.tables import fit, table

if TYPE_CHECKING:
    from ...training.gain import Comparison
    from ..kit.tuning import Run

_DICE, _LOSS = "#1f77b4", "#9a9a9a"
_HEAD = ("Dice", "Before", "After", "Change")
_FEW = 3
_HARDLY = 0.1  # Dice


class Curves(QWidget):
    """Loss, and Dice on reviewed slices, against steps; drawn anew only where there is something new."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "Blue: Dice on the validation slices (left axis). Grey: loss (right). Dashed: the starting model. "
            "With fewer than five held-back slices, all reviewed slices are used for validation."
        )
        self.setVisible(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
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
        self._right.set_ylim(0, 1.05 * max(losses, default=1))
        self._canvas.draw_idle()

    def _make(self) -> None:
        # heavy, and not needed before the first run
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(4, 2.2))
        self._canvas = FigureCanvasQTAgg(self.figure)
        self._canvas.setMinimumSize(330, 190)
        # fixed margins: laying them out anew would take longer than the drawing
        self.figure.subplots_adjust(left=0.12, right=0.84, top=0.95, bottom=0.2)
        self._left = self.figure.add_subplot()
        self._right = self._left.twinx()
        (self._loss,) = self._right.plot([], [], color=_LOSS, linewidth=1)
        (self._dice,) = self._left.plot([], [], "o-", color=_DICE, markersize=3, linewidth=1.5)
        self._before = self._left.axhline(float("nan"), color=_DICE, linestyle="--", linewidth=1)
        self._left.set_ylim(0, 1.02)
        self._left.set_xlabel("steps", fontsize=8)
        self._left.set_ylabel("Dice, reviewed", color=_DICE, fontsize=8)
        self._right.set_ylabel("loss", color=_LOSS, fontsize=8)
        for axes in (self._left, self._right):
            axes.tick_params(labelsize=7)
        self._left.grid(alpha=0.3)
        self._left.set_zorder(self._right.get_zorder() + 1)
        self._left.patch.set_visible(False)
        self.layout().addWidget(self._canvas)


class Verdict(QWidget):
    """Dice by class before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.table = table(_HEAD, "Dice on the reviewed slices that were held back, before and after the training.")
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
        self.table.setRowCount(len(classes))
        for place, name in enumerate(classes):
            self._show_class(place, name, found)
        fit(self.table)

    def _show_class(self, place: int, name: str, found: Comparison) -> None:
        old = found.before.get(name)
        new = found.after.get(name)
        change = "-" if old is None or new is None else f"{new - old:+.3f}"
        for column, text in enumerate((name, _shown(old), _shown(new), change)):
            item = QTableWidgetItem(text)
            item.setToolTip(name)
            self.table.setItem(place, column, item)


def doubtful(found: Comparison) -> bool:
    """Whether the new model is no better than the one before, or does not find a class."""
    return not found.better or bool(_missed(found))


def doubts_text(doubts: Sequence[str]) -> str:
    """The question before a training on images that are unlike those of the model that begins it."""
    found = "\n".join(doubts)
    return f"{found}\n\nWhat it knows may not help there. Train anyway?"


def verdict_text(found: Comparison, run: Run) -> str:
    """What came of the training, in a few sentences."""
    text = _change_text(found, run)
    missed = ", ".join(_missed(found))
    return f"{text} It hardly finds {missed}: train longer." if missed else text


def _missed(found: Comparison) -> list[str]:
    measured = {name: dice for name, dice in found.after.items() if dice is not None}
    return [name for name, dice in measured.items() if dice < _HARDLY]


def _change_text(found: Comparison, run: Run) -> str:
    if not found.held_back:
        return "A single reviewed slice was learnt and measured, so the figures say little: look at the difference."
    slices = "slice" if found.slices == 1 else "slices"
    where = f"on {found.slices} held-out {slices}"
    caution = " So few say little: look at the difference too." if found.slices < _FEW else ""
    if found.change is None and found.before:
        return f"Nothing that both models know could be measured {where}: look at the difference."
    if found.change is None:
        return f"{run.base} does not find these classes, so only the new model was measured, {where}.{caution}"
    if found.change == 0:
        return f"No better than {run.base} {where}: its weights were the best.{caution}"
    new = found.after.keys() - found.before.keys()
    both = ", ".join(found.before)
    what = f"What both know ({both}) is found" if new else "It is"
    way = "better" if found.change > 0 else "worse"
    size = _size_text(found.change)
    return f"{what} {way} than {run.base} {size} (Dice) {where}.{caution}"


def _size_text(change: float) -> str:
    size = abs(change)
    return f"by {size:.3f}" if size >= 0.0005 else "by less than 0.001"


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
    now = _shown(run.lines[-1]["val"])
    return f"{text}. Dice on reviewed slices: {now}, best {_shown(run.best)}."


def _shown(value: float | None) -> str:
    return "-" if value is None else rounded(value, 3)
