"""What the training loop learns to reconstruct: simulated k-space, the unrolled cascade, PSNR on `val`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import metrics, models
from ..models.card import CHANNELS
from ..models.conditional_swin import ConditionalSwinUNet
from ..models.typed import require
from ..preprocess import Preprocess
from ..recon import data_consistency, ifft2c
from ..recon.classical import tv
from ..recon.learned import WARM, brightness, refine, transform
from . import processes
from .recon_figures import PROTOCOL, figures, reconstruct
from .settings import ReconTrainSettings
from .simulated import Scan, draw, mask_of, slices, volumes


class Reconstruction:
    """A `fine_tune.Task`: a network that reconstructs undersampled k-space of one coil.

    References
    ----------
    Schlemper et al., IEEE Trans Med Imaging 37:491, 2018; the parts of the loss and the order of the two stages are
    ours.
    """

    figure = "psnr"
    branch = None

    def __init__(self, settings: ReconTrainSettings, device: torch.device):
        self.settings, self.device = settings, device
        channels = CHANNELS[settings.design]
        options = {"in_channels": channels, "out_channels": channels, **settings.options}
        network = models.build(settings.architecture, **options)
        self.network = require(network, ConditionalSwinUNet).to(device)
        if settings.design == "cascade":
            # untrained, the cascade is what it begins with
            nn.init.zeros_(self.network.head.weight)

    def findings(self, root: Path) -> list[str]:
        """Nothing: the scans are simulated."""
        return []

    def load(self, root: Path, run: Path = Path()) -> None:
        """Read the slices, and simulate those to validate on."""
        self.images = slices(self.settings.train, root)
        self.val = list(volumes(self.settings.val, root))

    def loss(self, step: int) -> torch.Tensor:
        """Loss of one batch of new scans."""
        rng = np.random.default_rng((self.settings.seed, step, processes.rank()))
        scans = [self._scan(rng) for _ in range(self.settings.batch)]
        loss = self._cascade_loss(scans, rng) if self.settings.design == "cascade" else self._image_loss(scans)
        return processes.gathered(loss[None]).mean()

    def _scan(self, rng: np.random.Generator) -> Scan:
        _, image = self.images[int(rng.integers(len(self.images)))]
        return draw(image, self.settings, rng)

    def _cascade_loss(self, scans: list[Scan], rng: np.random.Generator) -> torch.Tensor:
        warm = rng.random() < self.settings.warm
        begun = [self._band(scan, warm, rng) for scan in scans]
        current, known, true = (torch.stack(part).to(self.device) for part in zip(*(b[:3] for b in begun), strict=True))
        mask = torch.stack([torch.from_numpy(scan.mask)[None] for scan in scans]).to(self.device)
        if self.settings.warm:
            with torch.no_grad():
                for _ in range(int(rng.integers(3 if warm else 6))):
                    current = refine(self.network, current, known, mask, (-1,))
        errors = []
        for _ in range(self.settings.iterations):
            current = refine(self.network, current, known, mask, (-1,))
            errors.append((current - true).abs().mean() + (current.abs() - true.abs()).abs().mean())
        if not self.settings.warm:
            return errors[-1]
        # late steps count more
        weights = torch.arange(2.0, len(errors) + 2, device=self.device)
        return (torch.stack(errors) * weights / weights.sum()).sum()

    def _band(self, scan: Scan, warm: bool, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
        """What the cascade begins with, what it knows and what is true, on some rows of `scan`."""
        zero_filled = ifft2c(scan.measured)
        scale = np.float32(brightness(zero_filled))
        image = zero_filled
        if warm:
            solution = tv(scan.measured, scan.mask, iterations=WARM)
            image = data_consistency(solution, scan.measured, scan.mask)
        rows = self.settings.band or len(image)
        first = int(rng.integers(len(image) - rows + 1))
        band = slice(first, first + rows)
        image, true = (torch.from_numpy(part[band].astype(np.complex64) / scale) for part in (image, scan.image))
        return image, transform(torch.from_numpy((zero_filled[band] / scale).astype(np.complex64)), (-1,)), true

    def _image_loss(self, scans: list[Scan]) -> torch.Tensor:
        given = [np.abs(ifft2c(scan.measured)) for scan in scans]
        scales = [1 / brightness(image) for image in given]
        inputs, true = (
            torch.from_numpy(np.stack([part * scale for part, scale in zip(images, scales, strict=True)])[:, None])
            for images in (given, [np.abs(scan.image) for scan in scans])
        )
        error = self.network(inputs.float().to(self.device)) - true.float().to(self.device)
        return error.abs().mean() if self.settings.error == "absolute" else error.square().mean()

    def follow(self) -> None:
        """Nothing follows."""

    def score(self, network: nn.Module) -> float:
        """Mean PSNR in dB over the subjects of `val` under random masks, 4x and 8x."""
        model = models.TrainedModel(self.card(), network)
        values = []
        for subject, kspace, reference in self.val:
            for kind, acceleration, fraction in PROTOCOL[:2]:
                mask = mask_of(kind, kspace.shape[-1], acceleration, fraction, subject)
                values.append(metrics.psnr(reference, reconstruct(model, kspace, mask)))
        return float(np.mean(values))

    def card(self) -> models.ModelCard:
        """Card without figures."""
        s = self.settings
        spans: dict[str, tuple[float, float]] = {}
        for mask in s.masks:
            low, high = spans.get(mask.kind, mask.acceleration)
            spans[mask.kind] = (min(low, mask.acceleration[0]), max(high, mask.acceleration[1]))
        return models.ModelCard(
            name=s.name,
            architecture=s.architecture,
            preprocess=Preprocess(),
            classes=(),
            options=s.options,
            design=s.design,
            masks=spans,
            recipe=f"{s.name}.json",
            **s.card,
        )

    def held_out(self, path: Path, root: Path) -> dict[str, Any]:
        """Figures per mask and subject, see `figures`; without `test` on `val`, which they are named after."""
        name, sources = ("test", self.settings.test) if self.settings.test else ("val", self.settings.val)
        return {f"{name}_by_mask_and_subject": figures(models.load(path), sources, root)}
