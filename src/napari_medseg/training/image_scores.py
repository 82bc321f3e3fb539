"""Scores of labels against a reference, image by image, and the figures that a model card reports of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import metrics
from ..metrics import ObjectCounts, count_objects
from ..preprocess import Preprocess
from .data.shares import IGNORE

_FEW = 10  # cases that are named one by one


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of an image: a slice, or a volume where the data hold volumes.

    Parameters
    ----------
    labels : numpy.ndarray, shape (y, x) or (z, y, x)
        As those of `dataset.Sample`.
    case, group : str
        See `dataset.Sample`.
    spacing : tuple of float or None
        Voxel size in mm along the axes of `labels`, the assumed one if need be.
    objects : numpy.ndarray or None
        Object numbers of an image with one slice, 0 background.
    volume : str
        What the image is, or a part of, where Dice is taken of whole volumes.
    unlabelled : tuple of int
        See `dataset.Sample`.
    """

    labels: np.ndarray
    case: str
    group: str = ""
    spacing: tuple[float, ...] | None = None
    objects: np.ndarray | None = None
    volume: str = ""
    unlabelled: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImageScore:
    """Scores of one image: a slice, or a volume where the data hold volumes.

    Parameters
    ----------
    case, group : str
        See `dataset.Sample`.
    dice, iou : float
        Of all classes together; NaN where neither side has an object.
    classes, hd95 : tuple of float
        Dice and 95th percentile of the Hausdorff distance (mm) of each class; the distance is infinite where one side
        has no object of the class, and NaN where neither has or the pixel size is not known.
    empty : bool
        Whether the image holds no object.
    predicted : float
        Share of its pixels that were assigned to a class.
    objects : ObjectCounts or None
        None where objects were not counted.
    volume : str
        See `Truth`.
    overlaps : tuple of (int, int, int)
        Of each class the pixels that both sides have, those of the prediction, and those of the labels.
    """

    case: str
    group: str
    dice: float
    iou: float
    classes: tuple[float, ...]
    hd95: tuple[float, ...]
    empty: bool
    predicted: float
    objects: ObjectCounts | None = None
    volume: str = ""
    overlaps: tuple[tuple[int, int, int], ...] = ()


def voxel(
    thickness: float | None, plane: tuple[float, float] | None, preprocess: Preprocess
) -> tuple[float, float, float] | None:
    """Voxel size (z, y, x) in mm, with the assumed pixel size if need be; None where it is not known."""
    if plane is None and preprocess.assumed_spacing is not None:
        plane = (preprocess.assumed_spacing, preprocess.assumed_spacing)
    if plane is None or not thickness:
        return None
    return (thickness, *plane)


def score_image(
    truth: Truth, prediction: np.ndarray, classes: int = 1, split: Callable[[np.ndarray], np.ndarray] | None = None
) -> ImageScore:
    """Compare a prediction, shape of `truth.labels`, with what is known.

    `split` turns the mask of an image with one slice into numbered objects.
    """
    reference = truth.labels
    unknown = reference == IGNORE
    prediction, reference = (np.where(unknown, 0, labels) for labels in (prediction, reference))
    # neither side has a class that counts as unlabelled, so it is not scored
    prediction, reference = (np.where(np.isin(side, truth.unlabelled), 0, side) for side in (prediction, reference))
    found, true = prediction > 0, reference > 0
    counts = None
    if split is not None and truth.objects is not None:
        counts = count_objects(split(found.reshape(truth.objects.shape)), truth.objects)
    pairs = [(prediction == c, reference == c) for c in range(1, classes + 1)]
    return ImageScore(
        truth.case,
        truth.group,
        metrics.dice(found, true),
        metrics.iou(found, true),
        tuple(metrics.dice(ours, theirs) for ours, theirs in pairs),
        tuple(metrics.hd95(*pair, truth.spacing) if truth.spacing else float("nan") for pair in pairs),
        not true.any(),
        float(found.mean()),
        counts,
        truth.volume,
        tuple((int((ours & theirs).sum()), int(ours.sum()), int(theirs.sum())) for ours, theirs in pairs),
    )


def dice_by_class(scores: Iterable[ImageScore]) -> list[float | None]:
    """Mean Dice over images, class by class; None where nothing can be scored."""
    means = (_mean(values) for values in zip(*(score.classes for score in scores), strict=True))
    return [None if np.isnan(mean) else mean for mean in means]


def mean_dice(scores: Iterable[ImageScore]) -> float:
    """Dice, the mean over classes of the means over images; NaN where nothing can be scored."""
    return _mean(value for value in dice_by_class(scores) if value is not None)


def volume_dice(scores: Iterable[ImageScore]) -> list[float | None]:
    """Mean over volumes of the Dice of all their slices together, class by class, as ACDC counts.

    The stack of a case at one time is a volume. Volumes without a class do not count for it; None where none has it.
    """
    volumes: dict[tuple[str, str], list[ImageScore]] = {}
    for score in scores:
        if score.volume:
            volumes.setdefault((score.case, score.volume), []).append(score)
    sums = [np.sum([score.overlaps for score in slices], axis=0) for slices in volumes.values()]
    if not sums:
        return []
    both, found, true = np.moveaxis(np.array(sums, np.float64), 2, 0)
    dice = np.divide(2 * both, found + true, out=np.full_like(both, np.nan), where=true > 0)
    means = (_mean(values) for values in dice.T)
    return [None if np.isnan(mean) else mean for mean in means]


