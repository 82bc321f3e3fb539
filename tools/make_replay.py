"""Choose a few training slices that a bundled model rehearses while it is fine-tuned.

    python tools/make_replay.py DATA NAME [--slices 100]

DATA is the folder that the recipe NAME starts from. Writes ``weights/NAME.replay.npz``: slices at the pixel size of the
model, evenly spread over its training data, three quarters of them with every class labelled, cut about their objects.
Only for data whose licence allows to pass them on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import napari_medseg
from napari_medseg.training.data.dataset import Sample, load, on_working_grid
from napari_medseg.training.data.sources import Source
from napari_medseg.training.settings import TrainSettings, read_settings

PACKAGE = Path(napari_medseg.__file__).parent
LABELLED = 0.75  # share of the slices
ROOM = 1.25  # width of the slices as a share of that of the views that are drawn from them


def working(sources: Sequence[Source], recipe: TrainSettings, root: Path) -> list[Sample]:
    """The slices at the pixel size of the model."""
    classes = len(recipe.classes)
    samples = load(sources, recipe.preprocess, root, classes)
    return [on_working_grid(sample, recipe.preprocess, classes) for sample in samples]


def cut(sample: Sample, size: int) -> Sample:
    """A square of a slice, about its objects as far as it reaches."""
    places = torch.nonzero(sample.labels > 0).float()
    shape = sample.labels.shape
    middle = places.mean(0).tolist() if len(places) else [length / 2 for length in shape]
    starts = [
        min(max(round(centre - size / 2), 0), length - size) for centre, length in zip(middle, shape, strict=True)
    ]
    rows, columns = (slice(start, start + size) for start in starts)
    return replace(sample, image=sample.image[:, rows, columns], labels=sample.labels[rows, columns])


def spread(samples: list[Sample], count: float) -> list[Sample]:
    """So many of them, evenly spread over the cases."""
    ordered = sorted(samples, key=lambda sample: sample.case)
    places = np.linspace(0, len(ordered) - 1, min(round(count), len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("name")
    parser.add_argument("--slices", type=int, default=100)
    args = parser.parse_args()
    recipe = read_settings(PACKAGE / "training" / "recipes" / f"{args.name}.json")
    labelled = [sample for sample in working(recipe.train, recipe, args.data) if not sample.unlabelled]
    empty = working(recipe.empty, recipe, args.data)
    sides = {min(sample.labels.shape) for sample in labelled}
    size = min(round(ROOM * recipe.phases[-1].size), *sides)
    full = [cut(sample, size) for sample in labelled if sample.labels.any() and min(sample.labels.shape) >= size]
    rest = [sample for sample in [*labelled, *empty] if not sample.labels.any()]
    rest = [cut(sample, size) for sample in rest if min(sample.labels.shape) >= size]
    chosen = [*spread(full, LABELLED * args.slices), *spread(rest, (1 - LABELLED) * args.slices)]
    np.savez_compressed(
        PACKAGE / "weights" / f"{args.name}.replay.npz",
        image=np.stack([(sample.image[0].numpy() * 255).round().astype(np.uint8) for sample in chosen]),
        label=np.stack([sample.labels.numpy() for sample in chosen]),
        case=np.array([sample.case for sample in chosen]),
    )


if __name__ == "__main__":
    main()
