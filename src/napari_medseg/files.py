"""Files as a whole: replaced or left alone, locked, and JSON turned into typed objects.

Nothing else in the package replaces a file, takes a lock or reads a JSON file. Whatever is written lies under a
random hidden name next to its target until it is complete, on the disk and checked; `sweep` removes what a killed
process left.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from types import GenericAlias, NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from .errors import FileError, JobError, SettingsError, reason, short
from .record import plain

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

LOCK = ".napari-medseg.lock"
"""File that is locked while a process writes to a folder."""

HOLDER = ".napari-medseg.process"
"""File that says which process that is."""

MAX_JSON_BYTES = 2**26
"""Larger JSON files are not read."""

_DAY = 24 * 60 * 60
_NAME_CHARACTERS = 40  # of the target in a temporary name: a file system allows 255 in all
_TEMPORARY = re.compile(r"\.medseg-[0-9a-f]{16}-.+")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")  # as pydantic calls it
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}


@dataclass(frozen=True)
class Change:
    """A file to make or replace.

    Parameters
    ----------
    path : pathlib.Path
        Target; a link is followed.
    write : callable
        Writes the new content to the path that it is given: a hidden name in the same folder, same ending.
    check : callable, optional
        Raises `FileError` if what was written there is not what it should be.
    """

    path: Path
    write: Callable[[Path], object]
    check: Callable[[Path], object] | None = None

    @cached_property
    def target(self) -> Path:
        return self.path.resolve()

    @cached_property
    def temporary(self) -> Path:
        """A name that nobody can foresee, so that no link can be planted there."""
        return self.target.with_name(f".medseg-{secrets.token_hex(8)}-{self.target.name[-_NAME_CHARACTERS:]}")

    def ask(self) -> None:
        """Renaming over a write-protected file would succeed: ask before."""
        if not self.target.exists():
            return
        protected = not self.target.stat().st_mode & 0o222
        if protected or not os.access(self.target, os.W_OK):
            raise PermissionError("the file is write-protected")

    def prepare(self) -> None:
        """Write the temporary file, bring it to the disk, check it."""
        self.write(self.temporary)
        _to_disk(self.temporary)
        if self.check is not None:
            self.check(self.temporary)
        if self.target.exists():
            shutil.copymode(self.target, self.temporary)


def replace(path: Path, write: Callable[[Path], object], check: Callable[[Path], object] | None = None) -> None:
    """Make or replace one file, see `Change` and `replace_all`."""
    replace_all(Change(path, write, check))


def replace_all(*changes: Change) -> None:
    """Make or replace files: all are written and checked before the first of them takes its name.

    They take their names in the order given. A process that is killed in between leaves the first ones new and the
    others as they were, so the order says which mixture may be found.

    Raises
    ------
    FileError
        If writing or a check fails. The earlier files are then unchanged and nothing is left behind. Only if a further
        one of several renames fails, the files before it are new.
    """
    done: list[Change] = []
    current = changes[0]
    try:
        for step in (Change.ask, Change.prepare):
            for current in changes:
                step(current)
        for current in changes:
            os.replace(current.temporary, current.target)
            done.append(current)
    except (OSError, FileError) as error:
        # numpy reports a full disk without the system's words
        words = getattr(error, "strerror", None) or short(error)
        raise FileError(f"'{current.path.name}' could not be saved ({words}). {_state(current, done)}") from error
    finally:
        for change in changes:
            with suppress(OSError):
                change.temporary.unlink(missing_ok=True)
    for folder in {change.target.parent for change in changes}:
        _names_to_disk(folder)


def replace_bytes(path: Path, content: bytes) -> None:
    """Make or replace a file that holds `content`; see `replace_all`."""
    replace(path, lambda temporary: temporary.write_bytes(content))


def move(path: Path, target: Path) -> None:
    """Give a file another name on the same disk, for good; a file of that name is replaced.

    Raises
    ------
    OSError
        If the system refuses; nothing has changed then.
    """
    os.replace(path, target)
    _names_to_disk(target.parent)


def sweep(folder: Path) -> list[Path]:
    """Remove what processes that were killed left half-written in `folder` a day ago or earlier.

    Returns
    -------
    list of pathlib.Path
        What was removed.
    """
    removed = []
    for path in folder.glob(".medseg-*"):
        with suppress(OSError):
            old = path.lstat().st_mtime < time.time() - _DAY
            if old and _TEMPORARY.fullmatch(path.name):
                path.unlink()
                removed.append(path)
    return removed


def abandon(path: Path) -> None:
    """Remove what a process that has ended left half-written next to `path`, its target."""
    target = path.resolve()
    name = re.escape(target.name[-_NAME_CHARACTERS:])
    for other in target.parent.glob(".medseg-*"):
        if re.fullmatch(rf"\.medseg-[0-9a-f]{{16}}-{name}", other.name):
            with suppress(OSError):
                other.unlink()


def _state(failed: Change, done: Sequence[Change]) -> str:
    """What is on the disk after a failure, and what to do."""
    if done:
        return f"'{done[0].path.name}' was saved without it. Save again, or to another place."
    state = "The earlier file is unchanged." if failed.target.exists() else "Nothing was written."
    return f"{state} Save to another place."


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _names_to_disk(folder: Path) -> None:
    """Bring a rename to the disk. Not every system can; the files are complete under either name without it."""
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# locks


@dataclass(frozen=True)
class Holder:
    """The process that writes to a folder.

    Parameters
    ----------
    host : str
        Name of its computer.
    pid : int
    created : float
        When it was started, in seconds of that computer's clock: numbers of processes are used again.
    since : str
        Time of day at which it began with the folder.
    """

    host: str
    pid: int
    created: float
    since: str

    def __str__(self) -> str:
        return f"host {self.host}, process {self.pid}, since {self.since}"

    @classmethod
    def of(cls, pid: int) -> Holder:
        """The process `pid` of this computer, from now on."""
        import psutil

        return cls(socket.gethostname(), pid, psutil.Process(pid).create_time(), f"{datetime.now():%H:%M}")


def holder(folder: Path) -> Holder | None:
    """Which process was last noted as writing to a folder; None if there is none, or its note cannot be read."""
    try:
        return load(folder / HOLDER, Holder)
    except (FileError, SettingsError):
        return None


def note(folder: Path, pid: int) -> None:
    """Note that the process `pid` of this computer writes to a folder."""
    dump(folder / HOLDER, Holder.of(pid))


@contextmanager
def lock(folder: Path) -> Generator[None]:
    """Make a folder, and keep other processes out of it for as long as the context lasts; see `sweep` too.

    The system lets go of the lock when the process ends, however it ends. Network file systems may not keep it.

    Raises
    ------
    FileError
        If the folder cannot be made or written to.
    JobError
        If another process holds the lock.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / LOCK, timeout=0)
        held.acquire()
    except Timeout as error:
        other = holder(folder)
        known = f" ({other})" if other else ""
        raise JobError(
            f"Another run{known} writes to '{folder}'. Wait until it has ended, or choose another folder."
        ) from error
    except OSError as error:
        raise FileError(
            f"The folder '{folder}' cannot be written to ({error.strerror}). Choose another one."
        ) from error
    try:
        note(folder, os.getpid())
        sweep(folder)
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink()
        with suppress(OSError):
            # while it is held: whoever has opened the file meanwhile notices that it is gone, and makes another one
            (folder / LOCK).unlink()
        held.release()


