"""Simulated k-space for training and validation: slices, phases, noise and masks, all drawn from seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ..errors import SettingsError
from ..recon import fft2c, ifft2c, sampling_mask
from ..recon.sampling import file_seed
from ..recon.simulate import simulate, smooth_phase
from .augment import Augment
from .data.dataset import read_images
from .data.sources import Source
from .settings import MaskShare, ReconTrainSettings

_FIELDS = {6: 1.5, 14: 1.0, 32: 0.6, 72: 0.35}  # nodes along an axis: largest standard deviation in rad
_PER_SUBJECT = 4


@dataclass(frozen=True, eq=False)
class Scan:
    """A slice with its k-space, both complex64: `image` and `measured` (y, x), and the columns that were kept."""

    image: np.ndarray
    measured: np.ndarray
    mask: np.ndarray


def slices(sources: Iterable[Source], root: Path) -> list[tuple[str, np.ndarray]]:
    """Case and image (y, x), float32 with maximum 1, of every slice of `sources`."""
    found = [(case, _scaled(image)) for source in sources for case, image in read_images(source, root)]
    if not found:
        raise SettingsError("The data set holds no slices. Check the paths and the 'select' entries of its sources.")
    return found


def _scaled(image: np.ndarray) -> np.ndarray:
    image = image.astype(np.float32)
    return image / (image.max() or 1)


def draw(image: np.ndarray, settings: ReconTrainSettings, rng: np.random.Generator) -> Scan:
    """A new scan of `image` (y, x): changed, with a phase and noise, under a mask of its own.

    Half of the images are only mirrored and turned, so that their finest structure is kept. Most phases are rough, as
    in real scans: what learns from smooth phases alone relies on them and fails on real data.
    """
    exact = rng.random() < 0.5
    augment = settings.augment.without_resampling() if exact else settings.augment
    view = Augment(augment, _torch_generator(rng))
    tensor = torch.from_numpy(image)
    changed, _ = view(tensor.expand(3, *image.shape), torch.zeros(1, *image.shape), image.shape)
    magnitude = changed[0].clamp(min=0).numpy()
    smooth = rng.random() < settings.smooth_phases
    phase = smooth_phase(image.shape, rng) if smooth else rough_phase(magnitude, rng)
    scan = magnitude * np.exp(1j * phase) + _noise(image.shape, rng)
    full = fft2c(scan.astype(np.complex64))
    mask = draw_mask(settings.masks, image.shape[1], rng)
    return Scan(ifft2c(full), np.where(mask, full, 0), mask)


def _torch_generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**63)))


def _noise(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Complex noise of 1 % of the maximum, often another amount up to 2 %, now and then up to 5 %."""
    level = {0: 0.01, 1: rng.uniform(0, 0.02), 2: rng.uniform(0.01, 0.05)}[int(rng.choice(3, p=(0.45, 0.4, 0.15)))]
    return level * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / math.sqrt(2)


def draw_mask(masks: Sequence[MaskShare], width: int, rng: np.random.Generator) -> np.ndarray:
    """Columns (width,), bool, of one of `masks`."""
    shares = np.array([mask.share for mask in masks])
    chosen = masks[int(rng.choice(len(masks), p=shares / shares.sum()))]
    acceleration, centre = rng.uniform(*chosen.acceleration), rng.uniform(*chosen.centre)
    fraction = centre if chosen.kind == "center_heavy" else centre / acceleration
    return sampling_mask(chosen.kind, width, acceleration, fraction, seed=int(rng.integers(2**31)))


def rough_phase(magnitude: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Phase in rad: ramps, random fields from coarse to fine, and parts that follow the grey values of the image.

    Parameters
    ----------
    magnitude : numpy.ndarray, shape (y, x), float32, in [0, 1]
    rng : numpy.random.Generator
    """
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in magnitude.shape)
    # a shift of the echo by up to two columns
    phase = 2 * np.pi * (rng.uniform(-1, 1) * x + rng.uniform(-1, 1) * y[:, None]) + rng.uniform(-np.pi, np.pi)
    for nodes, largest in _FIELDS.items():
        if rng.random() < 0.7:
            field = torch.from_numpy(rng.standard_normal((1, 1, nodes, nodes)).astype(np.float32))
            field = F.interpolate(field, magnitude.shape, mode="bicubic", align_corners=True)
            phase = phase + rng.uniform(0, largest) * field[0, 0].numpy()
    if rng.random() < 0.4:
        phase = phase + rng.uniform(-2, 2) * magnitude
    if rng.random() < 0.3:
        phase = phase + rng.uniform(-np.pi, np.pi) * (magnitude > rng.uniform(0.1, 0.7))
    return phase


def volumes(sources: Iterable[Source], root: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Fixed scans to measure on: subject, k-space (slice, y, x) and reference (slice, y, x), by `simulate`.

    Four slices spread over each subject, so that figures of different methods and versions can be compared.
    """
    by_subject: dict[str, list[np.ndarray]] = {}
    for source in sources:
        for case, image in read_images(source, root):
            by_subject.setdefault(case, []).append(image)
    for subject, images in by_subject.items():
        chosen = np.round(np.linspace(0, len(images) - 1, _PER_SUBJECT)).astype(int)
        kspace = simulate(np.stack([images[i] for i in chosen]), np.random.default_rng(7))[:, 0]
        yield subject, kspace, np.abs(ifft2c(kspace))


def mask_of(kind: str, width: int, acceleration: float, fraction: float, subject: str, repeat: int = 0) -> np.ndarray:
    """Mask number `repeat` of a subject, seeded by a file name."""
    name = f"{subject}.h5" if not repeat else f"{subject}-{repeat + 1}.h5"
    return sampling_mask(kind, width, acceleration, fraction, seed=file_seed(name))
