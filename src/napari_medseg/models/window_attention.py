"""Attention within windows of tokens: of all tokens to all, and of all to the few that a router chose."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .routers import Router, Routing, score, select, take

WINDOW = 8  # tokens along a side of a window
SHIFT = WINDOW // 2


class ShiftMask(NamedTuple):
    """Pairs of tokens that may not attend to each other in the windows of a shifted grid.

    `forbidden`, (windows, 64, 64), is symmetric. `dead`, (windows, 64, 1), marks the rows with no allowed key; None
    where there are none.
    """

    forbidden: torch.Tensor
    dead: torch.Tensor | None


@lru_cache(maxsize=32)
def shift_mask(rows: int, columns: int, mode: str, device: torch.device) -> ShiftMask:
    """Mask of a token grid (rows, columns) rolled by half a window.

    Windows at the end hold tokens from both ends of the grid, and only neighbours may attend to each other. The
    published code (mode `reference`) forbids the opposite: pairs within a region. In most windows nothing is left
    then, and attention is the plain mean of the values.
    """
    with torch.inference_mode(False):  # the cached tensors serve training too
        bands = [(torch.arange(n) >= n - WINDOW).int() + (torch.arange(n) >= n - SHIFT).int() for n in (rows, columns)]
        regions = to_windows((3 * bands[0][:, None] + bands[1])[None, ..., None])[..., 0]
        forbidden = (regions[:, :, None] != regions[:, None]) ^ (mode == "reference")
        dead = forbidden.all(-1, keepdim=True)
        return ShiftMask(forbidden.to(device), dead.to(device) if dead.any() else None)


def relative_index(mode: str) -> torch.Tensor:
    """Row of the bias table for each pair (query, key), (4096,).

    The published code (mode `reference`) steps by 7 rows instead of 15, so that several offsets share an entry.
    """
    row, column = (torch.cartesian_prod(torch.arange(WINDOW), torch.arange(WINDOW))).T
    offsets = [place[:, None] - place + WINDOW - 1 for place in (row, column)]
    step = 2 * WINDOW - 1 if mode == "corrected" else WINDOW - 1
    return (step * offsets[0] + offsets[1]).flatten()


def to_windows(grid: torch.Tensor) -> torch.Tensor:
    """Tokens (b * windows, 64, d) of `grid` (b, y, x, d), windows and tokens row by row."""
    b, y, x, d = grid.shape
    return grid.view(b, y // WINDOW, WINDOW, x // WINDOW, WINDOW, d).transpose(2, 3).reshape(-1, WINDOW**2, d)


def from_windows(windows: torch.Tensor, grid: torch.Size) -> torch.Tensor:
    """Inverse of `to_windows` for a grid of shape (b, y, x, d)."""
    b, y, x, d = grid
    return windows.view(b, y // WINDOW, x // WINDOW, WINDOW, WINDOW, d).transpose(2, 3).reshape(b, y, x, d)


class WindowAttention(nn.Module):
    """Attention of all tokens of a window to all, with a learned bias per offset and head."""

    index: torch.Tensor

    def __init__(self, width: int, heads: int, routing: Routing, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.relative_position_table = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        self.register_buffer("index", relative_index(routing.mode), persistent=False)

    def forward(self, windows: torch.Tensor, mask: ShiftMask | None = None) -> torch.Tensor:
        """Attend within `windows` (b * windows, 64, d)."""
        tokens = windows.shape[1]
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_table.index_select(0, self.index).view(tokens, tokens, -1).permute(2, 0, 1)[None]
        if mask is not None:
            images = len(windows) // len(mask.forbidden)
            bias = torch.where(mask.forbidden[:, None], -math.inf, bias)
            if mask.dead is not None:  # all weights equal and no gradient, as after filling a row with one number
                bias = bias.masked_fill(mask.dead[:, None], 0)
                q = q * ~mask.dead.repeat(images, 1, 1)[:, None]
            bias = bias.expand(images, *bias.shape).flatten(0, 1)
        attended = F.scaled_dot_product_attention(q, k, v, bias, dropout_p=self.dropout if self.training else 0)
        return self.out(attended.transpose(1, 2).flatten(2))


class ConditionalAttention(nn.Module):
    """Light attention of all tokens, plus heavy attention to the routed tokens of each window.

    ``y = Light(x) + gate_q * Heavy(x)``. The heavy branch has twice the heads, and its keys and values are the seven
    tokens of the key-value router, scaled by their gates. Queries are gated, not selected, as published.
    """

    index: torch.Tensor

    def __init__(self, width: int, heads: int, routing: Routing, dropout: float):
        super().__init__()
        self.heads, self.dropout, self.routing = heads, dropout, routing
        self.light = WindowAttention(width, heads // 2, routing, dropout)
        self.query_router = Router(width)
        self.key_value_router = Router(width)
        self.heavy_query = nn.Linear(width, width)
        self.heavy_key_value = nn.Linear(width, 2 * width)
        self.relative_position_table = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        self.register_buffer("index", relative_index(routing.mode), persistent=False)

    def route(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Gates of all queries (b, 64), gates (b, 7) and places (b, 7) of the keys, of `windows` (b, 64, d)."""
        scores = score(windows, self.query_router, self.key_value_router)
        query_gates, key_gates = self.routing.gates(scores)
        places = select(scores[1])
        return query_gates, key_gates.gather(1, places), places

    def forward(self, windows: torch.Tensor, mask: ShiftMask | None = None) -> torch.Tensor:
        """Attend within `windows` (b * windows, 64, d)."""
        query_gates, key_gates, places = self.route(windows)
        chosen = take(windows, places) * key_gates[..., None].to(windows.dtype)
        k, v = self.heavy_key_value(chosen).unflatten(-1, (2, self.heads, -1)).unbind(2)
        logits = self._logits(windows, k) + self._bias(places)
        if mask is not None:
            logits = logits.masked_fill(self._forbidden(mask, places), torch.finfo(logits.dtype).min)
        weights = F.dropout(logits.softmax(1), self.dropout, self.training) * query_gates[:, None, None]
        return self.light(windows, mask).baddbmm_(weights.to(v.dtype).flatten(1, 2).mT, self._spread(v))

    def _logits(self, windows: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Logits (b, 7, heads, 64) of keys (b, 7, heads, c).

        The few keys go through the transposed query projection instead of all tokens through the projection: equal,
        since ``k (W x + c) = (W' k) x + k c``, and a third of the work.
        """
        k = k * k.shape[-1] ** -0.5
        weight = self.heavy_query.weight.unflatten(0, (self.heads, -1))
        keys = torch.einsum("bkhc,hcd->bkhd", k, weight).flatten(1, 2)
        offset = (k * self.heavy_query.bias.view(self.heads, -1)).sum(-1)
        return (keys @ windows.mT).unflatten(1, offset.shape[1:]) + offset[..., None]

    def _bias(self, places: torch.Tensor) -> torch.Tensor:
        """Bias (b, 7, heads, 64) of the routed keys, that of their places in the window."""
        by_key = (
            self.relative_position_table.index_select(0, self.index).view(WINDOW**2, WINDOW**2, -1).permute(1, 2, 0)
        )
        return by_key.flatten(1).index_select(0, places.flatten()).view(*places.shape, self.heads, -1)

    @staticmethod
    def _forbidden(mask: ShiftMask, places: torch.Tensor) -> torch.Tensor:
        """Forbidden pairs (b, 7, 1, 64) of the routed keys."""
        windows, tokens, _ = mask.forbidden.shape
        begin = tokens * torch.arange(len(places), device=places.device).remainder(windows)
        rows = mask.forbidden.flatten(0, 1).index_select(0, (begin[:, None] + places).flatten())
        return rows.view(*places.shape, 1, tokens)

    def _spread(self, v: torch.Tensor) -> torch.Tensor:
        """Matrix (b, 7 * heads, d) of values (b, 7, heads, c), zero outside a head: one product serves all heads."""
        own = torch.eye(self.heads, dtype=v.dtype, device=v.device)[..., None]
        return (v[:, :, :, None] * own).flatten(3).flatten(1, 2)
