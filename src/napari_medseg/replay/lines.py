"""The format of a session: one JSON object per line, the first about the session, each other one about an action.

An action has ``n`` (counted from 1), ``do`` (what was done) and what this needs: ``makes`` and ``of`` or ``on`` name
layers (``L1``, ``L2``), ``record`` is a `Record`, ``item`` an `Item`. Files are named without their folders. The docs
list all actions.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import files
from ..errors import FileError, reason
from ..files import is_deep, misfit
from ..record import Item, Record
from ..review.deltas import Delta, deltas_of

SCHEMA = 1
SUFFIX = ".medseg.jsonl"
"""How the name of a session ends."""

KIND = "napari-medseg session"
"""Under ``kind`` in the first line."""

_LEVEL = 1  # of zlib
_LARGEST = 2**30  # bytes of a session

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """One action of a session.

    Parameters
    ----------
    number : int
        Counted from 1.
    do : str
        What was done.
    content : mapping
        The JSON object.
    """

    number: int
    do: str
    content: Mapping[str, Any]

    @property
    def title(self) -> str:
        """For a sentence: ``Step 4 (segment)``."""
        return f"Step {self.number} ({self.do})"

    def get(self, name: str, kind: type[T]) -> T:
        """A field that the action cannot do without.

        Raises
        ------
        FileError
            If it is missing or of another type.
        """
        value: Any = self.content.get(name)
        if type(value) is not kind:
            raise FileError(f"the field '{name}' of its line is missing or damaged. Restore the session file.")
        return value

    def file_name(self, name: str) -> str:
        """A field that names a file without a folder.

        Raises
        ------
        FileError
            If it leads to another folder, or no system could keep such a name.
        """
        return safe_name(self.get(name, str))

    def record(self) -> Record:
        """The record of the run.

        Raises
        ------
        FileError
            If there is none.
        """
        found = Record.from_json(self.content.get("record"))
        if found is None or not found.what:
            raise FileError("the record of its run is missing or damaged. Restore the session file.")
        return found

    def item(self) -> Item:
        """What is said of an array.

        Raises
        ------
        FileError
            If it is missing.
        """
        record = Record.from_json({"inputs": [self.get("item", dict)]})
        return record.inputs[0] if record and record.inputs else Item()


@dataclass(frozen=True)
class Session:
    """What a session file says.

    Parameters
    ----------
    path : pathlib.Path
    software : mapping of str to str
        Versions when it began.
    lines : tuple of Line
    note : str
        What is missing at its end, in a sentence; empty if nothing is.
    """

    path: Path
    software: Mapping[str, str]
    lines: tuple[Line, ...]
    note: str = ""


def safe_name(name: str) -> str:
    """`name`, if it is that of a file without a folder on every system.

    Raises
    ------
    FileError
        If it is not.
    """
    if misfit(name) or any(letter in name for letter in "\\:"):
        raise FileError(
            f"'{name}' is not the name of a file in the folder of the session; expected a name without a folder. "
            "Restore the session file."
        )
    return name


def read(path: Path) -> Session:
    """The actions in a session file.

    A last line that is cut off, as after a crash, is left out, which `Session.note` says.

    Raises
    ------
    FileError
        If it cannot be read, is not a session, or another line is damaged or missing.
    """
    whole = _texts(path)
    torn = "" if whole[-1] == "" else whole[-1]
    texts = whole[:-1]
    if not texts:
        raise FileError(f"'{path.name}' is not a session: it has no whole line. Choose a file that ends in {SUFFIX}.")
    head = _object(path, 1, texts[0])
    if head.get("kind") != KIND:
        raise FileError(f"'{path.name}' is not a session of napari-medseg. Choose a file that ends in {SUFFIX}.")
    schema = head.get("schema")
    if type(schema) is not int or schema > SCHEMA:
        raise FileError(f"'{path.name}' was recorded by a newer version of napari-medseg. Update it to replay this.")
    lines = [_line(path, number, text) for number, text in enumerate(texts[1:], 1)]
    note = ""
    if torn:
        note = f"The last line of '{path.name}' is cut off: the {len(lines)} steps before it are replayed."
    software = head.get("software")
    return Session(path, software if isinstance(software, dict) else {}, tuple(lines), note)


def _texts(path: Path) -> list[str]:
    """The lines of a file; the last one is empty if the file ends with a whole one."""
    if not path.exists():
        raise FileError(f"'{path}' does not exist. Check the path.")
    files.refuse_special(path)
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise ValueError(f"it has {size} bytes, more than {_LARGEST}")
        # a line that is cut off may end within a letter
        return path.read_bytes().decode("utf-8", "replace").split("\n")
    except (OSError, ValueError) as error:
        raise FileError(f"'{path}' cannot be read ({reason(error)}). Restore it.") from error


def _object(path: Path, place: int, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, place, "it is not JSON") from error
    if not isinstance(content, dict) or is_deep(content):
        raise _damaged(path, place, "it is not a JSON object of a session")
    return content


def _damaged(path: Path, place: int, why: str) -> FileError:
    return FileError(
        f"Line {place} of '{path.name}' is damaged ({why}). Nothing was replayed; restore the file, or delete this "
        "line and those after it to replay what comes before."
    )


def _line(path: Path, number: int, text: str) -> Line:
    content = _object(path, number + 1, text)
    do = content.get("do")
    if not isinstance(do, str):
        raise _damaged(path, number + 1, "it does not say what was done")
    if content.get("n") != number:
        found = content.get("n")
        raise _damaged(path, number + 1, f"expected step {number}, found {found}: a line was moved or is missing")
    return Line(number, do, content)


def write(content: Mapping[str, Any]) -> bytes:
    """A line."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode() + b"\n"


