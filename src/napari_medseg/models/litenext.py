"""LiteNeXt: a small two-dimensional segmentation network (Tran et al., arXiv 2405.15779)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import ModelError
from .typed import Modules

_BLOCK = 2048  # pixels


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel, for (b, c, y, x)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNormGELU(nn.Module):
    """Convolution, channel norm, exact GELU: the paper's CLG block."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1, dilation: int = 1
    ):
        super().__init__()
        padding = dilation * (kernel - 1) // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation=dilation, groups=groups)
        self.norm = ChannelNorm(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.norm(self.conv(x)))


class LGEMixer(nn.Module):
    """Local mixer, far mixer and channel mixer of one encoder stage."""

    def __init__(self, channels: int, kernel: int, dilation: int = 1):
        super().__init__()
        self.local = ConvNormGELU(channels, channels, 3)
        self.far = ConvNormGELU(channels, channels, kernel, groups=channels, dilation=dilation)
        self.mix = ConvNormGELU(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        local = self.local(x)
        return self.mix(self.far(local) + local + x)


class ResidualBlock(nn.Module):
    """Two CLG blocks with a skip connection."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvNormGELU(channels, channels, 3)
        self.second = ConvNormGELU(channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) + x


class Node(nn.Module):
    """One input of the fusion: a value map and a key vector, both `width` channels."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.value = ConvNormGELU(channels, width, 1)
        self.key = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GELU(), nn.Conv2d(channels, width, 1))

    def pooled_key(self, x: torch.Tensor) -> torch.Tensor:
        """Key of feature map `x`, shape (b, width)."""
        pooled = x.mean((2, 3), keepdim=True) + F.adaptive_max_pool2d(x, 1)
        return self.key(pooled).flatten(1)

    def mixed_value(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Value map of `x` through a 1x1 convolution: one matrix, (o, width), or one per image, (b, o, width).

        Without gradients a CPU computes it in blocks of pixels: a whole map of `width` channels leaves the cache.
        """
        weight = weight.transpose(-1, -2)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        whole = torch.is_grad_enabled() or x.device.type != "cpu"
        blocks = (pixels,) if whole else pixels.split(_BLOCK, 1)
        mixed = [self._value_of(block) @ weight for block in blocks]
        return torch.cat(mixed, 1).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)

    def _value_of(self, pixels: torch.Tensor) -> torch.Tensor:
        """Values (b, n, width) of pixels (b, n, c)."""
        conv, norm = self.value.conv, self.value.norm
        mapped = F.linear(pixels, conv.weight.flatten(1), conv.bias)
        return F.gelu(F.layer_norm(mapped, norm.normalized_shape, norm.weight, norm.bias, norm.eps))


class LiteNeXt(nn.Module):
    """LiteNeXt segmentation network, for images whose height and width are multiples of 16.

    Parameters
    ----------
    in_channels : int
        Channels of the input image; the paper uses 3.
    out_channels : int
        Logits per pixel: 1 (published, foreground against background) or one per class.
    channels : int
        Width of the first stage; the following stages double it.
    width : int
        Width of the fusion nodes.
    kernels : int or sequence of int
        Size of the depthwise kernel of the far mixer, one for all stages or one per stage (odd).
    dilation : int
        Dilation of the depthwise kernel; 1 in every published version.

    Raises
    ------
    ModelError
        If a kernel is even or their number is not four.

    Notes
    -----
    `forward` computes the published graph in an equal, faster order: bilinear upsampling is linear and acts per
    channel, so the 1x1 convolutions that follow it are applied first, on the coarse grid and on few channels.
    The gate's query is the same for all stages and cancels in the softmax over stages; `forward` leaves it out and its
    parameters are frozen (they are kept for files). `forward_as_published` follows the paper step by step.

    References
    ----------
    Tran et al., LiteNeXt, Biomedical Signal Processing and Control, 2025; arXiv 2405.15779.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        channels: int = 16,
        width: int = 128,
        kernels: int | Sequence[int] = 7,
        dilation: int = 1,
    ):
        super().__init__()
        if type(dilation) is not int or dilation < 1:
            raise ValueError(f"dilation is {dilation!r}; expected a whole number from 1")
        self.untold = {"dilation": dilation}
        kernels = (kernels,) * 4 if isinstance(kernels, int) else tuple(kernels)
        if len(kernels) != 4 or any(k < 1 or k % 2 == 0 for k in kernels):
            raise ModelError(f"The kernels are {kernels}; expected odd sizes, one for all stages or one for each of 4.")
        sizes = [channels * 2**stage for stage in range(4)]
        self.stem = ConvNormGELU(in_channels, channels, 2, stride=2)
        self.downs = nn.ModuleList(ConvNormGELU(small, 2 * small, 1) for small in sizes[:-1])
        self.mixers = nn.ModuleList(LGEMixer(c, k, dilation) for c, k in zip(sizes, kernels, strict=True))
        self.bottleneck = ResidualBlock(sizes[-1])
        self.nodes = Modules(Node(c, width) for c in sizes)
        self.query = Node(sizes[-1], width)
        self.gate = nn.Linear(2 * width, width)
        self.reduce = ConvNormGELU(2 * width, channels, 1)
        self.head = nn.Conv2d(channels, out_channels, 1)
        for parameter in (*self.query.key.parameters(), self.gate.bias):
            parameter.requires_grad_(False)  # no influence on the output, see Notes

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of the four stages, at 1/2, 1/4, 1/8 and 1/16 of the size of `x` (b, c, y, x)."""
        features = [self.mixers[0](self.stem(x))]
        for down, mixer in zip(self.downs, self.mixers[1:], strict=True):
            features.append(mixer(down(F.max_pool2d(features[-1], 2))))
        return features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (b, out_channels, y, x) of images (b, in_channels, y, x)."""
        return self.decode(self.encode(x.contiguous(memory_format=torch.channels_last)))

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Logits (b, out_channels, y, x) of the four feature maps that `encode` returns."""
        width = self.gate.out_features
        # The gate sees concat(key, query); without the query only its left half matters.
        scores = [
            F.linear(node.pooled_key(f), self.gate.weight[:, :width])
            for node, f in zip(self.nodes, features, strict=True)
        ]
        gates = torch.stack(scores, 1).softmax(1)  # over stages
        from_stages, from_decoder = self.reduce.conv.weight.flatten(1).split(width, 1)
        mixed = self.reduce.conv.get_parameter("bias").view(1, -1, 1, 1)
        for index, (node, f) in enumerate(zip(self.nodes, features, strict=True)):
            part = node.mixed_value(f, from_stages * gates[:, None, index])
            if index == len(features) - 1:
                part = part + self.query.mixed_value(self.bottleneck(f), from_decoder)
            mixed = mixed + _upsample(part, 2**index)
        logits = self.head(F.gelu(self.reduce.norm(mixed)))
        return _upsample(logits, 2)

    def forward_as_published(self, x: torch.Tensor) -> torch.Tensor:
        """Same logits in the published order of operations, for tests and benchmarks."""
        features = self.encode(x)
        decoded = self.bottleneck(features[-1])
        query = self.query.pooled_key(decoded)
        values, scores = [], []
        for index, (node, f) in enumerate(zip(self.nodes, features, strict=True)):
            values.append(_upsample(node.value(f), 2**index))
            scores.append(self.gate(torch.cat([node.pooled_key(f), query], 1)))
        gates = torch.stack(scores, 1).softmax(1)
        fused = (torch.stack(values, 1) * gates[..., None, None]).sum(1)
        fused = torch.cat([fused, _upsample(self.query.value(decoded), 8)], 1)
        return self.head(_upsample(self.reduce(fused), 2))


def _upsample(x: torch.Tensor, scale: int) -> torch.Tensor:
    if scale == 1:
        return x
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
