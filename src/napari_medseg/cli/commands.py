"""What each command does; heavy modules are imported inside, so that help answers at once."""

from __future__ import annotations

import os
import shlex
import textwrap
import threading
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import MedsegError, ModelError, SettingsError
from . import terminal

if TYPE_CHECKING:
    from ..models import TrainedModel
    from ..progress import Progress
    from ..runs.cohort import Failure, Item
    from ..segmentation.inference import InferenceSettings
    from ..volume import Volume
    from .report import Report


def inference_settings(args: Namespace) -> InferenceSettings:
    """Settings of a parsed ``segment`` command; what was not given keeps its default."""
    from ..segmentation.inference import InferenceSettings

    given = {field.name: getattr(args, field.name) for field in fields(InferenceSettings) if field.name in args}
    return InferenceSettings(**given | {"uncertainty": args.uncertainty is not None})


def segment(args: Namespace) -> int:
    """``napari-medseg segment``."""
    from .. import models
    from ..io import formats
    from ..io.notes import side_file
    from ..runs import cohort
    from .report import Report, write_json

    settings, weights = inference_settings(args), _find_models(args)
    sources, failures = cohort.find_inputs(args.inputs)
    total = len(sources) + len(failures)
    items = cohort.place(sources, args.output, args.uncertainty, args.disagreement, single=total == 1)
    outputs = [path for item in items for path in item.outputs()]
    cohort.refuse_conflicts([*map(Path, args.inputs), *sources], outputs)
    notes = [side_file(path) for path in outputs if not formats.writable(path).keeps_notes]
    cohort.refuse_conflicts([*sources, *outputs, *notes], [args.report] if args.report else [])
    loaded = [models.load(path) for path in weights]
    places = {"uncertainty": args.uncertainty, "axes": args.axes, "disagreement": args.disagreement or False}
    report = Report(
        command=cohort.command(settings, args.models, args.inputs, args.output, **places),
        models=[{"name": model.card.name, "sha256": model.card.sha256} for model in loaded],
        settings=asdict(settings) | {"axes": args.axes},
        failures=failures,
    )
    earlier = report.earlier_rows(args.report) if args.resume and args.report else {}
    try:
        for number, item in enumerate(items, start=1):
            title = f"[{number}/{len(items)}] {item.source.name}" if len(items) > 1 else item.source.name
            if args.resume and item.finished():
                report.files.append(earlier.get(str(item.labels), item.row() | {"skipped": True}))
                terminal.say(f"{title}: skipped, {item.labels} exists")
            else:
                _segment_one(title, item, loaded, settings, args.axes, report)
        report.interrupted = False
    finally:
        if args.report:
            write_json(args.report, report.content())
    for text in terminal.warnings(report.files):
        terminal.complain(text)
    return _close(failures, total)


def _segment_one(
    title: str,
    item: Item,
    models: Sequence[TrainedModel],
    settings: InferenceSettings,
    axes: str | None,
    report: Report,
) -> None:
    from ..runs import cohort

    try:
        with terminal.Meter(title, "slice") as meter:
            row = cohort.segment_file(item, models, settings, axes, meter)
    except cohort.FAILURES as error:
        report.failures.append(cohort.Failure.of(item.source, error))
        terminal.say(f"{title}: failed")
        return
    report.files.append(row)
    terminal.say(f"{title}: {terminal.outcome(row)}")


def _find_models(args: Namespace) -> list[Path]:
    """Weights of the models of a ``segment`` command, if its options suit their number."""
    if len(args.models) == 1 and args.disagreement:
        raise SettingsError("One model has nobody to disagree with. Name another --model, or ask for --uncertainty.")
    if len(args.models) > 1 and args.uncertainty:
        raise SettingsError("Several models have no uncertainty in common. Ask for --disagreement instead.")
    from .. import models
    from ..segmentation import consensus

    weights = [_find_model(name) for name in args.models]
    if len(weights) > 1:
        # each image would fail with it: say it before the first one is read
        consensus.check([models.load_card(path) for path in weights])
    return weights


def _find_model(name: str) -> Path:
    from .. import models

    try:
        return models.find(name)
    except ModelError as error:
        raise SettingsError(str(error)) from error


def evaluate(args: Namespace) -> int:
    """``napari-medseg evaluate``."""
    from .. import io, metrics
    from ..runs import cohort
    from .report import write_json

    pairs, failures = cohort.find_pairs(args.prediction, args.reference)
    total, rows = len(pairs) + len(failures), []
    cohort.refuse_conflicts([path for pair in pairs for path in pair], [args.report] if args.report else [])
    for ours, theirs in pairs:
        try:
            scores = metrics.compare(io.read(ours), io.read(theirs), foreground=args.foreground)
        except cohort.FAILURES as error:
            failures.append(cohort.Failure.of(ours, error))
            continue
        rows += [{"prediction": str(ours), "reference": str(theirs), **score} for score in scores]
    summary = metrics.summarise(rows)
    if rows:
        terminal.say(terminal.scores(rows, summary))
    if args.report:
        what = {"version": __version__, "prediction": str(args.prediction), "reference": str(args.reference)}
        found = {"scores": rows, "summary": summary, "failures": [asdict(failure) for failure in failures]}
        write_json(args.report, what | {"foreground": args.foreground} | found)
    return _close(failures, total)


