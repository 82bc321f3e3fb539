"""Does a model label the rest of an image better once it has learnt from a few corrected slices of it?

    python benchmarks/live_learning.py DATA [--model litenext-heart] [--split val]

DATA is the folder with ``sunnybrook`` and ``sunnybrook_myo``. One patient at a time: the true labels of 2, 3 or 5
slices, evenly spread, play the person, and what counts is the Dice on the other slices, the mean over slices and
classes. Where the outer contour was not drawn, nothing is known of the myocardium: the person corrects the cavity there
and leaves what the model drew around it. Prints a Markdown table: the change
against the model as it is, the mean over patients and the worst patient. Differences of .005 are noise here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_medseg import metrics, models
from napari_medseg.models import TrainedModel
from napari_medseg.progress import run
from napari_medseg.segmentation.inference import InferenceSettings, segment_job
from napari_medseg.training.adapt import Corrected, Lesson, Task
from napari_medseg.training.data.shares import IGNORE
from napari_medseg.volume import Volume

COUNTS = (2, 3, 5)
PHASES = 20  # of the heart cycle
SETTINGS = InferenceSettings(device="cpu")
Key = tuple[str, int]
Case = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Image, truth and the labels of the model (slice, y, x)."""


@dataclass(frozen=True)
class Variant:
    """What learns, and how."""

    title: str
    learns: tuple[str, ...]
    lesson: Lesson


VARIANTS = (
    Variant("whole network, 10 steps of 1e-4", ("*",), Lesson(10, 1e-4)),
    Variant("last layers, 20 steps of 1e-3", ("reduce.*", "head.*"), Lesson(20, 1e-3)),
    Variant("nothing", ("*",), Lesson(0, 1e-4)),
)


def patients(folder: Path, split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and true labels (slice, y, x) of every patient: end-diastole, then end-systole."""
    both = {}
    with np.load(folder / "sunnybrook_myo" / f"{split}.npz", allow_pickle=False) as file:
        for patient, frame, label in zip(file["patient"], file["frame"], file["label"], strict=True):
            both[str(patient), int(frame)] = label
    found = {}
    with np.load(folder / "sunnybrook" / f"{split}.npz", allow_pickle=False) as file:
        for patient in np.unique(file["patient"]).tolist():
            mine = np.flatnonzero(file["patient"] == patient)
            frames = file["frame"][mine]
            mine = mine[np.lexsort((frames, frames % PHASES))]
            labels = [_labels(both, (patient, int(file["frame"][n])), file["mask"][n]) for n in mine]
            found[patient] = file["image"][mine], np.stack(labels)
    return found


def _labels(both: Mapping[Key, np.ndarray], key: Key, mask: np.ndarray) -> np.ndarray:
    if key in both:
        return both[key]
    return np.where(mask == 1, 1, IGNORE).astype(np.uint8)


def drawn(truth: np.ndarray, before: np.ndarray) -> np.ndarray:
    """A slice (y, x) as a person corrects it: around a cavity alone, what the model drew stays, as myocardium."""
    return np.where(truth == IGNORE, 2 * (before > 0), truth).astype(np.uint8)


def score(found: np.ndarray, truth: np.ndarray, numbers: list[int]) -> float:
    """Mean Dice of slices and classes, as far as they are known."""
    scores = []
    for number in numbers:
        known = truth[number] != IGNORE
        scores.append(metrics.dice(found[number] == 1, truth[number] == 1))
        if known.all() and (truth[number] == 2).any():
            scores.append(metrics.dice(found[number] == 2, truth[number] == 2))
    return float(np.mean(scores))


def gains(
    model: TrainedModel, variant: Variant, cases: list[Case], count: int, certainties: list[float]
) -> list[list[float]]:
    """Change of Dice on the slices that were not corrected: for each certainty that of every patient."""
    able = replace(model, card=replace(model.card, learns=variant.learns))
    found = []
    for image, truth, before in cases:
        reviewed = np.linspace(0, len(image) - 1, count + 2).round()[1:-1].astype(int).tolist()
        others = [number for number in range(len(image)) if number not in reviewed]
        labels = before.copy()
        for number in reviewed:
            labels[number] = drawn(truth[number], before[number])
        task = Task(stack(image), able, Corrected(labels, tuple(reviewed), tuple(others)), SETTINGS)
        places, _ = run(task.look_job())
        pupil = run(task.learn_job(places, variant.lesson))
        changes = []
        for certainty in certainties:
            sure = replace(pupil, card=replace(pupil.card, certainty=certainty))
            after = labels.copy()
            for number, plane in run(task.label_job(places, sure, variant.lesson)).items():
                after[number] = plane
            changes.append(score(after, truth, others) - score(before, truth, others))
        found.append(changes)
    return np.transpose(found).tolist()


def stack(image: np.ndarray) -> Volume:
    """Slices (slice, y, x) whose voxel size is not known, as the bundled data have them."""
    return Volume(image, "zyx", metadata={"has_spacing": False})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="litenext-heart")
    parser.add_argument("--split", default="val")
    parser.add_argument("--low", type=float, default=0.6, help="a certainty below that of the card")
    args = parser.parse_args()
    began = time.process_time()
    model = models.load(models.find(args.model))
    certainties = [model.card.certainty, args.low]
    cases = []
    for image, truth in patients(args.data, args.split).values():
        before = run(segment_job(stack(image), model, SETTINGS)).labels.data
        cases.append((image, truth, before))
    dice = [score(before, truth, list(range(len(truth)))) for _, truth, before in cases]
    print(f"Dice as it is: {np.mean(dice):.3f} (worst patient {min(dice):.3f})\n")
    print(f"| what learns | certainty | {' | '.join(f'{count} slices' for count in COUNTS)} |")
    print(f"|---|---|{'---|' * len(COUNTS)}")
    for variant in VARIANTS:
        counted = [gains(model, variant, cases, count, certainties) for count in COUNTS]
        for number, certainty in enumerate(certainties):
            cells = [text(changes[number]) for changes in counted]
            print(f"| {variant.title} | {certainty:g} | {' | '.join(cells)} |", flush=True)
    print(f"\n{time.process_time() - began:.0f} s of CPU")


def text(changes: list[float]) -> str:
    """Mean and worst change."""
    return f"{np.mean(changes):+.3f} ({min(changes):+.3f})"


if __name__ == "__main__":
    main()
