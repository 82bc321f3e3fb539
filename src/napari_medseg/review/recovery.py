"""What is left of the sessions of a process that has ended, and which of them are worth restoring."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import files
from ..errors import FileError, MedsegError, reason
from . import sessions
from .deltas import deltas_of
from .history import History
from .log import Record, decode, records
from .planes import Planes, checksum
from .sessions import Session
from .shadow import unpack

_KEPT_DAYS = 7  # for which sessions stay whose labels were saved


@dataclass(frozen=True, eq=False)
class Recovered:
    """A session as its folder tells it.

    Parameters
    ----------
    labels : numpy.ndarray
        After the last step that can be read.
    sums : tuple of int
        Checksum of every slice at the start of the session, see `planes.checksum`.
    history : History
    session : Session
    length : int
        Bytes of the log that can be read.
    torn : bytes
        What follows them: damaged, or half-written.
    """

    labels: np.ndarray
    sums: tuple[int, ...]
    history: History
    session: Session
    length: int
    torn: bytes

    @property
    def lost_bytes(self) -> int:
        """Size of the damaged end."""
        return len(self.torn)


@dataclass(frozen=True)
class Unfinished:
    """A session with something to restore.

    Parameters
    ----------
    folder : pathlib.Path
    session : Session
    steps : int
        That a saved file does not have.
    approvals : int
        Likewise.
    damaged : bool
        Whether a part of the journal is missing or cannot be read.
    """

    folder: Path
    session: Session
    steps: int
    approvals: int
    damaged: bool = False


def recover(folder: Path, until: int | None = None) -> Recovered:
    """The labels of a session, from its base and its log.

    Parameters
    ----------
    folder : pathlib.Path
    until : int, optional
        Number of records to follow, see `replay`; by default all that can be read.

    Raises
    ------
    FileError
        If the folder is not a session, or its base is damaged.
    """
    session = _session(folder)
    labels = _base(folder, session)
    raw = _log(folder)
    planes = Planes(labels)
    sums = tuple(checksum(planes.read(number)) for number in range(planes.count))
    history = History()
    length = 0
    for number, record in enumerate(records(raw)):
        if number == until or not _follow(history, record, planes, raw):
            break
        length = record.offset + record.length
    # once more: what did not make sense may have left half of itself there
    history, _ = _history(raw[:length])
    return Recovered(labels, sums, history, session, length, raw[length:])


def replay(folder: Path, until: int) -> np.ndarray:
    """The labels after so many records of the log, for whoever wants to see how they came to be."""
    return recover(folder, until).labels


def _follow(history: History, record: Record, planes: Planes, raw: bytes) -> bool:
    """Do what a record says; whether it makes sense."""
    before = history.position
    try:
        step = history.take(record)
        if step is None:
            return True
        source = record if step.offset == record.offset else decode(raw, step.offset)
        deltas = deltas_of(source.content["parts"], source.payload, planes.dtype)
        if history.position < before:
            deltas = [delta.swapped() for delta in deltas]
        if not all(delta.fits(planes.read(delta.plane)) for delta in deltas):
            return False
        for delta in deltas:
            delta.apply(planes)
    except (ValueError, KeyError, TypeError, IndexError):
        return False
    return True


def _session(folder: Path) -> Session:
    path = folder / sessions.SESSION
    if _version(path) > sessions.VERSION:
        raise FileError(f"'{folder}' was written by a newer version of napari-medseg. Update it to restore the labels.")
    try:
        return files.load(path, Session)
    except MedsegError:
        return _nameless(folder)


def _version(path: Path) -> int:
    """Of the description of a session; 0 if it cannot be read."""
    with suppress(MedsegError):
        content = files.read_json(path)
        version = content.get("version", 0) if isinstance(content, dict) else 0
        return version if isinstance(version, int) else 0
    return 0


def _nameless(folder: Path) -> Session:
    """A session whose description is damaged: the base knows shape and type of its labels."""
    path = folder / sessions.BASE
    try:
        content = decode(path.read_bytes()).content
        shape = tuple(int(length) for length in content["shape"])
        return Session("recovered labels", shape, np.dtype(content["dtype"]).str)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"'{path}' cannot be read ({reason(error)}). These labels cannot be restored.") from error


def _base(folder: Path, session: Session) -> np.ndarray:
    path = folder / sessions.BASE
    try:
        head, *rest = records(path.read_bytes())
        labels = np.zeros(session.shape, session.dtype)
        planes = Planes(labels)
        if head.content.get("shape") != list(session.shape) or len(rest) != planes.count:
            raise ValueError("it is damaged")
        for number, record in enumerate(rest):
            planes.put(number, unpack(record.payload, planes.shape, planes.dtype))
    except (OSError, ValueError, TypeError) as error:
        raise FileError(f"'{path}' cannot be read ({reason(error)}). These labels cannot be restored.") from error
    return labels


def _log(folder: Path) -> bytes:
    try:
        return (folder / sessions.LOG).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise FileError(f"'{folder / sessions.LOG}' cannot be read ({reason(error)}). Try again.") from error


def unfinished(place: Path) -> list[Unfinished]:
    """The sessions below `place` that nobody has open and that hold what no saved file has, newest first.

    What is not worth keeping is removed: sessions without a change, those whose labels were saved days ago, and those
    that a shorter version has replaced.
    """
    found = [_look(folder) for folder in sorted(place.glob("*/*")) if folder.is_dir()]
    there = [each for each in found if each is not None]
    replaced = {each.session.replaces for each in there}
    left = []
    for each in there:
        if each.folder.name in replaced:
            sessions.discard(each.folder)
        elif each.steps or each.approvals or each.damaged:
            left.append(each)
    return sorted(left, key=lambda each: each.session.created, reverse=True)


def _look(folder: Path) -> Unfinished | None:
    """What there is to restore in a folder that nobody has open; None if it is nothing of ours or was removed."""
    if files.is_locked(folder):
        return None
    description = folder / sessions.SESSION
    parts = [folder / name for name in (sessions.SESSION, sessions.BASE, sessions.LOG)]
    if not any(part.exists() for part in parts) or _version(description) > sessions.VERSION:
        return None
    if not description.exists() and not (folder / sessions.LOG).exists():  # the process ended while it began
        sessions.discard(folder)
        return None
    try:
        session = _session(folder)
        history, whole = _history(_log(folder))
    except MedsegError:  # a person can look at it, or discard it
        return Unfinished(folder, Session("unreadable labels", (), "|u1"), 0, 0, damaged=True)
    damaged = not whole or not (folder / sessions.LOG).exists()
    done_with = not (folder / sessions.TORN).exists() if history.saved is None else _is_old(folder)
    if done_with and not damaged and not history.pending:
        sessions.discard(folder)
        return None
    return Unfinished(folder, session, history.unsaved, history.notes, damaged)


def _history(raw: bytes) -> tuple[History, bool]:
    """What the records say up to the first that is damaged, and whether that is all there is."""
    history = History()
    end = 0
    with suppress(ValueError, KeyError, TypeError):
        for record in records(raw):
            history.take(record)
            end = record.offset + record.length
    return history, end == len(raw)


def _is_old(folder: Path) -> bool:
    age = time.time() - folder.stat().st_mtime
    return age > _KEPT_DAYS * 24 * 60 * 60
