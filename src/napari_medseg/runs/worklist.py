"""The cases of a cohort as a list of work: what is known of each, in which order to look, and which one is next."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from ..quantities import duration, rounded
from . import suspicion
from .batch import Finished
from .cases import MEASURES, SIZES, Case, Row, cases
from .reviewed import Reviewed
from .tasks import Failure, Outcome, Task

WAITING, RUNNING, NOT_REACHED = "waiting", "running", "not reached"

LOOK = "Look here first"
"""Title of the column with the reasons."""

_FIRST = ("Case", "State", LOOK)
_SCORES = ("Dice", "HD95")
_OBJECT_SCORES = ("F1",)
_DISTANCES = {"hd95_mm": "mm", "hd95_px": "px"}
_LAST = ("Approved", "Size", "s")
_LEADING_NAME = re.compile(r"^'[^']*' ")  # of the file, which the row names
_OPEN = (WAITING, RUNNING)
_NOTHING = ("failed", *_OPEN, NOT_REACHED)
"""States without an output that could be opened."""


class WorkList:
    """The cases of a run, or of a folder of results.

    Parameters
    ----------
    tasks : sequence of Task
    failures : iterable of Failure
        Inputs that mean nothing.
    workers : int
        How many cases are worked on at once.
    """

    def __init__(self, tasks: Sequence[Task] = (), failures: Iterable[Failure] = (), workers: int = 1):
        known = cases([Outcome(task, WAITING) for task in tasks], failures)
        self._cases = known
        self._numbers = {case.outcome.task.inputs: number for number, case in enumerate(known)}
        self._reviewed: dict[int, Reviewed] = {}
        self._workers = workers
        self._reasons: dict[int, tuple[suspicion.Reason, ...]] | None = None
        self._at_work = self._first_waiting()

    @classmethod
    def of(cls, found: Sequence[Finished]) -> WorkList:
        """Of cases that are finished."""
        made = cls()
        made._cases = cases([each.outcome for each in found])
        made._reviewed = {n: each.reviewed for n, each in enumerate(found) if each.reviewed is not None}
        return made

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def head(self) -> tuple[str, ...]:
        """Titles of the columns of `cells`; without a reference there are no scores."""
        scored = [case.outcome.task for case in self._cases if case.outcome.task.score]
        if not scored:
            return (*_FIRST, *_LAST)
        objects = any(task.settings.get("inference", {}).get("split_objects") for task in scored)
        return (*_FIRST, *(_OBJECT_SCORES if objects else _SCORES), *_LAST)

    # ---- what happens ----

    def take(self, found: Finished) -> int:
        """Note what came of a case; returns its number."""
        number = self._numbers[found.outcome.task.inputs]
        (case,) = cases([found.outcome])
        self._cases[number] = replace(case, name=self._cases[number].name)
        self._reviewed.pop(number, None)  # of results that have vanished since
        if found.reviewed is not None:
            self._reviewed[number] = found.reviewed
        self._reasons = None
        self._at_work = self._first_waiting()
        return number

    def review(self, number: int, reviewed: Reviewed) -> None:
        """Note what is approved of a case."""
        self._reviewed[number] = reviewed

    def end(self) -> None:
        """The run has ended: what it did not come to stays as it was before."""
        for number, case in enumerate(self._cases):
            if case.outcome.state == WAITING:
                self._cases[number] = replace(case, outcome=replace(case.outcome, state=NOT_REACHED))
        self._at_work = frozenset()

    # ---- what is asked ----

    def count(self, state: str) -> int:
        """How many cases are in a state."""
        return sum(self.state(number) == state for number in range(len(self)))

    def number_of(self, target: Path) -> int | None:
        """The case whose first output is `target`; None if there is none."""
        for number, case in enumerate(self._cases):
            if case.outcome.task.outputs and case.outcome.task.target == target:
                return number
        return None

    def case(self, number: int) -> Case:
        """A case with its figures."""
        return self._cases[number]

    def cases(self) -> list[Case]:
        """All of them, in the order of the inputs; those that a run has not come to are not reached."""
        found = []
        for case in self._cases:
            over = case.outcome.state == WAITING
            found.append(replace(case, outcome=replace(case.outcome, state=NOT_REACHED)) if over else case)
        return found

    def state(self, number: int) -> str:
        """State of a case: that of its outcome, or what it waits for."""
        state = self._cases[number].outcome.state
        return RUNNING if number in self._at_work else state

    def reviewed(self, number: int) -> Reviewed | None:
        """What is approved of a case, if that is known."""
        return self._reviewed.get(number)

    def can_open(self, number: int) -> bool:
        """Whether a case has an output."""
        return self.state(number) not in _NOTHING

    def reasons(self, number: int) -> tuple[suspicion.Reason, ...]:
        """Why to look at a case, the heaviest reason first."""
        if self._reasons is None:
            there = [n for n, case in enumerate(self._cases) if case.outcome.state not in _NOTHING]
            found = suspicion.reasons([self._cases[n] for n in there])
            self._reasons = dict(zip(there, found, strict=True))
        return self._reasons.get(number, ())

    def order(self, *, suspicious_first: bool = True) -> list[int]:
        """Numbers of the cases: failed ones, then those that differ most from the others; or as the inputs are.

        As long as some are waiting, it is always that of the inputs.
        """
        numbers = list(range(len(self)))
        if not suspicious_first or any(case.outcome.state == WAITING for case in self._cases):
            return numbers
        return sorted(numbers, key=self._place)

    def _place(self, number: int) -> tuple[int, float]:
        state = self._cases[number].outcome.state
        rank = {"failed": 0, NOT_REACHED: 2}.get(state, 1)
        return rank, -suspicion.weight(self.reasons(number))

    def next(
        self, order: Sequence[int], current: int | None, step: int = 1, *, chosen: int | None = None
    ) -> int | None:
        """The case after `current`, or with a `step` of -1 before it, that can be opened; None if there is none.

        A row that was `chosen` while no case is open counts in place of `current`, and is itself what comes next.
        """
        place = _start(order, current, step, chosen)
        while 0 <= place < len(order):
            if self.can_open(order[place]):
                return order[place]
            place += step
        return None

    def next_open(self, order: Sequence[int], current: int | None, *, chosen: int | None = None) -> int | None:
        """The next case that is not approved, from `current` on and round the end; None if all others are.

        A row that was `chosen` while no case is open is the first that is looked at.
        """
        place = _start(order, current, 1, chosen)
        for number in [*order[place:], *order[:place]]:
            opened = number == current and chosen is None
            if not opened and self.can_open(number) and not self._is_approved(number):
                return number
        return None

    def _is_approved(self, number: int) -> bool:
        known = self._reviewed.get(number)
        return known is not None and known.complete

    def _first_waiting(self) -> frozenset[int]:
        """The cases at work: children take the tasks in their order."""
        waiting = [number for number, case in enumerate(self._cases) if case.outcome.state == WAITING]
        return frozenset(waiting[: self._workers])

    # ---- in words ----

    def cells(self, number: int) -> dict[str, str]:
        """The texts of a row, under the titles of `head`; reasons in a few words, see `text` for all of them."""
        case = self._cases[number]
        reviewed = self._reviewed.get(number)
        seconds = case.outcome.took
        return {
            "Case": case.name,
            "State": self.state(number),
            LOOK: self._brief(number),
            "Dice": _mean_score(case.rows, "dice"),
            "HD95": _mean_score(case.rows, "hd95_mm") or _mean_score(case.rows, "hd95_px"),
            "F1": _mean_score(case.rows, "f1"),
            "Approved": "" if reviewed is None else reviewed.cell,
            "Size": _size(case.rows),
            "s": rounded(seconds, 1) if seconds else "",
        }

    def _brief(self, number: int) -> str:
        """Why to look at a case, as short as a column needs it."""
        error = self._cases[number].outcome.error
        if error:
            return _LEADING_NAME.sub("", error)
        found = self.reasons(number)
        return f"⚠ {found[0].brief}" if found else ""

    def _why(self, number: int) -> list[str]:
        outcome = self._cases[number].outcome
        if outcome.error:
            return [outcome.error]
        return [reason.text for reason in self.reasons(number)]

    def text(self, number: int) -> str:
        """All that is known of a case, in lines."""
        case = self._cases[number]
        outcome = case.outcome
        state = self.state(number)
        took = f" in {duration(outcome.took)}" if outcome.took and state == "done" else ""
        lines = [f"{case.name}: {state}{took}. {outcome.error}".rstrip()]
        reasons = [] if outcome.error else self._why(number)
        lines += [f"Look here first: {text}" for text in reasons]
        lines += [f"Warning: {text}" for text in case.warnings if text not in reasons]
        lines += [_figures(row) for row in case.rows]
        size = _size(case.rows)
        if size and len(case.rows) > 1:
            lines.append(f"All classes together: {size}")
        if outcome.note:
            lines.append(f"{outcome.note[0].upper()}{outcome.note[1:].rstrip('.')}.")
        if outcome.record is not None and outcome.record.models:
            lines.append(f"Model: {', '.join(model.name for model in outcome.record.models)}")
        reviewed = self._reviewed.get(number)
        if reviewed is not None:
            lines.append(reviewed.text)
        return "\n".join(line for line in lines if line)

    def summary(self) -> str:
        """How many cases there are in which state, and how many are approved."""
        states = Counter(map(self.state, range(len(self))))
        known = ", ".join(f"{count} {state}" for state, count in states.items())
        approved = sum(map(self._is_approved, range(len(self))))
        what = "1 case" if len(self) == 1 else f"{len(self)} cases"
        return f"{what}: {known}; {approved} approved." if len(self) else ""


def _start(order: Sequence[int], current: int | None, step: int, chosen: int | None) -> int:
    """Place in an order where the search for another case begins."""
    if chosen in order:
        return order.index(chosen) if step > 0 else order.index(chosen) - 1
    if current in order:
        return order.index(current) + step
    return 0 if step > 0 else len(order) - 1


def _size(rows: Sequence[Row]) -> str:
    """The size of all classes together, by the first measure of size that is known."""
    for key in SIZES:
        known = [row.figures[key] for row in rows if key in row.figures]
        if known:
            return _value(key, sum(known))
    return ""


def _value(key: str, figure: float) -> str:
    measure = MEASURES[key]
    return f"{rounded(figure, measure.decimals)} {measure.unit}".rstrip()


def _mean_score(rows: Sequence[Row], key: str) -> str:
    """The mean of a figure against the reference over the classes that have it."""
    known = [row.figures[key] for row in rows if key in row.figures]
    if not known:
        return ""
    mean = fmean(known)
    unit = _DISTANCES.get(key)
    return f"{rounded(mean, 1)} {unit}" if unit else rounded(mean, 3)


def _figures(row: Row) -> str:
    """The figures of a class, those that are compared."""
    parts = []
    size = next((key for key in SIZES if key in row.figures), "")
    for key, measure in MEASURES.items():
        if key in row.figures and (key == size or key not in SIZES):
            parts.append(f"{measure.title} {_value(key, row.figures[key])}")
    named = f"{row.name}: " if row.name and parts else ""
    return f"{named}{', '.join(parts)}"


def source_of(task: Task, others: Iterable[Path]) -> Path | None:
    """The image of a case: where the task says, or the one of `others` with its name; None if it is not there."""
    if task.source.exists():
        return task.source
    return next((path for path in others if path.name == task.source.name), None)
