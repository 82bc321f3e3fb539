"""The training loop: deterministic, resumable, driven as a job, whatever is learnt."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from .. import files, models
from ..errors import FileError, ModelError, SettingsError
from ..models.allocator import kept
from ..progress import Job, Progress
from ..record import plain
from . import processes, start, stored
from .continuing import looked_with, refuse_other_settings
from .data import changed
from .planning import plan
from .reconstruction import Reconstruction
from .run_folder import LAST, LOG, RECORD, SETTINGS, STOP, begun, writing
from .run_record import describe
from .segmentation import Segmentation
from .settings import ReconTrainSettings, TrainSettings, read_settings

_log = logging.getLogger(__name__)

_Settings = TrainSettings | ReconTrainSettings
_NUMBERS = {"step": int, "best": float, "stale": int, "lines": int}  # of the state of a run
_OPTIMIZERS = {"nadam": torch.optim.NAdam, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class Task(Protocol):
    """What is learnt.

    Everything random is drawn from the seed and the number of the step, so that a task has no state of its own but
    that of its modules.
    """

    @property
    def network(self) -> nn.Module:
        """What is trained and kept."""

    @property
    def branch(self) -> nn.Module | None:
        """What is trained along with it and not kept."""

    @property
    def figure(self) -> str:
        """Name of the figure that `score` returns."""

    def findings(self, root: Path) -> list[str]:
        """Sentences on the data, from `root` on, for the person who trains."""

    def load(self, root: Path, run: Path) -> None:
        """Read the data, from `root` on, and models that are learnt from, seen from the folder of the run."""

    def loss(self, step: int) -> torch.Tensor:
        """Loss of the network in training mode on what `step` (from 0) draws."""

    def follow(self) -> None:
        """What is to be done after a step."""

    def score(self, network: nn.Module) -> float:
        """Figure of `network` on `val`; higher is better. NaN if there is nothing to measure it on."""

    def card(self) -> models.ModelCard:
        """Card of the network, without figures."""

    def held_out(self, path: Path, root: Path) -> dict[str, Any]:
        """Figures of the weights file `path` that belong on its card at the end, by the name of the data."""


def train_job(settings: _Settings, run: Path, *, root: Path = Path()) -> Job[models.ModelCard]:
    """Train a network, or go on with a run that was interrupted.

    Everything random is drawn from the seed and the step number, so that a resumed run ends with the same weights.

    Parameters
    ----------
    settings : TrainSettings or ReconTrainSettings
    run : pathlib.Path
        Folder of the run. Receives ``settings.json``, ``log.jsonl`` (one JSON object per validation),
        ``last.pt`` (everything needed to go on, and the hash of every file that is learnt from) and
        ``NAME.safetensors`` with its card (the best weights), at the end ``record.json``, see `Record`. A file ``stop``
        in it ends the run before its next step, with the best weights so far.
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

    Raises
    ------
    MedsegError
        If settings or data do not fit, the folder holds another run or one that began with other data, or it cannot be
        written to, another process is at work in it, or the loss is not finite any more.
    """
    began = time.monotonic()
    device = processes.device_of(settings.device)
    with processes.joined(device), kept():
        settings = _planned(settings, run, root, device)
        with nullcontext() if processes.rank() else files.lock(run):
            trainer = _Trainer(settings, run, root, device)
            yield Progress(trainer.step, settings.steps)
            if trainer.resume():
                yield Progress(trainer.step, settings.steps, trainer.checkpoint())
            while trainer.goes_on():
                trainer.advance()
                due = trainer.step % settings.validate_every == 0
                yield Progress(trainer.step, settings.steps, trainer.checkpoint() if due else None)
            if trainer.losses or not trainer.lines:  # steps since the last validation, or none at all
                yield Progress(trainer.step, settings.steps, trainer.checkpoint())
            return trainer.finish(root, time.monotonic() - began)


def _planned(settings: _Settings, run: Path, root: Path, device: torch.device) -> _Settings:
    """The settings with what is left to be planned; those of a run that has begun."""
    if not isinstance(settings, TrainSettings) or not settings.seconds:
        return settings
    if processes.count() > 1:
        raise SettingsError("A run on several processes cannot be planned. Give steps and phases instead of seconds.")
    if begun(settings.name, run):
        earlier = read_settings(run / SETTINGS)
        left_open = {
            name: getattr(earlier, name) for name in ("seconds", "phases", "steps", "warmup_steps", "validate_every")
        }
        return replace(settings, **left_open)
    return plan(settings, root, device, run)


def _task(settings: _Settings, device: torch.device) -> Task:
    if isinstance(settings, TrainSettings):
        return Segmentation(settings, device)
    return Reconstruction(settings, device)


class _Trainer:
    """State of a run between two steps."""

    def __init__(self, settings: _Settings, run: Path, root: Path, device: torch.device):
        if settings.optimizer not in _OPTIMIZERS:
            choices = ", ".join(_OPTIMIZERS)
            raise SettingsError(f"The optimizer '{settings.optimizer}' does not exist; choose one of {choices}.")
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(settings.deterministic)
        self.settings, self.run, self.device = settings, run, device
        self.last, self.best_path = run / LAST, run / f"{settings.name}.safetensors"
        torch.manual_seed(settings.seed)
        self.task = _task(settings, device)
        self.network = self.task.network
        if settings.start:
            for note in start.take_over(self.network, settings, start.find(settings.start, run)):
                _log.info(note)
        self.begun_with = copy.deepcopy(self.network).eval().requires_grad_(False) if settings.anchor else None
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        trained = [self.network, self.task.branch] if self.task.branch else [self.network]
        for module in trained:
            processes.share_statistics(module)
        self.parameters = [p for module in trained for p in module.parameters() if p.requires_grad]
        self.optimizer = _OPTIMIZERS[settings.optimizer](
            self.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule, self.plateau = settings.schedule, None
        if schedule.kind == "plateau":
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                self.optimizer,
                mode="max",
                factor=schedule.gamma,
                patience=schedule.patience,
                min_lr=schedule.final_share * settings.learning_rate,
            )
        self.step, self.best, self.stale, self.lines, self.losses = 0, -math.inf, 0, 0, []
        self.data = changed.DataFiles(())  # known to the first process, which writes
        self.models = changed.DataFiles(())
        if processes.rank() == 0:
            self._prepare_run()
            self.data = self._data(root)
            self.models = changed.describe((), root, looked_with(self.task.card()))
            self._check_data()
            for note in self.task.findings(root):
                _log.info(note)
        self.task.load(root, run)

    def _prepare_run(self) -> None:
        path = self.run / SETTINGS
        if begun(self.settings.name, self.run):
            refuse_other_settings(self.run, read_settings(path), self.settings)
        with writing(self.run):
            files.dump(path, self.settings)
            (self.run / STOP).unlink(missing_ok=True)

    def _data(self, root: Path) -> changed.DataFiles:
        """What is learnt from and validated on, and the weights that the run begins with or is taught by."""
        settings = self.settings
        sources = [*settings.train, *settings.val]
        if isinstance(settings, TrainSettings):
            sources += [*settings.replay, *settings.empty]
        return changed.describe(sources, root, start.weights(settings, self.run))

    def goes_on(self) -> bool:
        """Whether there is a further step, for all that is known now."""
        patience = self.settings.early_stop
        ends = self.step >= self.settings.steps or (patience and self.stale >= patience)
        return not ends and not processes.broadcast((self.run / STOP).exists(), self.device)

    def advance(self) -> None:
        """One optimizer step."""
        if self.plateau is None or self.step < self.settings.warmup_steps:
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.rate(self.step)
        self.network.train()
        # of dropout; a resumed run draws the same
        torch.manual_seed(self.settings.seed + self.step * processes.count() + processes.rank())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.mixed_precision):
            loss = self.task.loss(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        processes.sum_gradients(self.parameters)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self.losses.append(loss.item())
        self.step += 1
        if not math.isfinite(self.losses[-1]):
            raise SettingsError(
                f"Training diverged at step {self.step} (the loss is NaN or infinite). The best weights so far are "
                "saved; lower learning_rate or set clip."
            )
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

    def checkpoint(self) -> dict[str, Any]:
        """Score the averaged weights on `val`, keep them if they are the best so far, write all that a resume needs.

        Where nothing can be scored, the last weights are kept. Returns the line of the log.
        """
        first = processes.rank() == 0
        kept = self._kept()
        value = processes.broadcast(self.task.score(kept) if first else 0.0, self.device)
        better = self._judge(value)
        line = {
            "step": self.step,
            "loss": float(np.mean(self.losses)) if self.losses else None,
            "figure": self.task.figure,
            "val": _or_none(value),
            "best": _or_none(self.best),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "time": round(time.time(), 1),
        }
        self.losses = []
        self.lines += 1
        if first:
            with writing(self.run):
                self._write(line, kept if better else None)
        return line

    def _judge(self, value: float) -> bool:
        """Whether weights with this figure are to be kept."""
        if math.isnan(value):
            if not self.lines:
                _log.warning(
                    "Nothing on val can be scored: no object is labelled there. There is no %s, and the last weights "
                    "are kept instead of the best.",
                    self.task.figure,
                )
            return self.best == -math.inf
        better = value > self.best
        self.stale = 0 if better else self.stale + 1
        self.best = max(self.best, value)
        if self.plateau is not None:
            self.plateau.step(value)
        return better

    def _kept(self) -> nn.Module:
        """The averaged weights, drawn towards those that the run began with."""
        if self.begun_with is None:
            return self.average
        kept = copy.deepcopy(self.average)
        for mean, old in zip(kept.state_dict().values(), self.begun_with.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(old, self.settings.anchor)
        return kept

    def _write(self, line: dict[str, Any], best: nn.Module | None) -> None:
        if best is not None:
            figures = {"val": {self.task.figure: _or_none(self.best), "step": self.step}}
            models.save(self.best_path, best, replace(self.task.card(), metrics=figures))
        with (self.run / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        state = numbers | {"data": plain(self.data), "models": plain(self.models)}
        state |= {name: part.state_dict() for name, part in self._parts().items()}
        files.replace(self.last, lambda temporary: torch.save(state, temporary))

    def _parts(self) -> dict[str, Any]:
        """What has a state of its own."""
        parts = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
            "branch": self.task.branch,
            "plateau": self.plateau,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def resume(self) -> bool:
        """Go on from ``last.pt``; without one, whether the weights that the run begins with are to be scored."""
        has_begun = self.last.exists()
        if has_begun:
            self._restore()
        log = self.run / LOG
        if processes.rank() == 0 and log.exists():
            with writing(self.run):
                files.refuse_special(log)
                lines = log.read_bytes().splitlines(keepends=True)
                files.replace_bytes(log, b"".join(lines[: self.lines]))
        return bool(self.settings.start) and not has_begun

    def _restore(self) -> None:
        try:
            state = models.read_checkpoint(self.last)
            for name, kind in _NUMBERS.items():
                setattr(self, name, stored.number(state[name], kind))
            if self.plateau is not None:
                stored.check_alike(state["plateau"], self.plateau.state_dict())
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            stored.check_moments(self.optimizer)
        except (ModelError, LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise self._unusable() from error

    def _check_data(self) -> None:
        """Make sure that a run goes on with the data and models that it began with."""
        if not self.last.exists():
            return
        for name, now in (("data", self.data), ("models", self.models)):
            try:
                noted = models.read_checkpoint(self.last).get(name)
                # earlier releases have not noted them
                before = now if noted is None else files.typed(changed.DataFiles, noted, LAST)
            except (ModelError, TypeError, ValueError, RecursionError) as error:
                raise self._unusable() from error
            changed.refuse_changes(self.run, before, now, name)

    def _unusable(self) -> FileError:
        return FileError(
            f"'{self.last}' is damaged, or is not a checkpoint of this run. Delete it to start again, or restore it."
        )

    def finish(self, root: Path, seconds: float) -> models.ModelCard:
        """Put the last figures onto the card of the best weights, unless they are there, and write the record."""
        if processes.rank() > 0:
            return self.task.card()
        card = models.load_card(self.best_path)
        if len(card.metrics) == 1:  # that on `val` which chose them
            card = replace(card, metrics={**card.metrics, **self.task.held_out(self.best_path, root)})
            with writing(self.run):
                models.save_card(self.best_path, card)
        record = describe(self.settings, self.run, root, card, seconds)
        with writing(self.run):
            files.dump(self.run / RECORD, record.to_json())
        return card


def _or_none(figure: float) -> float | None:
    """None, which JSON knows, for a figure that does not exist."""
    return figure if math.isfinite(figure) else None
