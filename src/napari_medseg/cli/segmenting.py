"""``napari-medseg segment``: images to labels."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, SettingsError
from ..options import read
from ..segmentation.settings import InferenceSettings
from . import terminal
from .crews import crew_of, whether
from .summaries import check_summaries

if TYPE_CHECKING:
    from ..runs.tasks import Outcome
    from ..volume import LabelClass


def inference_settings(args: Namespace) -> InferenceSettings:
    """Settings of a parsed ``segment`` command; what was left out keeps its default."""
    return read(args, InferenceSettings)


def segment(args: Namespace) -> int:
    """``napari-medseg segment``."""
    from ..runs import cohort, plan, work
    from .report import models_of_report
    from .running import Run

    settings = inference_settings(args)
    args.models = _members(args)
    _check_models(args)
    maps = {role: folder for role in plan.MAPS if (folder := getattr(args, role))}
    wanted = plan.Wanted(tuple(args.inputs), args.output, tuple(args.models), maps, args.bids, args.reference)
    found = plan.plan(wanted)
    terminal.complain(*found.notes)
    read_too = [path for path in (args.names, args.reference) if path]
    taken = [*found.sources, *found.paths, *read_too]
    _refuse_report(taken, args.report)
    check_summaries(args, [*taken, *([args.report] if args.report else [])])
    used = tuple(work.use(name) for name in args.models)
    names = _names(args)
    tasks = plan.tasks(found, used, settings, args.axes, names, **whether(args))
    plan.prepare(found, args.output, used, settings, names)
    more = {
        "uncertainty": args.uncertainty,
        "axes": args.axes,
        "disagreement": args.disagreement or False,
        "bids": args.bids,
        "names": args.names,
        "reference": args.reference,
    }
    asked = {
        "command": cohort.command(settings, args.models, args.inputs, args.output, **more),
        **models_of_report(used),
        "settings": asdict(settings) | {"axes": args.axes},
    }
    content = lambda run: asked | run.report_content(_segment_row)  # noqa: E731
    run = Run(tasks, _segment_line, content, "slice", list(found.failures), args.report, args.summary, args.html)
    code = run.go(crew_of(args, tasks, network=True), args.output)
    for text in terminal.warnings(_segment_row(outcome) for outcome in run.outcomes):
        terminal.complain(text)
    return code


def _names(args: Namespace) -> Sequence[LabelClass]:
    """The class names that a person gives; those of all models must be among them."""
    from .. import models
    from ..io import class_tables

    if args.names is None:
        return ()
    found = class_tables.read(args.names)
    for name in args.models:
        class_tables.renamed(models.load_card(models.find(name)).classes, found)
    return found


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
