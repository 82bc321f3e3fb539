"""How good are models on held-out data, beside each other and a classical method?

    python benchmarks/heldout.py DATA RECIPE.json MODEL.safetensors [MODEL.safetensors ...] [--split test]

DATA is the folder that the recipe's paths start from. Prints two Markdown tables: the figures of every model and of
Otsu's threshold, and how far the first model is ahead of each other one, with 95 % intervals of a paired bootstrap
over patients (or images, where every image is a case of its own). Choose on `val`; look at `test` once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_medseg import models
from napari_medseg.labels import split_objects
from napari_medseg.training.data.dataset import Sample, load
from napari_medseg.training.data.sources import Source
from napari_medseg.training.evaluate import images_of, score_sources, whole
from napari_medseg.training.image_scores import ImageScore, score_image, summarise
from napari_medseg.training.settings import TrainSettings, read_settings


def otsu(sample: Sample) -> np.ndarray:
    """Foreground by Otsu's threshold of the smoothed grey image; the rarer side is the object."""
    grey = ndimage.gaussian_filter(sample.image.mean(0).numpy(), 1)
    bright = grey > threshold_otsu(grey)
    return bright if bright.mean() < 0.5 else ~bright


def otsu_in_place(training: list[Sample]) -> Callable[[Sample], np.ndarray]:
    """Otsu's threshold inside the place where the objects of the training images lie, bright side."""
    shape = training[0].labels.shape
    prior = np.mean([sample.labels.numpy() > 0 for sample in training if sample.labels.shape == shape], axis=0)
    place = prior > prior.max() / 4

    def segment(sample: Sample) -> np.ndarray:
        grey = ndimage.gaussian_filter(sample.image.mean(0).numpy(), 1)
        return place & (grey > threshold_otsu(grey[place]))

    return segment


def baseline(settings: TrainSettings, samples: list[Sample], root: Path) -> tuple[str, list[ImageScore]]:
    """Name and scores of the classical method: with a watershed for objects, with the usual place for organs."""
    objects = settings.card.get("objects", False)
    if objects:
        name, segment = "Otsu + watershed", otsu
    else:
        labelled = [source for source in settings.train if source.label]
        name, segment = "Otsu in the usual place", otsu_in_place(load(labelled, settings.preprocess, root))
    split = split_objects if objects else None
    scores = []
    for slices in images_of(samples):
        image = whole(slices, settings.preprocess)
        found = np.stack([segment(sample) for sample in slices])
        scores.append(score_image(image, found, split=split))
    return name, scores


def cells(scores: list[ImageScore], classes: list[str]) -> dict[str, str]:
    """Column -> figure, for the columns that the data have."""
    figures = summarise(scores, classes)
    row = {"Dice / IoU": "{dice:.3f} / {iou:.3f}".format(**figures)}
    for name, part in figures.get("classes", {}).items():
        row[f"Dice, HD95 mm, {name}"] = "{dice:.3f}, {hd95_mm:.2f}".format(**part)
    if "hd95_mm" in figures:
        row["HD95 mm"] = "{hd95_mm:.2f}".format(**figures)
    row |= {group: f"{part['dice']:.3f}" for group, part in figures.get("groups", {}).items()}
    if "dice_by_case" in figures:
        row["Dice by case"] = f"{figures['dice_by_case']:.3f}"
    if "case_dice" in figures:
        row["Dice of each case"] = ", ".join(f"{name} {dice:.2f}" for name, dice in figures["case_dice"].items())
    if "objects" in figures:
        row["object F1 by image / pooled"] = "{f1:.3f} / {f1_pooled:.3f}".format(**figures["objects"])
    if "empty" in figures:
        row["empty images with false pixels"] = "{with_false_pixels:.3f} of {images}".format(**figures["empty"])
    return row


def units(scores: list[ImageScore], value: Callable[[ImageScore], float]) -> np.ndarray:
    """Mean of `value` over the images of each case, cases in order; NaN where a case has none."""
    cases = sorted({score.case for score in scores})
    found = [np.array([value(s) for s in scores if s.case == case]) for case in cases]
    return np.array([values[~np.isnan(values)].mean() if not np.isnan(values).all() else np.nan for values in found])


def ahead(mine: np.ndarray, other: np.ndarray) -> str:
    """Mean difference with the 2.5th and 97.5th percentile over 10000 draws of the cases."""
    differences = (mine - other)[~np.isnan(mine - other)]
    draws = np.random.default_rng(0).integers(0, len(differences), (10_000, len(differences)))
    low, high = np.percentile(differences[draws].mean(1), [2.5, 97.5])
    return f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def f1(score: ImageScore) -> float:
    return score.objects.f1 if score.objects else float("nan")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="DATA")
    parser.add_argument("recipe", type=Path, metavar="RECIPE.json")
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.safetensors")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--group", help="array of the data whose values are shown apart, in place of the recipe's")
    parser.add_argument("--objects", help="array of object numbers, in place of the recipe's")
    return parser.parse_args()


def sources(given: argparse.Namespace, settings: TrainSettings) -> list[Source]:
    asked = {name: getattr(given, name) for name in ("group", "objects") if getattr(given, name)}
    return [replace(source, **asked) for source in getattr(settings, given.split)]


def main() -> None:
    given = arguments()
    settings = read_settings(given.recipe)
    chosen, classes = sources(given, settings), [row.name for row in settings.classes]
    scores = {}
    for path in given.models:
        model = models.load(path)
        name = model.card.name if model.card.name not in scores else str(path)
        scores[name] = score_sources(model, chosen, given.root)
    if len(classes) == 1:
        # no threshold tells several classes apart
        name, found = baseline(settings, load(chosen, settings.preprocess, given.root), given.root)
        scores[name] = found
    first, *others = scores
    images = scores[first]
    print(f"`{given.split}` of {settings.name}: {len(images)} images, {len({s.case for s in images})} cases.\n")
    heads = list(cells(images, classes))
    print(f"| | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
    for method, found in scores.items():
        print(f"| {method} | {' | '.join(cells(found, classes).values())} |")
    counted = any(score.objects for score in images)
    print(f"\n| {first} ahead of | Dice (95 % interval) | object F1 |\n|---|---:|---:|")
    for other in others:
        dice = ahead(*(units(scores[m], lambda s: float(np.mean(s.classes))) for m in (first, other)))
        objects = ahead(*(units(scores[m], f1) for m in (first, other))) if counted else ""
        print(f"| {other} | {dice} | {objects} |")


if __name__ == "__main__":
    main()
