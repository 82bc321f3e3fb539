"""A folder of images, segmented by child processes while a window shows what comes of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import MedsegError, SettingsError
from ..io.pairing import names
from ..progress import Job, Progress
from ..segmentation.settings import OUTSIDE, InferenceSettings
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


@dataclass(frozen=True)
class Listed:
    """What a folder of results holds.

    Parameters
    ----------
    found : list of Finished
    notes : str
        Which images have no result, and why nothing was compared, in sentences.
    """

    found: list[Finished]
    notes: str = ""


def plan_job(wanted: Wanted) -> Job[Plan]:
    """Look for the images, see `plan.plan`; notes also say if the first is unlike those that a model was trained on."""
    yield Progress(0, 1)
    found = plan.plan(wanted)
    if not found.sources:
        return found
    yield Progress(0, 1)
    return replace(found, notes=(*found.notes, *_doubts(found.sources[0], wanted.models)))


def _doubts(source: Path, chosen: Sequence[str]) -> list[str]:
    """What of an image lies outside of what models were trained on; empty if it cannot be read, which the run says."""
    from .. import io, models
    from ..segmentation import consensus

    try:
        cards = [models.load_card(models.find(name)) for name in chosen]
        doubts = consensus.doubts(io.read(source, lazy=True), cards)
    except MedsegError:
        return []
    return [f"⚠ {source.name}: {OUTSIDE}{doubt}" for doubt in doubts]


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
            outcomes = yield from _with_reviews(job)
    return outcomes


def _tasks(found: Plan, wanted: Wanted, settings: InferenceSettings, resume: bool) -> list[Task]:
    from . import work

    used = tuple(work.use(name) for name in wanted.models)
    plan.prepare(found, wanted.output, used, settings)
    return plan.tasks(found, used, settings, resume=resume, look=True)


def _with_reviews(job: Job[list[Outcome]]) -> Job[list[Outcome]]:
    """The steps of a run with what is approved of each case; nothing is of those that it has just made."""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        found = step.partial
        if isinstance(found, Outcome):
            reviews = _reviewed(found, just_made=found.state == "done")
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


def results_job(folder: Path, inputs: Sequence[str], reference: Path | None = None) -> Job[Listed]:
    """The cases of a folder that a run has written to, see `summary.results_job`.

    Parameters
    ----------
    folder : pathlib.Path
    inputs : sequence of str
        Files, folders and globs with the images that the results were made of, as far as they are known.
    reference : pathlib.Path, optional
        Labels to compare with, see `references.find_references`.

    Yields
    ------
    Progress
        Over the files of the folder.
    """
    from . import summary
    from .inputs import find_inputs

    yield Progress(0, 0)
    sources, _ = find_inputs(inputs)
    outcomes = yield from summary.results_job(folder, sources)
    notes = _without_result(sources, outcomes)
    if reference is not None:
        outcomes, why_not = yield from _compared(outcomes, reference)
        notes += why_not
    return Listed([Finished(each, _reviewed(each, just_made=False)) for each in outcomes], notes)


def _without_result(sources: Sequence[Path], outcomes: Sequence[Outcome]) -> str:
    """How many of the images have no result, with their names: a folder of results does not know what failed."""
    there = {outcome.task.source.name for outcome in outcomes}
    missing = [path for path in sources if path.name not in there]
    if not missing:
        return ""
    have = "has" if len(missing) == 1 else "have"
    return f" {len(missing)} of {len(sources)} images {have} no result there: {names(missing)}."


def _compared(outcomes: Sequence[Outcome], reference: Path) -> Job[tuple[list[Outcome], str]]:
    """Outcomes with their figures against a reference, or why they have none."""
    from .references import find_references
    from .work import scored

    labels = [outcome.task.source for outcome in outcomes if _has_labels(outcome)]
    try:
        belonging = find_references(labels, [], reference)
    except MedsegError as error:
        return list(outcomes), f" They are not compared: {error}"
    found = []
    for number, outcome in enumerate(outcomes):
        yield Progress(number, len(outcomes))
        found.append(scored(_with_reference(outcome, belonging)) if _has_labels(outcome) else outcome)
    return found, ""


def _has_labels(outcome: Outcome) -> bool:
    return "labels" in outcome.task.outputs and outcome.record is not None and outcome.state != "failed"


def _with_reference(outcome: Outcome, belonging: Mapping[str, Path]) -> Outcome:
    """An outcome whose task says with what its labels are compared, as that of a run does."""
    task = outcome.task
    labels = belonging.get(task.source.name)
    inputs = task.inputs if labels is None else (*task.inputs, str(labels))
    objects = outcome.record is not None and bool(outcome.record.settings.get("split_objects"))
    settings = {**task.settings, "inference": {"split_objects": objects}}
    return replace(outcome, task=replace(task, inputs=inputs, settings=settings, score=True))
