"""Figures of a model that reconstructs, next to those of the classical methods, and what it does to small spots."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import models
from ..progress import run
from ..recon import data_consistency, fft2c, ifft2c
from ..recon.classical import tv
from ..recon.figures import FIGURES
from ..recon.learned import STEPS, WARM, brightness, cascade_job, refine, restore, transform
from .data.sources import Source
from .simulated import mask_of, volumes

PROTOCOL = tuple((kind, *rest) for kind in ("random", "equispaced_fraction") for rest in ((4, 0.08), (8, 0.04)))
"""Kind, acceleration and centre fraction of the masks that figures are measured with."""
_SEEDS = 3
_SPOT = 2.0  # standard deviation in pixels
_HEIGHT = 0.3  # of the brightest pixel


def reconstruct(model: models.TrainedModel, kspace: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Magnitudes (slice, y, x) that `model` makes of k-space (slice, y, x) under `mask`."""
    measured = np.where(mask, kspace, 0)
    if model.card.design == "cascade":
        return np.stack([np.abs(run(cascade_job(model, one, mask, STEPS))) for one in measured])
    return np.stack([restore(model, np.abs(ifft2c(one))) for one in measured])


def figures(model: models.TrainedModel, sources: Iterable[Source], root: Path) -> dict[str, Any]:
    """Figures of `model`, zero-filled and TV with hard data consistency, per mask and subject.

    Each figure is the mean over three masks. Volumes and masks are simulated, see `simulated.volumes`. The entry
    ``spots`` of a cascade: see `spots`.
    """
    methods = {
        "zero_filled": lambda kspace, mask: np.abs(ifft2c(np.where(mask, kspace, 0))),
        "tv_dc": lambda kspace, mask: np.stack([np.abs(_tv_dc(one, mask)) for one in np.where(mask, kspace, 0)]),
        "model": lambda kspace, mask: reconstruct(model, kspace, mask),
    }
    table: dict[str, Any] = {}
    for subject, kspace, reference in volumes(sources, root):
        for kind, acceleration, fraction in PROTOCOL:
            rows = table.setdefault(f"{kind} {acceleration}x", {}).setdefault(subject, {})
            masks = [mask_of(kind, kspace.shape[-1], acceleration, fraction, subject, n) for n in range(_SEEDS)]
            for name, method in methods.items():
                images = [method(kspace, mask) for mask in masks]
                rows[name] = _means(reference, images)
    if model.card.design == "cascade":
        table["spots"] = spots(model, sources, root)
    return table


def _means(reference: np.ndarray, results: Iterable[np.ndarray]) -> dict[str, float]:
    """Mean of each figure that stands on cards over `results`, each of the shape of `reference` (slice, y, x)."""
    results, maximum, means = list(results), float(reference.max()), {}
    for key, figure in FIGURES.items():
        if figure.on_card:
            values = [figure.function(reference, images, maximum) for images in results]
            means[key] = float(np.mean(values))
    return means


def _tv_dc(measured: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return data_consistency(tv(measured, mask), measured, mask)


def spots(model: models.TrainedModel, sources: Iterable[Source], root: Path) -> dict[str, dict[str, float]]:
    """How much of a small bright spot a cascade shows: one that is in the data, and one that is not.

    A Gaussian spot is added to the middle slices of each subject, in the brighter part of the image. ``kept``: height
    of a true spot in the result over its true height (1 is right), ``kept_tv`` the same of TV with data consistency.
    ``left``: height that is left of a false spot which the image that the cascade begins with shows (0 is right).
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    for subject, kspace, _ in volumes(sources, root):
        for one in kspace[1:-1]:
            spot = _spot(ifft2c(one))
            for kind, acceleration, fraction in PROTOCOL[:2]:
                mask = mask_of(kind, one.shape[-1], acceleration, fraction, subject)
                rows = found.setdefault(f"{kind} {acceleration}x", [])
                rows.append(_spot_heights(model, one, spot, mask))
    names = ("kept", "kept_tv", "left")
    return {name: dict(zip(names, map(float, np.median(rows, axis=0)), strict=True)) for name, rows in found.items()}


def _spot(image: np.ndarray) -> np.ndarray:
    """A complex spot (y, x) with the phase of `image`, at the median place of its brighter pixels."""
    magnitude = np.abs(image)
    y, x = (int(np.median(places)) for places in np.nonzero(magnitude > 0.3 * brightness(image)))
    away = np.hypot(*np.ogrid[-y : len(image) - y, -x : image.shape[1] - x])
    return _HEIGHT * magnitude.max() * np.exp(-0.5 * (away / _SPOT) ** 2) * np.exp(1j * np.angle(image))


def _spot_heights(
    model: models.TrainedModel, kspace: np.ndarray, spot: np.ndarray, mask: np.ndarray
) -> tuple[float, float, float]:
    place = np.unravel_index(np.abs(spot).argmax(), spot.shape)
    height = np.abs(spot[place])
    plain, spotted = (np.where(mask, samples, 0) for samples in (kspace, kspace + fft2c(spot)))
    kept = [
        float(np.abs(method(spotted))[place] - np.abs(method(plain))[place]) / height
        for method in (lambda y: run(cascade_job(model, y, mask, STEPS)), lambda y: _tv_dc(y, mask))
    ]
    with_false, without = (_from(model, plain, mask, start) for start in (spot, 0))
    return *kept, float(np.abs(with_false)[place] - np.abs(without)[place]) / height


def _from(model: models.TrainedModel, measured: np.ndarray, mask: np.ndarray, added: np.ndarray | int) -> np.ndarray:
    """What a cascade makes of a start with something added to it."""
    scale = brightness(ifft2c(measured))
    start = data_consistency(tv(measured, mask, iterations=WARM), measured, mask) + added
    current, known = (torch.from_numpy((part / scale).astype(np.complex64))[None] for part in (start, ifft2c(measured)))
    known, where = transform(known, (-1,)), torch.from_numpy(mask)[None, None]
    with torch.inference_mode():
        for _ in range(STEPS):
            current = refine(model.network, current, known, where, (-1,))
    return current[0].numpy() * scale
