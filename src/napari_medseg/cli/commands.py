"""What each command does; heavy modules are imported inside, so that help answers at once."""

from __future__ import annotations

import shlex
import textwrap
import threading
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MedsegError, SettingsError, escaped
from ..models.settings import ImportSettings
from ..options import read
from ..version import __version__
from . import terminal
from .segmenting import find_model
from .summaries import check_summaries, wanted

if TYPE_CHECKING:
    from ..progress import Progress
    from ..runs.tasks import Outcome
    from ..training.settings import ReconTrainSettings, TrainSettings
    from ..volume import Volume
    from .running import Run

_MOST_CLASSES = 256  # numbers in labels that do not say what they are, 0 among them


def evaluate(args: Namespace) -> int:
    """``napari-medseg evaluate``."""
    from .. import metrics
    from ..runs.crew import here
    from ..runs.inputs import find_pairs, left_out
    from ..runs.outputs import refuse_conflicts
    from ..runs.tasks import Task
    from .running import Run

    pairs, failures = find_pairs(args.prediction, args.reference)
    terminal.complain(*left_out([args.prediction, args.reference]))
    read = [path for pair in pairs for path in pair]
    written = [args.report] if args.report else []
    refuse_conflicts(read, written)
    check_summaries(args, [*read, *written])
    settings = {"foreground": args.foreground, "objects": args.objects}
    tasks = []
    for ours, theirs in pairs:
        tasks.append(Task("evaluate", (str(ours), str(theirs)), settings=settings, look=wanted(args)))

    def content(run: Run) -> dict[str, Any]:
        rows = _scores(run.outcomes)
        return {
            "version": __version__,
            "prediction": str(args.prediction),
            "reference": str(args.reference),
            **settings,
            "scores": rows,
            "summary": metrics.summarise(rows),
            "warnings": _noted(run.outcomes),
            "failures": [failure.to_json() for failure in run.failures],
            "interrupted": run.interrupted,
        }

    run = Run(tasks, None, content, "pair", failures, args.report, args.summary, args.html)
    code = run.go(here())
    if rows := _scores(run.outcomes):
        terminal.say(terminal.scores(rows, metrics.summarise(rows)))
    for text in _noted(run.outcomes):
        terminal.complain(text)
    return code


