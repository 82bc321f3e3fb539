"""How much slower than the plain Swin U-Net is the conditional one with light routers?

    python benchmarks/conditional_swin_time.py

One CPU thread, 256 x 256: inference of one image, and one training step of two. The networks take turns, so that other
load on the machine meets all; times are CPU times. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from napari_medseg import models
from napari_medseg.training.losses import SegmentationLoss

NAMES = "swin-unet", "conditional-swin-light", "conditional-swin-iterative"


def infer(network: nn.Module, images: torch.Tensor) -> None:
    with torch.inference_mode():
        network.eval()(images)


def train(network: nn.Module, images: torch.Tensor) -> None:
    """Everything of a training step but the optimizer."""
    labels = (images[:, 0] > 0.5).to(torch.uint8)
    SegmentationLoss("dice-ce")(network.train()(images), labels).backward()


def seconds(step: Callable[[nn.Module, torch.Tensor], None], network: nn.Module, images: torch.Tensor) -> float:
    began = time.process_time()
    step(network, images)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("inference", "training"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| levels | what | network | CPU time (ms) | times the plain one (range) |")
    print("|---|---|---|---:|---:|")
    for levels in (1, 2):
        networks = [models.build(name, levels=levels) for name in NAMES]
        for title, step, batch in (("inference, 1 image", infer, 1), ("training step, 2 images", train, 2)):
            if arguments.only and not title.startswith(arguments.only):
                continue
            images = torch.rand(batch, 3, 256, 256)
            # the first round only warms up
            rounds = [[seconds(step, n, images) for n in networks] for _ in range(arguments.rounds + 1)][1:]
            for place, name in enumerate(NAMES):
                ratios = sorted(times[place] / times[0] for times in rounds)
                middle = 1000 * statistics.median(times[place] for times in rounds)
                span = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
                print(f"| {levels} | {title} | {name} | {middle:.0f} | {span if place else ''} |", flush=True)


if __name__ == "__main__":
    main()
