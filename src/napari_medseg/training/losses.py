"""Segmentation losses on logits, and the margin weight map of the LiteNeXt paper."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import SettingsError
from .data import shares


class MarginConstants(TypedDict):
    """Constants of the Marginal Weight Loss, see `margin_weights`."""

    background: float
    object_: float
    margin: float
    kernel: int


MARGIN_PRESETS: dict[str, MarginConstants] = {
    "boundary": {"background": 1.0, "object_": 3.0, "margin": 6.0, "kernel": 9},
    "authors-code-default": {"background": 5.0, "object_": 3.0, "margin": 2.0, "kernel": 7},
}
"""Constants of the Marginal Weight Loss; the published code defaults stress the background instead of the margin."""

_HELD = 0.5  # share of a pixel from which on it belongs to a class where only yes or no will do


def soft_dice_loss(
    logits: torch.Tensor, target: torch.Tensor, *, skip_empty: bool = False, where: torch.Tensor | None = None
) -> torch.Tensor:
    """One minus the mean soft Dice of each image and class.

    Parameters
    ----------
    logits, target : torch.Tensor, shape (b, c, y, x)
        Logits of independent classes and their targets from 0 to 1.
    skip_empty : bool
        Leave out targets without any pixel that belongs to the class, at least by half. The authors count empty ones
        as loss 1 whatever is predicted, which carries no gradient.
    where : torch.Tensor, shape (b, 1, y, x) or (b, c, y, x), optional
        1 for the pixels that count, 0 for the others.
    """
    probabilities = logits.sigmoid()
    if where is not None:
        probabilities = probabilities * where
        target = target * where
    return _dice_loss(probabilities, target, skip_empty)


def _dice_loss(probabilities: torch.Tensor, target: torch.Tensor, skip_empty: bool) -> torch.Tensor:
    overlap = (probabilities * target).sum((2, 3))
    total = probabilities.sum((2, 3)) + target.sum((2, 3))
    dice = 2 * overlap / (total + 1e-12)
    if skip_empty:
        present = (target.amax((2, 3)) >= _HELD).to(dice.dtype)
        return 1 - ((dice * present).sum() / present.sum()) if present.any() else probabilities.sum() * 0
    return 1 - dice.mean()


def margin_weights(
    target: torch.Tensor, *, background: float, object_: float, margin: float, kernel: int
) -> torch.Tensor:
    """Weight map of the Marginal Weight Loss.

    A square of `kernel` pixels dilates and erodes the target; what lies between is the margin. Outside the image
    counts as background. The erosion is exact for every kernel (the published box filter forgives one missing pixel
    from 11 pixels on).

    Parameters
    ----------
    target : torch.Tensor, shape (b, c, y, x)
        0/1 masks, or shares: a pixel belongs to the target from one half on.
    background, object_, margin : float
        Weight of each region.
    kernel : int
        Odd width of the square.

    Returns
    -------
    torch.Tensor, shape (b, c, y, x)
    """
    reach = kernel // 2
    target = (target >= _HELD).to(torch.float32)
    dilated = F.max_pool2d(target, kernel, 1, reach)
    hollow = F.max_pool2d(1 - F.pad(target, [reach] * 4), kernel, 1)
    eroded = 1 - hollow
    return margin * (dilated - eroded) + object_ * eroded + background * (1 - dilated)


def margin_weight_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    preset: str = "boundary",
    normalize: bool = False,
    where: torch.Tensor | None = None,
) -> torch.Tensor:
    """Marginal Weight Loss: binary cross-entropy weighted by `margin_weights`.

    Parameters
    ----------
    logits, target : torch.Tensor, shape (b, c, y, x)
    preset : {"boundary", "authors-code-default"}
        Constants of the weight map.
    normalize : bool
        Divide by the mean weight of the batch, so that the value stays near plain cross-entropy.
    where : torch.Tensor, shape (b, 1, y, x) or (b, c, y, x), optional
        1 for the pixels that count, 0 for the others.
    """
    with torch.no_grad():
        weights = margin_weights(target, **MARGIN_PRESETS[preset]).to(logits.dtype)
        weights = weights if where is None else weights * where
    loss = F.binary_cross_entropy_with_logits(logits, target, weights)
    return loss / weights.mean().clamp_min(1e-12) if normalize else loss


def authors_dice_loss(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Dice loss in the code of the LSTM-SA paper.

    Over the whole batch, of every class with the background, squares in the denominator. A batch without a class counts
    as wrong whatever is predicted, which drives small objects to background.

    Parameters
    ----------
    probabilities, target : torch.Tensor, shape (b, k, y, x)
    """
    overlap, total = (part.sum((0, 2, 3)) for part in (probabilities * target, probabilities**2 + target**2))
    return 1 - ((2 * overlap + 1e-5) / (total + 1e-5)).mean()