def mean_volume_dice(scores: Iterable[ImageScore]) -> float:
    """Mean over classes of `volume_dice`; NaN where nothing can be scored."""
    return _mean(value for value in volume_dice(scores) if value is not None)


def summarise(scores: list[ImageScore], classes: list[str]) -> dict[str, Any]:
    """Figures over images, for a model card.

    Returns
    -------
    dict
        ``images``; ``skipped``, those without an object on either side; ``dice`` and ``iou``, means over the others;
        ``dice_std`` over images; ``hd95_mm``, the mean over images where both sides have the class, and
        ``hd95_missing``, the share of images that have it on one side only; where a case has several images ``cases``
        and ``dice_by_case``, the mean over cases of their means, and of few cases ``case_dice``, each one's mean;
        ``volume_dice``, see there, where images are slices of volumes: the mean over classes;
        ``groups``; ``classes``, Dice and HD95 by class if there are several, and how many images were ``skipped``
        that have the class on neither side; ``objects``: ``f1`` is the mean over images, the other figures count all
        objects together; ``empty``: of the images that hold no object, the share
        with any false pixel and the mean share of false pixels.
    """
    figures = _overlap(scores)
    cases = _by(scores, lambda score: score.case)
    if len(cases) < len(scores):
        means = {name: _mean([s.dice for s in part]) for name, part in cases.items()}
        figures |= {"cases": len(cases), "dice_by_case": _share(_mean(means.values()))}
        if len(cases) <= _FEW:
            figures["case_dice"] = {name: _share(value) for name, value in means.items()}
    pooled = _pooled(scores)
    if pooled:
        figures["volume_dice"] = _share(_mean(value for value in pooled if value is not None))
    groups = _by(scores, lambda score: score.group)
    if len(groups) > 1:
        figures["groups"] = {name: _overlap(part) for name, part in groups.items()}
    if len(classes) > 1:
        figures["classes"] = {
            name: _class_figures([s.classes[i] for s in scores], [s.hd95[i] for s in scores])
            for i, name in enumerate(classes)
        }
        for name, value in zip(classes, pooled, strict=False):
            if value is not None:
                figures["classes"][name]["volume_dice"] = _share(value)
    else:
        figures |= _distance([s.hd95[0] for s in scores])
    if counts := [s.objects for s in scores if s.objects is not None]:
        figures["objects"] = _object_scores(counts)
    if empty := [s for s in scores if s.empty]:
        figures["empty"] = {
            "images": len(empty),
            "with_false_pixels": _share(_mean([float(s.predicted > 0) for s in empty])),
            "false_pixels": _share(_mean([s.predicted for s in empty])),
        }
    return figures


def _pooled(scores: list[ImageScore]) -> list[float | None]:
    """Volume Dice by class, unless every volume is an image: then it is that of the images."""
    volumes = {(score.case, score.volume) for score in scores if score.volume}
    return volume_dice(scores) if len(volumes) < len(scores) else []


def _overlap(scores: list[ImageScore]) -> dict[str, Any]:
    dice = np.array([s.dice for s in scores])
    known = dice[~np.isnan(dice)]
    return {
        "images": len(scores),
        "skipped": len(dice) - len(known),
        "dice": _share(_mean(dice)),
        "iou": _share(_mean([s.iou for s in scores])),
        "dice_std": _share(float(known.std())) if known.size else None,
    }


def _class_figures(dice: list[float], hd95: list[float]) -> dict[str, Any]:
    found = {"dice": _share(_mean(dice)), **_distance(hd95)}
    if skipped := int(np.isnan(dice).sum()):
        found["skipped"] = skipped
    return found


def _distance(values: list[float]) -> dict[str, Any]:
    known = [v for v in values if not np.isnan(v)]
    if not known:
        return {}
    finite = [v for v in known if np.isfinite(v)]
    # in millimetres the distances of a microscope are small: not rounded
    return {"hd95_mm": _mean(finite) if finite else None, "hd95_missing": _share(1 - len(finite) / len(known))}


def _object_scores(counts: list[ObjectCounts]) -> dict[str, Any]:
    predicted, true, matched = (sum(getattr(c, name) for c in counts) for name in ("predicted", "true", "matched"))
    pooled = ObjectCounts(predicted, true, matched)
    return {
        "f1": _share(_mean(c.f1 for c in counts)),
        "f1_pooled": _share(pooled.f1),
        "precision": _share(pooled.precision),
        "recall": _share(pooled.recall),
    }


def _by(scores: list[ImageScore], key: Callable[[ImageScore], str]) -> dict[str, list[ImageScore]]:
    return {name: [s for s in scores if key(s) == name] for name in sorted({key(s) for s in scores})}


def _mean(values: Iterable[float]) -> float:
    """Mean of what is not NaN; NaN if nothing is left."""
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def _share(value: float) -> float | None:
    """Four decimals, unless they would be zeros; None, which JSON knows, in place of NaN."""
    if np.isnan(value):
        return None
    return round(value, 4) or value
