"""What does "Extend my strokes" add to a few strokes at wrong places?

    python benchmarks/scribbles.py DATA [--model litenext-heart] [--length 9]

DATA is the folder with ``sunnybrook`` and ``sunnybrook_myo``. On every slice that the model has labelled, the largest
missed and the largest extra piece of each class (of 20 pixels and more) get one stroke along their middle, one pixel
wide and at most so many long. Prints a Markdown table: Dice of the model, with the strokes alone, and with what the
tool makes of them, the mean over patients, slices and classes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from live_learning import SETTINGS, drawn, patients, score, stack
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_medseg import models
from napari_medseg.models import TrainedModel
from napari_medseg.progress import run
from napari_medseg.review.tools.common import Where
from napari_medseg.review.tools.strokes import extend_strokes
from napari_medseg.segmentation.inference import segment_job

SMALLEST = 20  # pixels of a piece that a person would correct
SPACING = (1.0, 1.0, 1.0)
SPLITS = ("val", "test")


@dataclass(frozen=True)
class Row:
    """Dice of all slices of a split, and of the slices with strokes those that the tool made worse."""

    model: float
    strokes: float
    extended: float
    slices: int
    worse: int
    slowest: float


def stroke(wrong: np.ndarray, length: int) -> np.ndarray:
    """One stroke along the middle of the largest wrong piece (y, x), around its deepest pixel; empty without one."""
    pieces, count = ndimage.label(wrong)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    if sizes.max() < SMALLEST:
        return np.zeros(wrong.shape, bool)
    piece = pieces == sizes.argmax()
    depth = ndimage.distance_transform_edt(np.pad(piece, 1))[1:-1, 1:-1]
    middle = skeletonize(piece)
    deepest = np.unravel_index(np.where(middle, depth, 0).argmax(), piece.shape)
    offsets = np.indices(piece.shape) - np.reshape(deepest, (2, 1, 1))
    return middle & (np.hypot(*offsets) <= length / 2)


def painted(before: np.ndarray, target: np.ndarray, length: int) -> np.ndarray:
    """A slice (y, x) with one stroke on each largest wrong piece."""
    found = before.copy()
    for number in (1, 2):
        missed = stroke((target == number) & (before != number), length)
        extra = stroke((before == number) & (target != number), length)
        found[missed | extra] = target[missed | extra]
    return found


def extended(image: np.ndarray, before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """A slice (y, x) as the tool leaves it."""
    where = Where((1, 2), range(1), SPACING, image=image[None], before=before)
    return extend_strokes(now[None], where).values[0]


def measured(folder: Path, split: str, model: TrainedModel, length: int) -> Row:
    """All patients of a split."""
    scores = []
    changes = []
    times = [0.0]
    for image, truth in patients(folder, split).values():
        before = run(segment_job(stack(image), model, SETTINGS)).labels.data
        target = np.stack([drawn(*both) for both in zip(truth, before, strict=True)])
        now = np.stack([painted(*both, length) for both in zip(before, target, strict=True)])
        after = now.copy()
        for number in np.flatnonzero((now != before).any(axis=(1, 2))).tolist():
            began = time.process_time()
            after[number] = extended(image[number], before[number], now[number])
            times.append(time.process_time() - began)
            changes.append(score(after, truth, [number]) - score(now, truth, [number]))
        everything = list(range(len(truth)))
        scores.append([score(labels, truth, everything) for labels in (before, now, after)])
    worse = int(np.sum(np.array(changes) < -0.0005))
    return Row(*np.mean(scores, axis=0).tolist(), len(changes), worse, max(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="litenext-heart")
    parser.add_argument("--length", type=int, default=9)
    args = parser.parse_args()
    model = models.load(models.find(args.model))
    print("| split | model | strokes alone | extended | slices with strokes | of them worse | slowest, s of CPU |")
    print("|---|---|---|---|---|---|---|")
    for split in SPLITS:
        row = measured(args.data, split, model, args.length)
        figures = f"{row.model:.3f} | {row.strokes:.3f} | {row.extended:.3f}"
        print(f"| {split} | {figures} | {row.slices} | {row.worse} | {row.slowest:.3f} |", flush=True)


if __name__ == "__main__":
    main()
