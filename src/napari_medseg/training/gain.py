"""Whether a run has made a model better: both are scored on the slices that were held back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import special

from .. import models
from ..errors import SettingsError
from ..segmentation import stacks
from .comparison import Comparison
from .data.dataset import Sample, load
from .data.folders import read_dataset_file
from .data.sources import Source
from .evaluate import score_images
from .fine_tune import HELD_BACK
from .image_scores import ImageScore, dice_by_class
from .run_folder import DATA, RECIPE
from .scored_runs import score_runs
from .settings import TrainSettings, read_settings

_CONFIDENCE = 0.98  # 95 % would do, were the best weights not chosen on the same slices: see benchmarks/chance.py
_AS_THEY_ARE = torch.arange(256, dtype=torch.uint8)  # class numbers


def half_width(before: np.ndarray, after: np.ndarray) -> float:
    """Half of the 98 % interval of Student of the difference of two models on the same slices.

    The difference is that of the mean Dice, over the slices of each class and then over the classes. Where every slice
    is measured with both models, this is the interval of the paired differences of the slices. A slice that only one
    model is measured on, because the other one rightly finds nothing there, counts with its share in the mean of that
    model.

    Parameters
    ----------
    before, after : numpy.ndarray, shape (slice, class)
        Dice, NaN where it does not exist: neither model nor labels have the class there.

    Returns
    -------
    float
        NaN with fewer than two slices that are measured.
    """
    comparable = ~np.isnan(before).all(0) & ~np.isnan(after).all(0)
    before, after = before[:, comparable], after[:, comparable]
    measured = ~(np.isnan(before) & np.isnan(after)).all(1)
    count = int(measured.sum())
    if count < 2 or not comparable.any():
        return math.nan
    shares = _shares(after[measured]) - _shares(before[measured])
    mean = shares.mean(1)
    error = mean.std(ddof=1) / math.sqrt(count)
    # Student's quantile, without loading all of SciPy's statistics
    return float(special.stdtrit(count - 1, 0.5 + _CONFIDENCE / 2) * error)


def _shares(dice: np.ndarray) -> np.ndarray:
    """How far each slice (slice, class) draws the mean of its class away from where it is, times their number."""
    known = ~np.isnan(dice)
    weight = len(dice) / known.sum(0)
    return np.where(known, dice - np.nanmean(dice, 0), 0.0) * weight


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

    These are the figures on the card of the new model from now on.

    Raises
    ------
    MedsegError
        If the run has not made a model yet, or a file cannot be read or written.
    """
    recipe = read_settings(folder / RECIPE)
    path = folder / f"{recipe.name}.safetensors"
    if not path.exists():
        raise SettingsError(f"'{folder.name}' has not made a model yet. Let it run until its first validation.")
    if not isinstance(recipe, TrainSettings):
        raise SettingsError(f"'{folder.name}' learns to reconstruct; expected a run that learns from labels.")
    after = models.load(path)
    own = (folder / DATA).exists()
    apart = not own or any(case.held_back for case in read_dataset_file(folder / DATA).cases)
    data = _held_back(recipe, folder, after, (HELD_BACK,) if own and apart else recipe.val)
    names = [row.name for row in recipe.classes]
    new = data.scores(after)
    found = Comparison({}, _named(names, new), len(data.samples), apart, images=len(new))
    if recipe.start:
        found = _against(found, models.load(Path(recipe.start)), data, names, new)
    title = "held-out slices" if apart else "the slice that it learnt from"
    models.save_card(path, replace(after.card, metrics={title: figures_of(found)}))
    return found


def _held_back(recipe: TrainSettings, folder: Path, model: models.TrainedModel, sources: Sequence[Source]) -> _HeldBack:
    count = len(recipe.classes)
    orientation = model.card.orientation
    samples = load(sources, recipe.preprocess, folder, count, context=model.context, orientation=orientation)
    return _HeldBack(sources, folder, samples, count)


def _against(
    found: Comparison, before: models.TrainedModel, data: _HeldBack, names: Sequence[str], new: Sequence[ImageScore]
) -> Comparison:
    """The comparison with the model that the run began with."""
    known = {row.name: row.id for row in before.card.classes if row.name in names}
    number = _AS_THEY_ARE.clone()  # IGNORE stays
    number[1 : len(names) + 1] = torch.tensor([known.get(name, 0) for name in names], dtype=torch.uint8)
    old = data.scores(before, number)
    means = dice_by_class(old)
    shared = {name: means[known[name] - 1] for name in names if name in known}
    if not shared:
        return found
    theirs = np.array([[score.classes[known[name] - 1] for name in shared] for score in old])
    mine = np.array([[score.classes[names.index(name)] for name in shared] for score in new])
    return replace(found, before=shared, half_width=half_width(theirs, mine))


def _named(names: Sequence[str], scores: Sequence[ImageScore]) -> dict[str, float | None]:
    return dict(zip(names, dice_by_class(scores), strict=True))


def figures_of(found: Comparison) -> dict[str, Any]:
    """The figures of the new model for its card: of each class, and if there are several, their mean."""
    rows = {}
    for name, dice in found.after.items():
        rows[name] = {"images": found.slices, "dice": None if dice is None else round(dice, 4)}
    if len(rows) == 1:
        return next(iter(rows.values()))
    mean = None if found.dice is None else round(found.dice, 4)
    return {"classes": rows, "mean of the classes": {"images": found.slices, "dice": mean}}
