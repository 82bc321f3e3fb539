"""Do five corrected slices of a patient make the model better on the others, and what does it forget?

    python benchmarks/fine_tune_patients.py DATA [--split test] [--seconds 60] [--threads 2] [--replay]

DATA is the folder with ``sunnybrook``. The person is played by the true labels: of each patient in turn five slices,
evenly spread, are marked as reviewed; one of them is held back, as always. Prints a Markdown table: Dice of
`litenext-heart` and of the fine-tuned model on the patient's other slices and on all other patients of the split, and
the time from the start of the child process to its end. ``--replay`` rehearses the training data of the model.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from napari_medseg import models
from napari_medseg.training.data.dataset import Sample, load
from napari_medseg.training.data.sources import Source
from napari_medseg.training.evaluate import score_images
from napari_medseg.training.fine_tune import Annotation, FineTuneSettings, prepare
from napari_medseg.training.image_scores import mean_dice
from napari_medseg.training.run_folder import RECIPE
from napari_medseg.volume import Volume

BASE = "litenext-heart"
REVIEWED = 5


def tuned(data: Path, split: str, patient: str, args: argparse.Namespace, folder: Path) -> tuple[list[int], float]:
    """Fine-tune on a patient; numbers of the slices that were reviewed, among those of the patient, and seconds."""
    with np.load(data / "sunnybrook" / f"{split}.npz", allow_pickle=False) as file:
        mine = np.flatnonzero(file["patient"] == patient)
        order = np.argsort(file["frame"][mine])
        unknown = {"has_spacing": False}
        image, labels = (Volume(file[name][mine], "zyx", metadata=unknown) for name in ("image", "mask"))
    spread = np.linspace(0, len(mine) - 1, REVIEWED + 2).round().astype(int)[1:-1]
    reviewed = sorted(int(place) for place in order[spread])
    card = models.load_card(models.find(BASE))
    settings = FineTuneSettings(
        base=BASE,
        name="tuned",
        classes=card.classes,
        seconds=args.seconds,
        device="cpu",
        threads=args.threads,
        replay=str(data) if args.replay else "",
    )
    began = time.perf_counter()
    prepare([Annotation(patient, image, labels, tuple(reviewed))], settings, folder)
    command = [sys.executable, "-m", "napari_medseg.cli", "train", folder / RECIPE, "--run", folder, "--root", folder]
    env = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    subprocess.run([str(word) for word in command], check=True, env=env, capture_output=True)
    return reviewed, time.perf_counter() - began


def dice(path: Path, samples: Iterable[Sample]) -> float:
    """Mean over slices."""
    return mean_dice(score_images(models.load(path), samples))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--replay", action="store_true")
    args = parser.parse_args()
    base = models.find(BASE)
    source = Source(f"sunnybrook/{args.split}.npz", label="mask", case="patient")
    samples = load([source], models.load_card(base).preprocess, args.data)
    print("| patient | other slices | before | after | change | other patients before | after | change | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for patient in sorted({sample.case for sample in samples}):
        mine = [sample for sample in samples if sample.case == patient]
        others = [sample for sample in samples if sample.case != patient]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "run"
            reviewed, seconds = tuned(args.data, args.split, patient, args, folder)
            rest = [sample for place, sample in enumerate(mine) if place not in reviewed]
            figures = [dice(path, part) for part in (rest, others) for path in (base, folder / "tuned.safetensors")]
        old, new, old_others, new_others = figures
        cells = [patient, str(len(rest)), f"{old:.3f}", f"{new:.3f}", f"{new - old:+.3f}"]
        cells += [f"{old_others:.3f}", f"{new_others:.3f}", f"{new_others - old_others:+.3f}", f"{seconds:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
