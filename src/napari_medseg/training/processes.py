"""One run on several processes, started by ``torchrun``: they share a batch and take the same steps.

Every process computes the loss of the whole batch, with a gradient through its own part only; the sum of the gradients
is then that of one process with the whole batch, whatever the loss, a Dice over the batch too.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce

from ..errors import SettingsError, short


@contextmanager
def joined(device: torch.device) -> Generator[None]:
    """Join the other processes of a run, if ``torchrun`` started any.

    Raises
    ------
    SettingsError
        If they are announced and cannot be found.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        raise SettingsError(
            f"The processes of the run do not find each other ({short(error)}). Start them with torchrun, or for a "
            "single one unset WORLD_SIZE."
        ) from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0; the first one validates and writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def gathered(part: torch.Tensor) -> torch.Tensor:
    """The parts of all processes, equal in shape, along the first axis; only one's own carries a gradient."""
    if count() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(count())]
    distributed.all_gather(parts, part.detach().contiguous())
    parts[rank()] = part
    return torch.cat(parts)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of all processes."""
    if count() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        distributed.all_reduce(parameter.grad)


def broadcast(value: float, device: torch.device) -> float:
    """What the first process says."""
    if count() == 1:
        return value
    message = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(message, 0)
    return message.item()


def share_statistics(network: nn.Module) -> None:
    """Let the batch norms of `network` see the batch of all processes, if there are several."""
    for module in network.modules() if count() > 1 else ():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _SharedBatchNorm  # parameters, buffers and their names stay


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes; PyTorch's own, `SyncBatchNorm`, refuses CPUs."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        axes, processes = (0, 2, 3), count()
        mean = all_reduce(input.mean(axes, keepdim=True)) / processes
        variance = all_reduce((input - mean).square().mean(axes, keepdim=True)) / processes
        with torch.no_grad():
            values = processes * input.numel() / input.shape[1]
            batches = self.get_buffer("num_batches_tracked").add_(1)
            share = 1 / batches.item() if self.momentum is None else self.momentum
            self.get_buffer("running_mean").lerp_(mean.flatten(), share)
            self.get_buffer("running_var").lerp_(variance.flatten() * values / (values - 1), share)
        scale = (variance + self.eps).rsqrt() * self.weight[:, None, None]
        return (input - mean) * scale + self.bias[:, None, None]


def device_of(name: str) -> torch.device:
    """Where this process trains.

    Raises
    ------
    SettingsError
        If there is no such device.
    """
    present = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda") or (name == "cuda" and not present):
        raise SettingsError(f"The device '{name}' is not available; choose auto, cpu{' or cuda' if present else ''}.")
    if name == "cpu" or not present:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun gives each process a GPU
