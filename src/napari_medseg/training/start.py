"""What a run begins with: the weights of a model, as far as they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from .. import files, models
from ..errors import SettingsError
from .settings import RunSettings


def find(start: str, run: Path) -> Path:
    """The file that `start` names: seen from the folder of the run, or that of a model."""
    path = files.real(run / start)
    named = start in models.available()  # whose names may hold a dot
    return path if path.is_file() or (path.suffix and not named) else models.find(start)


def weights(settings: RunSettings, run: Path) -> list[Path]:
    """The weights files that a run begins with or is taught by."""
    named = [settings.start] if settings.start else []
    named += getattr(settings, "teachers", ())
    return [find(name, run) for name in named]


def take_over(network: nn.Module, settings: RunSettings, path: Path) -> list[str]:
    """Give `network` the weights of a model, and say what was not taken.

    A model of our own may be the same network, the backbone of it, or one with other classes or input channels: the
    maps of classes of the same name, or else of the same number, and the channels that both have are taken. Of a file
    without a card, the published checkpoint of the same architecture, everything is determined from the tensors.

    Parameters
    ----------
    network : torch.nn.Module
        With the weights it has otherwise.
    settings : RunSettings
    path : pathlib.Path
        Weights file.

    Returns
    -------
    list of str
        Sentences.

    Raises
    ------
    ModelError, SettingsError
        If the file cannot be read, or less than half of the network is in it.
    """
    given, known = _read(settings, path)
    rows = _rows([row.name for row in getattr(settings, "classes", ())], known, settings.architecture)
    of_classes = _of_classes(settings)
    mine, taken, partly = network.state_dict(), {}, []
    names = {name: name if name in given else name.removeprefix("backbone.") for name in mine}
    for name, old in ((name, given[theirs]) for name, theirs in names.items() if theirs in given):
        fitting = _maps(mine[name], old, rows) if name in of_classes else _channels(mine[name], old)
        if fitting is not None:
            taken[name] = fitting
            if fitting.shape != old.shape:
                partly.append(name)
    if 2 * len(taken) < len(mine):
        raise SettingsError(
            f"The run cannot start from '{path.name}': its network has other layers. "
            "Choose a model of the same architecture and options."
        )
    network.load_state_dict(mine | taken)
    notes = {
        "Taken in part, the rest starts untrained": partly,
        "Not in the file, so they start untrained": [name for name in mine if name not in taken],
        "Not taken": sorted(given.keys() - set(names.values())),
    }
    told = f"{len(taken)} of {len(mine)} tensors start from those of '{path.stem}'."
    return [told, *(f"{words}: {', '.join(keys)}." for words, keys in notes.items() if keys)]


def _read(settings: RunSettings, path: Path) -> tuple[Mapping[str, torch.Tensor], list[str]]:
    """Tensors by our names, and the names of the classes; empty ones in a file without a card."""
    if path.with_suffix(".json").exists():
        model = models.load(path)
        return model.network.state_dict(), [row.name for row in model.card.classes]
    network = models.from_published(settings.architecture, models.read_checkpoint(path))
    return network.state_dict(), []


def _rows(wanted: Sequence[str], known: Sequence[str], architecture: str) -> dict[int, int]:
    """From which map of the file each map comes: that of the class of the same name, or if none is, the same place."""
    pairs = {new: known.index(name) for new, name in enumerate(wanted) if name in known}
    pairs = pairs or {place: place for place in range(len(wanted))}
    if not models.architecture(architecture).background:
        return pairs
    return {0: 0, **{new + 1: old + 1 for new, old in pairs.items()}}


def _of_classes(settings: RunSettings) -> set[str]:
    """The tensors with one row per class: those that are longer in a network with one class more."""
    if not getattr(settings, "classes", ()):
        return set()
    with torch.device("meta"):
        small, large = (
            models.build(settings.architecture, num_classes=count, **settings.options).state_dict() for count in (2, 3)
        )
    return {name for name, tensor in small.items() if tensor.shape != large[name].shape}


def _maps(mine: torch.Tensor, old: torch.Tensor, rows: Mapping[int, int]) -> torch.Tensor | None:
    """`mine` with the rows that `old` has."""
    rows = {new: place for new, place in rows.items() if place < len(old)}
    if mine.shape[1:] != old.shape[1:] or not rows:
        return None
    merged = mine.clone()
    merged[list(rows)] = old[list(rows.values())].to(mine)
    return merged


def _channels(mine: torch.Tensor, old: torch.Tensor) -> torch.Tensor | None:
    """`old`, or where only the number of channels that go in differs, those that both have."""
    if mine.shape == old.shape:
        return old
    if mine.dim() != 4 or mine.shape[:1] + mine.shape[2:] != old.shape[:1] + old.shape[2:]:
        return None
    merged, both = mine.clone(), min(mine.shape[1], old.shape[1])
    merged[:, :both] = old[:, :both].to(mine)
    return merged
