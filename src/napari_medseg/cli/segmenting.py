"""``napari-medseg segment``: images to labels."""

from __future__ import annotations

import functools
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, SettingsError
from ..options import read
from ..segmentation.settings import InferenceSettings
from . import terminal
from .crews import crew_of, whether
from .summaries import check_summaries

if TYPE_CHECKING:
    from ..record import UsedModel
    from ..runs.tasks import Failure, Outcome, Task


def inference_settings(args: Namespace) -> InferenceSettings:
    """Settings of a parsed ``segment`` command; what was left out keeps its default."""
    return read(args, InferenceSettings)


def segment(args: Namespace) -> int:
    """``napari-medseg segment``."""
    from ..runs import cohort, work
    from ..runs.outputs import refuse_conflicts
    from ..runs.references import with_references
    from .report import models_of_report, run_content
    from .running import Run

    settings = inference_settings(args)
    args.models = _members(args)
    _check_models(args)
    plan = _in_dataset(args) if args.bids is not None else _in_folder(args)
    outputs = [path for paths in plan.places.values() for path in paths]
    refuse_conflicts([*map(Path, args.inputs), *plan.sources], outputs)
    _refuse_report([*plan.sources, *outputs], args.report)
    check_summaries(args, [*plan.sources, *outputs, *([args.report] if args.report else [])])
    used = tuple(work.use(name) for name in args.models)
    tasks = _tasks(args, plan, used, settings)
    if args.reference:
        tasks = with_references(tasks, args.reference)
    if plan.root is not None:
        _prepare(args, plan.root, used, settings)
    more = {
        "uncertainty": args.uncertainty,
        "axes": args.axes,
        "disagreement": args.disagreement or False,
        "bids": args.bids,
    }
    asked = {
        "command": cohort.command(settings, args.models, args.inputs, args.output, **more),
        **models_of_report(used),
        "settings": asdict(settings) | {"axes": args.axes},
    }
    content = lambda run: asked | run_content(run, _segment_row)  # noqa: E731
    run = Run(tasks, _segment_line, content, "slice", plan.failures, args.report, args.summary, args.html)
    code = run.go(crew_of(args, tasks, network=True), args.output)
    for text in terminal.warnings(_segment_row(outcome) for outcome in run.outcomes):
        terminal.complain(text)
    return code


@dataclass(frozen=True)
class _Plan:
    """Which images are segmented, and where what is made of them goes.

    Parameters
    ----------
    sources : list of pathlib.Path
    failures : list of Failure
        Inputs that mean nothing.
    places : mapping of str to list of pathlib.Path
        What is made of each source, by its role.
    root : pathlib.Path, optional
        Of the BIDS dataset that they belong to.
    """

    sources: list[Path]
    failures: list[Failure]
    places: dict[str, list[Path]]
    root: Path | None = None


def _in_folder(args: Namespace) -> _Plan:
    """Files, folders and globs, and a file or a folder for their labels."""
    from ..runs.inputs import find_inputs, image_kind, left_out, taken_once
    from ..runs.outputs import place

    kind = functools.cache(image_kind)  # three questions, each file is opened once
    sources, failures = find_inputs(args.inputs, kind)
    terminal.complain(*left_out(args.inputs, kind), *taken_once(args.inputs, kind))
    single = len(sources) + len(failures) == 1
    places = {"labels": place(sources, args.output, single=single)}
    return _Plan(sources, failures, places | _maps(args, sources, single))


def _in_dataset(args: Namespace) -> _Plan:
    """A BIDS dataset, and another one for the labels."""
    from ..runs import bids

    if len(args.inputs) > 1:
        raise SettingsError(f"--bids takes one dataset, and there are {len(args.inputs)} inputs. Give its top folder.")
    root = Path(args.inputs[0])
    sources = bids.find(root, args.bids)
    labels = bids.places(sources, root, args.output, args.models)
    places = {"labels": labels, "sidecar": [bids.sidecar(path) for path in labels]}
    return _Plan(sources, [], places | _maps(args, sources, single=False), root)


