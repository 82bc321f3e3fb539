"""Teachers: trained models whose answers, on the same views, are a part of what a network should say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from .. import models
from ..errors import SettingsError
from .data import shares


class Teacher:
    """One or several models that answer together.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Weights files.
    classes : sequence of str
        Names of the classes that are learnt.
    share : float
        Share of what the models say in what the network should say; the rest is that of the labels.
    spacing : float or None
        Pixel size of the views in mm, see `Preprocess`; a model that works at another one sees them resampled.
    channels : int
        Of the views, see `Sample`.
    device : torch.device

    Raises
    ------
    SettingsError
        If a model lacks a class, or needs neighbouring slices that the views do not have.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        classes: Sequence[str],
        share: float,
        spacing: float | None,
        channels: int,
        device: torch.device,
    ):
        self._share = share
        self._spacing = None if spacing is None else (spacing, spacing)
        self._models = [models.load(path).on(device.type) for path in paths]
        self._models = [replace(model, card=replace(model.card, turns=False)) for model in self._models]
        self._maps = []
        for model in self._models:
            names = [row.name for row in model.card.classes]
            missing = [name for name in classes if name not in names]
            if missing:
                raise SettingsError(
                    f"The teacher '{model.card.name}' does not know {', '.join(missing)}. Choose a model with all "
                    "classes that are to be learnt."
                )
            if model.context and channels == 3:
                raise SettingsError(
                    f"The teacher '{model.card.name}' looks at three slices, the network at one. Choose a teacher of "
                    "single slices."
                )
            self._maps.append([names.index(name) for name in classes])

    @torch.no_grad()
    def says(self, images: torch.Tensor) -> torch.Tensor:
        """The mean probability of each class, (b, classes, y, x), on views (b, c, y, x)."""
        answers = [
            probabilities(model, images, self._spacing)[:, maps]
            for model, maps in zip(self._models, self._maps, strict=True)
        ]
        return torch.stack(answers).mean(0)

    def mixed(self, images: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The target (b, 2, classes, y, x), see `shares`, of views with the part of the teacher in it.

        What nobody labelled is taken from the teacher alone.
        """
        said = self.says(images)
        labelled, known = shares.shares_and_known(target)
        room = (1 - (labelled * known).sum(1, keepdim=True)).clamp_min(0)
        filled = known * labelled + (1 - known) * said * room
        wanted = (1 - self._share) * filled + self._share * said
        return torch.stack([wanted, torch.ones_like(wanted)], 1)


def probabilities(
    model: models.TrainedModel, images: torch.Tensor, spacing: tuple[float, float] | None = None
) -> torch.Tensor:
    """Probabilities (b, c, y, x) of the classes of a model on views with pixels of `spacing` mm.

    Together they are at most 1.
    """
    if images.shape[1] == 9 and not model.context:
        images = images[:, 3:6]
    tensor, undo = model.card.preprocess.fit(images, spacing)
    odds = undo(model.logits(tensor).float())
    if models.architecture(model.card.architecture).background:
        background = torch.zeros_like(odds[:, :1])
        return torch.cat([background, odds], 1).softmax(1)[:, 1:]
    each = odds.sigmoid()
    return each / each.sum(1, keepdim=True).clamp_min(1)
