"""What the training loop learns to segment: views of slices, the loss, Dice on `val`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import models
from .augment import NOTHING, Augment, AugmentSettings
from .dataset import load, on_working_grid
from .evaluate import evaluate, mean_dice, score_images
from .losses import SegmentationLoss
from .serp import SelfEmbedding
from .settings import TrainSettings


class Segmentation:
    """A `fine_tune.Task`: a network that labels slices, with or without their neighbours."""

    figure = "dice"

    def __init__(self, settings: TrainSettings, device: torch.device):
        self.settings, self.device = settings, device
        self.segmentation_loss = SegmentationLoss(settings.loss)
        classes = len(settings.classes)
        self.network = models.build(settings.architecture, num_classes=classes + 1, **settings.options).to(device)
        self.branch = SelfEmbedding(self.network).to(device) if settings.serp else None
        self.context = models.architecture(settings.architecture).context

    def load(self, root: Path) -> None:
        """Read `train` at the pixel size of inference, and `val` as it is."""
        settings, classes = self.settings, len(self.settings.classes)
        samples = load(settings.train, settings.preprocess, root, classes, context=self.context)
        self.samples = [on_working_grid(sample, settings.preprocess) for sample in samples]
        self.val_samples = load(settings.val, settings.preprocess, root, classes, context=self.context)
        self.epoch = [i for i, sample in enumerate(self.samples) for _ in range(sample.repeat)]

    def loss(self, step: int) -> torch.Tensor:
        """Loss of one batch."""
        images, labels = self._views(step, self.settings.augment)
        if self.branch is None:
            slices = images.chunk(3, 1) if self.context else [images]
            return self.segmentation_loss(self.network(*slices), labels)
        weak, _ = self._views(step, NOTHING)
        features = self.network.encode(images)
        segmentation = self.segmentation_loss(self.network.decode(features), labels)
        return segmentation + self.settings.serp * self.branch(features[-1], weak)

    def _views(self, step: int, changes: AugmentSettings) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (b, c, y, x) and labels (b, y, x) of a step."""
        first, phase = self.settings.seen(step), self.settings.phase(step)
        views = [self._view(place, phase.size, changes) for place in range(first, first + phase.batch)]
        images, labels = (torch.stack(part).to(self.device) for part in zip(*views, strict=True))
        return images, labels

    def _view(self, place: int, size: int, changes: AugmentSettings) -> tuple[torch.Tensor, torch.Tensor]:
        """The view at a place of the endless sequence; it does not depend on those before it."""
        sample = self.samples[self._drawn(place)]
        seed = np.random.SeedSequence((self.settings.seed, place)).generate_state(1)[0]
        return Augment(changes, torch.Generator().manual_seed(int(seed)))(sample.image, sample.labels, (size, size))

    def _drawn(self, position: int) -> int:
        """Which sample stands at a position of the endless sequence of shuffled epochs."""
        epoch, place = divmod(position, len(self.epoch))
        order = np.random.default_rng((self.settings.seed, epoch)).permutation(len(self.epoch))
        return self.epoch[order[place]]

    def follow(self) -> None:
        """Let the teacher of the self-embedding branch follow."""
        if self.branch:
            self.branch.follow(self.network)

    def score(self, network: nn.Module) -> float:
        """Mean Dice on `val`."""
        model = models.TrainedModel(self.card(), network)
        return mean_dice(list(score_images(model, self.val_samples, self.device)))

    def card(self) -> models.ModelCard:
        """Card without figures."""
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

    def held_out(self, path: Path, root: Path) -> dict[str, Any]:
        """Figures on `test`, if there is such data."""
        return {"test": evaluate(path, self.settings.test, root)} if self.settings.test else {}
