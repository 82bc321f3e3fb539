"""Describe on the cards of the bundled models what their training images look like, for the doubts before a run.

    python tools/make_appearance.py DATA

DATA is the folder that the recipes start from. Every card with a group in its name gets what stands in `GROUPS`, and as
its appearance mean and covariance of what `models.appearance.measure` finds in slices of `train`: each as it is, and
twice changed as scanners and people change images (another field of view, gamma, noise). Limits are chosen on `val`,
each image as it is and three times changed: see `LIMIT` and `MARGIN`. To be run again when weights are renewed; the
numbers do not depend on the networks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import napari_medseg
from napari_medseg.models import load_card, save_card
from napari_medseg.models.appearance import Appearance, fit, measure

WEIGHTS = Path(napari_medseg.__file__).parent / "weights"
LIMIT = 0.985  # share of the views of `val` that are nearer than the limit
MARGIN = 0.99  # share of the views of `val` that no other kind makes likelier by the margin
SEED = 0


@dataclass(frozen=True)
class Group:
    """Models of one task: the folder of their data, and what their cards say of images that suit them."""

    folder: str
    card: dict[str, Any]


GROUPS = {
    "heart": Group(
        "sunnybrook",
        {
            "dicom_modality": "MR",
            "body_parts": ("HEART", "CARDIAC", "CHEST", "THORAX", "CHESTABDOMEN", "ABDOMEN"),
            "view_mm": (100.0, 520.0),
            "oblique": True,
            "most_slices": 40,
        },
    ),
    "hippocampus": Group(
        "hippocampus",
        {
            "dicom_modality": "MR",
            "body_parts": ("HEAD", "BRAIN", "SKULL", "HIPPOCAMPUS", "TEMPORALLOBE", "HEADNECK"),
            "view_mm": (20.0, 110.0),
            "most_slices": 110,
        },
    ),
    "nuclei": Group("dsb2018", {"dicom_modality": "SM", "view_mm": (0.0, 60.0)}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    chance = np.random.default_rng(SEED)
    kinds = {}
    views = {}
    for name, group in GROUPS.items():
        kinds[name] = fit(measured(args.data / group.folder / "train.npz", 2, chance))
        views[name] = measured(args.data / group.folder / "val.npz", 3, chance)
    for name, group in GROUPS.items():
        others = [kind for other, kind in kinds.items() if other != name]
        found = with_limits(kinds[name], others, views[name])
        sys.stdout.write(f"{name}: distance up to {found.limit:g}, margin {found.margin:g}\n")
        for path in sorted(WEIGHTS.glob("*.safetensors")):
            words = path.stem.split("-")
            if name in words:
                # what only serves other models, as locator or member, is in no group
                chosen = name if words[-1] == name else ""
                save_card(path, replace(load_card(path), group=chosen, appearance=found, **group.card))


def measured(path: Path, changed: int, chance: np.random.Generator) -> list[np.ndarray]:
    """Measures of the slices of a data file, each as it is and so many times `changed`."""
    found = []
    for plane in slices(path):
        found.append(measure(plane))
        found += [measure(change(plane, chance)) for _ in range(changed)]
    return [each for each in found if each is not None]


def slices(path: Path) -> Iterator[np.ndarray]:
    """Slices (y, x) or (y, x, 3) of a data file; of volumes the middle one along each axis."""
    with np.load(path) as content:
        images = content["image"]
        shapes = content.get("shape")
    for number, image in enumerate(images):
        if shapes is None:
            yield image
            continue
        volume = image[tuple(slice(side) for side in shapes[number])]
        for axis, count in enumerate(volume.shape):
            yield volume.take(count // 2, axis)


def change(plane: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """A slice with another field of view, gamma and noise."""
    image = plane.astype(np.float32) / max(float(plane.max()), 1.0)
    if chance.random() < 0.6:
        share = chance.uniform(0.5, 1)
        height, width = (round(side * share) for side in image.shape[:2])
        top = chance.integers(0, image.shape[0] - height + 1)
        left = chance.integers(0, image.shape[1] - width + 1)
        image = image[top : top + height, left : left + width]
    image = image ** np.exp(chance.uniform(-0.35, 0.35))
    noise = chance.normal(0, chance.uniform(0, 0.05), image.shape[:2])
    return image + noise.reshape(*noise.shape, *(1,) * (image.ndim - 2))


def with_limits(kind: Appearance, others: list[Appearance], views: list[np.ndarray]) -> Appearance:
    """The appearance with the limits that let most of the `views` of its own images pass."""
    distances = [kind.distance(view) for view in views]
    likelier = [max(other.likelihood(view) for other in others) - kind.likelihood(view) for view in views]
    limit = float(np.quantile(distances, LIMIT))
    margin = max(0.0, float(np.quantile(likelier, MARGIN)))
    return replace(kind, limit=round(limit, 3), margin=round(margin, 3))


if __name__ == "__main__":
    main()