# JSON


def to_json(value: Any) -> str:
    """Indented JSON of dataclasses, arrays and plain values; what is not finite becomes null, a path its text."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def dump(path: Path, value: Any) -> None:
    """Make or replace a JSON file, see `to_json` and `replace_all`."""
    replace_bytes(path, to_json(value).encode())


def read_json(path: Path) -> Any:
    """The plain values in a JSON file.

    Raises
    ------
    FileError
        If there is none that can be read, or it is too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise ValueError(f"it has {size} bytes, more than {MAX_JSON_BYTES}")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"'{path}' cannot be read as JSON ({reason(error)}). Restore it, or write it again.") from error


def load(path: Path, kind: type[T]) -> T:
    """The dataclass `kind` from a JSON file, see `typed`.

    Raises
    ------
    FileError
        If the file cannot be read.
    SettingsError
        If it holds something else; the sentence names the file and the place in it.
    """
    return typed(kind, read_json(path), path.name)


def typed(kind: type[T], content: Any, name: str = "") -> T:
    """The dataclass `kind` from plain JSON values.

    Lists become tuples, objects the dataclasses that `kind` is made of. Types are exact: only a whole number is
    taken for a number. What the dataclasses refuse in ``__post_init__`` with a `SettingsError` is refused here.

    Parameters
    ----------
    kind : dataclass
        Of texts, numbers, tuples, mappings and dataclasses.
    content : object
        What `read_json` returns.
    name : str
        Of the file, for the sentence; empty leaves it out.

    Raises
    ------
    SettingsError
        If a field is missing, unknown, of another type or refused; the sentence names its place.
    """
    from pydantic import ValidationError

    try:
        # as text: only from JSON may a list stand for a tuple where types are exact
        return _adapter(kind).validate_json(json.dumps([content]))[0]
    except ValidationError as error:
        faults = error.errors(include_url=False)
    # a name that is unknown is often the one that is missing, written wrongly
    unknown = [fault for fault in faults if fault["type"] == "unexpected_keyword_argument"]
    fault = (unknown or faults)[0]
    where = f"'{name}': " if name else ""
    raise SettingsError(where + _sentence(kind, fault)) from fault.get("ctx", {}).get("error")


