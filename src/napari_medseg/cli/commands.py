"""What each command does; heavy modules are imported inside, so that help answers at once."""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import FileError, MedsegError, ModelError, SettingsError
from . import terminal

if TYPE_CHECKING:
    from torch import nn

    from ..cohort import Failure, Item
    from ..inference import InferenceSettings
    from ..models import ModelCard, TrainedModel
    from ..progress import Progress
    from ..volume import Volume
    from .report import Report

_COLOURS = ("#4dbbd5", "#e64b35", "#00a087", "#f39b7f", "#3c5488", "#8491b4", "#91d1c2", "#b09c85")


def inference_settings(args: Namespace) -> InferenceSettings:
    """Settings of a parsed ``segment`` command; what was not given keeps its default."""
    from ..inference import InferenceSettings

    given = {field.name: getattr(args, field.name) for field in fields(InferenceSettings) if field.name in args}
    return InferenceSettings(**given | {"uncertainty": args.uncertainty is not None})


def segment(args: Namespace) -> int:
    """``napari-medseg segment``."""
    from .. import cohort, models
    from .report import Report, write_json

    settings, weights = inference_settings(args), _find_model(args.model)
    sources, failures = cohort.find_inputs(args.inputs)
    total = len(sources) + len(failures)
    items = cohort.place(sources, args.output, args.uncertainty, single=total == 1)
    outputs = [path for item in items for path in item.outputs()]
    cohort.refuse_conflicts([*map(Path, args.inputs), *sources], outputs)
    cohort.refuse_conflicts([*sources, *outputs], [args.report] if args.report else [])
    model = models.load(weights)
    report = Report(
        command=cohort.command(settings, args.model, args.inputs, args.output, args.uncertainty, args.axes),
        model={"name": model.card.name, "sha256": model.card.sha256},
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
                _segment_one(title, item, model, settings, args.axes, report)
        report.interrupted = False
    finally:
        if args.report:
            write_json(args.report, asdict(report))
    for text in terminal.warnings(report.files):
        terminal.complain(text)
    return _close(failures, total)


def _segment_one(
    title: str, item: Item, model: TrainedModel, settings: InferenceSettings, axes: str | None, report: Report
) -> None:
    from .. import cohort

    try:
        with terminal.Meter(title, "slice") as meter:
            row = cohort.segment_file(item, model, settings, axes, meter)
    except cohort.FAILURES as error:
        report.failures.append(cohort.Failure.of(item.source, error))
        terminal.say(f"{title}: failed")
        return
    report.files.append(row)
    terminal.say(f"{title}: {terminal.outcome(row)}")


def _find_model(name: str) -> Path:
    from .. import models

    try:
        return models.find(name)
    except ModelError as error:
        raise SettingsError(str(error)) from error


def evaluate(args: Namespace) -> int:
    """``napari-medseg evaluate``."""
    from .. import cohort, io, metrics
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
    from ..progress import run
    from ..training.fine_tune import train_job
    from ..training.settings import TrainSettings

    settings = TrainSettings.from_json(_recipe(args.settings))
    folder = args.run or Path("runs", settings.name)

    def show(step: Progress) -> None:
        meter(step)
        if step.partial:
            meter.say(
                "step {step}: loss {loss:.4f}, Dice on val {val_dice:.4f}, best {best:.4f}".format(**step.partial)
            )

    with terminal.Meter(settings.name, "step") as meter:
        card = run(train_job(settings, folder, root=args.root), show)
    weights = folder / f"{card.name}.safetensors"
    terminal.say(f"{weights} holds the best weights, {card.name}.json beside it their card. To use the model:")
    terminal.say(f"  napari-medseg models import {shlex.quote(str(weights))} --name NAME")
    return 0


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
    from .. import cohort, models
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
    import torch

    from .. import models
    from ..cohort import Failure

    failures, paths = [], models.available()
    for name, path in paths.items():
        try:
            model = models.load(path)
            with torch.inference_mode():
                logits = model.network(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
            if logits.shape != (1, len(model.card.classes), 64, 64) or not logits.isfinite().all():
                raise ModelError(f"The model '{name}' does not give one finite map per class. Train it again.")
        except MedsegError as error:
            failures.append(Failure.of(name, error))
            continue
        terminal.say(f"{name}: hash {model.card.sha256[:12]}... and forward pass are right")
    return _close(failures, len(paths))


def import_model(args: Namespace) -> int:
    """``napari-medseg models import``."""
    from .. import models

    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", args.name):
        raise SettingsError(f"'{args.name}' is no model name; use small letters, digits, '-', '_' and '.'.")
    if args.name in models.available():
        raise SettingsError(f"There is a model '{args.name}' already. Choose another name.")
    if args.file.suffix == ".safetensors" and args.file.with_suffix(".json").is_file():
        model = models.load(args.file)
        network, card = model.network, replace(model.card, name=args.name)
    elif args.architecture:
        network = models.from_published(args.architecture, models.read_checkpoint(args.file))
        card = _new_card(network, args)
    else:
        raise SettingsError(f"'{args.file.name}' has no card beside it. Say with --architecture what network it is of.")
    target = models.models_folder() / f"{args.name}.safetensors"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        models.save(target, network, card)
    except OSError as error:
        raise FileError(
            f"'{target}' cannot be written ({error.strerror}). Set NAPARI_MEDSEG_HOME to another folder."
        ) from error
    terminal.say(f"{args.name} ({', '.join(row.name for row in card.classes)}) is installed: {target}")
    return 0


def _new_card(network: nn.Module, args: Namespace) -> ModelCard:
    """A card that says what little is known of a checkpoint from elsewhere."""
    import torch

    from ..models import ModelCard
    from ..preprocess import Preprocess
    from ..volume import LabelClass

    try:
        with torch.inference_mode():
            count = network(torch.zeros(1, 3, 64, 64)).shape[1]
    except RuntimeError as error:
        raise ModelError(
            f"The network of '{args.file.name}' does not take images of three channels: {error}"
        ) from error
    classes = tuple(LabelClass(i + 1, f"class {i + 1}", _COLOURS[i % len(_COLOURS)]) for i in range(count))
    limits = (
        f"Imported from '{args.file.name}'. What it was trained on and how good it is, is not known; intensities are "
        "scaled from each slice's 1st to 99.8th percentile, which may differ from its training."
    )
    return ModelCard(args.name, args.architecture, Preprocess(), classes, limits=limits)


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
    from .. import cohort, io

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
