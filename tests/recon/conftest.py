"""A made-up slice and networks that reconstruct, small enough for seconds."""

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.recon import fft2c


@pytest.fixture
def head():
    """Callable: shape, seed -> complex image (y, x), complex64: ellipses with a smooth phase and some noise."""

    def make(shape=(64, 64), seed=0):
        rng = np.random.default_rng(seed)
        y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
        image = 0.8 * (np.hypot(x / 0.7, y / 0.85) < 1)
        for _ in range(6):
            cx, cy, rx, ry = *rng.uniform(-0.4, 0.4, 2), *rng.uniform(0.05, 0.3, 2)
            image += rng.uniform(-0.3, 0.3) * (np.hypot((x - cx) / rx, (y - cy) / ry) < 1)
        noise = 0.01 * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
        return (np.abs(image) * np.exp(1j * (x + 0.5 * y)) + noise).astype(np.complex64)

    return make


@pytest.fixture
def kspace_of(head):
    """Callable: slices, coils, shape -> k-space (slice, coil, y, x), complex64, with smooth coil profiles."""

    def make(slices=2, coils=1, shape=(64, 64)):
        y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
        turns = 2 * np.pi * np.arange(coils) / coils
        away = np.hypot(x - np.cos(turns)[:, None, None], y - np.sin(turns)[:, None, None])
        profiles = np.exp(-(away**2)) if coils > 1 else np.ones((1, *shape))
        return np.stack([fft2c((profiles * head(shape, i)).astype(np.complex64)) for i in range(slices)])

    return make


@pytest.fixture
def learned():
    """Callable: design, silent -> model with random weights; a silent cascade changes nothing."""

    def make(design="cascade", silent=False):
        torch.manual_seed(0)
        channels = 2 if design == "cascade" else 1
        network = models.build("conditional-swin-light", in_channels=channels, out_channels=channels, width=64)
        if silent:
            torch.nn.init.zeros_(network.head.weight)
        card = ModelCard(
            "made-up",
            "conditional-swin-light",
            Preprocess(),
            (),
            options={"mode": "corrected"},
            design=design,
            masks={"random": (4.0, 8.0)},
        )
        return TrainedModel(card, network.eval())

    return make
