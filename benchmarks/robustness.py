"""How well does a model hold when images differ from those it was trained on?

    python benchmarks/robustness.py DATA RECIPE.json MODEL.safetensors [MODEL.safetensors ...] [--split test]

DATA is the folder that the recipe's paths start from. Every image of the first source of the split is changed in one
way at a time, the same way for every model; printed is the mean Dice of the first class over images. Models are chosen
on `val` without regard to this table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from napari_medseg import models
from napari_medseg.training.data.dataset import Sample, load
from napari_medseg.training.evaluate import score_images
from napari_medseg.training.settings import read_settings

Change = Callable[[Sample], Sample]


def turned(quarters: int) -> Change:
    """By so many quarter turns."""

    def change(sample: Sample) -> Sample:
        image, labels = (torch.rot90(side, quarters, (-2, -1)) for side in (sample.image, sample.labels))
        return replace(sample, image=image, labels=labels)

    return change


def mirrored(sample: Sample) -> Sample:
    """Left to right."""
    return replace(sample, image=sample.image.flip(-1), labels=sample.labels.flip(-1))


def transposed(sample: Sample) -> Sample:
    """Rows and columns exchanged."""
    return replace(sample, image=sample.image.mT, labels=sample.labels.mT)


def noisy(share: float) -> Change:
    """Normal noise, its standard deviation a share of the range of grey values; the same in every channel."""

    def change(sample: Sample) -> Sample:
        chance = torch.Generator().manual_seed(int(sample.labels.sum()))
        noise = torch.randn(sample.image.shape[-2:], generator=chance) * share
        return replace(sample, image=sample.image + noise * float(sample.image.max() - sample.image.min()))

    return change


def gamma(power: float) -> Change:
    """Grey values from 0 to 1 to a power."""

    def change(sample: Sample) -> Sample:
        low, high = sample.image.min(), sample.image.max()
        return replace(sample, image=low + (high - low) * ((sample.image - low) / (high - low)) ** power)

    return change


def blurred(sigma: float) -> Change:
    """By a Gaussian of so many pixels."""
    reach = int(np.ceil(3 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = torch.outer(line, line)
    kernel = (kernel / kernel.sum())[None, None]

    def change(sample: Sample) -> Sample:
        padded = F.pad(sample.image[:, None], [reach] * 4, mode="replicate")
        return replace(sample, image=F.conv2d(padded, kernel)[:, 0])

    return change


def said(factor: float) -> Change:
    """A pixel size that is wrong by a factor."""

    def change(sample: Sample) -> Sample:
        rows, columns = sample.spacing or (1.37, 1.37)
        return replace(sample, spacing=(rows * factor, columns * factor))

    return change


def cut(size: int) -> Change:
    """A square about the middle of the object, as far as the image reaches."""

    def change(sample: Sample) -> Sample:
        places = torch.nonzero(sample.labels > 0).float()
        centre = places.mean(0) if len(places) else torch.tensor(sample.labels.shape) / 2
        starts = [
            int(min(max(middle - size / 2, 0), max(length - size, 0)))
            for middle, length in zip(centre, sample.labels.shape, strict=True)
        ]
        rows, columns = (slice(start, start + size) for start in starts)
        return replace(sample, image=sample.image[:, rows, columns], labels=sample.labels[rows, columns])

    return change


CHANGES: dict[str, Change] = {
    "as it is": lambda sample: sample,
    "a quarter turn": turned(1),
    "a half turn": turned(2),
    "mirrored": mirrored,
    "transposed": transposed,
    "noise of 5 %": noisy(0.05),
    "noise of 10 %": noisy(0.1),
    "gamma 0.5": gamma(0.5),
    "gamma 2": gamma(2),
    "blurred, 1 pixel": blurred(1),
    "pixel size said 0.73 times": said(0.73),
    "pixel size said 1.37 times": said(1.37),
    "cropped to 160 pixels": cut(160),
    "cropped to 128 pixels": cut(128),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    given = parser.parse_args()
    torch.set_num_threads(1)
    source = getattr(read_settings(given.recipe), given.split)[0]
    found = [models.load(path) for path in given.models]
    print("| image | " + " | ".join(model.card.name for model in found) + " |")
    print("|---|" + "---:|" * len(found))
    for name, change in CHANGES.items():
        cells = []
        for model in found:
            card = model.card
            samples = load([source], card.preprocess, given.data, len(card.classes), context=model.context)
            scores = score_images(model, [change(sample) for sample in samples])
            cells.append(f"{np.nanmean([score.classes[0] for score in scores]):.3f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
