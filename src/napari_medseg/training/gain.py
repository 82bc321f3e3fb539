"""Whether a run has made a model better: both on the slices that were held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .. import models
from ..errors import SettingsError
from ..segmentation import stacks
from .data.dataset import Sample, load
from .data.folders import read_dataset_file
from .data.sources import Source
from .evaluate import ImageScore, dice_by_class, score_images
from .fine_tune import DATA, HELD_BACK, RECIPE
from .scored_runs import score_runs
from .settings import read_settings

_HARDLY_WORSE = 0.01  # Dice
_AS_THEY_ARE = torch.arange(256, dtype=torch.uint8)  # class numbers


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


@dataclass(frozen=True, eq=False)
class _HeldBack:
    """Slices that were held back, and the data that they lie in."""

    sources: Sequence[Source]
    folder: Path
    samples: Sequence[Sample]
    classes: int

    def scores(self, model: models.TrainedModel, numbers: torch.Tensor = _AS_THEY_ARE) -> list[ImageScore]:
        """Scores of a model that knows the classes by other numbers."""

        def renumber(labels: torch.Tensor) -> torch.Tensor:
            return numbers[labels.long()]

        if stacks.needs_volumes(model):
            return list(score_runs(model, self.sources, self.folder, classes=self.classes, renumber=renumber))
        renamed = [replace(sample, labels=renumber(sample.labels)) for sample in self.samples]
        return list(score_images(model, renamed))


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
    number = _AS_THEY_ARE.clone()  # IGNORE stays
    number[1 : len(names) + 1] = torch.tensor([known.get(name, 0) for name in names], dtype=torch.uint8)
    data = _HeldBack(sources, folder, samples, len(names))
    old = dice_by_class(data.scores(before, number))
    new = dice_by_class(data.scores(after))
    shared = {name: old[known[name] - 1] for name in names if name in known}
    return Comparison(shared, dict(zip(names, new, strict=True)), len(samples), apart)
