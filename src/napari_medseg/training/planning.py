"""Settings that fit: size and number of the views and steps, from the data, the device and trial steps."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from ..errors import SettingsError
from .data.dataset import Sample
from .segmentation import Segmentation
from .settings import Phase, TrainSettings

_LARGEST = 512  # side of a view in pixels; larger slices are learnt in crops
_MOST = 8  # views per step
_CPU_BUDGET = 4 * 2**30
_FEWEST_STEPS = 20
_VALIDATIONS = 10
_MULTIPLE = 16  # of the side of a view, see `Phase`


def plan(settings: TrainSettings, root: Path, device: torch.device, run: Path = Path()) -> TrainSettings:
    """The settings with views, steps and validations that take about ``settings.seconds`` in all.

    Views show whole slices, or with a locator what it crops, as far as the memory allows, which trial steps measure.

    Raises
    ------
    SettingsError
        If not even a small view fits into the memory.
    """
    began = time.perf_counter()
    task = Segmentation(settings, device)
    task.load(root, run)
    step = math.lcm(_MULTIPLE, settings.preprocess.multiple)
    smallest = 2 * step  # a single value per map, at the coarsest level, has no batch statistics
    longest = max(shown_side(sample, task) for sample in task.views.train.samples)
    size = max(smallest, min(_up(longest, step), _up(_LARGEST, step)))
    budget = torch.cuda.mem_get_info(device)[0] / 2 if device.type == "cuda" else _CPU_BUDGET
    while (needed := _try(task, size, 1)[0]) > budget:
        if size == smallest:
            raise SettingsError(
                f"A view of {size} x {size} pixels takes {needed / 2**30:.1f} GB of memory in training; at most "
                f"{budget / 2**30:.1f} GB may be used. Choose a smaller model."
            )
        size = max(smallest, _up(size / 2, step))
    batch = int(min(_MOST, budget // needed, len(task.views.train.samples)))
    seconds = _try(task, size, batch)[1]
    scored = time.perf_counter()
    task.score(task.network.eval())
    now = time.perf_counter()
    left = settings.seconds - (now - began) - (_VALIDATIONS + 1) * (now - scored)
    steps = max(_FEWEST_STEPS, int(left / seconds))
    return replace(
        settings,
        seconds=0.0,
        phases=(Phase(1.0, size, batch),),
        steps=steps,
        warmup_steps=steps // 10,
        validate_every=math.ceil(steps / _VALIDATIONS),
    )


def shown_side(sample: Sample, task: Segmentation) -> int:
    """The longer side of what inference shows of a slice, in pixels."""
    height, width = sample.labels.shape
    locator = task.card().locator
    if locator is None:
        return max(height, width)
    return max(task.settings.preprocess.padded_size((height, width), sample.spacing, locator.crop_mm))


def _up(size: float, step: int) -> int:
    return math.ceil(size / step) * step


def _try(task: Segmentation, size: int, batch: int) -> tuple[int, float]:
    """Bytes and seconds of a training step: on a GPU the peak, on a CPU what is kept for the way back."""
    task.settings = replace(task.settings, phases=(Phase(1.0, size, batch),))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    if task.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(task.device)
    began = time.perf_counter()
    task.network.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = task.loss(0)
    loss.backward()
    task.network.zero_grad(set_to_none=True)
    if task.device.type == "cuda":
        torch.cuda.synchronize(task.device)
        return torch.cuda.max_memory_allocated(task.device), time.perf_counter() - began
    return sum(kept.values()), time.perf_counter() - began