def _maps(args: Namespace, sources: list[Path], single: bool) -> dict[str, list[Path]]:
    """Where the maps go that were asked for."""
    from ..runs.outputs import place

    places = {}
    for role in ("uncertainty", "disagreement"):
        if folder := getattr(args, role):
            places[role] = place(sources, folder, f"_{role}", single=single)
    return places


def _tasks(args: Namespace, plan: _Plan, used: tuple[UsedModel, ...], settings: InferenceSettings) -> list[Task]:
    from ..runs import bids
    from ..runs.tasks import Task

    reading: dict[str, Any] = {"inference": asdict(settings), "axes": args.axes}
    tasks = []
    for number, source in enumerate(plan.sources):
        made = {role: str(paths[number]) for role, paths in plan.places.items()}
        named = {"source": bids.source_of(source, plan.root)} if plan.root is not None else {}
        options = {**reading, **named}
        tasks.append(Task("segment", (str(source),), made, used, options, **whether(args)))
    return tasks


def _prepare(args: Namespace, root: Path, used: Sequence[UsedModel], settings: InferenceSettings) -> None:
    """Make what describes the dataset of the labels."""
    from .. import models
    from ..runs import bids

    classes = models.load_card(models.find(used[0].name)).classes
    bids.prepare(args.output, root, used, () if settings.split_objects else classes)


def _segment_line(title: str, outcome: Outcome) -> str:
    if outcome.record is None:
        return title
    models = [model.name for model in outcome.record.models]
    words = terminal.outcome({**_segment_row(outcome), "models": models})
    return f"{title}: {words}{terminal.agreement(outcome.scores)}"


def _segment_row(outcome: Outcome) -> dict[str, Any]:
    from .report import row

    outputs = outcome.task.outputs
    paths = {"uncertainty": outputs.get("uncertainty"), "disagreement": outputs.get("disagreement")}
    return {"input": outcome.task.inputs[0], "output": outputs["labels"], **paths, **row(outcome)}


def _refuse_report(paths: Sequence[Path], report: Path | None) -> None:
    """Make sure that a report replaces neither `paths` nor the side files of those that are written."""
    from ..io import formats
    from ..io.notes import side_file
    from ..runs.outputs import refuse_conflicts

    kinds = [(path, formats.named(path)) for path in paths]
    sides = [side_file(path) for path, kind in kinds if kind and not kind.keeps_notes]
    refuse_conflicts([*paths, *sides], [report] if report else [])


def _members(args: Namespace) -> list[str]:
    """The models of a ``segment`` command, with the best of a group in the place of its name, which is said.

    Where a disagreement is asked for and a group is all that was named, its best model and a second opinion vote.
    """
    from ..models import library

    found = [library.best_of(name) for name in args.models]
    for group, name in zip(args.models, found, strict=True):
        if name != group:
            terminal.say(f"{group}: {name} is the best model by the Dice on val.")
    if args.disagreement and len(found) == 1 and found != args.models:
        found = library.with_second_opinion(args.models[0])
        terminal.say(f"{args.models[0]}: {found[1]} is the second opinion, made for the same task and nearly as good.")
    return found


def _check_models(args: Namespace) -> None:
    """Make sure that the models of a ``segment`` command exist, and that its options suit their number."""
    if len(args.models) == 1 and args.disagreement:
        raise SettingsError("--disagreement needs two or more --model options. With one model use --uncertainty.")
    if len(args.models) > 1 and args.uncertainty:
        raise SettingsError("Uncertainty is computed for one model only. With several models use --disagreement.")
    from .. import models
    from ..segmentation import consensus

    weights = [find_model(name) for name in args.models]
    if len(weights) > 1:
        # each image would fail with it: say it before the first one is read
        consensus.check([models.load_card(path) for path in weights])


def find_model(name: str) -> Path:
    from .. import models

    try:
        return models.find(name)
    except ModelError as error:
        raise SettingsError(str(error)) from error
