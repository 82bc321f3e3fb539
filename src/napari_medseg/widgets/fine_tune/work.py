"""What the Fine-tune dock runs outside the GUI thread: data, figures, changes, installation. Imports PyTorch."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ... import files, models
from ...errors import FileError
from ...models import ModelCard
from ...progress import Job, Progress
from ...segmentation.consensus import doubts
from ...segmentation.inference import segment_job
from ...segmentation.settings import InferenceSettings
from ...training.data.reading import entries
from ...training.data.sources import Source
from ...training.fine_tune import Annotation, FineTuneSettings, prepare, prepare_folder, save
from ...volume import LabelClass, Volume
from ..kit.tuning import Run
from .data import Marked

CHANGES = (
    LabelClass(1, "added", "#2ca02c"),
    LabelClass(2, "removed", "#d62728"),
    LabelClass(3, "other class", "#ffbf00"),
)
"""Classes of the labels that `difference_job` makes."""


def prepare_job(marked: Sequence[Marked], source: Path | None, settings: FineTuneSettings, folder: Path) -> Job[None]:
    """Write data and recipe of a run; nothing is left of one that is given up.

    Parameters
    ----------
    marked : sequence of Marked
        Not used if there is a `source`.
    source : pathlib.Path or None
        Folder with a data set.
    settings : FineTuneSettings
    folder : pathlib.Path
        Of the run; must not exist.
    """
    if folder.exists():
        raise FileError(f"There is a training called '{settings.name}' already. Choose another name.")
    done = False
    try:
        yield Progress(0, 1)
        if source is None:
            prepare([_annotation(part, settings) for part in marked], settings, folder)
        else:
            prepare_folder(source, settings, folder)
        yield Progress(1, 1)
        done = True
    finally:
        if not done:
            shutil.rmtree(folder, ignore_errors=True)


def doubts_job(marked: Sequence[Marked], source: Path | None, card: ModelCard) -> Job[tuple[str, ...]]:
    """What of images lies outside of what the model of `card` was trained on, as a run of it would say.

    Of a `source` the first image stands for the others.
    """
    images = [part.image for part in marked]
    if source is not None:
        first = next(entries(Source(str(source)), source), None)
        images = [first.place] if first and first.place else []
    found: list[str] = []
    for number, image in enumerate(images):
        yield Progress(number, len(images))
        found += doubts(image, [card])
    return tuple(dict.fromkeys(found))


def save_job(marked: Sequence[Marked], source: Path | None, settings: FineTuneSettings, path: Path) -> Job[None]:
    """Write settings as JSON with what they learn from, see `prepare_job`; ``napari-medseg train`` runs them."""
    yield Progress(0, 1)
    if source is None:
        save(path, [_annotation(part, settings) for part in marked if part.reviewed], settings)
    else:
        files.dump(path, replace(settings, data=str(source.resolve())))
    yield Progress(1, 1)


def _annotation(part: Marked, settings: FineTuneSettings) -> Annotation:
    labels = part.image.like(part.translated(), settings.classes)
    return Annotation(part.name, part.image, labels, part.reviewed)


def difference_job(volume: Volume, before: str, after: Path, device: str) -> Job[Volume]:
    """What the weights file `after` labels otherwise than the model `before`; labels as of `CHANGES`.

    Without a model before, what it labels.
    """
    settings = InferenceSettings(device=device, split_objects=False)
    second = models.load(after)
    if not before:
        return (yield from segment_job(volume, second, settings)).labels
    first = models.load(models.find(before))
    names = [row.name for row in second.card.classes]
    table = np.zeros(len(first.card.classes) + 1, np.uint8)
    for row in first.card.classes:  # classes that the new model does not have are numbered behind its own
        table[row.id] = names.index(row.name) + 1 if row.name in names else len(names) + row.id
    found = []
    for model in (first, second):
        with contextlib.closing(segment_job(volume, model, settings)) as job:
            result = yield from _half(job, len(found))
        found.append(result.labels.data)
    old, new = table[found[0]], found[1]
    changed = np.where(old == 0, 1, np.where(new == 0, 2, 3))
    return volume.like(np.where(old == new, 0, changed).astype(np.uint8), CHANGES)


def _half(job: Job, number: int) -> Job:
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        yield Progress(number * step.total + step.done, 2 * step.total)


def accept(run: Run) -> None:
    """Make the model of a run one of the user's."""
    models.install(models.load(run.weights))
    run.mark_accepted()


def discard(run: Run) -> None:
    """Delete a run."""
    try:
        shutil.rmtree(run.folder)
    except OSError as error:
        raise FileError(f"'{run.folder}' cannot be deleted ({error.strerror}). Delete it yourself.") from error
