"""Begin a journal of labels as they are now, or go on with one after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import MedsegError
from ..progress import Job, Progress
from . import sessions
from .history import History
from .journal import Journal
from .log import Log
from .planes import Planes
from .recovery import Recovered, recover
from .sessions import Folder, Session, new_folder, write_session
from .shadow import Shadow

_PIECE = 20  # slices between two places to cancel


def start_job(array: Any, session: Session, place: Path | None) -> Job[Journal]:
    """Begin a journal of an array as it is now.

    Parameters
    ----------
    array : numpy.ndarray or zarr.Array, shape (..., y, x)
        It may change meanwhile: the first `Journal.settle` of all slices finds that.
    session : Session
    place : pathlib.Path or None
        Folder of all sessions; None keeps the journal in memory.

    Returns
    -------
    Journal
        In memory if the folder cannot be written to; its `problem` says so.
    """
    planes = Planes(array)
    shadow = Shadow(planes.shape, planes.dtype)
    for number in range(planes.count):
        if number % _PIECE == 0:
            yield Progress(number, planes.count)
        shadow.add(planes.read(number))
    yield Progress(planes.count, planes.count)
    folder, problem = new_folder(session, place)
    problem = problem or write_session(folder, session, shadow.packed())
    if problem and folder is not None:
        folder.release(remove=True)
        folder = None
    log = Log(folder.path / sessions.LOG if folder else None)
    journal = Journal(session, shadow, log, History(), folder)
    journal.problem = problem
    return journal


def resume(path: Path) -> tuple[Journal, Recovered]:
    """Go on with the session in the folder `path` after a crash; its damaged end is cut off.

    Returns
    -------
    (Journal, Recovered)
        The journal, and the labels that it is about.

    Raises
    ------
    MedsegError
        If another process has it open, or its base is damaged.
    """
    folder = Folder(path)
    try:
        found = recover(path)
    except MedsegError:
        folder.release()
        raise
    planes = Planes(found.labels)
    shadow = Shadow(planes.shape, planes.dtype)
    for number in range(planes.count):
        shadow.add(planes.read(number))
    if found.torn:
        (path / sessions.TORN).write_bytes(found.torn)
    log = Log(path / sessions.LOG, found.length)
    return Journal(found.session, shadow, log, found.history, folder), found
