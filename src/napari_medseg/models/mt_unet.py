"""MT-UNet: a U-Net whose deeper levels are mixed transformer blocks (Wang et al., ICASSP 2022)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import ModelError
from .typed import Modules

LEVELS = (1, 2, 3)  # token levels that can be built
_WINDOW = 4
_WINDOW_HEADS = 8
_MEMORY_HEADS = 32
_MEMORY = 64


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm and, unless switched off, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, relu: bool = True):
        super().__init__()
        padding = (kernel - 1) // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            x = self.norm(self.conv(x))
        else:
            x = F.conv2d(x, *self.folded(), self.conv.stride, self.conv.padding)
        return F.relu_(x) if self.relu else x

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the one convolution that equals convolution and norm outside training."""
        scale, shift = _scale_and_shift(self.norm)
        return scale[:, None, None, None] * self.conv.weight, shift


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, then a normalised 1x1 convolution added to what it read."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.first = ConvNormReLU(in_channels, out_channels, 3)
        self.second = ConvNormReLU(out_channels, out_channels, 3, relu=False)
        self.side = nn.Conv2d(out_channels, out_channels, 1)
        self.side_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        if self.training:
            x = self.second(x)
            return F.relu_(self.side_norm(self.side(x)) + x)
        # all that follows is linear: one 3x3 convolution
        weight, bias = self.second.folded()
        scale, shift = _scale_and_shift(self.side_norm)
        side = scale[:, None] * self.side.weight.flatten(1) + torch.eye(len(scale), device=x.device, dtype=x.dtype)
        bias = side @ bias + scale * self.side.get_parameter("bias") + shift
        return F.relu_(F.conv2d(x, (side @ weight.flatten(1)).view_as(weight), bias, padding=1))


