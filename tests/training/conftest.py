"""A data set that a tiny network learns in seconds: bright discs on a dark, noisy ground."""

import numpy as np
import pytest

from napari_medseg.training.augment import AugmentSettings
from napari_medseg.training.data.sources import Source
from napari_medseg.training.settings import Phase, TrainSettings
from napari_medseg.volume import LabelClass


def _discs(count, size=32, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    centres, radii = rng.uniform(8, size - 8, (count, 2)), rng.uniform(4, 8, count)
    away = np.hypot(y - centres[:, 0, None, None], x - centres[:, 1, None, None])
    labels = (away < radii[:, None, None]).astype(np.uint8)
    image = 40 + 150 * labels + rng.normal(0, 5, labels.shape)
    return image.astype(np.uint8), labels


@pytest.fixture
def discs():
    """Callable: count -> images and labels (n, y, x)."""
    return _discs


@pytest.fixture
def data(tmp_path):
    """Folder with train.npz, val.npz and test.npz."""
    for seed, (name, count) in enumerate({"train": 6, "val": 3, "test": 4}.items()):
        image, label = _discs(count, seed=seed)
        patient = np.array([f"p{i // 2}" for i in range(count)])
        np.savez(tmp_path / f"{name}.npz", image=image, label=label, patient=patient)
    return tmp_path


@pytest.fixture
def settings():
    """Callable: changed options -> settings of a short run on that data."""

    def make(**changes):
        options = {
            "name": "discs",
            "architecture": "litenext",
            "train": (Source("train.npz"),),
            "val": (Source("val.npz"),),
            "classes": (LabelClass(1, "disc", "#ffffff"),),
            "phases": (Phase(0.5, 16, 3), Phase(1.0, 32, 2)),
            "steps": 6,
            "options": {"channels": 4, "width": 8, "dilation": 2},
            "augment": AugmentSettings(),
            "learning_rate": 3e-3,
            "warmup_steps": 2,
            "ema": 0.5,
            "validate_every": 2,
            "threads": 1,
            "device": "cpu",
        }
        return TrainSettings(**(options | changes))

    return make
