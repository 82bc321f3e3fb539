"""Cohorts on the terminal: what is going on, what came of each file, the report, the exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files
from ..errors import FileError, escaped
from ..progress import Progress, run
from ..runs.cohort import Step, Waiting, cohort_job
from ..runs.crew import Crew
from ..runs.outputs import claimed
from ..runs.tasks import Failure, Outcome, Task
from ..version import __version__
from . import terminal
from .report import write_json
from .summaries import write_summaries


@dataclass
class Run:
    """A cohort that the command line runs, and what came of it so far.

    Parameters
    ----------
    tasks : sequence of Task
    line : callable or None
        What to say of a finished task, from its title and outcome; None says nothing of any task.
    content : callable
        Content of the report.
    unit : str
        What the steps of the work on one file are.
    failures : list of Failure
        Inputs that mean nothing; those that failed are added.
    report : pathlib.Path, optional
        Where the report goes.
    summary, html : pathlib.Path, optional
        Where the table and the page of the cohort go.
    strict : bool
        Whether a single input that failed because of the settings is wrong usage.
    """

    tasks: Sequence[Task]
    line: Callable[[str, Outcome], str] | None
    content: Callable[[Run], dict[str, Any]]
    unit: str = "slice"
    failures: list[Failure] = field(default_factory=list)
    report: Path | None = None
    summary: Path | None = None
    html: Path | None = None
    strict: bool = False
    interrupted: bool = True
    _found: dict[tuple[str, ...], Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.report, self.summary, self.html):
            if path is not None:
                files.refuse_name(path)
        self.total = len(self.tasks) + len(self.failures)
        self._numbers = {task.inputs: number for number, task in enumerate(self.tasks)}

    @property
    def outcomes(self) -> list[Outcome]:
        """Of the tasks that did not fail, in the order of the tasks."""
        there = [outcome for outcome in self._found.values() if outcome.state != "failed"]
        return sorted(there, key=lambda outcome: self._numbers[outcome.task.inputs])

    def title(self, task: Task) -> str:
        """Name of a task, with its number if there are several."""
        name = escaped(task.source.name)
        return f"[{self._numbers[task.inputs] + 1}/{len(self.tasks)}] {name}" if len(self.tasks) > 1 else name

    def go(self, crew: Crew, output: Path | None = None) -> int:
        """Run the tasks, say what comes of them, and write the report, also if interrupted.

        Parameters
        ----------
        crew : Crew
            Closed at the end.
        output : pathlib.Path, optional
            File or folder that was named as output; a folder is kept from other runs.

        Returns
        -------
        int
            Exit code.

        Raises
        ------
        MedsegError
            If the run could not begin, or could not go on.
        """
        paths = [path for task in self.tasks for path in task.paths()]
        with closing(crew), claimed(output if self.tasks else None, paths):
            try:
                with _Watch(self, crew) as watch, closing(cohort_job(self.tasks, crew)) as job:
                    run(job, watch)
                self.interrupted = False
            finally:
                written = self._finish()
        return self._exit_code() if written else 1

    def add(self, outcome: Outcome) -> None:
        """Note what came of a task; what is said last holds."""
        self._found[outcome.task.inputs] = outcome

    def _exit_code(self) -> int:
        if not self.failures:
            return 0
        usage = any(outcome.wrong_usage for outcome in self._found.values())
        return 2 if self.strict and self.total == 1 and usage else 1

    def _finish(self) -> bool:
        """Name what failed, then write the report; whether that went well."""
        failed = [outcome for outcome in self._found.values() if outcome.state == "failed"]
        failed.sort(key=lambda outcome: self._numbers[outcome.task.inputs])
        meaningless = list(self.failures)
        self.failures += [outcome.failure for outcome in failed]
        terminal.name_failures(self.failures, self.total)
        try:
            if self.report is not None:
                write_json(self.report, self.content(self))
            write_summaries(self._all(), meaningless, self.summary, self.html, interrupted=self.interrupted)
        except FileError as error:
            terminal.complain(str(error))
            return False
        return True

    def report_content(self, row: Callable[[Outcome], dict[str, Any]]) -> dict[str, Any]:
        """The part of a report that says what came of the files, a `row` for each."""
        return {
            "files": [row(outcome) for outcome in self.outcomes],
            "failures": [failure.to_json() for failure in self.failures],
            "not_reached": self.not_reached,
            "interrupted": self.interrupted,
            "version": __version__,
        }

    @property
    def not_reached(self) -> list[str]:
        """Inputs of the tasks that the run did not come to."""
        return [outcome.task.inputs[0] for outcome in self._all() if outcome.state == "not reached"]

    def _all(self) -> list[Outcome]:
        """Of every task, in their order."""
        return [self._found.get(task.inputs, Outcome(task, "not reached")) for task in self.tasks]


class _Watch:
    """Shows the steps of a cohort: of each file if they can be seen, else of all files together."""

    def __init__(self, run: Run, crew: Crew):
        self._run = run
        self._together = crew.executor is not None
        self._meter: terminal.Meter | None = None
        self._task: Task | None = None

    def __enter__(self) -> _Watch:
        if self._together:
            self._open("files", "file")
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, step: Progress) -> None:
        if isinstance(step.partial, Step):
            self._show(step.partial)
        elif isinstance(step.partial, Outcome):
            self._tell(step.partial)
        elif isinstance(step.partial, Waiting):
            count = step.partial.files
            wait = "1 file waits" if count == 1 else f"{count} files wait"
            terminal.complain(f"No worker is there; {wait}. Ctrl+C ends the run with a report.")
        if self._together and self._meter is not None:
            self._meter(step)

    def _show(self, step: Step) -> None:
        if step.task is not self._task:
            self._task = step.task
            self._open(self._run.title(step.task), self._run.unit)
        if self._meter is not None:
            self._meter(Progress(step.done, step.total))

    def _tell(self, outcome: Outcome) -> None:
        self._run.add(outcome)
        if not self._together:
            self._close()
        if self._run.line is None:
            return
        title = self._run.title(outcome.task)
        if outcome.state == "failed":
            self._say(f"{title}: failed")
        elif outcome.state == "skipped":
            note = f"; {outcome.note}" if outcome.note else ""
            scores = terminal.agreement(outcome.scores)
            self._say(f"{title}: skipped, {outcome.task.target} is finished{note}{scores}")
        elif outcome.state == "kept":
            scores = terminal.agreement(outcome.scores)
            self._say(f"{title}: kept, {outcome.note.rstrip('.') if scores else outcome.note}{scores}")
        else:
            if outcome.note:
                self._say(f"{title}: {outcome.note}")
            self._say(self._run.line(title, outcome))

    def _say(self, text: str) -> None:
        if self._meter is None:
            terminal.say(text)
        else:
            self._meter.say(text)

    def _open(self, title: str, unit: str) -> None:
        self._close()
        self._meter = terminal.Meter(title, unit)
        self._meter.__enter__()

    def _close(self) -> None:
        if self._meter is not None:
            self._meter.__exit__()
            self._meter = None
