"""LSTM-SA: slices in context, fused by a recurrent net whose states attend to each other (Ji et al., IEEE TIP 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import ModelError
from .mt_unet import MTUNet
from .typed import Modules

Kind = Literal["gated", "states"]


class FeatureExtractor(Protocol):
    """Any network that turns images (b, c, y, x) into feature maps (b, width, y, x) of the same size."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor: ...


Gates = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Maps (b, hidden, y, x) of a cell's gates before their functions: input, forget, output, candidate."""
FirstGates = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor]
"""Those of the first step, which needs its forget gate only if it is the last too."""
Steps = tuple[FirstGates, Sequence[Gates]]
"""What a cell reads from a sequence: the gates of its first step and those of the others."""


class CellState(NamedTuple):
    """What a cell holds after a step, each (b, hidden, y, x): h, c and the gates f and g of the paper."""

    hidden: torch.Tensor
    memory: torch.Tensor
    forget: torch.Tensor | None
    candidate: torch.Tensor


class ConvLSTMCell(nn.Module):
    """Convolutional LSTM cell without peepholes.

    The convolution over input and hidden state is computed as two. So the input's part can be computed beforehand, and
    the first step, where hidden state and memory are zero, needs neither the other part nor the forget gate. Each gate
    is computed by itself: the memory of one is given out again at once, that of all four is fetched anew each time.
    """

    def __init__(self, in_channels: int, hidden: int, kernel: int):
        super().__init__()
        self.in_channels, self.hidden, self.kernel = in_channels, hidden, kernel
        self.conv = nn.Conv2d(in_channels + hidden, 4 * hidden, kernel, padding=kernel // 2)

    def read(self, sequence: Sequence[torch.Tensor]) -> Steps:
        """What a sequence of inputs (b, c, y, x) gives to the gates of each step."""
        first, *others = sequence
        begin = self._gates_from_zeros(first) if others else self.gates(first)
        return begin, [self.gates(x) for x in others]

    def gates(self, x: torch.Tensor) -> Gates:
        """What the input `x` (b, c, y, x) gives to the gates."""
        enter, forget, leave, candidate = (self._gate(x, place) for place in range(4))
        return enter, forget, leave, candidate

    def _gates_from_zeros(self, x: torch.Tensor) -> FirstGates:
        enter, leave, candidate = (self._gate(x, place) for place in (0, 2, 3))
        return enter, None, leave, candidate

    def _gate(self, x: torch.Tensor, place: int) -> torch.Tensor:
        own = slice(place * self.hidden, (place + 1) * self.hidden)
        weight = self.conv.weight[own, : self.in_channels]
        bias = self.conv.get_parameter("bias")[own]
        return F.conv2d(x, weight, bias, padding=self.kernel // 2)

    def run(self, steps: Steps) -> tuple[list[torch.Tensor], CellState]:
        """Hidden states (b, hidden, y, x) after each step, and all of the last state."""
        first, others = steps
        state = self.begin(first, last=not others)
        hidden = [state.hidden]
        for gates in others:
            state = self.step(gates, state)
            hidden.append(state.hidden)
        return hidden, state

    def begin(self, gates: FirstGates, *, last: bool) -> CellState:
        """State after the first step, where hidden state and memory are zero; see `FirstGates`."""
        enter, forget, leave, candidate = gates
        if forget is not None:
            forget = forget.sigmoid() if last else None
        candidate = candidate.tanh()
        memory = _times(enter.sigmoid(), candidate)
        return CellState(_times(memory.tanh(), leave.sigmoid()), memory, forget, candidate)

    def step(self, gates: Gates, state: CellState) -> CellState:
        """State after the step that follows `state`."""
        recurrent = self.conv.weight[:, self.in_channels :].split(self.hidden)
        padding = self.kernel // 2
        enter, forget, leave, candidate = (
            F.conv2d(state.hidden, weight, padding=padding).add_(gate)
            for weight, gate in zip(recurrent, gates, strict=True)
        )
        sigmoid, tanh = torch.sigmoid, torch.tanh
        if not torch.is_grad_enabled():  # nobody else holds these gates
            sigmoid, tanh = torch.sigmoid_, torch.tanh_
        forget = sigmoid(forget)
        candidate = tanh(candidate)
        memory = torch.addcmul(_times(enter.sigmoid(), candidate), forget, state.memory)
        return CellState(_times(memory.tanh(), sigmoid(leave)), memory, forget, candidate)


class ChannelAttention(nn.Module):
    """Attention between channels, each described by its pixels: ``softmax(Q K^T / sqrt(size)) V``.

    Parameters
    ----------
    channels : int
        Channels of all inputs.
    kind : {"gated", "states"}
        ``states`` takes query, key and value as they come; ``gated`` multiplies them with learned linear maps of the
        hidden state.
    size : int or "auto"
        The constant under the root; ``auto`` takes the number of pixels.
    """

    def __init__(self, channels: int, kind: Kind, size: int | Literal["auto"]):
        super().__init__()
        self.size = size
        self.gated = kind == "gated"
        if self.gated:
            self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))

    def forward(
        self, hidden: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attended channels (b, c, pixels) of four tensors of that shape."""
        weights, value = self.code(hidden, query, key, value)
        return weights @ value

    def code(
        self, hidden: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (b, c, c) and values (b, c, pixels), whose product are the attended channels."""
        if self.gated:
            query, key, value = (
                _times(F.conv1d(hidden, layer.weight[..., None], layer.bias), state)
                for layer, state in ((self.query, query), (self.key, key), (self.value, value))
            )
        size = query.shape[-1] if self.size == "auto" else self.size
        return (query @ key.transpose(1, 2) * size**-0.5).softmax(-1), value


class LSTMSABlock(nn.Module):
    """Convolutional LSTM over a sequence, whose last states attend to each other; fits behind any network.

    With the last step's h, c, f and g of the last layer: ``Q = (c + f) / 2``, ``K = (g + h) / 2``, ``V = h``; the kind
    ``gated`` multiplies each with a learned linear map of h. Channels then attend to channels (`ChannelAttention`).

    Parameters
    ----------
    in_channels : int
        Channels of the sequence.
    hidden_channels : sequence of int or None
        Hidden channels of each layer; a layer reads the hidden states of the one before. None is one layer of
        `in_channels`, as published.
    kernel_size : int
        Of the gates' convolution, odd.
    kind : {"states", "gated"}
        SA-LSTM or LSTM-SA of the paper.
    attention_size : int or "auto"
        The scale of the attention is one over its root. 7744 = 88 x 88, whatever the image size, belongs to the
        published weights; ``auto`` takes the number of pixels.

    Raises
    ------
    ModelError
        If an option is out of its range.

    References
    ----------
    Ji et al., Sparse Coding Inspired LSTM and Self-Attention Integration for Medical Image Segmentation, IEEE
    Transactions on Image Processing 33:6098, 2024.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int] | None = None,
        kernel_size: int = 5,
        kind: Kind = "states",
        attention_size: int | Literal["auto"] = 7744,
    ):
        super().__init__()
        hidden = (in_channels,) if hidden_channels is None else tuple(hidden_channels)
        size_fits = attention_size == "auto" or (isinstance(attention_size, int) and attention_size > 0)
        if not hidden or kernel_size % 2 == 0 or kind not in get_args(Kind) or not size_fits:
            raise ModelError(
                f"hidden_channels is {hidden}, kernel_size {kernel_size}, kind '{kind}', attention_size "
                f"{attention_size}; expected at least one layer, an odd kernel, one of {', '.join(get_args(Kind))} "
                "and a positive number or 'auto'."
            )
        self.cells = Modules(
            ConvLSTMCell(before, after, kernel_size)
            for before, after in zip((in_channels, *hidden), hidden, strict=False)
        )
        self.attention = ChannelAttention(hidden[-1], kind, attention_size)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        """Maps (b, hidden, y, x) for the last step of a sequence (b, t, c, y, x) of any length."""
        weights, values = self.recur(self.cells[0].read(sequence.unbind(1)))
        return (weights @ values).unflatten(2, sequence.shape[3:])

    def recur(self, steps: Steps) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and values of the attention from what the first cell read."""
        hidden, state = self.cells[0].run(steps)
        for cell in self.cells[1:]:
            hidden, state = cell.run(cell.read(hidden))
        if state.forget is None:
            raise ValueError("the only step has no forget gate; expected all four gates")
        query = (state.memory + state.forget).mul_(0.5)
        key = (state.candidate + state.hidden).mul_(0.5)
        return self.attention.code(*(x.flatten(2) for x in (state.hidden, query, key, state.hidden)))


class BidirectionalHead(nn.Module):
    """Two blocks that read a sequence of feature maps from both ends up to its centre, and a classifier.

    Parameters
    ----------
    forward_block, reverse_block : LSTMSABlock
        For the sequence up to the centre, and from its end back to the centre; of equal sizes.
    num_classes : int
        Logit maps.
    """

    def __init__(self, forward_block: LSTMSABlock, reverse_block: LSTMSABlock, num_classes: int):
        super().__init__()
        self.forward_block, self.reverse_block = forward_block, reverse_block
        hidden = sum(block.cells[-1].hidden for block in (forward_block, reverse_block))
        self.classes = nn.Conv2d(hidden, num_classes, 1)

    def forward(self, features: Sequence[torch.Tensor], centre: int) -> torch.Tensor:
        """Logits (b, num_classes, y, x) of the `centre` of a sequence of features (b, c, y, x).

        Equal to `fuse` of what `encode` makes of each, without the parts that this one centre does not need.
        """
        before = self.forward_block.cells[0].read(features[: centre + 1])
        after = self.reverse_block.cells[0].read(features[centre:][::-1])
        return self._joined(before, after)

    def encode(self, features: torch.Tensor) -> list[torch.Tensor]:
        """What `fuse` needs of the features of one image, whatever its place in the sequence: gates of both blocks."""
        blocks = (self.forward_block, self.reverse_block)
        return [gate for block in blocks for gate in block.cells[0].gates(features)]

    def fuse(self, encodings: Sequence[Sequence[torch.Tensor]], centre: int) -> torch.Tensor:
        """Logits (b, num_classes, y, x) of the `centre` of a sequence of what `encode` returned."""
        before, *others = [_gates(encoding[:4]) for encoding in encodings[: centre + 1]]
        after, *rest = [_gates(encoding[4:]) for encoding in encodings[centre:][::-1]]
        return self._joined((before, others), (after, rest))

    def _joined(self, before: Steps, after: Steps) -> torch.Tensor:
        # the classifier is linear: it is applied to the weights of the attention, before the values come in
        hidden = [block.cells[-1].hidden for block in (self.forward_block, self.reverse_block)]
        filters = self.classes.weight.flatten(1).split(hidden, 1)
        codes = self.forward_block.recur(before), self.reverse_block.recur(after)
        forward, reverse = (part @ weights @ values for part, (weights, values) in zip(filters, codes, strict=True))
        bias = self.classes.get_parameter("bias")[:, None]
        return (forward + reverse + bias).unflatten(2, before[0][0].shape[2:])


class LSTMSA(nn.Module):
    """LSTM-SA and SA-LSTM: segments a slice together with the slices before and after it.

    Image sizes are those of the backbone: for MT-UNet multiples of ``8 * 2**levels`` (published: 32).

    Parameters
    ----------
    in_channels : int
        Channels of each slice; a grey one is repeated three times, as published.
    out_channels : int
        Logit maps, background first.
    kind : {"gated", "states"}
        LSTM-SA or SA-LSTM, see `LSTMSABlock`.
    width : int
        Feature maps of the backbone and channels of the recurrent nets; published 64.
    levels, tokens : int
        Of MT-UNet.
    attention_size : int or "auto"
        See `LSTMSABlock`.
    backbone : FeatureExtractor or None
        A network with `width` output channels in place of MT-UNet.

    Notes
    -----
    Departures from the published code, none of which changes the result beyond rounding: the gates' convolution is
    split, so that a slice is encoded once for all its places (`encode`, `fuse`), and computed only where it matters.
    Other sizes than 224 x 224, `levels` and `backbone` are ours. In training the backbone runs once per slice, so batch
    statistics are updated three times a step, as published.

    References
    ----------
    Ji et al., Sparse Coding Inspired LSTM and Self-Attention Integration for Medical Image Segmentation, IEEE
    Transactions on Image Processing 33:6098, 2024.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 4,
        kind: Kind = "gated",
        width: int = 64,
        levels: int = 2,
        tokens: int = 28,
        attention_size: int | Literal["auto"] = 7744,
        backbone: FeatureExtractor | None = None,
    ):
        super().__init__()
        self.backbone = backbone or MTUNet(in_channels, width, width, levels, tokens)
        blocks = (LSTMSABlock(width, kind=kind, attention_size=attention_size) for _ in range(2))
        self.head = BidirectionalHead(*blocks, out_channels)
        self.in_channels = in_channels
        self.untold = {"attention_size": attention_size}

    def forward(self, previous: torch.Tensor, current: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        """Logits (b, out_channels, y, x) of the current of three slices (b, in_channels or 1, y, x)."""
        return self.head([self._features(x) for x in (previous, current, following)], centre=1)

    def encode(self, images: torch.Tensor) -> list[torch.Tensor]:
        """What `fuse` needs of slices (b, in_channels or 1, y, x) in any of their three places."""
        return self.head.encode(self._features(images))

    def fuse(
        self, previous: list[torch.Tensor], current: list[torch.Tensor], following: list[torch.Tensor]
    ) -> torch.Tensor:
        """Logits as of `forward` from what `encode` made of the three slices."""
        return self.head.fuse([previous, current, following], centre=1)

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        images = images.expand(-1, self.in_channels, -1, -1) if images.shape[1] == 1 else images
        return self.backbone(images).contiguous()  # the gates are cut along the channels


def _gates(maps: Sequence[torch.Tensor]) -> Gates:
    enter, forget, leave, candidate = maps
    return enter, forget, leave, candidate


def _times(fresh: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Product, outside training in the place of `fresh`: new memory costs more than the multiplication."""
    return fresh * other if torch.is_grad_enabled() else fresh.mul_(other)
