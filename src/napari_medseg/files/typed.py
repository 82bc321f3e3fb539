"""JSON files and typed objects: what is missing, unknown or of another type is named with its place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import GenericAlias, NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from ..errors import FileError, SettingsError, escaped, readable, reason
from ..record import plain
from .replacing import replace_bytes
from .special import refuse_special

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

MAX_JSON_BYTES = 2**26
"""Larger JSON files are not read."""

_LONGEST_TEXT = 100_000  # characters of a text in a JSON file
_MOST_DEEP = 40  # levels of objects and lists in each other
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")  # as pydantic calls it
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}


def to_json(value: Any) -> str:
    """Indented JSON of dataclasses, arrays and plain values; what is not finite becomes null, a path its text."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)
    # names of files that are not text in UTF-8 are written out, as JSON can
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def dump(path: Path, value: Any) -> None:
    """Make or replace a JSON file, see `to_json` and `replace_all`."""
    replace_bytes(path, to_json(value).encode())


def rewrite(path: Path, content: Any) -> None:
    """Make or replace a JSON file of another program by what `read_json` gave, changed in places.

    What is not in them stays as it was, numbers that are not finite too, which other programs write. See `replace_all`.
    """
    replace_bytes(path, json.dumps(content, indent=2).encode())


def read_json(path: Path) -> Any:
    """The plain values in a JSON file.

    Raises
    ------
    FileError
        If there is none that can be read, or it is too large.
    """
    if not os.path.exists(path):
        raise FileError(f"'{path}' does not exist. Check the path.")
    refuse_special(path)
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
        If a field is missing, unknown, of another type or refused, or a text holds control characters; the sentence
        names its place.
    """
    from pydantic import ValidationError

    _check_plain(content, name)
    try:
        # as text: only from JSON may a list stand for a tuple where types are exact
        return _adapter(kind).validate_json(json.dumps([content]))[0]
    except ValidationError as error:
        faults = error.errors(include_url=False)
    # a name that is unknown is often the one that is missing, written wrongly
    unknown = [fault for fault in faults if fault["type"] == "unexpected_keyword_argument"]
    fault = (unknown or faults)[0]
    cause = fault.get("ctx", {}).get("error")
    # where the JSON itself is refused, this is a text
    raise SettingsError(_where(name) + _sentence(kind, fault)) from cause if isinstance(cause, Exception) else None


def is_deep(content: Any, levels: int = _MOST_DEEP) -> bool:
    """Whether objects and lists of plain JSON values lie deeper in each other than any of our files has them."""
    inner = content.values() if isinstance(content, Mapping) else content
    nests = isinstance(content, Mapping | list | tuple)
    return nests and (levels == 0 or any(is_deep(each, levels - 1) for each in inner))


def _where(name: str) -> str:
    return f"'{name}': " if name else ""


def _check_plain(content: Any, name: str) -> None:
    """Refuse what no person writes into such a file, and what forms and terminals could not show."""
    if is_deep(content):
        raise SettingsError(
            f"{_where(name)}objects and lists lie more than {_MOST_DEEP} deep in each other. Flatten it."
        )
    for places, text in _texts(content, ()):
        place = readable(_path(places), 100) or "the content"
        if len(text) > _LONGEST_TEXT:
            raise SettingsError(
                f"{_where(name)}{place} is a text of {len(text)} characters; expected at most {_LONGEST_TEXT}."
            )
        if escaped(text, lines=True) != text:
            raise SettingsError(f"{_where(name)}{place} is {_shown(text)}; expected a text without control characters.")


def _texts(content: Any, places: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text, with its place; names of fields too."""
    if isinstance(content, str):
        yield places, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield places, key
            yield from _texts(value, (*places, key))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from _texts(value, (*places, number))


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
