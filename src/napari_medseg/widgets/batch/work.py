"""What the Batch dock reads to open a case: its image, its labels, and what a person has said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import io
from ...errors import FileError, MedsegError
from ...io import contributions, items
from ...io.contributions import LayerData, layer_tuple
from ...progress import Job, Progress
from ...record import Record
from ...review.ledger import Ledger
from ...runs.inputs import find_inputs
from ...runs.reviewed import Reviewed, of_states
from ...runs.tasks import Task
from ...runs.worklist import source_of
from ...slice_states import KEY
from ...volume import Volume
from ..kit import layer_volumes

Stamp = tuple[int, int]
"""Time and size of a file, as far as they say whether it was written again."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What was read of a case.

    Parameters
    ----------
    image, labels : tuple or None
        As napari's ``Layer.create`` takes them.
    start : int
        The slice with most labels, counted over all axes before the last two.
    stamp : (int, int)
        Of the file that holds the labels.
    reviewed : Reviewed or None
        As this file says.
    notes : tuple of str
        What the person should know, in sentences.
    """

    image: LayerData | None = None
    labels: LayerData | None = None
    start: int = 0
    stamp: Stamp = (0, 0)
    reviewed: Reviewed | None = None
    notes: tuple[str, ...] = ()


def case_job(task: Task, name: str, record: Record | None, inputs: Sequence[str]) -> Job[Contents]:
    """Read image and labels of a case.

    Parameters
    ----------
    task : Task
    name : str
        Of the layers.
    record : Record or None
        Of the run that made the output.
    inputs : sequence of str
        Where the image may be if it is not where the task says.

    Raises
    ------
    FileError, VolumeError
        If the output cannot be read.
    """
    yield Progress(0, 2)
    if "labels" not in task.outputs:
        return Contents(image=layer_tuple(io.read(task.target), name))
    stamp = stamp_of(task.target)  # before it is read: whoever writes meanwhile is noticed when it is saved
    labels = layer_volumes.as_labels(io.read(task.target))
    yield Progress(1, 2)
    image, notes = _image(task, name, record, inputs)
    sums = _sums(labels)
    ledger = Ledger.from_json(labels.metadata.get(KEY), len(sums))
    filled = [number for number, count in enumerate(sums) if count]
    return Contents(
        image,
        layer_tuple(labels, f"{name} labels"),
        int(np.argmax(sums)) if sums else 0,
        stamp,
        of_states(ledger.states(), filled),
        notes,
    )


def stamp_of(path: Path) -> Stamp:
    """When a file was written, and its size.

    Raises
    ------
    FileError
        If it is not there.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise FileError(f"'{path}' was moved or removed. Run again, or open the results where they are now.") from error
    return status.st_mtime_ns, status.st_size


def _image(
    task: Task, name: str, record: Record | None, inputs: Sequence[str]
) -> tuple[LayerData | None, tuple[str, ...]]:
    """The image of a case, and what to know of it; None where it cannot be shown."""
    others = [] if task.source.exists() or not inputs else find_inputs(inputs)[0]
    source = source_of(task, others)
    if source is None:
        return None, (f"The image '{task.source.name}' was not found. Choose its folder as Images, and open it again.",)
    axes = task.settings.get("axes") or (record.settings.get("axes") if record else None)
    try:
        data, options, kind = _read(source, axes)
    except (MedsegError, OSError) as error:
        return None, (f"The image cannot be shown. {error}",)
    known = next((item.sha256 for item in record.inputs if item.sha256), "") if record else ""
    changed = bool(known) and items.of_file(source).sha256 not in ("", known)
    note = f"'{source.name}' is not the image that these labels were made of, or has changed since."
    return (data, {**options, "name": name}, kind), (note,) if changed else ()


def _read(source: Path, axes: str | None) -> LayerData:
    reader = None if axes else contributions.get_reader(str(source))
    if reader is None:
        return layer_tuple(io.read(source, axes=axes), "")
    return reader(str(source))[0]


def _sums(labels: Volume) -> list[int]:
    """How many voxels of each slice hold labels."""
    planes = labels.data.reshape(-1, *labels.data.shape[-2:])
    return [int(np.count_nonzero(plane)) for plane in planes]
