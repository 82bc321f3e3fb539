"""What the docks remember of opening scans, from one session to the next: in a small file next to the models."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ... import files
from ...errors import MedsegError
from ...models.library import models_folder

MOST = 8
"""Scans that are remembered."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remembered:
    """What is remembered.

    Parameters
    ----------
    recent : tuple of str
        Absolute paths of the files and folders that were opened, the newest first.
    reader : str
        What was put into force last of the preference which reader napari is to use, see `reader.settle`.
    """

    recent: tuple[str, ...] = ()
    reader: str = "ask"


def remembered() -> Remembered:
    """What is remembered; nothing where the file is missing or damaged."""
    path = _path()
    if not path.exists():
        return Remembered()
    try:
        return files.load(path, Remembered)
    except MedsegError as error:
        _log.warning("What was remembered of opened scans is lost: %s", error)
        return Remembered()


def remember(opened: Iterable[Path]) -> None:
    """Put scans at the top of those that were opened."""
    before = remembered()
    names = [*(str(path.absolute()) for path in opened), *before.recent]
    _write(replace(before, recent=tuple(dict.fromkeys(names))[:MOST]))


def remember_reader(wanted: str) -> None:
    """The preference which reader napari is to use is in force now."""
    before = remembered()
    if before.reader != wanted:
        _write(replace(before, reader=wanted))


def _path() -> Path:
    return models_folder().parent / "opening.json"


def _write(value: Remembered) -> None:
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.dump(path, value)
    except (MedsegError, OSError) as error:  # the scan is open all the same
        _log.warning("'%s' cannot be written: %s", path, error)
