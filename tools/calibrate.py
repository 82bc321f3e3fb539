"""Choose the temperature of a model on the `val` images of its recipe.

    python tools/calibrate.py DATA RECIPE.json MODEL.safetensors [--split test] [--write]

DATA is the folder that the recipe's paths start from. Counted are the pixels within 8 pixels of a labelled or found
object of the class, where doubts matter; elsewhere nearly all are background without any. The temperature minimises the
cross-entropy of each class against everything else; for a network with softmax that is the background and the other
classes. Calibration error: the mean distance between probability and share of true pixels, over 15 bins of equal width,
weighted by their pixels (Guo et al., ICML 2017). `--write` puts temperature and figures on the card, for `val`; with
`--split test` the card's temperature is only measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage, optimize, special

from napari_medseg import models
from napari_medseg.models.card import card_file, save_card
from napari_medseg.models.registry import architecture
from napari_medseg.segmentation import stacks
from napari_medseg.segmentation.locating import Places, crop
from napari_medseg.training import located
from napari_medseg.training.data.dataset import IGNORE, Sample, load
from napari_medseg.training.settings import TrainSettings, read_settings

NEAR = 8  # pixels
BINS = 15


def near_pixels(model: models.TrainedModel, sample: Sample, shown: Places) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Logits (n, 1 + rivals) and truth (n,) of the pixels that count, class by class.

    Rivals are the other classes of a network with softmax, whose background has the logit 0; without it there are none.
    """
    (logits,) = stacks.stack_logits(model, [sample.image], sample.spacing, "cpu", crop(model, shown))
    reference = sample.labels.numpy()
    maps = logits[0].numpy()
    exclusive = architecture(model.card.architecture).background
    for number, plane in enumerate(maps, 1):
        true = reference == number
        if number in sample.unlabelled:
            continue
        distance = ndimage.distance_transform_edt(~(true | (plane > 0)))
        counted = (distance <= NEAR) & (reference != IGNORE) & np.isfinite(plane)
        rivals = np.delete(maps, number - 1, axis=0) if exclusive else maps[:0]
        yield np.stack([plane, *rivals], axis=-1)[counted], true[counted]


def gathered(
    model: models.TrainedModel, settings: TrainSettings, split: str, root: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Logits without a temperature and truth of all pixels that count."""
    card = model.card
    sources = [source for source in getattr(settings, split) if source.label]
    samples = load(sources, card.preprocess, root, len(card.classes), context=model.context)
    pairs = [
        pair
        for sample, shown in zip(samples, located.places(model, samples), strict=True)
        for pair in near_pixels(model, sample, shown)
    ]
    logits, truths = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return logits * card.temperature, truths


def odds(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Log-odds (n,) of a class against the background and its rivals; `logits` as of `near_pixels`."""
    scaled = logits.astype(np.float64) / temperature
    background = np.zeros((len(scaled), 1))
    against = np.concatenate([background, scaled[:, 1:]], axis=1)
    return scaled[:, 0] - special.logsumexp(against, axis=1)


def cross_entropy(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """Mean over pixels, in nats."""
    found = odds(logits, temperature)
    return float(np.logaddexp(0, np.where(truth, -found, found)).mean())


def calibration_error(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """Of 15 bins of equal width, weighted by their pixels."""
    probability = special.expit(odds(logits, temperature))
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    said = np.bincount(place, probability, BINS)
    held = np.bincount(place, truth, BINS)
    return float(np.abs(said - held).sum() / truth.size)


def best_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The one with the smallest cross-entropy, from 0.2 to 5."""
    found = optimize.minimize_scalar(
        lambda power: cross_entropy(logits, truth, np.exp(power)), bounds=(np.log(0.2), np.log(5)), method="bounded"
    )
    return round(float(np.exp(found.x)), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    model = models.load(given.model)
    logits, truth = gathered(model, read_settings(given.recipe), given.split, given.data)
    chosen = best_temperature(logits, truth) if given.split == "val" else model.card.temperature
    figures = {
        "temperature": chosen,
        "calibration_error_before": round(calibration_error(logits, truth, 1), 4),
        "calibration_error": round(calibration_error(logits, truth, chosen), 4),
    }
    sys.stdout.write(f"{model.card.name}, {given.split}: {figures}, {truth.size} pixels\n")
    if given.write:
        metrics = model.card.metrics | {f"{given.split}, calibration": figures}
        save_card(card_file(given.model), replace(model.card, temperature=chosen, metrics=metrics))


if __name__ == "__main__":
    main()
