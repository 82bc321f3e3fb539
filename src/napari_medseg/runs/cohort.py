"""Many files at once: a job over tasks, whoever works on them; and the command line that does the same."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..errors import FileError, JobError
from ..progress import Job, Progress
from .crew import Crew
from .outputs import beside
from .tasks import Outcome, Task

if TYPE_CHECKING:
    from ..segmentation.settings import InferenceSettings

_SECONDS = 0.5  # between two looks at whether the crew is still there
_BETWEEN_SENTENCES = 60.0  # seconds, while nobody is there to work
_GOES_ON = "The same command with --resume goes on."


@dataclass(frozen=True)
class Step:
    """How far the work on one file is, where it can be seen.

    Parameters
    ----------
    task : Task
    done, total : int
        As in `Progress`, of the work on this file.
    """

    task: Task
    done: int
    total: int


@dataclass(frozen=True)
class Waiting:
    """Nobody is there to work.

    Parameters
    ----------
    files : int
        That are not finished.
    """

    files: int


def cohort_job(tasks: Sequence[Task], crew: Crew) -> Job[list[Outcome]]:
    """Do many tasks; one that fails does not stop the others. Closing the job ends what is at work at once.

    Parameters
    ----------
    tasks : sequence of Task
        Each makes other files.
    crew : Crew
        Who does them, see `crew.here`, `crew.local` and `cluster.cluster`; stays open, unless the job is closed or
        fails.

    Yields
    ------
    Progress
        Over the files, in the order of finishing; `partial` is an `Outcome` when one is finished, a `Step` while work
        in this process goes on, `Waiting` at once and every minute while nobody is there to work, else None. In the end
        comes a second `Outcome`, which failed, for each file whose results have vanished meanwhile.

    Returns
    -------
    list of Outcome
        In the order of the tasks.

    Raises
    ------
    JobError
        If the crew is lost.
    """
    found: dict[int, Outcome] = {}
    steps = _here(tasks) if crew.executor is None else _elsewhere(tasks, crew)
    try:
        for number, partial in steps:
            if isinstance(partial, Outcome):
                found[number] = partial
            yield Progress(len(found), len(tasks), partial)
        for number, gone in _vanished(found) if crew.sees_files_at_once else ():
            found[number] = gone
            yield Progress(len(found), len(tasks), gone)
    finally:
        if len(found) < len(tasks):
            crew.stop()
    return [found[number] for number in range(len(tasks))]


def _vanished(found: Mapping[int, Outcome]) -> list[tuple[int, Outcome]]:
    """Outcomes whose files somebody has taken away meanwhile, as failed ones."""
    gone = []
    for number, outcome in found.items():
        task = outcome.task
        if outcome.state != "failed" and task.outputs and not task.target.exists():
            error = FileError(
                f"'{task.target}' was moved or removed before the run ended. Run again with Resume (--resume) to make "
                "it again."
            )
            gone.append((number, Outcome.failed(task, error, outcome.took)))
    return gone


_Steps = Iterator[tuple[int, Outcome | Step | Waiting | None]]


def _here(tasks: Sequence[Task]) -> _Steps:
    """The number of each task with its steps and its outcome, one task after the other."""
    from . import work

    for number, task in enumerate(tasks):
        yield number, Step(task, 0, 1)
        job = work.outcome_job(task)
        while True:
            try:
                step = next(job)
            except StopIteration as end:
                yield number, end.value
                break
            yield number, Step(task, step.done, step.total)


def _elsewhere(tasks: Sequence[Task], crew: Crew) -> _Steps:
    """The numbers of the tasks with their outcomes, in the order of finishing; -1 and something else now and then."""
    waiting = deque(enumerate(tasks))
    begun: dict[Future, int] = {}
    told = -math.inf
    while waiting or begun:
        # a few more than can be worked on: no one waits for the next, and little is done twice if a worker is lost
        slots = crew.slots()
        while slots and waiting and len(begun) < slots + max(1, slots // 4):
            number, task = waiting.popleft()
            begun[crew.submit(task.to_json())] = number
        if not slots and time.monotonic() - told > _BETWEEN_SENTENCES:
            told = time.monotonic()
            yield -1, Waiting(len(waiting) + len(begun))
        yield from _finished(tasks, begun, crew)
        if reason := crew.lost():
            done = len(tasks) - len(waiting) - len(begun)
            raise JobError(f"{reason} {done} of {len(tasks)} files are finished. {_GOES_ON}")


def _finished(tasks: Sequence[Task], begun: dict[Future, int], crew: Crew) -> _Steps:
    """The tasks that are finished within a moment, which are no longer among those that were `begun`."""
    if not begun:
        time.sleep(_SECONDS)
    ready = wait(begun, timeout=_SECONDS, return_when=FIRST_COMPLETED).done if begun else set()
    if not ready:
        yield -1, None
    while ready:
        future = ready.pop()
        if future.cancelled():  # whoever was to do it has gone: that is said when everything else was taken
            continue
        number = begun.pop(future)
        outcome = _outcome(tasks[number], future, crew)
        # a result that is still held is computed again when its worker is lost
        del future
        yield number, outcome


def _outcome(task: Task, future: Future, crew: Crew) -> Outcome:
    """What came of a task that was done elsewhere."""
    try:
        return Outcome.from_json(task, future.result())
    except Exception as error:  # no process could be started, for example
        return Outcome.failed(task, crew.explained(error, task))


def command(
    settings: InferenceSettings,
    models: str | Sequence[str],
    inputs: Sequence[str | Path],
    output: str | Path,
    uncertainty: str | Path | None = None,
    axes: str | None = None,
    disagreement: str | Path | bool = True,
    bids: str | None = None,
    workers: int = 0,
    resume: bool = False,
    names: str | Path | None = None,
    reference: str | Path | None = None,
) -> str:
    """The command line that does the same as a run with `settings`, quoted for the shell.

    Parameters
    ----------
    settings : InferenceSettings
    models : str or sequence of str
        Name of the model, or of several that vote.
    inputs : sequence of path
    output : path
        Label file, or folder for several inputs.
    uncertainty : path, optional
        Used if `settings` asks for it; by default next to `output`.
    axes : str, optional
        Names of the array axes, where the file does not say.
    disagreement : path or bool
        Used with several models: by default next to `output`; False leaves it out.
    bids : str, optional
        Suffix of the images of a BIDS dataset; empty for the only one.
    workers : int
        Processes that share the files; 0 for none.
    resume : bool
        Whether outputs that are finished already stay.
    names : path, optional
        Class table that names the classes.
    reference : path, optional
        Labels to compare with.
    """
    chosen = [models] if isinstance(models, str) else list(models)
    doubt = place = None
    # uncertainty is computed for one model only
    if settings.uncertainty and len(chosen) == 1:
        doubt = uncertainty or beside(Path(output), "uncertainty")
    if len(chosen) > 1 and disagreement:
        place = beside(Path(output), "disagreement") if disagreement is True else disagreement
    return options.command(
        "segment",
        *inputs,
        output=Path(output),
        model=chosen,
        settings=settings,
        uncertainty=doubt and Path(doubt),
        disagreement=place and Path(place),
        axes=axes,
        bids=True if bids == "" else bids,
        workers=workers,
        resume=resume,
        names=names and Path(names),
        reference=reference and Path(reference),
    )