class SegmentationLoss(nn.Module):
    """Dice plus a pixel loss, for labels or shares of them; what nobody labelled does not count, see `shares`.

    Parameters
    ----------
    name : {"dice-bce", "dice-mwl", "dice-mwl-authors", "dice-ce", "dice-ce-authors"}
        Pixel loss: binary cross-entropy, or the Marginal Weight Loss (normalised) with one of its presets, for one
        logit map per class; or cross-entropy for maps with the background first. Dice is taken per image of the classes
        that it holds; of dice-ce-authors as in `authors_dice_loss`.
    weights : (float, float)
        Of Dice and of the pixel loss.
    """

    names = ("dice-bce", "dice-mwl", "dice-mwl-authors", "dice-ce", "dice-ce-authors")

    def __init__(self, name: str, weights: tuple[float, float] = (1.0, 1.0)):
        super().__init__()
        if name not in self.names:
            raise SettingsError(f"The loss '{name}' does not exist; choose one of {', '.join(self.names)}.")
        self.name, self.weights = name, weights

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Loss of a batch.

        Parameters
        ----------
        logits : torch.Tensor, shape (b, c, y, x)
            Channel i is class i + 1; of dice-ce it is class i, the background first.
        target : torch.Tensor, shape (b, y, x) of whole numbers, or (b, 2, classes, y, x) of floats
            Labels, or targets as of `shares`.
        """
        exclusive = self.name.startswith("dice-ce")
        if target.dim() == 3:
            target = shares.targets(target, logits.shape[1] - exclusive)
        wanted, where = shares.shares_and_known(target.to(logits.dtype))
        dice, pixel = (self._exclusive if exclusive else self._independent)(logits, wanted, where)
        return self.weights[0] * dice + self.weights[1] * pixel

    def _exclusive(
        self, logits: torch.Tensor, wanted: torch.Tensor, where: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        likelihoods = logits.log_softmax(1)
        seen = where.amax(1, keepdim=True)
        wanted = wanted * where
        rest = (seen - wanted.sum(1, keepdim=True)).clamp_min(0)
        entropy = -(likelihoods[:, 1:] * wanted).sum() - (_rest(likelihoods, where) * rest).sum()
        entropy = entropy / seen.sum().clamp_min(1)
        probabilities = likelihoods.exp()
        if self.name == "dice-ce-authors":
            return authors_dice_loss(probabilities * seen, torch.cat([rest, wanted], 1)), entropy
        return _dice_loss(probabilities[:, 1:] * where, wanted, skip_empty=True), entropy

    def _independent(
        self, logits: torch.Tensor, wanted: torch.Tensor, where: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        dice = soft_dice_loss(logits, wanted, skip_empty=True, where=where)
        if self.name == "dice-bce":
            pixel = F.binary_cross_entropy_with_logits(logits, wanted, where)
            return dice, pixel / where.mean().clamp_min(1e-12)
        preset = "boundary" if self.name == "dice-mwl" else "authors-code-default"
        return dice, margin_weight_loss(logits, wanted, preset=preset, normalize=True, where=where)


def _rest(likelihoods: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Log-likelihood (b, 1, y, x) of the background, or of a class that nobody drew in the image: they look alike."""
    drawn = where.amax((2, 3), keepdim=True) > 0
    hidden = likelihoods[:, 1:].masked_fill(drawn, -torch.inf)
    return torch.cat([likelihoods[:, :1], hidden], 1).logsumexp(1, keepdim=True)
