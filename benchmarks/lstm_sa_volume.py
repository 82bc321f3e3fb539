"""How much faster is LSTM-SA on a volume when every slice is encoded once and nothing is computed in vain?

    python benchmarks/lstm_sa_volume.py

One CPU thread, 12 slices of 224 x 224, random weights. The plain way follows the published code step by step: three
backbone passes per slice, one convolution over input and hidden state in both steps, the Gaussian term position by
position, batch norms and shortcuts as they stand. The other way is `encode` and `fuse`, as inference uses them. The two
ways take turns, so that other load on the machine meets both; times are CPU times. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch.nn import functional as F

from napari_medseg import models
from napari_medseg.models import lstm_sa, mt_unet

Way = Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]


def neighbours(slices: torch.Tensor, index: int) -> tuple[int, int, int]:
    """Slices that a slice is seen with: its own neighbours, at both ends those of the slice next to it."""
    centre = min(max(index, 1), len(slices) - 2)
    return centre - 1, index, centre + 1


def cached(network: torch.nn.Module, slices: torch.Tensor) -> torch.Tensor:
    """Label maps; every slice is encoded once, three encodings are kept."""
    kept: dict[int, torch.Tensor] = {}
    labels = []
    for index in range(len(slices)):
        places = neighbours(slices, index)
        kept = {k: kept[k] if k in kept else network.encode(slices[k : k + 1]) for k in sorted(set(places))}
        labels.append(network.fuse(*(kept[k] for k in places)).argmax(1))
    return torch.cat(labels)


def plain(network: torch.nn.Module, slices: torch.Tensor) -> torch.Tensor:
    """Label maps in the order of the published code."""
    with published_order():
        triples = ([slices[k : k + 1] for k in neighbours(slices, i)] for i in range(len(slices)))
        return torch.cat([plain_logits(network, triple).argmax(1) for triple in triples])


def plain_logits(network: torch.nn.Module, triple: list[torch.Tensor]) -> torch.Tensor:
    previous, current, following = (network.backbone(x) for x in triple)
    head = network.head
    both = [
        plain_block(head.forward_block, [previous, current]),
        plain_block(head.reverse_block, [following, current]),
    ]
    return head.classes(torch.cat(both, 1))


def plain_block(block: lstm_sa.LSTMSABlock, steps: list[torch.Tensor]) -> torch.Tensor:
    conv = block.cells[0].conv
    h = c = torch.zeros_like(steps[0])
    for x in steps:
        i, f, o, g = conv(torch.cat([x, h], 1)).chunk(4, 1)
        i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh()
        c = f * c + i * g
        h = o * c.tanh()
    tokens = [x.flatten(2) for x in (h, (c + f) / 2, (g + h) / 2, h)]
    return block.attention(*tokens).view_as(h)


def plain_conv(self: mt_unet.ConvNormReLU, x: torch.Tensor) -> torch.Tensor:
    x = self.norm(self.conv(x))
    return F.relu(x) if self.relu else x


def plain_double(self: mt_unet.DoubleConv, x: torch.Tensor) -> torch.Tensor:
    x = self.second(self.first(x))
    return F.relu(x + self.side_norm(self.side(x)))


def plain_gaussian(
    self: mt_unet.GaussianAxial, values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    out = torch.zeros_like(values)
    for r in range(values.shape[1]):
        for c in range(values.shape[2]):
            along = torch.tensor([(k - c) ** 2 for k in range(values.shape[2])])
            down = torch.tensor([(k - r) ** 2 for k in range(values.shape[1])])
            from_row = (rows[:, r, c] - self.shift * along - self.bias).softmax(-1)
            from_column = (columns[:, c, r] - self.shift * down - self.bias).softmax(-1)
            out[:, r, c] = (from_row[:, None] @ values[:, r] + from_column[:, None] @ values[:, :, c])[:, 0]
    return out


def plain_mixture(self: mt_unet.LocalGlobalAttention, x: torch.Tensor) -> torch.Tensor:
    windows = mt_unet._split(mt_unet._pad(x))
    local = self.window(windows.flatten(0, 2)).unflatten(0, windows.shape[:3])
    axial = self.axial(self.pool(local)).permute(0, 3, 1, 2)
    axial = F.interpolate(axial, scale_factor=4, mode="bilinear", align_corners=True)
    mixed = self.mix(torch.cat([axial, mt_unet._join(local).permute(0, 3, 1, 2)], 1))
    return mixed.permute(0, 2, 3, 1)[:, : x.shape[1], : x.shape[2]]


@contextmanager
def published_order() -> Iterator[None]:
    """Put the modules of MT-UNet back into the order of the published code."""
    plain_forms = {
        mt_unet.ConvNormReLU: plain_conv,
        mt_unet.DoubleConv: plain_double,
        mt_unet.GaussianAxial: plain_gaussian,
        mt_unet.LocalGlobalAttention: plain_mixture,
    }
    with ExitStack() as stack:
        for module, form in plain_forms.items():
            stack.enter_context(patch.object(module, "forward", form))
        yield


def seconds(way: Way, network: torch.nn.Module, slices: torch.Tensor) -> tuple[float, torch.Tensor]:
    began = time.process_time()
    labels = way(network, slices)
    return time.process_time() - began, labels


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slices", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| LSTM-SA, 1 thread | plain way (s) | encode and fuse (s) | times faster (range) | labels that differ |")
    print("|---|---:|---:|---:|---:|")
    for title, width in (("published size", 64), ("light (base width 16)", 16)):
        torch.manual_seed(0)
        network = models.build("lstm-sa", num_classes=4, width=width).eval()
        slices = torch.rand(options.slices, 3, 224, 224)
        rounds = [[seconds(way, network, slices) for way in (plain, cached)] for _ in range(options.rounds)]
        (slow, expected), (quick, found) = rounds[0]
        different = int((expected != found).sum())
        ratios = [slow / quick for (slow, _), (quick, _) in rounds]
        slow, quick = (statistics.median(one[way][0] for one in rounds) for way in (0, 1))
        span = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {title} | {slow:.1f} | {quick:.1f} | {span} | {different} of {found.numel()} |", flush=True)


if __name__ == "__main__":
    main()
