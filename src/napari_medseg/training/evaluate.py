"""Figures of a model on data with known labels: what a model card reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import metrics, models
from ..labels import from_logits, split_objects
from .dataset import Sample, Source, load


@dataclass(frozen=True)
class ObjectCounts:
    """Objects of an image: predicted, true, and pairs of both that overlap by more than half of their union."""

    predicted: int
    true: int
    matched: int

    @property
    def f1(self) -> float:
        """Share of matched objects, counted on both sides; NaN without objects."""
        total = self.predicted + self.true
        return 2 * self.matched / total if total else float("nan")


@dataclass(frozen=True)
class ImageScore:
    """Scores of one image.

    Parameters
    ----------
    case, group : str
        See `dataset.Sample`.
    dice, iou : float
        Of all classes together; NaN where neither side has an object.
    classes : tuple of float
        Dice of each class.
    empty : bool
        Whether the image holds no object.
    predicted : float
        Share of its pixels that were given to a class.
    objects : ObjectCounts or None
        None where objects were not counted.
    """

    case: str
    group: str
    dice: float
    iou: float
    classes: tuple[float, ...]
    empty: bool
    predicted: float
    objects: ObjectCounts | None = None


def evaluate(path: Path, sources: Iterable[Source], root: Path) -> dict[str, Any]:
    """Score the model file `path` on `sources`, every image at its own resolution as in inference.

    Parameters
    ----------
    path : pathlib.Path
        Weights file with its card.
    sources : iterable of Source
        Their `group` is reported apart, their `objects` are counted if the card says that the model finds objects.
    root : pathlib.Path
        Folder that relative paths start from.

    Returns
    -------
    dict
        See `summarise`.

    Raises
    ------
    ModelError, FileError, SettingsError
        If model or data cannot be read.
    """
    model = models.load(path)
    samples = load(sources, model.card.preprocess, root, len(model.card.classes))
    return summarise(list(score_images(model, samples)), [row.name for row in model.card.classes])


def score_images(
    model: models.TrainedModel, samples: Iterable[Sample], device: torch.device | str = "cpu"
) -> Iterator[ImageScore]:
    """Scores of `model`, whose network lies on `device`, on each sample in order."""
    card = model.card
    for sample in samples:
        tensor, undo = card.preprocess.fit(sample.image[None], sample.spacing)
        with torch.inference_mode():
            prediction = from_logits(undo(model.logits(tensor.to(device))), card.certainty)[0]
        yield score_image(sample, prediction, len(card.classes), split_objects if card.objects else None)


def score_image(
    sample: Sample, prediction: np.ndarray, classes: int = 1, split: Callable[[np.ndarray], np.ndarray] | None = None
) -> ImageScore:
    """Compare a prediction (y, x) with the labels of `sample`; `split` turns its mask into numbered objects."""
    reference = sample.labels.numpy()
    found, true = prediction > 0, reference > 0
    counts = None
    if split is not None and sample.objects is not None:
        counts = count_objects(split(found), sample.objects)
    return ImageScore(
        sample.case,
        sample.group,
        metrics.dice(found, true),
        metrics.iou(found, true),
        tuple(metrics.dice(prediction == c, reference == c) for c in range(1, classes + 1)),
        not true.any(),
        float(found.mean()),
        counts,
    )


def count_objects(prediction: np.ndarray, reference: np.ndarray) -> ObjectCounts:
    """Match objects whose intersection over union exceeds one half, which at most one pair of each can."""
    predicted, true = _numbered(prediction), _numbered(reference)
    height, width = true.max() + 1, predicted.max() + 1
    together = np.bincount(true * width + predicted, minlength=height * width).reshape(height, width)
    union = together.sum(1, keepdims=True) + together.sum(0, keepdims=True) - together
    matched = np.count_nonzero(2 * together[1:, 1:] > union[1:, 1:])
    return ObjectCounts(int(width - 1), int(height - 1), int(matched))


def _numbered(labels: np.ndarray) -> np.ndarray:
    """Flat labels without gaps in their numbers; 0 stays 0 even where it does not occur."""
    return np.unique(np.append(0, labels), return_inverse=True)[1][1:]


def summarise(scores: list[ImageScore], classes: list[str]) -> dict[str, Any]:
    """Figures over images, for a model card.

    Returns
    -------
    dict
        ``images``; ``skipped``, those without an object on either side; ``dice`` and ``iou``, means over the others;
        ``dice_std`` over images; where a case has several images ``cases`` and ``dice_by_case``, the mean over
        cases of their means; ``groups``; ``classes``, Dice by class if there are several; ``objects``: ``f1`` is the
        mean over images, the other figures count all objects together; ``empty``: of the images that hold no object,
        the share with any false pixel and the mean share of false pixels.
    """
    figures = _overlap(scores)
    cases = _by(scores, lambda score: score.case)
    if len(cases) < len(scores):
        means = [_mean([s.dice for s in part]) for part in cases.values()]
        figures |= {"cases": len(cases), "dice_by_case": _round(_mean(means))}
    groups = _by(scores, lambda score: score.group)
    if len(groups) > 1:
        figures["groups"] = {name: _overlap(part) for name, part in groups.items()}
    if len(classes) > 1:
        figures["classes"] = {name: _round(_mean([s.classes[i] for s in scores])) for i, name in enumerate(classes)}
    if counts := [s.objects for s in scores if s.objects is not None]:
        figures["objects"] = _object_scores(counts)
    if empty := [s for s in scores if s.empty]:
        figures["empty"] = {
            "images": len(empty),
            "with_false_pixels": _round(_mean([float(s.predicted > 0) for s in empty])),
            "false_pixels": _round(_mean([s.predicted for s in empty])),
        }
    return figures


def _overlap(scores: list[ImageScore]) -> dict[str, Any]:
    dice = np.array([s.dice for s in scores])
    known = dice[~np.isnan(dice)]
    return {
        "images": len(scores),
        "skipped": len(dice) - len(known),
        "dice": _round(_mean(dice)),
        "iou": _round(_mean([s.iou for s in scores])),
        "dice_std": _round(float(known.std())) if known.size else None,
    }


def _object_scores(counts: list[ObjectCounts]) -> dict[str, Any]:
    predicted, true, matched = (sum(getattr(c, name) for c in counts) for name in ("predicted", "true", "matched"))
    return {
        "f1": _round(_mean(c.f1 for c in counts)),
        "f1_pooled": _round(ObjectCounts(predicted, true, matched).f1),
        "precision": _round(matched / max(predicted, 1)),
        "recall": _round(matched / max(true, 1)),
    }


def _by(scores: list[ImageScore], key: Callable[[ImageScore], str]) -> dict[str, list[ImageScore]]:
    return {name: [s for s in scores if key(s) == name] for name in sorted({key(s) for s in scores})}


def _mean(values: Iterable[float]) -> float:
    """Mean of what is not NaN; NaN if nothing is left."""
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def _round(value: float) -> float | None:
    """Four decimals; None, which JSON knows, in place of NaN."""
    return None if np.isnan(value) else round(value, 4)
