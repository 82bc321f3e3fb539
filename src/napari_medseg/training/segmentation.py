"""What the training loop learns to segment: views of slices, the loss, Dice on `val`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import models
from ..models.card import from_fields
from ..models.litenext import LiteNeXt
from ..models.typed import require
from ..segmentation import stacks
from . import located, processes, start
from .augment import NOTHING, AugmentSettings
from .data.dataset import Sample, load
from .data.findings import findings
from .data.shares import IGNORE
from .evaluate import evaluate, score_images
from .image_scores import ImageScore, mean_dice, mean_volume_dice
from .losses import SegmentationLoss
from .scored_runs import score_runs
from .serp import SelfEmbedding
from .settings import TrainSettings
from .teacher import Teacher
from .views import Views


class Segmentation:
    """A `fine_tune.Task`: a network that labels slices, with or without their neighbours."""

    figure = "dice"
    """Name of the figure that chooses the best weights; "volume_dice" where slices on `val` are parts of stacks."""

    def __init__(self, settings: TrainSettings, device: torch.device):
        self.settings, self.device = settings, device
        self.segmentation_loss = SegmentationLoss(settings.loss, settings.loss_weights)
        classes = len(settings.classes)
        self.network = models.build(settings.architecture, num_classes=classes + 1, **settings.options).to(device)
        self.branch = SelfEmbedding(self._litenext).to(device) if settings.serp else None
        self.context = models.architecture(settings.architecture).context

    @property
    def _litenext(self) -> LiteNeXt:
        """The network, where it has a branch."""
        return require(self.network, LiteNeXt)

    def findings(self, root: Path) -> list[str]:
        """What there is in the data, and what may be wrong with them."""
        s = self.settings
        sources = {"train": s.train, "val": s.val, "test": s.test}
        return [str(found) for found in findings(sources, root, s.classes, s.preprocess, s.card.get("spacing_mm"))]

    def load(self, root: Path, run: Path = Path()) -> None:
        """Read `train`, `replay` and `empty` at the pixel size of inference, `val` as it is, and the teachers."""
        s = self.settings
        self.teacher = self._teacher(run) if s.teachers else None
        self.views = Views(s, root, self.context)
        self.val_samples = load(
            s.val, s.preprocess, root, len(s.classes), context=self.context, orientation=s.orientation
        )
        self.root = root
        self.locator = models.load_locator(self.card())
        self.members = models.load_members(self.card())
        located.refuse_missing(self._model(self.network))
        self.val_places = located.places(self._model(self.network), self.val_samples, self.device)
        if any(sample.stack for sample in self.val_samples):
            self.figure = "volume_dice"
        self.can_score = any(_holds_objects(sample) for sample in self.val_samples)

    def _teacher(self, run: Path) -> Teacher:
        s = self.settings
        paths = [start.find(name, run) for name in s.teachers]
        names = [row.name for row in s.classes]
        channels = 9 if self.context else 3
        return Teacher(paths, names, s.teacher_share, s.preprocess.spacing, channels, self.device)

    def loss(self, step: int) -> torch.Tensor:
        """Loss of one batch, that of all processes."""
        images, targets = self._views(step, self.settings.augment)
        if self.teacher:
            targets = self.teacher.mixed(images, targets)
        targets = processes.gathered(targets)
        if self.branch is None:
            slices = images.chunk(3, 1) if self.context else [images]
            return self.segmentation_loss(processes.gathered(self.network(*slices).float()), targets)
        weak, _ = self._views(step, NOTHING)
        features = self._litenext.encode(images)
        logits = processes.gathered(self._litenext.decode(features).float())
        likeness = processes.gathered(self.branch(features[-1].float(), weak)[None]).mean()
        return self.segmentation_loss(logits, targets) + self.settings.serp * likeness

    def _views(self, step: int, changes: AugmentSettings) -> tuple[torch.Tensor, torch.Tensor]:
        images, targets = self.views.batch(self.settings, step, changes)
        return images.to(self.device), targets.to(self.device)

    def follow(self) -> None:
        """Let the teacher of the self-embedding branch follow."""
        if self.branch:
            self.branch.follow(self._litenext)

    def score(self, network: nn.Module) -> float:
        """Mean Dice of the volumes on `val`, or of its images if they belong to none.

        NaN if no object is labelled there, for then any false pixel would make it 0.
        """
        if not self.can_score:
            return math.nan
        scores = self._scores(self._model(network))
        return mean_volume_dice(scores) if self.figure == "volume_dice" else mean_dice(scores)

    def _scores(self, model: models.TrainedModel) -> list[ImageScore]:
        if stacks.needs_volumes(model):
            return list(score_runs(model, self.settings.val, self.root, device=self.device.type))
        return list(score_images(model, self.val_samples, self.device, self.val_places))

    def _model(self, network: nn.Module) -> models.TrainedModel:
        return models.TrainedModel(self.card(), network, locator=self.locator, members=self.members)

    def card(self) -> models.ModelCard:
        """Card without figures."""
        s = self.settings
        return from_fields(
            name=s.name,
            architecture=s.architecture,
            preprocess=s.preprocess,
            classes=s.classes,
            options=s.options,
            recipe=f"{s.name}.json",
            **s.card,
        )

    def held_out(self, path: Path, root: Path) -> dict[str, Any]:
        """Figures on `test`, if there is such data."""
        return {"test": evaluate(path, self.settings.test, root)} if self.settings.test else {}


def _holds_objects(sample: Sample) -> bool:
    labels = sample.labels
    return bool(((labels > 0) & (labels != IGNORE)).any())
