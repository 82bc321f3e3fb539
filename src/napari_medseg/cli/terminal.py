"""What the command line shows: progress, tables and plain words for results."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import escaped
from ..progress import Remaining
from ..quantities import duration, extent, objects, rounded, suited
from ..segmentation.settings import compared

if TYPE_CHECKING:
    from ..models import ModelCard
    from ..progress import Progress
    from ..runs.tasks import Failure

_SECONDS_BETWEEN_LINES = 10
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}{postfix}]"


def say(text: str) -> None:
    """Write a result line to the standard output."""
    sys.stdout.write(escaped(text, lines=True) + "\n")
    sys.stdout.flush()


def complain(*texts: str) -> None:
    """Write lines on what went wrong to the standard error."""
    for text in texts:
        sys.stderr.write(f"napari-medseg: {escaped(text, lines=True)}\n")


def name_failures(failures: Sequence[Failure], total: int) -> None:
    """Name what failed, of `total` inputs."""
    if len(failures) == total == 1:
        complain(failures[0].error)
    elif failures:
        lines = [f"  {escaped(failure.file)}: {failure.error}" for failure in failures]
        complain("\n".join([f"{len(failures)} of {total} failed:", *lines]))


class Meter:
    """Shows how far a job is: a bar on a terminal, otherwise a plain line now and then.

    Parameters
    ----------
    title, unit : str
        What is being done, and what its steps are.
    """

    def __init__(self, title: str, unit: str):
        self._title = escaped(title)
        self._unit = unit
        self._bar = None
        self._told = time.monotonic()
        self._remaining = Remaining()

    def __enter__(self) -> Meter:
        if sys.stderr.isatty():
            from tqdm import tqdm

            # the first step says the total; until then there is one step, not done
            self._bar = tqdm(
                desc=self._title, total=1, unit=f"{self._unit}s", bar_format=_BAR, leave=False, dynamic_ncols=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, step: Progress) -> None:
        """Show `step`."""
        seconds = self._remaining.seconds(step)
        left = f"about {duration(seconds)} left" if seconds >= 1 else ""  # nor where it is not known
        if self._bar is not None:
            if self._bar.total != step.total:
                self._bar.reset(step.total)  # shows it too, however soon the next steps come
            self._bar.set_postfix_str(left, refresh=False)
            self._bar.update(step.done - self._bar.n)
        elif time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            sys.stderr.write(f"{self._title}: {self._unit} {step.done} of {step.total}{left and ', ' + left}\n")

    def say(self, text: str) -> None:
        """Write a line that stays, above the bar if there is one."""
        if self._bar is not None:
            self._bar.clear()
        say(text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length, the first one the heading, as aligned columns; columns of numbers to the right."""
    columns = []
    rows = [[escaped(cell) for cell in row] for row in rows]
    for column in zip(*rows, strict=True):
        width = max(map(len, column))
        numeric = all(_is_number(cell) for cell in column[1:])
        columns.append([cell.rjust(width) if numeric else cell.ljust(width) for cell in column])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def _is_number(cell: str) -> bool:
    if cell in ("-", "", "inf"):
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def sheet(rows: Mapping[str, str]) -> str:
    """Names and texts below each other; an empty text becomes 'not stated'."""
    indent = max(map(len, rows)) + 4
    room = max(30, shutil.get_terminal_size().columns - indent)
    lines = []
    for name, text in rows.items():
        wrapped = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        first, *rest = wrapped or ["not stated"]
        lines.append(f"  {name}".ljust(indent) + first)
        lines += [" " * indent + line for line in rest]
    return "\n".join(lines)


def outcome(row: Mapping[str, Any]) -> str:
    """What came of one image of a segment run."""
    found = [f"{entry['name']} {extent(entry)}" for entry in row["classes"]]
    if "objects" in row:
        found.append(objects(row))
    agreement = row.get("agreement", {})
    agreed = [f"{name} {rounded(dice, 3)}" for name, dice in agreement.items() if dice is not None]
    if agreed:
        found.append(f"agreement (Dice) {', '.join(agreed)} {compared(row['models'])}")
    slices = count(row["slices"], "slice")
    return f"{slices} in {rounded(row['seconds'], 1)} s on {row['device']}: {', '.join(found)} -> {row['output']}"


def agreement(scores: Iterable[Mapping[str, Any]]) -> str:
    """Figures against a reference, as the end of a line; empty without any."""
    found = []
    for score in scores:
        from ..runs.cases import heading  # a run without a reference is spared its imports

        words = []
        for key, value in score.items():
            if isinstance(value, float):
                name = heading(key).partition(" (")[0]
                unit = f" {key[-2:]}" if key.endswith(("_mm", "_px")) else ""
                words.append(f"{name} {rounded(value, 2 if unit else 3)}{unit}")
        found.append(f"{score['name']}: {', '.join(words) or 'not on either side'}")
    return f"; against the reference {'; '.join(found)}" if found else ""


def validation(line: Mapping[str, Any]) -> str:
    """A line of the log of a training; a figure that does not exist is '-'."""
    shown = {key: "-" if line[key] is None else rounded(line[key], 4) for key in ("loss", "val", "best")}
    loss = "" if line["loss"] is None else f"loss {shown['loss']}, "
    return f"step {line['step']}: {loss}{line['figure']} on val {shown['val']}, best {shown['best']}"


