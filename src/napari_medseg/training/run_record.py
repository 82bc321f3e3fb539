"""The record of a training: from which weights, on which data, with which settings, to which weights."""

from __future__ import annotations

from pathlib import Path

from .. import models
from ..errors import MedsegError
from ..record import Item, Record, UsedModel, file_hash, now, plain, software, without_folders
from . import start
from .data.reading import files_of
from .data.sources import Source
from .settings import RunSettings


def describe(settings: RunSettings, run: Path, root: Path, card: models.ModelCard, seconds: float) -> Record:
    """The record of a finished training.

    Parameters
    ----------
    settings : RunSettings
    run : pathlib.Path
        Folder of the run.
    root : pathlib.Path
        Folder that relative data paths start from.
    card : ModelCard
        Of the best weights.
    seconds : float
        What it took, without what an interrupted run did before.
    """
    parts = (("train", settings.train), ("val", settings.val), ("test", settings.test))
    inputs = (_item(f"data: {role}", source, root) for role, sources in parts for source in sources)
    return Record(
        "train",
        time=now(),
        software=software(),
        inputs=tuple(inputs),
        models=_begun_with(settings, run),
        settings=without_folders(plain(settings)),
        outputs=(Item("model", name=f"{card.name}.safetensors", kind=card.architecture, sha256=card.sha256),),
        seconds=round(seconds, 3),
        figures=dict(card.metrics),
    ).sealed()


def _begun_with(settings: RunSettings, run: Path) -> tuple[UsedModel, ...]:
    used = []
    for path in start.weights(settings, run):
        card = path.with_suffix(".json")
        architecture = models.load_card(path).architecture if card.exists() else settings.architecture
        used.append(UsedModel(path.stem, file_hash(path), architecture))
    return tuple(used)


def _item(role: str, source: Source, root: Path) -> Item:
    """A source of data, with the hash of the files that are read."""
    path = root / source.path
    try:
        files = files_of(source, root)
        size = sum(file.stat().st_size for file in files)
        return Item(role, path.name, bytes=size, sha256=file_hash(*files) if files else "")
    except (OSError, MedsegError):
        return Item(role, path.name)
