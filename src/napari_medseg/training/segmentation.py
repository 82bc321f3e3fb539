"""What the training loop learns to segment: views of slices, the loss, Dice on `val`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import models
from ..models.card import from_fields
from . import processes
from .augment import NOTHING, Augment, AugmentSettings
from .data.dataset import IGNORE, Sample, load, on_working_grid
from .data.deck import Deck
from .data.findings import findings
from .data.sources import Source
from .evaluate import evaluate, mean_dice, score_images
from .losses import SegmentationLoss
from .serp import SelfEmbedding
from .settings import TrainSettings


class Segmentation:
    """A `fine_tune.Task`: a network that labels slices, with or without their neighbours."""

    figure = "dice"

    def __init__(self, settings: TrainSettings, device: torch.device):
        self.settings, self.device = settings, device
        self.segmentation_loss = SegmentationLoss(settings.loss, settings.loss_weights)
        classes = len(settings.classes)
        self.network = models.build(settings.architecture, num_classes=classes + 1, **settings.options).to(device)
        self.branch = SelfEmbedding(self.network).to(device) if settings.serp else None
        self.context = models.architecture(settings.architecture).context

    def findings(self, root: Path) -> list[str]:
        """What there is in the data, and what may be wrong with them."""
        s = self.settings
        sources = {"train": s.train, "val": s.val, "test": s.test}
        return [str(found) for found in findings(sources, root, s.classes, s.preprocess, s.card.get("spacing_mm"))]

    def load(self, root: Path) -> None:
        """Read `train` and `replay` at the pixel size of inference, and `val` as it is."""
        settings, classes = self.settings, len(self.settings.classes)

        def read(sources: tuple[Source, ...]) -> list[Sample]:
            return load(sources, settings.preprocess, root, classes, context=self.context)

        def deck(sources: tuple[Source, ...]) -> Deck:
            return Deck([on_working_grid(sample, settings.preprocess, classes) for sample in read(sources)], classes)

        self.train = deck(settings.train)
        self.replay = deck(settings.replay) if settings.replay else self.train
        self.val_samples = read(settings.val)
        self.can_score = any(_holds_objects(sample) for sample in self.val_samples)

    def loss(self, step: int) -> torch.Tensor:
        """Loss of one batch, that of all processes."""
        images, targets = self._views(step, self.settings.augment)
        targets = processes.gathered(targets)
        if self.branch is None:
            slices = images.chunk(3, 1) if self.context else [images]
            return self.segmentation_loss(processes.gathered(self.network(*slices).float()), targets)
        weak, _ = self._views(step, NOTHING)
        features = self.network.encode(images)
        logits = processes.gathered(self.network.decode(features).float())
        likeness = processes.gathered(self.branch(features[-1].float(), weak)[None]).mean()
        return self.segmentation_loss(logits, targets) + self.settings.serp * likeness

    def _views(self, step: int, changes: AugmentSettings) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (b, c, y, x) and targets (b, 2, classes, y, x) of this process in a step."""
        phase = self.settings.phase(step)
        first = self.settings.seen(step) * processes.count() + phase.batch * processes.rank()
        views = [self._view(place, phase.size, changes) for place in range(first, first + phase.batch)]
        images, targets = (torch.stack(part).to(self.device) for part in zip(*views, strict=True))
        return images, targets

    def _view(self, place: int, size: int, changes: AugmentSettings) -> tuple[torch.Tensor, torch.Tensor]:
        """The view at a place of the endless sequence; it does not depend on those before it."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, place))
        deck = self.replay if rng.random() < settings.replay_share else self.train
        balanced = rng.random() < settings.balance
        sample, focus = deck.balanced(rng) if balanced else (deck.shuffled(settings.seed, place), None)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        target = sample.target_of(len(settings.classes))
        return Augment(changes, generator)(sample.image, target, (size, size), focus)

    def follow(self) -> None:
        """Let the teacher of the self-embedding branch follow."""
        if self.branch:
            self.branch.follow(self.network)

    def score(self, network: nn.Module) -> float:
        """Mean Dice on `val`; NaN if no object is labelled there, for then any false pixel would make it 0."""
        if not self.can_score:
            return math.nan
        model = models.TrainedModel(self.card(), network)
        return mean_dice(list(score_images(model, self.val_samples, self.device)))

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
