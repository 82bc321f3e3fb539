"""Which order of review meets wrong voxels and failed slices first?

    python benchmarks/review_order.py DATA [--split test] [--plot order.png]

DATA is the folder with ``sunnybrook``. The slices of all patients of the split are pooled; each of the two bundled
heart models is reviewed in turn, and the other one is what it is compared with. Orders see all classes of the labels;
wrong is what is wrong of the cavity, which alone is known in all slices. Prints a Markdown table: the share of
the wrong voxels, and of the failed slices (Dice below 0.7), that are met after 10, 20 and 30 % of the slices. An order
is worth something where it beats the mere area of the labels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from napari_medseg import metrics, models
from napari_medseg.progress import run
from napari_medseg.review.order import ranking, score_slices
from napari_medseg.segmentation.inference import InferenceSettings, segment_job
from napari_medseg.volume import Volume

MODELS = ("litenext-heart", "lstm-sa-heart")
SHARES = (0.1, 0.2, 0.3)
FAILED = 0.7
PHASES = 20  # of the heart cycle: so many frames follow each other at one place
CAVITY = 1
RANDOM = "random"
LINES = {  # colour and kind of the line of every order; dashed are bounds
    RANDOM: ("#999999", "--"),
    "front to back": ("#666666", ":"),
    "area of the labels": ("black", "--"),
    "two models, failed first": ("#0072b2", "-"),
    "two models, most voxels": ("#56b4e9", "-"),
    "uncertainty, failed first": ("#d55e00", "-"),
    "uncertainty, most voxels": ("#e69f00", "-"),
    "most wrong voxels (truth)": ("#009e73", "--"),
}


def stacks(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and true labels (slice, y, x) of every patient and phase, in the order of the scanner."""
    with np.load(path, allow_pickle=False) as file:
        patients = file["patient"]
        phases = file["frame"] % PHASES
        found = []
        for patient, phase in sorted(set(zip(patients.tolist(), phases.tolist(), strict=True))):
            mine = np.flatnonzero((patients == patient) & (phases == phase))
            mine = mine[np.argsort(file["frame"][mine], kind="stable")]
            found.append((file["image"][mine], file["mask"][mine]))
    return found


def labelled(name: str, images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and uncertainty of a model for the images of all stacks, pooled."""
    model = models.load(models.find(name))
    settings = InferenceSettings(device="cpu", uncertainty=True)
    labels = []
    doubts = []
    for image in images:
        found = run(segment_job(Volume(image, "zyx", metadata={"has_spacing": False}), model, settings))
        labels.append(found.labels.data)
        doubts.append(found.uncertainty.data)
    return np.concatenate(labels), np.concatenate(doubts)


def orders(labels: np.ndarray, doubt: np.ndarray, other: np.ndarray, wrong: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the slices by the name of the order."""
    return {
        "front to back": -np.arange(len(labels), dtype=float),
        "area of the labels": np.count_nonzero(labels, axis=(1, 2)).astype(float),
        "two models, failed first": score_slices(labels, other),
        "two models, most voxels": score_slices(labels, other, aim="voxels"),
        "uncertainty, failed first": score_slices(labels, uncertainty=doubt),
        "uncertainty, most voxels": score_slices(labels, uncertainty=doubt, aim="voxels"),
        "most wrong voxels (truth)": wrong.astype(float),
    }


def met(scores: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The share of `of` (a number per slice) that is met after 0, 1, 2, ... slices in the order of the scores."""
    along = np.cumsum(of[ranking(scores)])
    return np.concatenate([[0], along / max(1, along[-1])])


def texts(curve: np.ndarray) -> str:
    """The curve after 10, 20 and 30 % of the slices."""
    count = len(curve) - 1
    return " ".join(f"{curve[round(share * count)]:.2f}" for share in SHARES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    began = time.process_time()
    found = stacks(args.data / "sunnybrook" / f"{args.split}.npz")
    truth = np.concatenate([mask for _, mask in found])
    made = {name: labelled(name, [image for image, _ in found]) for name in MODELS}
    curves: dict[str, dict[str, np.ndarray]] = {}
    print("| reviewed | order | wrong voxels | failed slices |")
    print("|---|---|---|---|")
    for name, other in zip(MODELS, MODELS[::-1], strict=True):
        labels, doubt = made[name]
        cavity = labels == CAVITY
        wrong = np.count_nonzero(cavity != (truth > 0), axis=(1, 2))
        pairs = zip(cavity, truth > 0, strict=True)
        failed = np.array([metrics.dice(mine, true) for mine, true in pairs]) < FAILED
        head = f"{name} ({failed.sum()} of {len(failed)} failed)"
        ranked = orders(labels, doubt, made[other][0], wrong)
        chance = {RANDOM: np.linspace(0, 1, len(labels) + 1)}  # as it is expected
        of_wrong = chance | {title: met(scores, wrong) for title, scores in ranked.items()}
        of_failed = chance | {title: met(scores, failed) for title, scores in ranked.items()}
        curves[f"{name}: wrong voxels met"] = of_wrong
        curves[f"{name}: {failed.sum()} failed slices met"] = of_failed
        for title in of_wrong:
            print(f"| {head} | {title} | {texts(of_wrong[title])} | {texts(of_failed[title])} |")
    print(f"\n{time.process_time() - began:.0f} s of CPU")
    if args.plot is not None:
        from matplotlib import rc_context

        with rc_context({"font.size": 13}):
            draw(curves, args.plot)


def draw(curves: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """The share that is met against the share of slices reviewed; dashed what needs no second look, and the truth."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.8, 9), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, (name, found) in zip(places.ravel(), curves.items(), strict=True):
        for title, curve in found.items():
            share = np.linspace(0, 100, len(curve))
            colour, line = LINES[title]
            axes.plot(share, 100 * curve, line, color=colour, label=title, linewidth=2.2)
        axes.set(title=name, xlim=(0, 100), ylim=(0, 102))
        axes.grid(alpha=0.3)
    for axes in places[1]:
        axes.set_xlabel("slices reviewed (%)")
    for axes in places[:, 0]:
        axes.set_ylabel("met (%)")
    lines, titles = places[0, 0].get_legend_handles_labels()
    figure.legend(lines, titles, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
