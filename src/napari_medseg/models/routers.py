"""Routers: they score tokens with one learned vector, gate them, and choose the few that get heavy computation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import ModelError

ROUTED = 7  # tokens per window or image that the heavy branches see; fixed in the published code


@dataclass(frozen=True)
class Routing:
    """How scores become gates, and whether the published defects are kept.

    Parameters
    ----------
    router : {"iterative", "light"} or None
        None: no routers, the plain Swin network.
    mode : {"corrected", "reference"}
        `corrected` repairs the published code, `reference` computes what it computes.
    eps, eps_init, eps_decay, iters
        Iterative router: smoothing at the end, at the beginning, its factor per step, and the number of steps.
    solver : {"steps", "exact"}
        Iterative router: the published number of steps, or the fixed point that they approach.

    Raises
    ------
    ModelError
        If a value is outside of these.
    """

    router: str | None = None
    mode: str = "corrected"
    eps: float = 0.02
    eps_init: float = 4.0
    eps_decay: float = 0.7
    iters: int = 20
    solver: str = "steps"

    def __post_init__(self) -> None:
        choices = {
            "router": (None, "iterative", "light"),
            "mode": ("corrected", "reference"),
            "solver": ("steps", "exact"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ModelError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(map(repr, allowed))}.")
        if not (self.eps > 0 and self.eps_init > 0 and 0 < self.eps_decay <= 1 and self.iters >= 1):
            raise ModelError(
                f"The routers' eps is {self.eps}, eps_init {self.eps_init}, eps_decay {self.eps_decay} and iters "
                f"{self.iters}; expected positive eps and eps_init, a decay in (0, 1] and at least one step."
            )

    def log_total(self, count: int) -> float:
        """Logarithm of the sum that the gates aim at: ln k; the published code takes the square root of k."""
        return math.log(count) if self.mode == "corrected" else math.sqrt(count)

    def gates(self, scores: torch.Tensor) -> torch.Tensor:
        """Gates in [0, 1] of tokens with `scores` (..., n), which compete along the last axis."""
        if self.router == "light":
            return scores.softmax(-1)
        log_total = self.log_total(min(ROUTED, scores.shape[-1]))
        if self.solver == "exact":
            return exact_gates(scores, log_total, self.eps)
        return iterative_gates(scores, log_total, self)


class Router(nn.Module):
    """One router; `Routing.gates` turns its scores into gates.

    The published code selects among the gates. In the iterative router more of them are tied at 1 than it selects, so
    that the library's sorting decides. Gates never fall as scores rise: `select` takes the highest scores instead.

    Parameters
    ----------
    width : int
        Channels of a token.
    """

    def __init__(self, width: int):
        super().__init__()
        self.routing_embeddings = nn.Parameter(torch.randn(width))


def score(tokens: torch.Tensor, *routers: Router) -> torch.Tensor:
    """Scores (routers, ..., n) of `tokens` (..., n, d), never below single precision: gates divide them by eps."""
    with torch.autocast(tokens.device.type, enabled=False):
        dtype = torch.promote_types(tokens.dtype, torch.float32)
        vectors = torch.stack([router.routing_embeddings for router in routers])
        return F.linear(tokens.to(dtype), vectors.to(dtype)).movedim(-1, 0)


def select(scores: torch.Tensor) -> torch.Tensor:
    """Places (..., k) of the routed tokens, highest score first, of `scores` (..., n)."""
    return scores.topk(min(ROUTED, scores.shape[-1]), dim=-1).indices


def take(tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Tokens (b, k, d) at `places` (b, k) of `tokens` (b, n, d)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))


def iterative_gates(scores: torch.Tensor, log_total: float, routing: Routing) -> torch.Tensor:
    """Soft top-k of `scores` (..., n) by dual coordinate descent with a shrinking smoothing.

    Per step ``a = e (K - logsumexp((s + b) / e))`` and ``b = -max(s + a, 0)``, at the end ``p = exp((s + a + b) / e)``.
    Since ``s + b = min(s, -a)`` and ``s + a + b = min(s + a, 0)``, `b` needs no tensor of its own and a saturated gate
    is exactly 1.

    References
    ----------
    Lei et al., Conditional adapters (CoDA), NeurIPS 2023; Ainslie et al., CoLT5, EMNLP 2023.
    """
    eps = max(routing.eps_init, routing.eps)
    # b begins at -s: the first sum runs over n zeros
    shift = scores.new_full((*scores.shape[:-1], 1), eps * (log_total - math.log(scores.shape[-1])))
    for _ in range(routing.iters - 1):
        eps = max(eps * routing.eps_decay, routing.eps)
        shift = eps * (log_total - torch.logsumexp(torch.minimum(scores, -shift) / eps, -1, keepdim=True))
    eps = max(eps * routing.eps_decay, routing.eps)
    return ((scores + shift).clamp(max=0) / eps).exp()


def exact_gates(scores: torch.Tensor, log_total: float, eps: float) -> torch.Tensor:
    """Fixed point that `iterative_gates` approaches: ``min(1, exp((s - t) / eps))`` with the sum ``exp(log_total)``.

    With `j` gates saturated the threshold follows from the others in closed form; the smallest `j` whose threshold
    lies above all of the others is the one.
    """
    total, scaled = math.exp(log_total), scores / eps
    candidates = min(math.ceil(total - 1e-9), scores.shape[-1])
    top = scaled.topk(candidates, dim=-1)
    rest = scaled.scatter(-1, top.indices, -math.inf).logsumexp(-1, keepdim=True)
    without = torch.cat([rest, top.values.flip(-1)], -1).logcumsumexp(-1)[..., 1:].flip(-1)
    saturated = torch.arange(candidates, dtype=scores.dtype, device=scores.device)
    thresholds = without - (total - saturated).log()
    first = (thresholds >= top.values).int().argmax(-1, keepdim=True)
    return (scaled - thresholds.gather(-1, first)).clamp(max=0).exp()
