"""The table of a cohort: a row for each case and class, as CSV; and the cohort that a folder of results holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import files, io
from ..errors import FileError, MedsegError, reason
from ..io import formats, items
from ..progress import Job, Progress, run
from ..record import Record, voxel_hash
from ..volume import Volume
from . import looks
from .cases import Case
from .tasks import Look, Outcome, Task

_FIRST = ("case", "class", "id")
_LAST = ("warnings", "seconds", "peak_mb", "state", "note", "error", "input", "output")
_MAPS = ("uncertainty", "disagreement")


def rows(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The rows of the table: one for each class of a case, and one for a case without figures.

    Parameters
    ----------
    cases : sequence of Case
    """
    found = []
    for case in cases:
        shared = _shared(case)
        for row in case.rows:
            place = {"case": case.name, "class": row.name, "id": row.id}
            found.append({**place, **row.figures, **shared})
        if not case.rows:
            found.append({"case": case.name, **shared})
    return found


def write_csv(path: Path, cases: Sequence[Case]) -> None:
    """Write the table of a cohort.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    found = rows(cases)
    known = dict.fromkeys(key for row in found for key in row)
    figures = [key for key in known if key not in _FIRST and key not in _LAST]
    head = [*_FIRST, *figures, *_LAST]
    write_text(path, files.csv_text([head, *([_cell(row.get(key)) for key in head] for row in found)]))


def write_text(path: Path, text: str) -> None:
    """Make or replace a text file, and its folder.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace_bytes(path, text.encode("utf-8", "backslashreplace"))
    except (OSError, FileError) as error:
        raise FileError(f"The summary '{path}' cannot be written ({reason(error)}). Choose another place.") from error


def _shared(case: Case) -> dict[str, Any]:
    """What holds for all classes of a case."""
    outcome = case.outcome
    return {
        "warnings": " | ".join(case.warnings),
        "seconds": outcome.took,
        "peak_mb": outcome.peak_mb or None,
        "state": outcome.state,
        "note": outcome.note,
        "error": outcome.error,
        "input": outcome.task.inputs[0],
        "output": next(iter(outcome.task.outputs.values()), ""),
    }


def _cell(value: Any) -> Any:
    """A value as a cell: six digits are enough."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def of_folder(folder: Path, images: Iterable[Path]) -> list[Outcome]:
    """What the results in a folder say of the runs that made them, see `results_job`."""
    return run(results_job(folder, images))


def results_job(folder: Path, images: Iterable[Path]) -> Job[list[Outcome]]:
    """What the results in a folder say of the runs that made them; folders in it are searched too.

    Parameters
    ----------
    folder : pathlib.Path
    images : iterable of pathlib.Path
        Inputs that are at hand, found by their names and contents: they are the background of the pictures.

    Yields
    ------
    Progress
        Over the files that may be results; `partial` is the `Outcome` of one that is, else None.

    Returns
    -------
    list of Outcome
        ``done``, or ``kept`` for what a person has changed since; ``failed`` for what cannot be read. Files that do
        not say how they were made are left out.

    Raises
    ------
    FileError
        If the folder does not exist or holds no results.
    """
    if not folder.is_dir():
        raise FileError(f"'{folder}' is not a folder. Give the folder that a run has written to.")
    paths = sorted(filter(_may_be_result, _seen(folder)))
    named: dict[str, list[Path]] = {}
    for image in images:
        named.setdefault(image.name, []).append(image)
    found = []
    for number, path in enumerate(paths):
        yield Progress(number, len(paths))
        outcome = _of_file(path, named)
        if outcome is not None:
            found.append(outcome)
            yield Progress(number + 1, len(paths), outcome)
    if not found:
        raise FileError(
            f"'{folder}' holds no result that says how it was made. Give the folder that 'segment' or 'reconstruct' "
            "has written to."
        )
    return found


def _seen(folder: Path) -> Iterator[Path]:
    """Files and folders in a folder and below it that are not hidden; those that vanish meanwhile are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*folders, *names):
            if not name.startswith("."):
                yield Path(place) / name


def _may_be_result(path: Path) -> bool:
    kind = formats.named(path)
    is_map = formats.stem(path).endswith(tuple(f"_{name}" for name in _MAPS))
    if kind is None or not kind.writes or is_map:
        return False
    return kind.folder if path.is_dir() else path.is_file()


def _of_file(path: Path, images: Mapping[str, Sequence[Path]]) -> Outcome | None:
    try:
        volume = io.read(path)
    except (MedsegError, OSError) as error:
        return Outcome.failed(Task("segment", (str(path),), {"labels": str(path)}), error)
    record = volume.record
    if record is None:
        return None
    what = "reconstruct" if record.what == "reconstruct" else "segment"
    role = "image" if what == "reconstruct" else "labels"
    named = next((item.name for item in record.inputs if item.name), "")
    source = _image_of(record, images.get(named, ()))
    task = Task(what, (str(source or named or path),), {role: str(path)}, record.models)
    try:
        look = looks.of_image(volume) if what == "reconstruct" else _look(volume, source, record)
    except (MedsegError, OSError) as error:
        return Outcome.failed(task, error)
    known = {item.voxels for item in record.outputs}
    state = "done" if voxel_hash(volume.data) in known else "kept"
    notes = [] if state == "done" else ["changed by a person after it was made"]
    if source is None and named in images:
        notes.append(f"'{named}' is not the image that it was made of, or has changed since")
    return Outcome(task, state, record, note="; ".join(notes), seconds=record.seconds, look=look)


def _image_of(record: Record, named: Iterable[Path]) -> Path | None:
    """The image that a result was made of, among those of its name: in several folders there may be others."""
    known = next((item.sha256 for item in record.inputs if item.name), "")
    return next((path for path in named if not known or items.of_file(path).sha256 in ("", known)), None)


def _look(labels: Volume, source: Path | None, record: Record) -> Look:
    path = Path(labels.metadata["source"])
    beside = path.with_name(f"{formats.stem(path)}_uncertainty{formats.ending(path)}")
    uncertainty = io.read(beside) if beside.exists() else None
    image = None if source is None else io.read(source, axes=record.settings.get("axes"))
    return looks.of_labels(labels, image, uncertainty)