def _scores(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each class of each pair."""
    from .. import metrics

    scored = [(outcome.task.inputs, outcome.record) for outcome in outcomes if outcome.record]
    tables = metrics.complete([record.figures["scores"] for _, record in scored])
    rows = []
    for ((prediction, reference), _), table in zip(scored, tables, strict=True):
        rows += [{"prediction": prediction, "reference": reference, **score} for score in table]
    return rows


def _noted(outcomes: Sequence[Outcome]) -> list[str]:
    """What is to be known of the scores of each pair."""
    found = []
    for outcome in outcomes:
        for text in outcome.record.warnings if outcome.record else ():
            found.append(f"{outcome.task.source.name}: {text}")
    return found


def train(args: Namespace) -> int:
    """``napari-medseg train``."""
    from ..progress import log_messages, run
    from ..training.loop import train_job
    from ..training.seeds import train_seeds_job

    if args.tied:
        from ..runs.child import follow_input

        threading.Thread(target=follow_input, args=(lambda _: None, _say_why), daemon=True).start()

    def show(step: Progress) -> None:
        meter(step)
        if step.partial:
            meter.say(terminal.validation(step.partial))

    path = _recipe(args.settings)
    with terminal.Meter(path.stem, "step") as meter, log_messages("napari_medseg.training", meter.say):
        settings, folder, root, is_tuned = _run(path, args)
        if args.seeds:
            folder = run(train_seeds_job(settings, folder, args.seeds, root=root), show)
            meter.say(f"The best of the {args.seeds} seeds on val is in {folder}.")
        else:
            meter.say(f"The run is kept in {folder}.")
            run(train_job(settings, folder, root=root), show)
    weights = folder / f"{settings.name}.safetensors"
    if is_tuned and weights.exists():
        _say_gain(folder)
    if weights.exists():  # of several processes only the first one writes
        terminal.say(f"{weights} holds the best weights, {settings.name}.json next to it their card. To use the model:")
        terminal.say(f"  napari-medseg models import {shlex.quote(str(weights))} --name NAME")
    return 0


def _say_gain(folder: Path) -> None:
    """Say whether a fine-tuned model is better, which its card says from now on."""
    from ..training.comparison import verdict
    from ..training.gain import before_and_after
    from ..training.settings import read_settings

    found = before_and_after(folder)
    start = read_settings(folder / "recipe.json").start
    terminal.say(verdict(found, Path(start).stem))


def _run(path: Path, args: Namespace) -> tuple[TrainSettings | ReconTrainSettings, Path, Path, bool]:
    """Settings of a run, its folder, where relative data paths start, and whether a model is fine-tuned."""
    from ..training import fine_tune
    from ..training.settings import read_settings

    tuning = fine_tune.read(path)
    if tuning is not None:
        folder = args.run or Path("runs", tuning.name)
        return fine_tune.begin(tuning, path.parent, folder), folder, folder, True
    settings = read_settings(path)
    return settings, args.run or Path("runs", settings.name), args.root, False


def _say_why() -> None:
    terminal.complain("Ended, because the standard input is closed and --tied is set.")


def _recipe(name: str) -> Path:
    """A settings file, or the recipe of that name in the package."""
    from ..files import is_file
    from ..training.settings import RECIPES

    own = Path(name)
    shipped = RECIPES / f"{name}.json"
    if is_file(own) or own.suffix == ".json":
        return own
    if not is_file(shipped):
        known = ", ".join(sorted(path.stem for path in RECIPES.glob("*.json")))
        raise SettingsError(f"'{name}' is neither a settings file nor a bundled recipe; the recipes are {known}.")
    return shipped


def show_models(args: Namespace) -> int:
    """``napari-medseg models``."""
    from .. import models
    from ..files import to_json
    from ..models import library
    from ..runs.tasks import Failure

    if args.name:
        card = models.load_card(find_model(args.name))
        terminal.say(to_json(asdict(card)).rstrip() if args.json else terminal.card_text(card))
        return 0
    cards, failures = [], []
    for name, path in models.available().items():
        try:
            cards.append(models.load_card(path))
        except MedsegError as error:
            failures.append(Failure.of(name, error))
    if args.json:
        terminal.say(to_json([asdict(card) for card in cards]).rstrip())
    else:
        terminal.say(terminal.models(cards))
        terminal.say(terminal.groups(library.bundled_groups()))
        terminal.say(f"\n'napari-medseg models NAME' shows a card. Your own models are in {models.models_folder()}.")
    terminal.name_failures(failures, len(cards) + len(failures))
    return 1 if failures else 0


def verify_models(args: Namespace) -> int:
    """``napari-medseg models verify``."""
    from .. import models
    from ..runs.tasks import Failure

    failures, paths = [], models.available()
    for name, path in paths.items():
        try:
            model = models.load(path)
            models.check(model)
        except MedsegError as error:
            failures.append(Failure.of(name, error))
            continue
        terminal.say(f"{name}: hash {model.card.sha256[:12]}... and forward pass are as expected")
    terminal.name_failures(failures, len(paths))
    return 1 if failures else 0


def import_model(args: Namespace) -> int:
    """``napari-medseg models import``."""
    from .. import models

    imported = models.import_checkpoint(args.file, args.name, read(args, ImportSettings))
    target = models.install(imported.model)
    card = imported.model.card
    terminal.say(f"{card.name} ({terminal.finds(card)}) is installed: {target}")
    for note in imported.notes:
        terminal.say(textwrap.shorten(note, 240, placeholder=" ..."))
    if card.options:
        terminal.say("Options of the network: " + ", ".join(f"{name} {value}" for name, value in card.options.items()))
    waiting = f"; still to be filled in: {', '.join(imported.waiting)}" if imported.waiting else ""
    terminal.say(f"Its card is {target.with_suffix('.json')}{waiting}.")
    return 0


def fetch_model(args: Namespace) -> int:
    """``napari-medseg models fetch``."""
    from .. import models
    from ..models.fetching import fetch

    with terminal.Meter(args.name, "MB") as meter:
        target = fetch(args.table, args.name, args.source, meter)
    terminal.say(f"{args.name} ({terminal.finds(models.load_card(target))}) is installed: {target}")
    return 0


def info(args: Namespace) -> int:
    """``napari-medseg info``."""
    from ..files import to_json
    from . import facts

    found = facts.of(args.file, args.axes)
    words = f"{escaped(str(args.file))}\n{terminal.sheet(found.words)}"
    terminal.say(to_json(found.content).rstrip() if args.json else words)
    return 0


def convert(args: Namespace) -> int:
    """``napari-medseg convert``."""
    from .. import io
    from ..io import class_tables, formats
    from ..runs.outputs import refuse_conflicts

    refuse_conflicts([args.source, *filter(None, [args.reference])], [args.target])
    volume = io.read(args.source, axes=args.axes, lazy=True)
    target = formats.writable(args.target)
    if target.labels_only and _may_be_labels(volume):
        volume = replace(volume, metadata={**volume.metadata, "labels": True})
    table = class_tables.place(args.target, volume.classes, args.names) if args.names else None
    written = io.write(volume, args.target, args.reference, label_map=args.label_map, say=terminal.complain)
    terminal.say(str(written))
    if table is not None:
        class_tables.save(table, volume.classes, args.names)
        terminal.say(str(table))
    notice = target.notice
    if notice and (text := formats.function(notice)(volume)):
        terminal.complain(text)
    return 0


def _may_be_labels(volume: Volume) -> bool:
    """Whether numbers can be those of classes: files of other programs do not say that they are."""
    import numpy as np

    return volume.data.dtype.kind in "iu" and np.unique(volume.data).size <= _MOST_CLASSES
