"""What is done already: the record inside an output says of which inputs, models and settings it was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import io
from ..errors import FileError, MedsegError, short
from ..io import formats, items
from ..io.kspace_out import read_reconstruction
from ..io.notes import side_file
from ..record import Record, voxel_hash
from . import outputs

if TYPE_CHECKING:
    from .tasks import Task


@dataclass(frozen=True)
class Known:
    """What the outputs of a task are.

    Parameters
    ----------
    state : {"new", "skipped", "kept"}
        ``new``: they must be made. ``skipped``: they are what the task would make. ``kept``: they are something else
        that must not be lost.
    record : Record or None
        How they were made.
    note : str
        Why they are made again, or kept.
    """

    state: str
    record: Record | None = None
    note: str = ""


def judge(task: Task) -> Known:
    """Whether a task must be done.

    Outputs that a person has changed or reviewed, or that do not say how they were made, are never replaced unless the
    task says so: work could be lost.

    Raises
    ------
    FileError
        If there is such an output, and the task says neither that it stays nor that it is replaced.
    """
    if task.what not in EXPECTED or not task.target.exists():
        return Known("new")
    try:
        record, voxels = _read(task.target)
    except MedsegError as error:
        return Known("new", note=f"made again: the earlier output cannot be used ({error})")
    if record is None and _lost_its_notes(task.target):
        return Known("new", note="made again: its side file is missing")
    work = _work_of_a_person(record, voxels)
    if record is not None and not work:
        changes = _changes(task, record) if task.resume else []
        if task.resume and not changes:
            return Known("skipped", record)
        changed = f"changed: {', '.join(changes)}" if changes else ""
        if not record.reviewed:
            return Known("new", record, f"made again; {changed}" if changed else "")
        work = "was reviewed by a person"
        work += f"; since then {changed}" if changed else ""
    return _protected(task, record, work)


def refuse_edited(task: Task) -> None:
    """Make sure that nobody has put work into the output since `judge` looked: a task may take long.

    Raises
    ------
    FileError
        If that is so, and the task does not say that such outputs are replaced.
    """
    try:
        judge(replace(task, resume=False))
    except FileError as error:
        raise FileError(
            f"'{task.target.name}' was changed while it was being made again; what was changed stays. Run again with "
            "Resume (--resume) to keep it."
        ) from error


def _work_of_a_person(record: Record | None, voxels: str) -> str:
    """Why an output with these voxels may be the work of a person, as the end of a sentence; empty if it is not."""
    if record is None:
        return "does not say how it was made"
    if voxels in {item.voxels for item in record.outputs}:
        return ""
    return f"was {'corrected by a person' if record.reviewed else 'changed'} after it was made"


def _changes(task: Task, record: Record) -> list[str]:
    """What makes an untouched output another one than the task would make."""
    missing = [f"'{path.name}' is missing" for path in task.paths() if not path.exists()]
    return missing or record.changes(EXPECTED[task.what](task, record))


def _protected(task: Task, record: Record | None, work: str) -> Known:
    """What becomes of an output that holds the work of a person."""
    if task.replace_edited:
        return Known("new", record, f"made again: the earlier output {work}")
    text = f"'{task.target.name}' {work}."
    if task.resume:
        return Known("kept", record, f"{text} --replace-edited has it made again.")
    raise FileError(f"{text} Keep it with Resume (--resume), or have it made again with --replace-edited.")


def _segmented(task: Task, record: Record) -> Record:
    """What the record of a segmentation would say that decides about its labels."""
    what = "segment" if len(task.models) == 1 else "consensus"
    reading = {"axes": task.settings["axes"], "names": list(task.settings.get("names", ()))}
    settings = {**task.settings["inference"], **reading}
    item = items.of_file(task.source)
    if not any(each.sha256 for each in record.inputs):
        # the record knows the input by its voxels alone
        item = items.of_volume(io.read(task.source, axes=task.settings["axes"], lazy=True))
    return Record(what, inputs=(item,), models=task.models, settings=settings)


def _reconstructed(task: Task, record: Record) -> Record:
    """What the record of a reconstruction would say that decides about its image."""
    from .raw import kspace_of, reading

    settings = reading(task) | task.settings["reconstruction"] | task.settings["finish"]
    inputs = items.of_kspace(kspace_of(task))
    return Record("reconstruct", inputs=inputs, models=task.models, settings=settings)


EXPECTED: dict[str, Callable[[Task, Record], Record]] = {"segment": _segmented, "reconstruct": _reconstructed}
"""What the record of the outputs of a task would say if it were made now, for each kind that can be resumed."""


def _read(path: Path) -> tuple[Record | None, str]:
    """The record of an output, and the hash of its voxels."""
    try:
        if path.suffix.lower() in outputs.HDF5:
            image, record = read_reconstruction(path)
            return record, voxel_hash(image)
        volume = io.read(path, lazy=True)
    except MedsegError:
        raise
    except Exception as error:
        raise FileError(f"it cannot be read ({short(error)})") from error
    return volume.record, voxel_hash(volume.data)


def _lost_its_notes(path: Path) -> bool:
    """Whether a file cannot hold notes and the file next to it that does was never written."""
    format_ = formats.named(path)
    return format_ is not None and not format_.keeps_notes and not side_file(path).exists()
