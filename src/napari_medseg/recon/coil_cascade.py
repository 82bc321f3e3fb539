"""The learned cascade for several coils: SENSE, then the network and data consistency with the coil maps in turn."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from ..kspace import KSpace
from ..models import TrainedModel
from ..progress import Job, Progress, within
from .coil_maps import CoilMaps
from .hidden_lines import cannot_thin
from .learned import brightness, change, gates_of
from .predictions import Trial, trials
from .sense import sense_steps, sense_tv_steps
from .settings import HiddenSettings
from .transforms import fft2c, rss

STEPS = 2
"""Steps by default: 4 are farther from the truth (`benchmarks/recon_cascade.py`)."""
CLOSENESS = 0.003
"""Weight of the network's image where that of the samples is 1: better than 0.03 and 0.3 on every scan and mask, and
hidden samples chose the larger ones at times."""
_INNER = 4  # conjugate-gradient steps of a data consistency; they begin with the network's image
_HIDDEN = HiddenSettings(repeats=2)
_TRUST = 0.5
"""Of the share that hidden samples ask for: SENSE has fewer samples there, and its errors, which the network mends, are
larger. With all of it lines lose up to 1 dB."""


class Cascade(NamedTuple):
    """SENSE with total variation, then a network and data consistency in turn.

    Parameters
    ----------
    model : TrainedModel
        Its card's `design` is ``cascade``.
    coils : CoilMaps
    iterations : int
        0 is SENSE with total variation.
    strength : dict
        ``strength`` of total variation, see `sense.sense_tv_steps`; empty for its default.
    """

    model: TrainedModel
    coils: CoilMaps
    iterations: int
    strength: dict[str, Any]

    def job(self, measured: np.ndarray, mask: np.ndarray) -> Job[np.ndarray]:
        """Reconstruct one slice.

        How much of the network's change of SENSE is taken is found by samples that are hidden from both; where none can
        be hidden, the network is not used.

        Parameters
        ----------
        measured : numpy.ndarray, shape (coil, y, x), complex
            k-space, 0 outside `mask`; any scale.
        mask : numpy.ndarray, shape (x,) or (y, x), bool

        Yields
        ------
        Progress
            Steps of this slice.

        Returns
        -------
        numpy.ndarray, shape (set, y, x), complex64

        Raises
        ------
        VolumeError
            If all hidden samples are 0.

        References
        ----------
        Aggarwal et al., IEEE Trans Med Imaging 38:394, 2019 (a network and conjugate gradients in turn); the start from
        SENSE and the hidden samples are ours.
        """
        if self.iterations == 0 or cannot_thin(mask):
            return (yield from self._start_job(measured, mask))
        total = _HIDDEN.repeats + 1
        start, end = yield from within(self.ends_job(measured, mask), 0, total)
        fitting, energy = 0.0, 0.0
        for done, trial in enumerate(trials(KSpace(measured[None], mask=mask), 0, _HIDDEN, for_missing=True), 1):
            ends = yield from within(self.ends_job(trial.left, trial.mask), done, total)
            part = self._explained(trial, *ends)
            fitting += part[0]
            energy += part[1]
        share = _TRUST * np.clip(fitting / energy, 0, 1) if energy else 0
        return start + np.float32(share) * (end - start)

    def gates_job(self, measured: np.ndarray, mask: np.ndarray) -> Job[np.ndarray]:
        """Where the network spends its heavy attention in the last step, see `learned.gates_job`; of set one."""
        before = self._replace(iterations=self.iterations - 1)
        _, image = yield from before.ends_job(measured, mask)
        return gates_of(self.model, image[0] / brightness(image[0]))

    def ends_job(self, measured: np.ndarray, mask: np.ndarray) -> Job[tuple[np.ndarray, np.ndarray]]:
        """SENSE with total variation, and what the steps make of it, both (set, y, x)."""
        start = yield from within(self._start_job(measured, mask), 0, 2)
        end = yield from within(self._steps_job(start, measured, mask), 1, 2)
        return start, end

    def _start_job(self, measured: np.ndarray, mask: np.ndarray) -> Job[np.ndarray]:
        return sense_tv_steps(self.coils.compress(measured), mask, self.coils.maps, **self.strength)

    def _steps_job(self, start: np.ndarray, measured: np.ndarray, mask: np.ndarray) -> Job[np.ndarray]:
        samples = self.coils.compress(measured)
        scale = np.float32(brightness(rss(start, 0)))
        image = start
        for done in range(1, self.iterations + 1):
            proposed = image + scale * self._change(image / scale)
            consistency = sense_steps(samples, mask, self.coils.maps, CLOSENESS, _INNER, near=proposed)
            image = yield from within(consistency, done - 1, self.iterations)
            yield Progress(done, self.iterations)
        return image

    def _change(self, images: np.ndarray) -> np.ndarray:
        device = next(self.model.network.parameters()).device
        with torch.inference_mode():
            tensor = torch.from_numpy(images.astype(np.complex64)).to(device)
            return change(self.model.network, tensor).cpu().numpy()

    def _explained(self, trial: Trial, start: np.ndarray, end: np.ndarray) -> tuple[float, float]:
        """What a least-squares fit of the change to the hidden samples divides: its product with them, its energy."""
        missing = trial.truth - fft2c(self.coils.coil_images(start))[:, trial.places]
        moved = fft2c(self.coils.coil_images(end - start))[:, trial.places]
        fitting = float(np.sum(trial.weights * (moved.conj() * missing).real))
        return fitting, float(np.sum(trial.weights * np.abs(moved) ** 2))
