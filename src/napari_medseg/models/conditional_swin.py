"""Swin U-Net and its conditional form, where routers send few tokens through heavy branches."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import ModelError
from .routers import Router, Routing, score, select, take
from .typed import require
from .window_attention import SHIFT, WINDOW, ConditionalAttention, WindowAttention, from_windows, shift_mask, to_windows

WIDTH = 128  # channels of a token at the finest level, as published
PATCH = 4  # pixels along a side of a token
HEAD_WIDTH = 32  # channels of a head
HIDDEN = 256  # of the plain feed-forward network, at every level
MOST_LEVELS = 4
TOKENS = 1024  # that the last layer expands at a time


def feed_forward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two linear layers with an exact GELU and dropout between them."""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))


class ConditionalFeedForward(nn.Module):
    """A light network for all tokens, plus a heavy one, scaled by their gates, for seven tokens of the image."""

    def __init__(self, width: int, routing: Routing, dropout: float):
        super().__init__()
        self.routing = routing
        self.router = Router(width)
        self.light = feed_forward(width, width, dropout)
        self.heavy = feed_forward(width, 4 * width, dropout)

    def route(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates and places, both (b, 7), of the routed tokens of `tokens` (b, n, d)."""
        scores = score(tokens, self.router)[0]
        places = select(scores)
        return self.routing.gates(scores).gather(1, places), places

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Transform each token of `grid` (b, y, x, d)."""
        tokens = grid.flatten(1, 2)
        gates, places = self.route(tokens)
        result = self.light(tokens)
        heavy = self.heavy(take(tokens, places)) * gates[..., None]
        places = places[..., None].expand(-1, -1, tokens.shape[-1])
        return result.scatter_add_(1, places, heavy.to(result.dtype)).view_as(grid)


class Block(nn.Module):
    """Window attention and feed-forward network, each behind a norm and added to its input."""

    def __init__(
        self, width: int, attention: nn.Module, feed_forward: nn.Module, mode: str, dropout: float, *, shifted: bool
    ):
        super().__init__()
        self.shifted = shifted
        self.mode = mode
        self.attention_norm = nn.LayerNorm(width)
        self.attention = attention
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = feed_forward
        self.drop = nn.Dropout(dropout)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Transform `grid` (b, y, x, d)."""
        grid = grid + self.drop(self._attend(self.attention_norm(grid)))
        return grid + self.drop(self.feed_forward(self.feed_forward_norm(grid)))

    def _attend(self, grid: torch.Tensor) -> torch.Tensor:
        mask = shift_mask(*grid.shape[1:3], self.mode, grid.device) if self.shifted else None
        return self._unshift(from_windows(self.attention(to_windows(self._shift(grid)), mask), grid.shape))

    def _shift(self, grid: torch.Tensor) -> torch.Tensor:
        return grid.roll((-SHIFT, -SHIFT), (1, 2)) if self.shifted else grid

    def _unshift(self, grid: torch.Tensor) -> torch.Tensor:
        return grid.roll((SHIFT, SHIFT), (1, 2)) if self.shifted else grid


class ConditionalBlock(Block):
    """A block whose attention and feed-forward network have routers."""

    attention: ConditionalAttention
    feed_forward: ConditionalFeedForward

    def gates(self, grid: torch.Tensor) -> dict[str, torch.Tensor]:
        """Gates (b, y, x) of the three routers on `grid` (b, y, x, d), 0 for unrouted tokens."""
        queries, keys, places = self.attention.route(to_windows(self._shift(self.attention_norm(grid))))
        keys = torch.zeros_like(queries).scatter(1, places, keys)
        by_window = from_windows(torch.stack([queries, keys], -1), torch.Size((*grid.shape[:3], 2)))
        maps = dict(zip(("query", "key_value"), self._unshift(by_window).unbind(-1), strict=True))
        attended = grid + self._attend(self.attention_norm(grid))
        tokens = self.feed_forward_norm(attended).flatten(1, 2)
        gates, places = self.feed_forward.route(tokens)
        routed = gates.new_zeros(tokens.shape[:2]).scatter(1, places, gates)
        return maps | {"feed_forward": routed.view(grid.shape[:3])}


def blocks(width: int, routing: Routing, dropout: float) -> nn.Sequential:
    """Two blocks, the second with shifted windows; the number of heads follows the width."""
    return nn.Sequential(*(_block(width, routing, dropout, shifted=shifted) for shifted in (False, True)))


def _block(width: int, routing: Routing, dropout: float, *, shifted: bool) -> Block:
    heads = width // HEAD_WIDTH
    if routing.router is None:
        attention = WindowAttention(width, heads, routing, dropout)
        plain = feed_forward(width, HIDDEN, dropout)
        return Block(width, attention, plain, routing.mode, dropout, shifted=shifted)
    routed = ConditionalAttention(width, heads, routing, dropout)
    conditional = ConditionalFeedForward(width, routing, dropout)
    return ConditionalBlock(width, routed, conditional, routing.mode, dropout, shifted=shifted)


class Embed(nn.Module):
    """One token per patch of 4 x 4 pixels."""

    def __init__(self, in_channels: int, width: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, PATCH, PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Tokens (b, y / 4, x / 4, width) of `images` (b, c, y, x)."""
        return self.norm(self.conv(images).permute(0, 2, 3, 1))


class Merge(nn.Module):
    """Half the grid, twice the width: the four tokens of each 2 x 2 cell, column by column, become one."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Tokens (b, y / 2, x / 2, 2 d) of `grid` (b, y, x, d)."""
        b, y, x, d = grid.shape
        cells = grid.view(b, y // 2, 2, x // 2, 2, d).permute(0, 1, 3, 4, 2, 5)
        return self.reduce(self.norm(cells.flatten(3)))


class Expand(nn.Module):
    """A finer grid: each token becomes a cell of ``scale x scale`` tokens of width `out`."""

    def __init__(self, width: int, scale: int, out: int):
        super().__init__()
        self.scale = scale
        self.linear = nn.Linear(width, scale**2 * out, bias=False)
        self.norm = nn.LayerNorm(out)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Tokens (b, scale y, scale x, out) of `grid` (b, y, x, d)."""
        return self.norm(self._place(self.linear(grid)))

    def logits(self, grid: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Maps (b, c, scale y, scale x): 1 x 1 convolution, `weight` (c, out), of what `forward` returns.

        Only few maps leave, so the norm and the placing are left to them: with `linear` centred, the norm is a
        division by the length of each token, and that commutes with the convolution.
        """
        norm, out = self.norm, len(self.norm.weight)
        centred = self.linear.weight.view(-1, out, grid.shape[-1])
        centred = (centred - centred.mean(1, keepdim=True)).flatten(0, 1)
        weight, offset = weight * norm.weight, weight @ norm.bias

        def project(tokens: torch.Tensor) -> torch.Tensor:
            cells = F.linear(tokens, centred).unflatten(-1, (-1, out))
            variance = torch.linalg.vector_norm(cells, dim=-1, keepdim=True).square() / out
            return F.linear(cells, weight) * (variance + norm.eps).rsqrt() + offset

        # few tokens at a time: the cells of all of them do not fit into a processor's cache
        parts = [project(part) for part in grid.flatten(0, 2).split(TOKENS)]
        return self._place(torch.cat(parts).view(*grid.shape[:3], -1)).permute(0, 3, 1, 2).contiguous()

    def _place(self, cells: torch.Tensor) -> torch.Tensor:
        """Lay cells (b, y, x, scale * scale * c), row by row, out on the finer grid (b, scale y, scale x, c)."""
        cells = cells.unflatten(-1, (self.scale, self.scale, -1)).transpose(2, 3)
        return cells.flatten(1, 2).flatten(2, 3)


class EncoderLevel(nn.Module):
    """Two blocks, then half the grid."""

    def __init__(self, width: int, routing: Routing, dropout: float):
        super().__init__()
        self.blocks = blocks(width, routing, dropout)
        self.merge = Merge(width)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        return self.merge(self.blocks(grid))


class DecoderLevel(nn.Module):
    """Joins what the encoder had at this grid, two blocks, then twice the grid but at the last level."""

    def __init__(self, width: int, routing: Routing, dropout: float, *, last: bool):
        super().__init__()
        self.join = nn.Linear(2 * width, width)
        self.blocks = blocks(width, routing, dropout)
        self.expand = nn.Identity() if last else Expand(width, 2, width // 2)

    def forward(self, grid: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.expand(self.blocks(self.join(torch.cat([grid, skip], -1))))


class ConditionalSwinUNet(nn.Module):
    """Swin U-Net, plain or with routers, for images whose height and width are multiples of ``32 * 2**levels``.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the image and maps of the result: logits of all classes with the background first, or an image.
    levels : int
        Levels of the encoder and of the decoder, the bottleneck not counted: 1 or 2 in the published networks.
    router : {"iterative", "light"} or None
        How scores become gates in the conditional network; None: the plain network. The files of both kinds of
        routers have the same keys and shapes: nothing in a file distinguishes them.
    mode : {"corrected", "reference"}
        See Notes.
    dropout : float
        Of the attention, the feed-forward networks and both branches of a block.
    eps, eps_init, eps_decay, iters, solver
        Of the iterative router, see `Routing`.
    router_scale : float
        Standard deviation of the routers' vectors before training; published 1. Then nearly all of the gates goes to
        one token of a window, and training begins slowly; 0.1 begins as fast as the plain network.
    width : int
        Channels of a token at the finest level; published 128.

    Raises
    ------
    ModelError
        If an option or, in `forward`, the size of the image is not among these.

    Notes
    -----
    Written from the author's description and public code. Mode `reference` computes what that code computes, defects
    included; `corrected` repairs them: the mask of shifted windows forbids pairs across regions (the code: within),
    every offset has its own entry in the bias table (several share one), and the iterative gates aim at a sum of seven
    (at ``exp(sqrt(7))`` = 14). Parameters are the same. In both modes the tokens with the highest scores are routed;
    the code's choice among equal gates is arbitrary.

    Computed in an equal but cheaper order: heavy queries (`ConditionalAttention`) and the last layer (`Expand.logits`).
    The constants of the published files (index and mask) are computed, not stored.

    Seven tokens of the whole image reach the heavy feed-forward networks, so results depend on the size of the image:
    use the size of training. There is no activation at the end; clamp a reconstruction to [0, 1].

    References
    ----------
    Liu et al., Swin Transformer, ICCV 2021; Cao et al., Swin-Unet, ECCV workshops 2022; Ainslie et al., CoLT5,
    EMNLP 2023.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        levels: int = 1,
        router: str | None = None,
        mode: str = "corrected",
        dropout: float = 0.2,
        eps: float = 0.02,
        eps_init: float = 4.0,
        eps_decay: float = 0.7,
        iters: int = 20,
        solver: str = "steps",
        router_scale: float = 1.0,
        width: int = WIDTH,
    ):
        super().__init__()
        if width < 2 * HEAD_WIDTH or width % (2 * HEAD_WIDTH):
            raise ModelError(f"The width of the network is {width}; expected a multiple of {2 * HEAD_WIDTH}.")
        if not 1 <= levels <= MOST_LEVELS:
            raise ModelError(f"The network has {levels} levels; expected 1 to {MOST_LEVELS}.")
        routing = Routing(router, mode, eps, eps_init, eps_decay, iters, solver)
        soft = {"eps": eps, "eps_init": eps_init, "eps_decay": eps_decay, "iters": iters, "solver": solver}
        self.untold = {"mode": mode, **(soft if router == "iterative" else {})}
        widths = [width * 2**level for level in range(levels)]
        self.embed = Embed(in_channels, width)
        self.encoder = nn.ModuleList(EncoderLevel(wide, routing, dropout) for wide in widths)
        self.bottleneck = blocks(2 * widths[-1], routing, dropout)
        self.bottleneck_norm = nn.LayerNorm(2 * widths[-1])
        self.decoder = nn.ModuleList(
            [
                Expand(2 * widths[-1], 2, widths[-1]),
                *(DecoderLevel(wide, routing, dropout, last=wide == width) for wide in reversed(widths)),
                Expand(width, PATCH, width),
            ]
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.head = nn.Conv2d(width, out_channels, 1, bias=False)
        self.step = PATCH * WINDOW * 2**levels
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, Router):
                    module.routing_embeddings.mul_(router_scale)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (b, out_channels, y, x) of `images` (b, in_channels, y, x)."""
        y, x = images.shape[2:]
        if y % self.step or x % self.step or not y * x:
            raise ModelError(
                f"The images have {y} x {x} pixels; expected a height and width that are multiples of "
                f"{self.step}. Pad or resize them first."
            )
        grid, skips = self.embed(images), []
        for level in self.encoder:
            skips.append(grid)
            grid = level(grid)
        first, *levels, last = self.decoder
        grid = first(self.bottleneck_norm(self.bottleneck(grid)))
        for level in levels:
            grid = level(grid, skips.pop())
        return require(last, Expand).logits(self.decoder_norm(grid), self.head.weight.flatten(1))

    @torch.no_grad()
    def router_maps(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Which tokens the routers gave heavy computation, at the size of the images.

        Parameters
        ----------
        images : torch.Tensor, shape (b, in_channels, y, x)
            As for `forward`; use evaluation mode.

        Returns
        -------
        dict of str to torch.Tensor, shape (b, y, x)
            Gates in [0, 1], one map per router: ``encoder.0.blocks.1.query`` and so on with ``key_value`` and
            ``feed_forward``, whose unrouted tokens are 0. Blocks at coarser grids have larger squares. Empty for
            the plain network.
        """
        maps: dict[str, torch.Tensor] = {}

        def keep(name: str, block: ConditionalBlock, grid: torch.Tensor) -> None:
            for router, gates in block.gates(grid).items():
                zoomed = F.interpolate(gates[:, None], images.shape[2:], mode="nearest")
                maps[f"{name}.{router}"] = zoomed[:, 0]

        watched = copy.deepcopy(self)  # hooks on this network would also hear what other threads do with it
        for name, block in watched.named_modules():
            if isinstance(block, ConditionalBlock):
                block.register_forward_pre_hook(lambda block, inputs, name=name: keep(name, block, *inputs))
        watched(images)
        return maps
