"""The same training with several seeds, and the best of the models that come out."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from .. import models
from ..errors import SettingsError
from ..progress import Job, Progress
from .loop import train_job
from .settings import ReconTrainSettings, TrainSettings

_log = logging.getLogger(__name__)
_MOST = 99


def train_seeds_job(
    settings: TrainSettings | ReconTrainSettings, run: Path, seeds: int, *, root: Path = Path()
) -> Job[Path]:
    """Train with the seeds 1 to `seeds` one after the other, or go on with such runs; see `train_job`.

    Parameters
    ----------
    settings : TrainSettings or ReconTrainSettings
        Its own seed is not used.
    run : pathlib.Path
        Each seed has a folder of its own next to it, ``RUN-seed-1`` and so on.
    seeds : int
    root : pathlib.Path
        Folder that relative data paths start from.

    Returns
    -------
    pathlib.Path
        The folder of the run whose best weights are the best on `val`. Only they are measured on `test`.
    """
    if not 1 <= seeds <= _MOST:
        raise SettingsError(f"The number of seeds is {seeds}; expected 1 to {_MOST}.")
    figures: dict[Path, float] = {}
    variants = {seed_folder(run, seed): replace(settings, seed=seed) for seed in range(1, seeds + 1)}
    for number, (folder, variant) in enumerate(variants.items()):
        job = train_job(replace(variant, test=()), folder, root=root)
        card = yield from _in_turn(job, number, seeds)
        figures[folder] = _on_val(card)
        _log.info("Seed %d: %.4f on val, in %s.", variant.seed, figures[folder], folder)
    best = max(figures, key=lambda folder: figures[folder])
    everything = seeds * settings.steps
    for _ in train_job(variants[best], best, root=root):  # it has ended, and measures its weights
        yield Progress(everything, everything)
    return best


def seed_folder(run: Path, seed: int) -> Path:
    """The folder of a seed."""
    return run.with_name(f"{run.name}-seed-{seed}")


def _in_turn(job: Job[models.ModelCard], number: int, seeds: int) -> Job[models.ModelCard]:
    """The job as part `number` (from 0) of several alike."""
    while True:
        try:
            step = next(job)
        except StopIteration as ended:
            return ended.value
        done = number * step.total + step.done
        yield Progress(done, seeds * step.total, step.partial)


def _on_val(card: models.ModelCard) -> float:
    """The figure that chose the weights of a run; below every figure where nothing could be measured."""
    figures = {name: value for name, value in card.metrics["val"].items() if name != "step"}
    known = [value for value in figures.values() if value is not None]
    return max(known, default=float("-inf"))
