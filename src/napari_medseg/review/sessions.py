"""The folders of the journal: one per labels layer that is open somewhere, held by the process that has it open."""

from __future__ import annotations

import getpass
import hashlib
import secrets
import shutil
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import files
from ..errors import MedsegError
from ..models.library import models_folder
from .log import encode

VERSION = 1

BASE, LOG, SESSION, TORN = "base.bin", "log.bin", "session.json", "log.torn"
"""Files of a session: labels at its start; what was done since; what they belong to; the damaged end of a log."""


@dataclass(frozen=True)
class Session:
    """What the labels of a session are, and where they lie.

    Parameters
    ----------
    layer : str
        Name of the labels layer.
    shape : tuple of int
    dtype : str
    image, source, image_hash : str
        Name of the image that they lie on, its file, and the `voxel_hash` of its array; empty when not known.
    place : mapping
        Where the layer lies in the viewer: scale, translate, units and the like.
    notes : mapping
        As of `io.notes`: axes, affine, classes, the record of how they came to be, the states of their slices.
    created : str
        UTC.
    host, user : str
    replaces : str
        Name of the session of which this one is a shorter version.
    version : int
        Of these files.
    """

    layer: str
    shape: tuple[int, ...]
    dtype: str
    image: str = ""
    source: str = ""
    image_hash: str = ""
    place: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    host: str = ""
    user: str = ""
    replaces: str = ""
    version: int = VERSION

    def key(self) -> str:
        """The same for the same labels on the same image."""
        grid = [self.place.get("scale"), self.place.get("translate"), list(self.shape)]
        text = repr([self.source, self.image_hash, grid, self.layer])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def root() -> Path:
    """Where all sessions lie: next to the models of the user."""
    return models_folder().parent / "review"


def user() -> str:
    """Name of the person at the computer; empty where the system does not know."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def host() -> str:
    """Name of the computer."""
    return socket.gethostname()


class Folder:
    """The folder of a session that this process holds.

    Parameters
    ----------
    path : pathlib.Path
        Is made if it is missing.

    Raises
    ------
    MedsegError
        If it cannot be made, or another process holds it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._held = ExitStack()
        self._held.enter_context(files.lock(path))

    @classmethod
    def new(cls, place: Path, session: Session) -> Folder:
        """A folder of its own below `place` for a session that begins now."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        return cls(place / session.key() / f"{stamp}-{secrets.token_hex(4)}")

    def release(self, remove: bool = False) -> None:
        """Let other processes have the folder, or remove it."""
        self._held.close()
        if remove:
            discard(self.path)


def discard(folder: Path) -> None:
    """Remove a session, and what is empty without it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.is_dir() and not any(folder.parent.iterdir()):
        shutil.rmtree(folder.parent, ignore_errors=True)


def held_since(folder: Path) -> str:
    """Time of day since when a process has held a folder; empty if none does."""
    if not files.is_locked(folder):
        return ""
    other = files.holder(folder)
    return other.since if other else "an unknown time"


def new_folder(session: Session, place: Path | None) -> tuple[Folder | None, str]:
    """A folder for a session, or None and why there is none."""
    if place is None:
        return None, ""
    try:
        return Folder.new(place, session), ""
    except MedsegError as error:
        return None, _not_protected(error)


def write_session(folder: Folder | None, session: Session, packed: Iterable[bytes]) -> str:
    """Write the base and what it belongs to; why that was not possible, or nothing."""
    if folder is None:
        return ""
    head = {"shape": list(session.shape), "dtype": session.dtype}
    raw = encode(head) + b"".join(encode({"plane": number}, each) for number, each in enumerate(packed))
    try:
        files.replace_bytes(folder.path / BASE, raw)
        files.dump(folder.path / SESSION, session)  # last: without it the folder is nothing
    except MedsegError as error:
        return _not_protected(error)
    return ""


def _not_protected(error: Exception) -> str:
    return f"Not protected against a crash: {error} Undo works all the same; save the labels often."