@cache
def _adapter(kind: type[T]) -> TypeAdapter[tuple[T]]:
    from pydantic import ConfigDict, TypeAdapter

    options = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    # a dataclass alone would not take these options, but hands them on from a tuple
    wrapped: Any = GenericAlias(tuple, (kind,))
    return TypeAdapter(wrapped, config=options)


def _sentence(kind: type, fault: Mapping[str, Any]) -> str:
    """What is wrong, where, and what is expected."""
    places = list(fault["loc"][1:])
    place = _path(places)
    if fault["type"] == "value_error":
        return f"{place}: {fault['ctx']['error']}" if place else str(fault["ctx"]["error"])
    if fault["type"] == "unexpected_keyword_argument":
        known = ", ".join(field.name for field in fields(_without_none(_hint(kind, places[:-1]))))
        return f"{place} is unknown; expected {known}."
    expected = _words(_hint(kind, places))
    if fault["type"] in _MISSING:
        return f"{place} is missing; expected {expected}."
    return f"{place or 'the content'} is {_shown(fault['input'])}; expected {expected}."


def _path(places: Sequence[str | int]) -> str:
    """A place in JSON, such as ``phases[1].until``."""
    parts = [f"[{place}]" if isinstance(place, int) else f".{place}" for place in places]
    return "".join(parts).removeprefix(".")


def _hint(kind: Any, places: Sequence[str | int]) -> Any:
    """The annotation of a place in the dataclass `kind`."""
    for place in places:
        inner = _without_none(kind)
        if is_dataclass(inner):
            kind = get_type_hints(inner)[str(place)]
        elif get_origin(inner) is tuple:
            kind = get_args(inner)[0]
        elif get_origin(inner) is not None:
            kind = get_args(inner)[-1]  # of a mapping the values, of a list the elements
    return kind


def _without_none(hint: Any) -> Any:
    if get_origin(hint) is not UnionType:
        return hint
    return next(each for each in get_args(hint) if each is not NoneType)


def _words(hint: Any) -> str:
    """What fits an annotation."""
    origin = get_origin(hint)
    inner = get_args(hint)
    if origin is UnionType:
        return " or ".join(_words(each) for each in inner)
    if origin in (tuple, list):
        fixed = origin is tuple and inner[-1] is not Ellipsis
        count = f"{len(inner)} " if fixed else ""
        element = _words(inner[0]).removeprefix("a ").removeprefix("an ")
        return f"a list of {count}{element}s"
    if hint is list:
        return "a list"
    return _WORDS.get(hint, "an object")


def _shown(value: Any) -> str:
    """A value of a JSON file, for a sentence."""
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
