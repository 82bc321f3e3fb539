"""Whether a run has made a model better: both on the slices that were held back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .. import models
from ..errors import SettingsError
from .data.dataset import load
from .data.folders import read_dataset_file
from .evaluate import dice_by_class, score_images
from .fine_tune import DATA, HELD_BACK, RECIPE
from .settings import read_settings

_HARDLY_WORSE = 0.01  # Dice


@dataclass(frozen=True)
class Comparison:
    """The model that a run began with and its best one, on the slices that were held back.

    Parameters
    ----------
    before, after : mapping of str to (float or None)
        Mean Dice by class, None where none could be measured. `before` has the classes that both models know.
    slices : int
    held_back : bool
        False where the run has learnt from the only slice that was reviewed, and this is it.
    """

    before: Mapping[str, float | None]
    after: Mapping[str, float | None]
    slices: int
    held_back: bool = True

    @property
    def change(self) -> float | None:
        """Mean difference of the classes that both know; None without any."""
        both = [(old, self.after[name]) for name, old in self.before.items()]
        known = [new - old for old, new in both if old is not None and new is not None]
        return sum(known) / len(known) if known else None

    @property
    def better(self) -> bool:
        """Whether the classes that both know are found better, or hardly worse where others are new; or all are new."""
        if self.change is None:
            return not self.before
        return self.change > (0 if self.before.keys() == self.after.keys() else -_HARDLY_WORSE)


def before_and_after(folder: Path) -> Comparison:
    """Score a run's first and best model on the slices that were held back, or if there is but one, on that one.

    Raises
    ------
    MedsegError
        If the run has not made a model yet, or a file cannot be read.
    """
    recipe = read_settings(folder / RECIPE)
    path = folder / f"{recipe.name}.safetensors"
    if not path.exists():
        raise SettingsError(f"'{folder.name}' has not made a model yet. Let it run until its first validation.")
    before, after = models.load(Path(recipe.start)), models.load(path)
    own = (folder / DATA).exists()
    apart = not own or any(case.held_back for case in read_dataset_file(folder / DATA).cases)
    sources = (HELD_BACK,) if own and apart else recipe.val
    orientation = after.card.orientation
    samples = load(
        sources, recipe.preprocess, folder, len(recipe.classes), context=after.context, orientation=orientation
    )
    names = [row.name for row in recipe.classes]
    known = {row.name: row.id for row in before.card.classes if row.name in names}
    number = torch.arange(256, dtype=torch.uint8)  # IGNORE stays
    number[1 : len(names) + 1] = torch.tensor([known.get(name, 0) for name in names], dtype=torch.uint8)
    renamed = [replace(sample, labels=number[sample.labels.long()]) for sample in samples]
    old, new = dice_by_class(score_images(before, renamed)), dice_by_class(score_images(after, samples))
    shared = {name: old[known[name] - 1] for name in names if name in known}
    return Comparison(shared, dict(zip(names, new, strict=True)), len(samples), apart)