# ---- arrays in lines ----


def pack(array: np.ndarray) -> dict[str, Any]:
    """An array of whole numbers or truth values as JSON, compressed."""
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    raw = np.packbits(plain).tobytes() if plain.dtype.kind == "b" else plain.tobytes()
    text = base64.b64encode(zlib.compress(raw, _LEVEL)).decode("ascii")
    return {"dtype": plain.dtype.str, "shape": list(plain.shape), "data": text}


def unpack(content: Mapping[str, Any], shape: Sequence[int]) -> np.ndarray:
    """What `pack` made of an array of this shape.

    Raises
    ------
    FileError
        If it is something else.
    """
    try:
        dtype = np.dtype(str(content["dtype"]))
        if dtype.kind not in "bui" or tuple(content["shape"]) != tuple(shape):
            raise ValueError("another array")
        count = int(np.prod(shape))
        expected = (count + 7) // 8 if dtype.kind == "b" else count * dtype.itemsize
        packed = base64.b64decode(content["data"], validate=True)
        raw = zlib.decompressobj().decompress(packed, expected + 1)
        if dtype.kind == "b":
            return np.unpackbits(np.frombuffer(raw, np.uint8), count=count).astype(bool).reshape(shape)
        return np.frombuffer(raw, dtype).reshape(shape)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise FileError("an array in its line is damaged. Restore the session file.") from error


def delta_fields(deltas: Sequence[Delta], dtype: np.dtype) -> dict[str, Any]:
    """A change of labels as the fields of a line."""
    payloads = [delta.payload() for delta in deltas]
    parts = [delta.part(len(payload)) for delta, payload in zip(deltas, payloads, strict=True)]
    text = base64.b64encode(b"".join(payloads)).decode("ascii")
    return {"dtype": dtype.str, "parts": [list(part) for part in parts], "delta": text}


def deltas_in(line: Line, dtype: np.dtype) -> list[Delta]:
    """What `delta_fields` made, for labels of the type `dtype`.

    Raises
    ------
    FileError
        If it is damaged or for another type.
    """
    if np.dtype(line.get("dtype", str)) != dtype:
        raise FileError(f"it changes labels of type {line.content['dtype']}, and these are of type {dtype}.")
    try:
        parts: list[Any] = [tuple(int(number) for number in part) for part in line.get("parts", list)]
        payload = base64.b64decode(line.get("delta", str), validate=True)
        return deltas_of(parts, payload, dtype)
    except (TypeError, ValueError) as error:
        raise FileError("the change of labels in its line is damaged. Restore the session file.") from error