def train(args: Namespace) -> int:
    """``napari-medseg train``."""
    from ..progress import log_messages, run
    from ..training.loop import train_job
    from ..training.settings import read_settings

    if args.tied:
        threading.Thread(target=_end_with_input, daemon=True).start()
    settings = read_settings(_recipe(args.settings))
    folder = args.run or Path("runs", settings.name)

    def show(step: Progress) -> None:
        meter(step)
        if step.partial:
            loss = "" if step.partial["loss"] is None else "loss {loss:.4f}, ".format(**step.partial)
            meter.say("step {step}: {0}{figure} on val {val:.4f}, best {best:.4f}".format(loss, **step.partial))

    with terminal.Meter(settings.name, "step") as meter, log_messages("napari_medseg.training", meter.say):
        card = run(train_job(settings, folder, root=args.root), show)
    weights = folder / f"{card.name}.safetensors"
    if weights.exists():  # of several processes only the first one writes
        terminal.say(f"{weights} holds the best weights, {card.name}.json beside it their card. To use the model:")
        terminal.say(f"  napari-medseg models import {shlex.quote(str(weights))} --name NAME")
    return 0


def _end_with_input() -> None:
    """End this process when whoever started it has gone: its end of the pipe is closed then, however it ended."""
    try:
        # not through sys.stdin, whose lock a waiting thread would hold when the interpreter ends
        with suppress(OSError):  # it was closed from the beginning
            while os.read(0, 1024):
                pass
        terminal.complain("Ended, because the standard input is closed and --tied was given.")
    finally:
        os._exit(1)  # a checkpoint is written in one step, so no moment is a bad one


def _recipe(name: str) -> Path:
    """A settings file, or the recipe of that name in the package."""
    recipes = Path(__file__).parents[1] / "training" / "recipes"
    own, shipped = Path(name), recipes / f"{name}.json"
    if own.is_file() or own.suffix == ".json":
        return own
    if not shipped.is_file():
        known = ", ".join(sorted(path.stem for path in recipes.glob("*.json")))
        raise SettingsError(f"'{name}' is no settings file and no recipe of the package; the recipes are {known}.")
    return shipped


def show_models(args: Namespace) -> int:
    """``napari-medseg models``."""
    from .. import models
    from ..runs import cohort
    from .report import to_json

    if args.name:
        card = models.load_card(_find_model(args.name))
        terminal.say(to_json(asdict(card)).rstrip() if args.json else terminal.card_text(card))
        return 0
    cards, failures = [], []
    for name, path in models.available().items():
        try:
            cards.append(models.load_card(path))
        except MedsegError as error:
            failures.append(cohort.Failure.of(name, error))
    if args.json:
        terminal.say(to_json([asdict(card) for card in cards]).rstrip())
    else:
        terminal.say(terminal.models(cards))
        terminal.say(f"\n'napari-medseg models NAME' tells more. Your own models lie in {models.models_folder()}.")
    return _close(failures, len(cards) + len(failures))


def verify_models(args: Namespace) -> int:
    """``napari-medseg models verify``."""
    from .. import models
    from ..runs import cohort

    failures, paths = [], models.available()
    for name, path in paths.items():
        try:
            model = models.load(path)
            models.check(model)
        except MedsegError as error:
            failures.append(cohort.Failure.of(name, error))
            continue
        terminal.say(f"{name}: hash {model.card.sha256[:12]}... and forward pass are right")
    return _close(failures, len(paths))


def import_model(args: Namespace) -> int:
    """``napari-medseg models import``."""
    from .. import models

    given = {field.name: getattr(args, field.name) for field in fields(models.ImportSettings) if field.name in args}
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    imported = models.import_checkpoint(args.file, args.name, models.ImportSettings(**given))
    target = models.install(imported.model)
    card = imported.model.card
    terminal.say(f"{card.name} ({terminal.finds(card)}) is installed: {target}")
    for note in imported.notes:
        terminal.say(textwrap.shorten(note, 240, placeholder=" ..."))
    if card.options:
        terminal.say("Options of the network: " + ", ".join(f"{name} {value}" for name, value in card.options.items()))
    waiting = f"; it still waits for: {', '.join(imported.waiting)}" if imported.waiting else ""
    terminal.say(f"Its card is {target.with_suffix('.json')}{waiting}.")
    return 0


def info(args: Namespace) -> int:
    """``napari-medseg info``."""
    from .. import io
    from .report import to_json

    facts = _facts(args.file, io.read(args.file, axes=args.axes))
    words = f"{args.file}\n{terminal.sheet(terminal.facts_in_words(facts))}"
    terminal.say(to_json(facts).rstrip() if args.json else words)
    return 0


def _facts(path: Path, volume: Volume) -> dict[str, Any]:
    """What is known of a file, for JSON."""
    import numpy as np

    finite = np.asarray(volume.data)
    finite = finite[np.isfinite(finite)] if finite.dtype.kind == "f" else finite
    return {
        "file": str(path),
        "read_as": terminal.kind(volume),
        "axes": volume.axes,
        "shape": list(volume.data.shape),
        "dtype": str(volume.data.dtype),
        "minimum": finite.min() if finite.size else None,
        "maximum": finite.max() if finite.size else None,
        "not_finite": volume.data.size - finite.size,
        "spacing_mm": list(volume.spacing) if volume.has_spacing else None,
        "origin_mm": list(volume.origin),
        "orientation": volume.orientation,
        "affine": volume.affine,
        "classes": [asdict(row) for row in volume.classes],
        "metadata": volume.metadata,
    }


def convert(args: Namespace) -> int:
    """``napari-medseg convert``."""
    from .. import io
    from ..runs import cohort

    cohort.refuse_conflicts([args.source], [args.target])
    terminal.say(str(io.write(io.read(args.source, axes=args.axes), args.target)))
    return 0


def _close(failures: list[Failure], total: int) -> int:
    """Name what failed; the exit code."""
    if len(failures) == total == 1:
        terminal.complain(failures[0].error)
    elif failures:
        lines = [f"  {failure.file}: {failure.error}" for failure in failures]
        terminal.complain("\n".join([f"{len(failures)} of {total} failed:", *lines]))
    return 1 if failures else 0