def warnings(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the runs warned of, each once, with the number of images it holds for."""
    rows = list(rows)
    images: Counter[str] = Counter()
    for row in rows:
        images.update(row.get("warnings", ()))
    if len(rows) == 1:
        return [f"warning: {text}" for text in images]
    return [f"warning: {text} ({count(number, 'image')})" for text, number in images.items()]


def count(number: int, what: str) -> str:
    """``1 slice``, ``2 slices``."""
    if number == 1:
        return f"{number} {what}"
    return f"{number} {what}s"


def scores(rows: Sequence[Mapping[str, Any]], summary: Sequence[Mapping[str, Any]]) -> str:
    """A table of what `metrics.compare` found, a line per file, time point and class, and `summary` below it."""
    known = dict.fromkeys(key for row in rows for key in row)
    keys = [key for key in known if key not in ("prediction", "reference", "id", "name", "time")]
    places = {
        "file": [Path(row["prediction"]).name for row in rows],
        "time": ["" if row["time"] is None else str(row["time"]) for row in rows],
    }
    # a column that says the same in every line says nothing; without both there is nothing to average
    places = {name: column for name, column in places.items() if len(set(column)) > 1}
    columns = [_Column.of(key, rows) for key in keys]
    lines = [[*places, "class", *(column.heading for column in columns)]]
    for row, *where in zip(rows, *places.values(), strict=True):
        cells = [column.cell(row) for column in columns]
        lines.append([*where, row["name"], *cells])
    if places:
        beyond_first = [""] * (len(places) - 1)
        for row in summary:
            cells = [column.cell(row) for column in columns]
            lines.append([row["of"], *beyond_first, row["name"], *cells])
    text = table(lines)
    if any(cell in ("-", "inf") for line in lines for cell in line):
        text += "\n-: it is on neither side, or not measured; inf: it is on one side only"
    return text


@dataclass(frozen=True)
class _Column:
    """A column of scores: its key in the rows, and the unit in which it is shown."""

    key: str
    heading: str
    factor: float = 1.0

    @classmethod
    def of(cls, key: str, rows: Sequence[Mapping[str, Any]]) -> _Column:
        from ..metrics import SCORES, score_of
        from ..metrics.objects import RATIOS

        if key in SCORES:
            return cls(key, SCORES[key].title)
        if key in RATIOS:
            return cls(key, RATIOS[key])
        score = score_of(key)
        name, _, unit = key.rpartition("_")
        title = score.title if score else name.replace("_", " ")
        if unit not in ("mm", "mm2", "ml", "px"):
            return cls(key, f"{title} {unit}".strip())
        shown, factor = suited(unit, (row.get(key, math.nan) for row in rows))
        return cls(key, f"{title} ({shown})", factor)

    def cell(self, row: Mapping[str, Any]) -> str:
        from ..metrics import score_of
        from ..metrics.objects import COUNTS, RATIOS

        value = row.get(self.key, math.nan)
        if math.isnan(value):
            return "-"
        if row.get("of") == "number" or self.key.endswith("voxels") or self.key in COUNTS:
            return f"{value:.0f}"
        score = score_of(self.key)
        decimals = score.decimals if score else 2
        if self.key in RATIOS:
            decimals = 4
        return rounded(value * self.factor, decimals)


def models(cards: Iterable[ModelCard]) -> str:
    """A table of models with their held-out Dice."""
    from ..models import figures

    cards = list(cards)
    together = any(card.helpers for card in cards)
    lines = [["model", "finds", "Dice", "in", *(["together with"] if together else [])]]
    for card in cards:
        row = [card.name, finds(card), figures.held_out_dice(card) or "-", card.modality]
        lines.append([*row, *([", ".join(card.helpers) or "-"] if together else [])])
    return table(lines) + "\nDice: mean on held-out test images, class by class, from the model card"


def groups(members: Mapping[str, Sequence[ModelCard]]) -> str:
    """Which model the name of a group stands for."""
    names = [f"{name} ({cards[0].name})" for name, cards in members.items()]
    return f"The name of a group stands for its best model by the Dice on val: {', '.join(names)}"


def finds(card: ModelCard) -> str:
    """What a model gives: its classes, or that it reconstructs, from what masks."""
    if card.classes:
        return ", ".join(row.name for row in card.classes)
    masks = []
    for kind, bounds in card.masks.items():
        ends = dict.fromkeys(f"{bound:g}x" for bound in bounds)
        masks.append(f"{kind} {' to '.join(ends)}")
    if not masks:
        return "reconstructs"
    return f"reconstructs ({', '.join(masks)})"


def card_text(card: ModelCard) -> str:
    """A model card for reading."""
    from ..models import figures

    network = [card.architecture]
    network += [f"{name} {value}" for name, value in card.options.items()]
    rows = {
        "finds": finds(card),
        "task": card.task,
        "modality": card.modality,
        "group": card.group or "none",
        "pixel size": "{:g} to {:g} mm".format(*card.spacing_mm) if card.spacing_mm else "any",
        "steps": card.steps or "each slice as it is",
        "limits": card.limits,
        "trained on": card.data,
        "split": card.split,
        "licence": card.licence,
        "network": ", ".join(network),
        "SHA-256": card.sha256,
    }
    parts = [f"{card.name}\n{sheet(rows)}"]
    for measured in figures.tables(card):
        parts.append(textwrap.indent(table(measured), "  "))
    parts.append("Not a medical device.")
    return "\n\n".join(parts)
