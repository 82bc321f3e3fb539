"""The training loop: deterministic, resumable, driven as a job."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import models
from ..errors import FileError, ModelError, SettingsError
from ..progress import Job, Progress
from .augment import NOTHING, Augment, AugmentSettings
from .dataset import Sample, load, on_working_grid
from .evaluate import evaluate, mean_dice, score_images
from .losses import SegmentationLoss
from .serp import SelfEmbedding
from .settings import TrainSettings

_log = logging.getLogger(__name__)

_OPTIMIZERS = {"nadam": torch.optim.NAdam, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def train_job(settings: TrainSettings, run: Path, *, root: Path = Path()) -> Job[models.ModelCard]:
    """Train a network, or go on with a run that was interrupted.

    Everything random is drawn from the seed and the step number, so that a resumed run ends with the same weights.

    Parameters
    ----------
    settings : TrainSettings
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
    return _with_held_out_figures(trainer.best_path, settings, root)


def _with_held_out_figures(path: Path, settings: TrainSettings, root: Path) -> models.ModelCard:
    card = models.load_card(path)
    if settings.test and "test" not in card.metrics:
        card = replace(card, metrics={**card.metrics, "test": evaluate(path, settings.test, root)})
        models.save_card(path, card)
    return card


class _Trainer:
    """State of a run between two steps."""

    def __init__(self, settings: TrainSettings, run: Path, root: Path):
        if settings.optimizer not in _OPTIMIZERS:
            choices = ", ".join(_OPTIMIZERS)
            raise SettingsError(f"The optimizer '{settings.optimizer}' does not exist; choose one of {choices}.")
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.settings, self.run = settings, run
        self.best_path = run / f"{settings.name}.safetensors"
        self.device = _device(settings.device)
        self.loss = SegmentationLoss(settings.loss)
        torch.manual_seed(settings.seed)
        self.network = models.build(
            settings.architecture, num_classes=len(settings.classes) + 1, **settings.options
        ).to(self.device)
        if settings.start:
            self._begin_with((run / settings.start).resolve())
        self.branch = SelfEmbedding(self.network).to(self.device) if settings.serp else None
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        trained = [self.network, self.branch] if self.branch else [self.network]
        parameters = [p for module in trained for p in module.parameters() if p.requires_grad]
        self.optimizer = _OPTIMIZERS[settings.optimizer](parameters, lr=settings.learning_rate)
        self._prepare_run()
        classes = len(settings.classes)
        self.context = models.architecture(settings.architecture).context
        samples = load(settings.train, settings.preprocess, root, classes, context=self.context)
        self.samples = [on_working_grid(sample, settings.preprocess) for sample in samples]
        self.val_samples = load(settings.val, settings.preprocess, root, classes, context=self.context)
        # position in the endless sequence of shuffled epochs; counted in views because batches change with the phase
        self.step, self.seen, self.best, self.losses = 0, 0, -1.0, []
        self.order = [i for i, sample in enumerate(self.samples) for _ in range(sample.repeat)]

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
        if self._last.exists() and not self.settings.trains_like(TrainSettings.from_json(path)):
            raise SettingsError(f"The folder '{self.run}' holds a run with other settings. Choose a new folder.")
        path.write_text(self.settings.to_json(), encoding="utf-8")

    @property
    def _last(self) -> Path:
        return self.run / "last.pt"

    def advance(self) -> None:
        """One optimizer step."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = _learning_rate(settings, self.step)
        samples = [self.samples[self._next()] for _ in range(settings.phase(self.step).batch)]
        self.network.train()
        loss = self._objective(samples)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
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
        if self.branch:
            self.branch.follow(self.network)

    def _objective(self, samples: list[Sample]) -> torch.Tensor:
        seed = self.settings.seed * 1_000_003 + self.step
        images, labels = self._views(samples, self.settings.augment, seed)
        if self.branch is None:
            slices = images.chunk(3, 1) if self.context else [images]
            return self.loss(self.network(*slices), labels)
        weak, _ = self._views(samples, NOTHING, seed)
        features = self.network.encode(images)
        segmentation = self.loss(self.network.decode(features), labels)
        return segmentation + self.settings.serp * self.branch(features[-1], weak)

    def _views(self, samples: list[Sample], changes: AugmentSettings, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        phase = self.settings.phase(self.step)
        augment = Augment(changes, torch.Generator().manual_seed(seed))
        views = [augment(s.image, s.labels, (phase.size, phase.size)) for s in samples]
        images, labels = (torch.stack(part).to(self.device) for part in zip(*views, strict=True))
        return images, labels

    def _next(self) -> int:
        epoch, position = divmod(self.seen, len(self.order))
        self.seen += 1
        return self.order[np.random.default_rng((self.settings.seed, epoch)).permutation(len(self.order))[position]]

    def validate(self) -> dict[str, Any]:
        """Score the averaged weights on `val`; keep them if they are the best so far. Returns the line of the log."""
        card = self._card()
        model = models.TrainedModel(card, self.average)
        value = mean_dice(list(score_images(model, self.val_samples, self.device)))
        if value > self.best:
            self.best = value
            figures = {"val": {"dice": round(value, 4), "step": self.step}}
            models.save(self.best_path, self.average, replace(card, metrics=figures))
        line = {
            "step": self.step,
            "loss": round(float(np.mean(self.losses)), 5),
            "val_dice": round(value, 5),
            "best": round(self.best, 5),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "time": round(time.time(), 1),
        }
        self.losses = []
        with (self.run / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        return line

    def _card(self) -> models.ModelCard:
        s = self.settings
        return models.ModelCard(
            name=s.name,
            architecture=s.architecture,
            preprocess=s.preprocess,
            classes=s.classes,
            options=s.options,
            recipe=f"{s.name}.json",
            **s.card,
        )

    def write(self) -> None:
        """Write ``last.pt`` beside and rename it."""
        state = {
            "step": self.step,
            "seen": self.seen,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "branch": self.branch.state_dict() if self.branch else {},
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
            self.step, self.seen, self.best = state["step"], state["seen"], state["best"]
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.branch:
                self.branch.load_state_dict(state["branch"])
        except (ModelError, KeyError, ValueError, RuntimeError) as error:
            raise FileError(
                f"'{self._last}' is damaged or no checkpoint of this run. Delete it to begin anew, or restore it."
            ) from error


def _device(name: str) -> torch.device:
    present = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda") or (name == "cuda" and not present):
        raise SettingsError(f"The device '{name}' is not available; choose auto, cpu{' or cuda' if present else ''}.")
    return torch.device("cuda" if name != "cpu" and present else "cpu")


def _learning_rate(settings: TrainSettings, step: int) -> float:
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    low = settings.final_share
    return settings.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))
