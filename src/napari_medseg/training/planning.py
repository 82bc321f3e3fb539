"""Settings that fit: size and number of the views and steps, from the data, the device and trial steps."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from ..errors import SettingsError
from . import forecast
from .anew import Plane
from .course import Phase
from .data.dataset import Sample
from .segmentation import Segmentation
from .settings import TrainSettings

_CPU_BUDGET = 4 * 2**30


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
    learnt = task.views.train.samples
    step = math.lcm(forecast.MULTIPLE, settings.preprocess.multiple)
    size = forecast.view_size(settings, [_plane(sample) for sample in learnt])
    budget = torch.cuda.mem_get_info(device)[0] / 2 if device.type == "cuda" else _CPU_BUDGET
    while (needed := _try(task, size, 1)[0]) > budget:
        if size == 2 * step:
            raise SettingsError(
                f"A view of {size} x {size} pixels takes {needed / 2**30:.1f} GB of memory in training; at most "
                f"{budget / 2**30:.1f} GB may be used. Choose a smaller model."
            )
        size = max(2 * step, forecast.round_up(size / 2, step))
    room = int(max(1, min(forecast.MOST_VIEWS, budget // needed)))
    batch = min(room, len(learnt))
    # the first step of a new size takes longer: it is not counted
    _try(task, size, batch)
    seconds = _try(task, size, batch)[1]
    scored = time.perf_counter()
    task.score(task.network.eval())
    now = time.perf_counter()
    judging = len(task.val_samples)
    pace = forecast.Pace(size, room, seconds / batch, (now - scored) / max(1, judging), now - began)
    forecast.note(settings, device.type, pace)
    steps = pace.steps(settings.seconds, len(learnt), judging)
    return replace(
        settings,
        seconds=0.0,
        phases=(Phase(1.0, size, batch),),
        steps=steps,
        warmup_steps=steps // 10,
        validate_every=math.ceil(steps / forecast.VALIDATIONS),
    )


def _plane(sample: Sample) -> Plane:
    height, width = sample.labels.shape
    spacing = None
    if sample.spacing:
        spacing = (float(sample.spacing[0]), float(sample.spacing[1]))
    return Plane((height, width), spacing)


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