class WindowAttention(nn.Module):
    """Attention of 8 heads inside each window of 16 tokens, shape (window, 16, d)."""

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = (
            layer(x).unflatten(2, (_WINDOW_HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        return self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


class WindowPool(nn.Module):
    """One token per window: the sum of its 16 tokens (..., 16, d) with weights that their mean decides."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, _WINDOW**2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = self.linear(x.mean(-2)).softmax(-1)
        return (weights.unsqueeze(-2) @ x).squeeze(-2)


class GaussianAxial(nn.Module):
    """Attention along rows and along columns, weaker with the squared distance.

    `bias` is the same for all keys and cancels in the softmax: it is left out and frozen, kept only for files.
    """

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.randn(1).abs())
        self.bias = nn.Parameter(-torch.randn(1).abs(), requires_grad=False)

    def forward(self, values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Sum of both attentions, (b, r, c, d), of values (b, r, c, d).

        Parameters
        ----------
        rows : torch.Tensor, shape (b, r, c, k)
            Scores of the keys k in the same row.
        columns : torch.Tensor, shape (b, c, r, k)
            Scores of the keys k in the same column.
        """
        along = self._weights(rows) @ values
        return along + (self._weights(columns) @ values.transpose(1, 2)).transpose(1, 2)

    def _weights(self, scores: torch.Tensor) -> torch.Tensor:
        place = torch.arange(scores.shape[-1], device=scores.device, dtype=scores.dtype)
        return (scores - self.shift * (place[:, None] - place).square()).softmax(-1)


class AxialAttention(nn.Module):
    """Unscaled attention of one head between pooled tokens (b, r, c, d); `out` has no effect in the published code."""

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.out.requires_grad_(False)
        self.gaussian = GaussianAxial()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key = self.query(x), self.key(x)
        columns = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)
        return self.gaussian(self.value(x), query @ key.transpose(2, 3), columns)


class LocalGlobalAttention(nn.Module):
    """Window attention joined with axial attention between windows, for token maps (b, y, x, d).

    The published code mixes the two by a 1x1 convolution after upsampling the axial part. Upsampling is linear and
    acts per channel, so here that half of the convolution comes first, on the coarse grid.
    """

    def __init__(self, width: int):
        super().__init__()
        self.window = WindowAttention(width)
        self.pool = WindowPool(width)
        self.axial = AxialAttention(width)
        self.mix = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[1:3]
        windows = _split(_pad(x))
        grid = windows.shape[1:3]
        local = self.window(windows.flatten(0, 2)).unflatten(0, windows.shape[:3])
        axial = self.axial(self.pool(local))
        from_axial, from_local = self.mix.weight.flatten(1).chunk(2, 1)
        coarse = F.linear(axial, from_axial, self.mix.bias).permute(0, 3, 1, 2)
        size = [_WINDOW * side for side in grid]
        fine = F.interpolate(coarse, size, mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
        return fine[:, :height, :width] + F.linear(_join(local)[:, :height, :width], from_local)


class ExternalAttention(nn.Module):
    """Attention of 32 heads to 64 learned memory slots, shared by all heads, for tokens (b, n, d).

    The scores are normalised over the tokens first and then over the slots.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, 4 * width)
        self.to_memory = nn.Linear(width // 8, _MEMORY)
        self.from_memory = nn.Linear(_MEMORY, width // 8)
        self.out = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.to_memory(self.query(x).unflatten(2, (_MEMORY_HEADS, -1))).softmax(1)
        scores = scores / (1e-9 + scores.sum(-1, keepdim=True))
        return self.out(self.from_memory(scores).flatten(2))


class MixedBlock(nn.Module):
    """Mixed transformer block for maps (b, d, y, x): local-global attention, then external attention."""

    def __init__(self, width: int):
        super().__init__()
        self.local_norm, self.external_norm = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.local = LocalGlobalAttention(width)
        self.external = ExternalAttention(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.permute(0, 2, 3, 1)
        tokens = tokens + self.local(self.local_norm(tokens))
        flat = tokens.flatten(1, 2)
        return (flat + self.external(self.external_norm(flat))).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class Stem(nn.Module):
    """Three double convolutions, at full, half and quarter size, and at an eighth the first tokens."""

    def __init__(self, in_channels: int, width: int, tokens: int):
        super().__init__()
        sizes = (in_channels, width, 2 * width, 4 * width)
        self.blocks = nn.ModuleList(DoubleConv(a, b) for a, b in pairwise(sizes))
        self.project = ConvNormReLU(4 * width, 4 * width, 1)
        self.position_embedding = nn.Parameter(torch.zeros(1, tokens**2, 4 * width))
        self.tokens = tokens

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Token map (b, 4 w, y / 8, x / 8), and the maps of the three blocks."""
        skips = []
        for block in self.blocks:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.project(x)
        return x + self._positions(x.shape[2:]), skips

    def _positions(self, grid: torch.Size) -> torch.Tensor:
        table = self.position_embedding.unflatten(1, (self.tokens, self.tokens)).permute(0, 3, 1, 2)
        if grid == table.shape[2:]:
            return table
        return F.interpolate(table, grid, mode="bicubic", align_corners=False)


class MTUNet(nn.Module):
    """MT-UNet, for images whose height and width are multiples of ``8 * 2**levels`` (published: 32).

    Parameters
    ----------
    in_channels : int
        Channels of the input image; the published network repeats a grey image three times, and so does this one.
    out_channels : int
        Maps at the size of the image: logits with the background first, or features for `LSTMSA`.
    width : int
        Channels of the first stage, even; published 64. Every other width follows from it.
    levels : int
        Token levels above the bottleneck, 1 to 3; published 2.
    tokens : int
        Side of the trained grid of positions; published 28, which is a 224 x 224 image.

    Raises
    ------
    ModelError
        If a size is out of its range, or (in `forward`) an image is not a multiple of the step.

    Notes
    -----
    Departures from the published code, which takes only square images of one size: positions are interpolated
    (bicubic) to the grid at hand; a token map that is not a multiple of 4 is padded per axis by the published rule
    (zeros, but for a copy of the map's last corner in the last corner of the padding). Two parameters per block without
    effect are frozen. Outside training, batch norms and the shortcut of a double convolution are folded into its
    convolutions, equal up to rounding. `width` and `levels` are ours; ``levels=2, width=64`` is the published network.

    References
    ----------
    Wang et al., Mixed Transformer U-Net for Medical Image Segmentation, ICASSP 2022; arXiv 2111.04734.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 4, width: int = 64, levels: int = 2, tokens: int = 28):
        super().__init__()
        if width < 2 or width % 2 or levels not in LEVELS or tokens < 1:
            raise ModelError(
                f"width is {width}, levels {levels}, tokens {tokens}; "
                "expected an even width, 1 to 3 levels and at least one token."
            )
        self.in_channels = in_channels
        sizes = [4 * width * 2**level for level in range(levels + 1)]
        self.stem = Stem(in_channels, width, tokens)
        self.downs = Modules(
            nn.Sequential(MixedBlock(small), MixedBlock(small), ConvNormReLU(small, 2 * small, 2, stride=2))
            for small in sizes[:-1]
        )
        self.bottleneck = nn.Sequential(MixedBlock(sizes[-1]), MixedBlock(sizes[-1]))
        self.ups = Modules(_up(large, last=large == sizes[1]) for large in sizes[:0:-1])
        outer = (8 * width, 4 * width, 2 * width, width)
        self.growths = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairwise(outer))
        self.merges = nn.ModuleList(DoubleConv(a, b) for a, b in pairwise(outer))
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (b, out_channels, y, x) of images (b, in_channels, y, x), or of grey images (b, 1, y, x)."""
        x, skips = self.stem(self._prepared(x))
        deep = []
        for *blocks, shrink in self.downs:
            for block in blocks:
                x = block(x)
            deep.append(x)
            x = shrink(x)
        x = self.bottleneck(x)
        for (grow, *rest), skip in zip(self.ups, reversed(deep), strict=True):
            x = torch.cat([grow(x), skip], 1)
            for layer in rest:
                x = layer(x)
        for grow, merge, skip in zip(self.growths, self.merges, reversed(skips), strict=True):
            x = merge(torch.cat([skip, grow(x)], 1))
        return self.head(x)

    def _prepared(self, x: torch.Tensor) -> torch.Tensor:
        step = 8 * 2 ** len(self.downs)
        if any(side % step for side in x.shape[2:]):
            raise ModelError(f"The image is {tuple(x.shape[2:])}; expected multiples of {step}. Pad it first.")
        if x.shape[1] == 1:
            x = x.expand(-1, self.in_channels, -1, -1)
        return x.contiguous(memory_format=torch.channels_last)  # maps and tokens then lie in the same order


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    scale = norm.weight * (norm.get_buffer("running_var") + norm.eps).rsqrt()
    return scale, norm.bias - norm.get_buffer("running_mean") * scale


def _up(large: int, *, last: bool) -> nn.Sequential:
    """Layers of one level of the decoder: growth, after which the skip is joined, and what follows."""
    grow = nn.ConvTranspose2d(large, large // 2, 2, 2)
    if last:  # the published network keeps the joined width here
        return nn.Sequential(grow, MixedBlock(large), MixedBlock(large))
    return nn.Sequential(grow, nn.Conv2d(large, large // 2, 1), MixedBlock(large // 2), MixedBlock(large // 2))


def _pad(x: torch.Tensor) -> torch.Tensor:
    """Zeros below and right of (b, y, x, d) up to whole windows; the last corner repeats the map's own."""
    bottom, right = (-side % _WINDOW for side in x.shape[1:3])
    if not bottom and not right:
        return x
    padded = F.pad(x, (0, 0, 0, right, 0, bottom))
    if bottom and right:
        padded[:, -bottom:, -right:] = x[:, -bottom:, -right:]
    return padded


def _split(x: torch.Tensor) -> torch.Tensor:
    """Windows (b, rows, columns, 16, d) of (b, y, x, d)."""
    tiles = x.unflatten(2, (-1, _WINDOW)).unflatten(1, (-1, _WINDOW))
    return tiles.transpose(2, 3).flatten(3, 4)


def _join(windows: torch.Tensor) -> torch.Tensor:
    """Inverse of `_split`."""
    return windows.unflatten(3, (_WINDOW, _WINDOW)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
