"""Self-embedding Representation Parallel (SeRP): a second training branch that makes LiteNeXt's encoder robust."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from ..models.litenext import LiteNeXt


class SelfEmbedding(nn.Module):
    """Teacher encoder and student projector; both exist during training only.

    The network's encoder (the student) sees one view of an image, a slowly following copy of it (the teacher) a
    weaker one; the loss asks for the same direction of both embeddings.

    Parameters
    ----------
    network : LiteNeXt
        The network to be trained, before its first step.
    decay : float
        How much of itself the teacher keeps in every step.

    Notes
    -----
    The paper's authors published no code for it: size of the projector, pooling, decay and the one-sided cosine loss
    follow a public re-implementation. The teacher has no projector of its own, as there.

    References
    ----------
    Tran et al., LiteNeXt, arXiv 2405.15779; Grill et al., Bootstrap Your Own Latent, NeurIPS 2020.
    """

    def __init__(self, network: LiteNeXt, decay: float = 0.99):
        super().__init__()
        self.decay = decay
        self.teacher = copy.deepcopy(network).requires_grad_(False)
        channels = network.bottleneck.first.conv.in_channels
        self.projector = nn.Sequential(nn.Linear(channels, 1024), nn.GELU(), nn.Linear(1024, channels))

    def forward(self, student: torch.Tensor, weak: torch.Tensor) -> torch.Tensor:
        """Mean of one minus the cosine between the two embeddings, 0 to 2.

        Parameters
        ----------
        student : torch.Tensor, shape (b, c, y, x)
            Deepest feature map of the network being trained.
        weak : torch.Tensor, shape (b, 3, y, x)
            Weakly changed views of the same images; they need not lie on the same grid.
        """
        target = pool(self.teacher.encode(weak)[-1])  # frozen: no gradient flows here
        return (1 - F.cosine_similarity(self.projector(pool(student)), target, eps=1e-8)).mean()

    @torch.no_grad()
    def follow(self, network: LiteNeXt) -> None:
        """Move the teacher towards `network`, after each of its steps."""
        for mean, now in zip(self.teacher.parameters(), network.parameters(), strict=True):
            mean.lerp_(now, 1 - self.decay)


def pool(features: torch.Tensor) -> torch.Tensor:
    """Sum of the global mean and maximum of features (b, c, y, x), as (b, c)."""
    return features.mean((2, 3)) + features.amax((2, 3))
