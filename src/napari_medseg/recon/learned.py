"""Learned reconstruction: the network as a step between data-consistency steps, or from image to image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..models import TrainedModel
from ..models.conditional_swin import ConditionalSwinUNet
from ..models.typed import require
from ..progress import Job, Progress, within
from .classical import tv_steps
from .consistency import data_consistency
from .espirit import calibration_region
from .hidden_lines import FAR, cannot_thin, thinned
from .sampling import centre_lines, effective_acceleration
from .settings import HIDDEN
from .transforms import fft2c, ifft2c

WARM = 15
"""Iterations of TV that a cascade begins with."""
STEPS = 4
"""Steps of a cascade by default, and in all figures."""
_BRIGHT = 0.995


def brightness(image: np.ndarray) -> float:
    """Scale of an image: its 0.995 quantile as the k-th smallest magnitude.

    Parameters
    ----------
    image : numpy.ndarray, shape (y, x), complex
    """
    magnitude = np.abs(image).ravel()
    rank = max(int(_BRIGHT * magnitude.size) - 1, 0)
    return float(np.partition(magnitude, rank)[rank]) or 1.0


def transform(image: torch.Tensor, dims: Sequence[int], *, inverse: bool = False) -> torch.Tensor:
    """`kspace.fft2c` or its inverse for tensors, over the axes `dims` only."""
    function = torch.fft.ifftn if inverse else torch.fft.fftn
    return torch.fft.fftshift(function(torch.fft.ifftshift(image, dims), dim=tuple(dims), norm="ortho"), dims)


def refine(
    network: nn.Module, image: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor, dims: Sequence[int]
) -> torch.Tensor:
    """One step of the cascade: ``DC(x + R(x))`` with hard data consistency.

    Parameters
    ----------
    network : torch.nn.Module
        R, with two channels in and out: real and imaginary part.
    image : torch.Tensor, shape (b, y, x), complex
        In units of its `brightness`.
    measured : torch.Tensor, shape (b, y, x), complex
        `image`'s transform over `dims`, right where `mask` is.
    mask : torch.Tensor, shape (b, 1 or y, x), bool
    dims : sequence of int
        ``(-1,)`` where the mask has whole columns (the other axis needs no transform), else ``(-2, -1)``.
    """
    kspace = transform(image + change(network, image), dims)
    return transform(torch.where(mask, measured, kspace), dims, inverse=True)


def change(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """R(x) of an image (b, y, x), complex, in units of its `brightness`: of the same shape; see `refine`."""
    channels = torch.view_as_real(image).movedim(-1, 1).contiguous()
    step = require(network, ConditionalSwinUNet).step
    changed = _padded(network, channels, step).movedim(1, -1).contiguous()
    return torch.view_as_complex(changed)


def _padded(function: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, step: int) -> torch.Tensor:
    """`function` of images (b, c, y, x) of any size: mirrored up to multiples of `step`, and cut back."""
    rows, columns = images.shape[2:]
    bottom, right = -rows % step, -columns % step
    mirrored = bottom < rows and right < columns
    padded = F.pad(images, (0, right, 0, bottom), mode="reflect" if mirrored else "replicate")
    return function(padded)[..., :rows, :columns]


def restore(model: TrainedModel, magnitude: np.ndarray) -> np.ndarray:
    """What a network that maps image to image makes of a zero-filled magnitude (y, x), in the same units.

    A network whose card names a fixed size is a published one: it sees the slice at that size, from its smallest to its
    largest value, and gives values from 0 to 1.
    """
    resized = model.card.preprocess.size is not None
    low, scale = (magnitude.min(), np.ptp(magnitude)) if resized else (0, brightness(magnitude))
    with torch.inference_mode():
        restored = _on_grid(model.network, model, magnitude)[0, 0].clamp(0, 1 if resized else None)
    return restored.cpu().numpy() * np.float32(scale) + np.float32(low)


def _on_grid(
    function: Callable[[torch.Tensor], torch.Tensor], model: TrainedModel, magnitude: np.ndarray
) -> torch.Tensor:
    """`function` of a magnitude (y, x) prepared as (1, 1, Y, X) for the network of `model`: (1, c, y, x)."""
    preprocess, device = model.card.preprocess, next(model.network.parameters()).device
    if preprocess.size is None:
        images = torch.from_numpy((magnitude / brightness(magnitude)).astype(np.float32))[None, None]
        return _padded(function, images.to(device), require(model.network, ConditionalSwinUNet).step)
    images, undo = preprocess.apply(magnitude[None], None)
    return undo(function(images[:, :1].to(device)))


def restore_job(model: TrainedModel, measured: np.ndarray, mask: np.ndarray) -> Job[np.ndarray]:
    """What `restore` makes of one slice, with the phase of its centre lines: data consistency needs one.

    Parameters
    ----------
    model : TrainedModel
        Its card's `design` is ``image``.
    measured, mask
        See `cascade_job`.

    Returns
    -------
    numpy.ndarray, shape (y, x), complex64
    """
    yield Progress(0, 1)
    columns = mask.ndim == 1
    block = (slice(None), slice(*centre_lines(mask))) if columns else calibration_region(mask, len(measured))
    centre = np.zeros_like(measured)
    centre[block] = measured[block]
    phase = np.angle(ifft2c(centre if centre.any() else measured))
    return (restore(model, np.abs(ifft2c(measured))) * np.exp(1j * phase)).astype(np.complex64)


def gates_job(model: TrainedModel, measured: np.ndarray, mask: np.ndarray, iterations: int) -> Job[np.ndarray]:
    """Where a network with routers spends its heavy attention on one slice; of a cascade, in its last step.

    Parameters
    ----------
    model : TrainedModel
        Its network has `router_maps`.
    measured, mask
        See `cascade_job`.
    iterations : int
        Steps of the cascade, 1 or more; the other design has only one.

    Returns
    -------
    numpy.ndarray, shape (y, x), float32
        0 to 1: gates of the query routers, averaged over the blocks of the network.
    """
    if model.card.design == "cascade":
        _, image = yield from _unrolled(model, measured, mask, iterations - 1)
        return gates_of(model, image / brightness(ifft2c(measured)))
    yield Progress(0, 1)
    network = require(model.network, ConditionalSwinUNet)
    with torch.inference_mode():
        found = _on_grid(partial(_gates, network), model, np.abs(ifft2c(measured)))
    return found[0, 0].cpu().numpy()


def gates_of(model: TrainedModel, image: np.ndarray) -> np.ndarray:
    """See `gates_job`, of the network of a cascade for an image (y, x), complex, in units of its `brightness`."""
    channels = np.stack([image.real, image.imag]).astype(np.float32)
    images = torch.from_numpy(channels)[None].to(next(model.network.parameters()).device)
    network = require(model.network, ConditionalSwinUNet)
    with torch.inference_mode():
        found = _padded(partial(_gates, network), images, network.step)
    return found[0, 0].cpu().numpy()


def _gates(network: ConditionalSwinUNet, images: torch.Tensor) -> torch.Tensor:
    """Gates (b, 1, y, x) of the query routers for images (b, c, y, x), averaged over the blocks."""
    maps = network.router_maps(images)
    return torch.stack([gate for name, gate in maps.items() if name.endswith(".query")]).mean(0)[:, None]


def cascade_job(model: TrainedModel, measured: np.ndarray, mask: np.ndarray, iterations: int) -> Job[np.ndarray]:
    """Reconstruct one slice: TV, then `iterations` times the network and hard data consistency.

    Up to an acceleration of `FAR`, what the network changes of TV is weighted by how well it predicts measured lines
    that are hidden from it: 1 where it explains them, 0 where it does not. Above, too few lines can be hidden.

    Parameters
    ----------
    model : TrainedModel
        Its card's `design` is ``cascade``.
    measured : numpy.ndarray, shape (y, x), complex
        k-space, 0 outside `mask`; any scale.
    mask : numpy.ndarray, shape (x,) or (y, x), bool
    iterations : int
        0 is TV with hard data consistency.

    Yields
    ------
    Progress
        Steps of this slice.

    Returns
    -------
    numpy.ndarray, shape (y, x), complex64
        It agrees with `measured` to rounding.

    References
    ----------
    Schlemper et al., IEEE Trans Med Imaging 37:491, 2018 (cascades with data consistency); the start from the TV
    solution, the shared weights and the hidden lines are ours.
    """
    checked = iterations > 0 and not cannot_thin(mask) and effective_acceleration(mask) <= FAR
    start, end = yield from within(_unrolled(model, measured, mask, iterations), 0, 1 + checked)
    if not checked:
        return end
    weight = yield from within(_explained(model, measured, mask, iterations), 1, 2)
    return start + np.float32(weight) * (end - start)


def _explained(model: TrainedModel, measured: np.ndarray, mask: np.ndarray, iterations: int) -> Job[float]:
    """Share (0 to 1) of the network's change of TV that fits hidden lines best, by least squares."""
    thin = thinned(mask, HIDDEN, np.random.default_rng(0))
    hidden = (mask & ~thin) & (measured != 0)  # a scanner fills what it did not measure with zeros
    start, end = yield from _unrolled(model, np.where(thin, measured, 0), thin, iterations)
    change, missing = fft2c(end - start)[hidden], (measured - fft2c(start))[hidden]
    energy = np.vdot(change, change).real
    return float(np.clip(np.vdot(change, missing).real / energy, 0, 1)) if energy else 0.0


def _unrolled(
    model: TrainedModel, measured: np.ndarray, mask: np.ndarray, iterations: int
) -> Job[tuple[np.ndarray, np.ndarray]]:
    """TV with hard data consistency, and what `iterations` steps of the network make of it; see `cascade_job`."""
    scale = brightness(ifft2c(measured))
    measured = (measured / scale).astype(np.complex64)
    start = data_consistency((yield from tv_steps(measured, mask, iterations=WARM)), measured, mask)
    start = start.astype(np.complex64)
    dims = (-1,) if mask.ndim == 1 else (-2, -1)
    device = next(model.network.parameters()).device
    current = torch.from_numpy(start)[None].to(device)
    samples = torch.from_numpy(measured)[None].to(device)
    known = transform(samples, (-2,), inverse=True) if mask.ndim == 1 else samples
    where = torch.from_numpy(np.broadcast_to(mask, (1, 1, mask.size) if mask.ndim == 1 else (1, *mask.shape)).copy())
    for step in range(iterations):
        with torch.inference_mode():
            current = refine(model.network, current, known, where.to(device), dims)
        yield Progress(step + 1, iterations)
    return start * np.float32(scale), current[0].cpu().numpy() * np.float32(scale)
