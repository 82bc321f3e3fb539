"""The training loop: deterministic, resumable, driven as a job, whatever is learnt."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from .. import models
from ..errors import FileError, ModelError, SettingsError
from ..progress import Job, Progress
from .reconstruction import Reconstruction
from .segmentation import Segmentation
from .settings import ReconTrainSettings, RunSettings, TrainSettings, read_settings

_log = logging.getLogger(__name__)

_OPTIMIZERS = {"nadam": torch.optim.NAdam, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class Task(Protocol):
    """What is learnt.

    Everything random is drawn from the seed and the number of the step, so that a task has no state of its own but
    that of its modules.
    """

    network: nn.Module
    """What is trained and kept."""
    branch: nn.Module | None
    """What is trained beside it and not kept."""
    figure: str
    """Name of the figure that `score` returns."""

    def load(self, root: Path) -> None:
        """Read the data, from `root` on."""

    def loss(self, step: int) -> torch.Tensor:
        """Loss of the network in training mode on what `step` (from 0) draws."""

    def follow(self) -> None:
        """What is to be done after a step."""

    def score(self, network: nn.Module) -> float:
        """Figure of `network` on `val`; higher is better."""

    def card(self) -> models.ModelCard:
        """Card of the network, without figures."""

    def held_out(self, path: Path, root: Path) -> dict[str, Any]:
        """Figures of the weights file `path` that belong on its card at the end, by the name of the data."""


def train_job(settings: TrainSettings | ReconTrainSettings, run: Path, *, root: Path = Path()) -> Job[models.ModelCard]:
    """Train a network, or go on with a run that was interrupted.

    Everything random is drawn from the seed and the step number, so that a resumed run ends with the same weights.

    Parameters
    ----------
    settings : TrainSettings or ReconTrainSettings
    run : pathlib.Path
        Folder of the run. Receives ``settings.json``, ``log.jsonl`` (one JSON object per validation),
        ``last.pt`` (everything needed to go on) and ``NAME.safetensors`` with its card (the best weights).
    root : pathlib.Path
        Folder that relative data paths start from.

    Yields
    ------
    Progress
        Steps; `partial` is the line of the log after each validation.

    Returns
    -------
    ModelCard
        Of the best weights, with the figures on `test` if there is such data.
    """
    trainer = _Trainer(settings, run, root)
    trainer.resume()
    while trainer.step < settings.steps:
        trainer.advance()
        line = None
        if trainer.step % settings.validate_every == 0 or trainer.step == settings.steps:
            line = trainer.validate()
            trainer.write()
        yield Progress(trainer.step, settings.steps, line)
    return trainer.finish(root)


class _Trainer:
    """State of a run between two steps."""

    def __init__(self, settings: RunSettings, run: Path, root: Path):
        if settings.optimizer not in _OPTIMIZERS:
            choices = ", ".join(_OPTIMIZERS)
            raise SettingsError(f"The optimizer '{settings.optimizer}' does not exist; choose one of {choices}.")
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.settings, self.run = settings, run
        self.best_path = run / f"{settings.name}.safetensors"
        torch.manual_seed(settings.seed)
        task = Segmentation if isinstance(settings, TrainSettings) else Reconstruction
        self.task: Task = task(settings, _device(settings.device))
        self.network = self.task.network
        if settings.start:
            self._begin_with((run / settings.start).resolve())
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        trained = [self.network, self.task.branch] if self.task.branch else [self.network]
        self.parameters = [p for module in trained for p in module.parameters() if p.requires_grad]
        self.optimizer = _OPTIMIZERS[settings.optimizer](self.parameters, lr=settings.learning_rate)
        self._prepare_run()
        self.task.load(root)
        self.step, self.best, self.losses = 0, -math.inf, []

    def _begin_with(self, path: Path) -> None:
        """Take over the weights of a model of the same kind, or of one that is the backbone of this one."""
        given = models.load(path).network.state_dict()
        mine = self.network.state_dict()
        names = {name: name if name in given else name.removeprefix("backbone.") for name in mine}
        fitting = {
            name: given[theirs]
            for name, theirs in names.items()
            if theirs in given and given[theirs].shape == mine[name].shape
        }
        if 2 * len(fitting) < len(mine):
            raise SettingsError(
                f"The run cannot begin with '{path.name}': its network has other layers. "
                "Choose a model of the same architecture and options."
            )
        if missing := [name for name in mine if name not in fitting]:
            _log.info("Not in '%s', so they begin anew: %s", path.name, ", ".join(missing))
        self.network.load_state_dict(mine | fitting)

    def _prepare_run(self) -> None:
        self.run.mkdir(parents=True, exist_ok=True)
        path = self.run / "settings.json"
        if self._last.exists() and not self.settings.trains_like(read_settings(path)):
            raise SettingsError(f"The folder '{self.run}' holds a run with other settings. Choose a new folder.")
        path.write_text(self.settings.to_json(), encoding="utf-8")

    @property
    def _last(self) -> Path:
        return self.run / "last.pt"

    def advance(self) -> None:
        """One optimizer step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.step)
        self.network.train()
        torch.manual_seed(self.settings.seed + self.step)  # dropout, after a resume too
        loss = self.task.loss(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self.losses.append(loss.item())
        self.step += 1
        self._follow()

    def _follow(self) -> None:
        # the average warms up, so that the first validations do not show the random start
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step)) if self.settings.ema else 0.0
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - decay)
                else:
                    mean.copy_(now)
        self.task.follow()

    def validate(self) -> dict[str, Any]:
        """Score the averaged weights on `val`; keep them if they are the best so far. Returns the line of the log."""
        value, figure = self.task.score(self.average), self.task.figure
        if value > self.best:
            self.best = value
            figures = {"val": {figure: round(value, 4), "step": self.step}}
            models.save(self.best_path, self.average, replace(self.task.card(), metrics=figures))
        line = {
            "step": self.step,
            "loss": round(float(np.mean(self.losses)), 5),
            "figure": figure,
            "val": round(value, 5),
            "best": round(self.best, 5),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "time": round(time.time(), 1),
        }
        self.losses = []
        with (self.run / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        return line

    def finish(self, root: Path) -> models.ModelCard:
        """Put the last figures onto the card of the best weights, unless they are there."""
        card = models.load_card(self.best_path)
        if len(card.metrics) == 1:  # that on `val` which chose them
            card = replace(card, metrics={**card.metrics, **self.task.held_out(self.best_path, root)})
            models.save_card(self.best_path, card)
        return card

    def write(self) -> None:
        """Write ``last.pt`` beside and rename it."""
        branch = self.task.branch
        state = {
            "step": self.step,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "branch": branch.state_dict() if branch else {},
        }
        beside = self.run / "last.pt.part"
        torch.save(state, beside)
        os.replace(beside, self._last)

    def resume(self) -> None:
        """Go on from ``last.pt`` if there is one; the log is cut back to that step."""
        if self._last.exists():
            self._restore()
        log = self.run / "log.jsonl"
        if log.exists():
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
            validations = math.ceil(self.step / self.settings.validate_every)
            log.write_text("".join(lines[:validations]), encoding="utf-8")

    def _restore(self) -> None:
        try:
            state = models.read_checkpoint(self._last)
            self.step, self.best = state["step"], state["best"]
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.task.branch:
                self.task.branch.load_state_dict(state["branch"])
        except (ModelError, KeyError, ValueError, RuntimeError) as error:
            raise FileError(
                f"'{self._last}' is damaged or no checkpoint of this run. Delete it to begin anew, or restore it."
            ) from error


def _device(name: str) -> torch.device:
    present = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda") or (name == "cuda" and not present):
        raise SettingsError(f"The device '{name}' is not available; choose auto, cpu{' or cuda' if present else ''}.")
    return torch.device("cuda" if name != "cpu" and present else "cpu")
