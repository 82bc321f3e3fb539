"""A trial of a run before it begins: what it takes on this computer, measured where no earlier run has shown it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import files
from ..progress import Job, Progress
from ..volume import Volume
from . import forecast, processes
from .anew import Plane
from .fine_tune import Annotation, FineTuneSettings, prepare, recipe_of
from .planning import plan


def pace_job(images: Sequence[Volume], settings: FineTuneSettings) -> Job[tuple[forecast.Pace, int] | None]:
    """How fast a run with these settings learns from slices of the images, and the side of its views in pixels.

    The last run of this kind says so; without one, a few steps are tried on slices with made-up labels. None if even
    then nothing is known.

    Raises
    ------
    MedsegError
        If the settings are impossible, or a view does not fit into the memory.
    """
    yield Progress(0, 1)
    planes = [Plane.of(image) for image in images]
    recipe = recipe_of(settings, planes[0])
    device = processes.device_of(settings.device)
    size = forecast.view_size(recipe, planes)
    if forecast.last(recipe, device.type, size) is None:
        with files.scratch() as place:
            folder = place / "run"
            tried = prepare([_made_up(image, settings) for image in images], settings, folder)
            yield Progress(0, 1)
            plan(tried, folder, device, folder)
    found = forecast.last(recipe, device.type, size)
    return None if found is None else (found, size)


def _made_up(image: Volume, settings: FineTuneSettings) -> Annotation:
    """Slices around the middle of an image, a square of each class on them."""
    axes = image.axes.removesuffix("c")
    shape = image.data.shape[: len(axes)]
    middle = shape[0] // 2 if len(axes) == 3 else 0
    first = max(0, middle - forecast.MOST_VIEWS // 2)
    last = min(shape[0], first + forecast.MOST_VIEWS) if len(axes) == 3 else 1
    labels = np.zeros(shape, np.uint8)
    height, width = shape[-2:]
    for row in settings.classes:
        labels[..., : height // 2 or 1, (row.id - 1) % width] = row.id
    return Annotation("trial", image, image.like(labels, settings.classes), tuple(range(first, last)))
