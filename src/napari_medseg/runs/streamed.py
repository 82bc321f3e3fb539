"""Segmentations that are written while they are made, so that neither image nor labels have to fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..io import formats
from ..memory import free_bytes
from ..progress import Job
from ..record import Record, plain
from ..segmentation import inference, orientation
from ..segmentation.slices import label_shape
from . import outputs, resume

if TYPE_CHECKING:
    from ..models import TrainedModel
    from ..volume import Volume
    from .tasks import Task

_SHARE_OF_MEMORY = 4  # labels that take less are kept in memory where that makes a difference


def is_possible(task: Task, volume: Volume, chosen: list[TrainedModel]) -> bool:
    """Whether the labels of a task can be written slice by slice.

    Parameters
    ----------
    task : Task
        Of which labels are the only output, in a format that is written in pieces.
    volume : Volume
        The image.
    chosen : list of TrainedModel
        A single one that labels slices of the image.
    """
    kind = formats.named(task.target)
    if kind is None or not kind.lazy or set(task.outputs) != {"labels"} or len(chosen) > 1:
        return False
    model = chosen[0]
    if not orientation.turn_for(volume, model.card.orientation).keeps_slices:
        return False
    # the largest piece of a class is known when all slices are
    return not model.card.keep or not _fits(volume)


def _fits(volume: Volume) -> bool:
    return np.prod(label_shape(volume), dtype=float) < free_bytes() / _SHARE_OF_MEMORY


def segment_job(
    task: Task,
    volume: Volume,
    model: TrainedModel,
    settings: inference.InferenceSettings,
    completed: Callable[[Record], Record],
) -> Job[Record]:
    """Label an image into a store, and go on where a run that was interrupted ended.

    Parameters
    ----------
    task, volume
        As of `is_possible`.
    model : TrainedModel
    settings : InferenceSettings
    completed : callable
        Adds to the record of the run how the image was read.
    """
    from ..io.ome_zarr_stream import streamed
    from ..segmentation.streamed import KEPT_ALL, StreamedCanvas

    target = Path(task.target)
    outputs.make_folder(target.parent)
    dtype = np.dtype(np.uint32 if settings.split_objects else np.uint8)
    axes = volume.axes.replace("c", "")
    with streamed(target, axes, label_shape(volume), dtype, _deciding(task, model)) as stream:
        before = len(stream.done())
        job = inference.segment_job(volume, model, settings, canvas_of=partial(StreamedCanvas, stream))
        result = yield from job
        voxels = yield from stream.hash_job()
        record = result.record
        said = list(record.warnings)
        if before:
            said.append(f"{before} slices were there already: an earlier run was interrupted.")
        if model.card.keep:
            said.append(KEPT_ALL)
        made = tuple(replace(item, voxels=voxels) for item in record.outputs)
        record = completed(replace(record, outputs=made, warnings=tuple(said)))
        resume.refuse_edited(task)
        yield from stream.finish_job(result.labels.made_by(record))
    return record


def _deciding(task: Task, model: TrainedModel) -> dict[str, object]:
    """What decides about the labels: a run with the same goes on."""
    card = model.card
    settings = Record("segment", settings=task.settings).deciding()
    return plain({"image": task.source.name, "model": card.name, "sha256": card.sha256, "settings": settings})
