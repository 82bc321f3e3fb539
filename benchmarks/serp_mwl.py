"""Do the training techniques of the LiteNeXt paper help here? Each on and off, three seeds, everything else equal.

    python benchmarks/serp_mwl.py DATA RUNS {heart,nuclei}

DATA is the folder that the recipes' paths start from; RUNS keeps the runs, and the same command goes on where it was
stopped. Prints a Markdown table of the figure that chooses weights on `val` (heart: Dice of whole volumes, mean of
cavity and myocardium; nuclei: mean Dice of images). The networks begin with random weights and learn for a short time:
the table compares techniques, not the bundled models.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_medseg.progress import run
from napari_medseg.training.loop import train_job
from napari_medseg.training.seeds import seed_folder
from napari_medseg.training.settings import TrainSettings, read_settings

SEEDS = (1, 2, 3)
TRIALS: dict[str, dict[str, Any]] = {
    "heart": {"like": "unet-heart-start", "architecture": "litenext", "steps": 600, "validate_every": 600},
    "nuclei": {
        "like": "litenext-nuclei-start",
        "phases": [{"until": 1.0, "size": 128, "batch": 8}],
        "steps": 500,
        "validate_every": 500,
        "threads": 1,
    },
}
VARIANTS: dict[str, dict[str, Any]] = {
    "neither": {},
    "SeRP (0.1)": {"serp": 0.1},
    "Marginal Weight Loss": {"loss": "dice-mwl"},
    "both": {"serp": 0.1, "loss": "dice-mwl"},
}


def settings_of(task: str, variant: str, runs: Path) -> TrainSettings:
    """Settings of a variant, by way of a recipe written to `runs`."""
    recipe = runs / f"{name_of(task, variant)}.json"
    recipe.write_text(json.dumps(TRIALS[task] | {"name": recipe.stem} | VARIANTS[variant]))
    return replace(read_settings(recipe), test=())


def name_of(task: str, variant: str) -> str:
    """Name of a variant's recipe and run folder."""
    words = "".join(letter if letter.isalnum() else " " for letter in variant.lower()).split()
    return "-".join([task, *words])


def figure(settings: TrainSettings, folder: Path, data: Path) -> float:
    """Train, or go on, and return the best figure on `val`."""
    card = run(train_job(settings, folder, root=data))
    figures = {name: value for name, value in card.metrics["val"].items() if name != "step" and value is not None}
    return max(figures.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("task", choices=TRIALS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.runs.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for seed in SEEDS:  # seed by seed, so that a stop leaves whole comparisons
        for variant in VARIANTS:
            settings = replace(settings_of(args.task, variant, args.runs), seed=seed)
            folder = seed_folder(args.runs / name_of(args.task, variant), seed)
            figures[variant].append(figure(settings, folder, args.data))
            print(f"{variant}, seed {seed}: {figures[variant][-1]:.4f}", flush=True)
    print("| LiteNeXt, " + args.task + " | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " | mean |")
    print("|---|" + "---:|" * (len(SEEDS) + 1))
    for variant, row in figures.items():
        print(f"| {variant} | " + " | ".join(f"{value:.3f}" for value in [*row, statistics.mean(row)]) + " |")


if __name__ == "__main__":
    main()
