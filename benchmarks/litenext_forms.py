"""How much faster is LiteNeXt in the equal, reordered form than in the published one?

    python benchmarks/litenext_forms.py

One CPU thread, 256 x 256, inference of one and of eight images and one training step of four. The two forms take
turns, so that other load on the machine meets both; times are CPU times. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from napari_medseg import models
from napari_medseg.training.losses import SegmentationLoss

Form = Callable[[torch.Tensor], torch.Tensor]


def infer(form: Form, images: torch.Tensor) -> None:
    with torch.inference_mode():
        form(images)


def train(form: Form, images: torch.Tensor) -> None:
    """Everything of a training step but the optimizer, which is the same for both."""
    labels = (images[:, 0] > 0.5).to(torch.uint8)
    SegmentationLoss("dice-mwl")(form(images), labels).backward()


def seconds(step: Callable[[Form, torch.Tensor], None], form: Form, images: torch.Tensor) -> float:
    began = time.process_time()
    step(form, images)
    return time.process_time() - began


def compare(step: Callable[[Form, torch.Tensor], None], images: torch.Tensor, rounds: int) -> tuple[list, list]:
    """CPU seconds of the published and of the fast form, round by round; the first round only warms up."""
    network = models.build("litenext")
    forms = network.forward_as_published, network.forward
    times = [[seconds(step, form, images) for form in forms] for _ in range(rounds + 1)]
    published, fast = zip(*times[1:], strict=True)
    return list(published), list(fast)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| LiteNeXt, 1 thread, 256 x 256 | published form (ms) | fast form (ms) | times faster (range) |\n")
    print("|---|---:|---:|---:|")
    for title, step, batch in (
        ("inference, 1 image", infer, 1),
        ("inference, 8", infer, 8),
        ("training step, 4", train, 4),
    ):
        published, fast = compare(step, torch.rand(batch, 3, 256, 256), rounds)
        ratios = [slow / quick for slow, quick in zip(published, fast, strict=True)]
        slow, quick = (1000 * statistics.median(times) for times in (published, fast))
        span = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"| {title} | {slow:.0f} | {quick:.0f} | {statistics.median(ratios):.1f} ({span}) |")


if __name__ == "__main__":
    main()
