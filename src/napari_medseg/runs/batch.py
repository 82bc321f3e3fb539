"""A folder of images, segmented by child processes while a window shows what comes of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..errors import MedsegError, SettingsError
from ..progress import Job, Progress
from ..segmentation.settings import InferenceSettings
from . import plan
from .cohort import cohort_job
from .crew import Crew
from .outputs import claimed
from .plan import Plan, Wanted
from .reviewed import Reviewed, fresh, in_file
from .tasks import Failure, Outcome, Task


@dataclass(frozen=True)
class Begun:
    """What a run is going to do.

    Parameters
    ----------
    tasks : tuple of Task
    failures : tuple of Failure
        Inputs that mean nothing.
    """

    tasks: tuple[Task, ...]
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Finished:
    """What came of one case.

    Parameters
    ----------
    outcome : Outcome
    reviewed : Reviewed or None
        What a person has approved of its labels; None where there are none.
    """

    outcome: Outcome
    reviewed: Reviewed | None = None


def plan_job(wanted: Wanted) -> Job[Plan]:
    """Look for the images; see `plan.plan`."""
    yield Progress(0, 1)
    return plan.plan(wanted)


def batch_job(wanted: Wanted, settings: InferenceSettings, crew: Crew, *, resume: bool) -> Job[list[Outcome]]:
    """Segment many files, as ``napari-medseg segment`` does.

    Parameters
    ----------
    wanted : Wanted
    settings : InferenceSettings
    crew : Crew
        Closed at the end.
    resume : bool
        Whether outputs that are finished already stay.

    Yields
    ------
    Progress
        Over the files; `partial` is first a `Begun`, then `Finished` for each file, else None.

    Raises
    ------
    MedsegError
        If the run cannot begin, or cannot go on.
    """
    with closing(crew):
        yield Progress(0, 0)
        _refuse_sharing(settings.device, crew.slots())
        found = plan.plan(wanted)
        tasks = _tasks(found, wanted, settings, resume)
        with claimed(wanted.output if tasks else None, found.paths), closing(cohort_job(tasks, crew)) as job:
            # not before the folder is ours: a run that is refused leaves the list as it is
            yield Progress(0, len(tasks), Begun(tuple(tasks), found.failures))
            outcomes = yield from _with_reviews(job, fresh_ones=True)
    return outcomes


def _tasks(found: Plan, wanted: Wanted, settings: InferenceSettings, resume: bool) -> list[Task]:
    from . import work

    used = tuple(work.use(name) for name in wanted.models)
    plan.prepare(found, wanted.output, used, settings)
    return plan.tasks(found, used, settings, resume=resume, look=True)


def _with_reviews(job: Job[list[Outcome]], *, fresh_ones: bool) -> Job[list[Outcome]]:
    """The steps of a job with what is approved of each case; nothing is of those that it has just made."""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        found = step.partial
        if isinstance(found, Outcome):
            reviews = _reviewed(found, just_made=fresh_ones and found.state == "done")
            yield Progress(step.done, step.total, Finished(found, reviews))
        else:
            yield Progress(step.done, step.total)


def _reviewed(outcome: Outcome, *, just_made: bool) -> Reviewed | None:
    """What a person has approved of the labels of a case; None if there are none, or they cannot be read."""
    labels = outcome.task.outputs.get("labels")
    if labels is None or outcome.record is None or outcome.state == "failed":
        return None
    if just_made:
        return fresh(outcome.record)
    try:
        return in_file(Path(labels))
    except (MedsegError, OSError):  # opening the case says why
        return None


def existing(found: Plan) -> int:
    """How many of the labels of a plan are there already."""
    return sum(path.exists() for path in found.places["labels"])


def _refuse_sharing(device: str, workers: int) -> None:
    """Make sure that several processes do not share one graphics card."""
    from ..models.devices import choose_device

    chosen = choose_device(device)
    if workers > 1 and chosen != "cpu":
        raise SettingsError(f"{workers} workers would share one '{chosen}' device. Set Workers to 1.")


def results_job(folder: Path, inputs: Sequence[str]) -> Job[list[Outcome]]:
    """The cases of a folder that a run has written to, see `summary.results_job`.

    Parameters
    ----------
    folder : pathlib.Path
    inputs : sequence of str
        Files, folders and globs with the images that the results were made of, as far as they are known.

    Yields
    ------
    Progress
        Over the files of the folder; `partial` is a `Finished` for each case, else None.
    """
    from .inputs import find_inputs
    from .summary import results_job

    yield Progress(0, 0)
    sources, _ = find_inputs(inputs)
    return (yield from _with_reviews(results_job(folder, sources), fresh_ones=False))
