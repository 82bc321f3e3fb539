"""Whether the data of a run are still those that it began with: every file that is read, by its content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import SettingsError
from ...io.checks import damaged
from ...record import file_hash
from .reading import files_of
from .sources import Source

_NAMED = 3  # files that are named one by one


@dataclass(frozen=True)
class DataFile:
    """A file that training reads.

    Parameters
    ----------
    name : str
        Its path as seen from the folder that data paths start from, or from the root of the disk.
    bytes : int
    sha256 : str
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class DataFiles:
    """The files that a run has begun with."""

    files: tuple[DataFile, ...]


def describe(sources: Iterable[Source], root: Path, also: Iterable[Path] = ()) -> DataFiles:
    """The files that `sources` read now, each once, and others.

    Those that are missing are left out: reading says so.

    Raises
    ------
    FileError, SettingsError
        If a source is missing, its cases cannot be found, or a file cannot be read.
    """
    paths = {path.name: path for path in also}
    for source in sources:
        for path in files_of(source, root):
            inside = path.is_relative_to(root)
            paths[(path.relative_to(root) if inside else path).as_posix()] = path
    found = [_described(name, path) for name, path in sorted(paths.items()) if path.is_file()]
    return DataFiles(tuple(found))


def _described(name: str, path: Path) -> DataFile:
    with damaged(path):
        return DataFile(name, path.stat().st_size, file_hash(path))


def refuse_changes(run: Path, before: DataFiles, now: DataFiles, what: str = "data") -> None:
    """Make sure that a run goes on with the data that it began with.

    Parameters
    ----------
    run : pathlib.Path
        Folder of the run, for the sentence.
    before, now : DataFiles
    what : str
        What they are, for the sentence.

    Raises
    ------
    SettingsError
        Naming files that were changed, added or removed.
    """
    old = {file.name: file.sha256 for file in before.files}
    new = {file.name: file.sha256 for file in now.files}
    found = [*_changes(old, new)]
    if not found:
        return
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise SettingsError(
        f"The {what} have changed since the run in '{run}' began: {', '.join(found[:_NAMED])}{more}. "
        "Restore them, or train in a new folder."
    )


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterable[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"'{name}' is missing"
        elif name not in old:
            yield f"'{name}' is new"
        elif old[name] != new[name]:
            yield f"'{name}' has other content"
