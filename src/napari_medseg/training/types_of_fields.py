"""Whether values from a JSON file are what the annotated fields of a record take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value from a JSON file is what a field with the annotation `hint` takes."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return any(fits(value, one) for one in inner)
    if origin is tuple:
        fixed = inner[-1] is not Ellipsis
        listed = isinstance(value, list | tuple) and (not fixed or len(value) == len(inner))
        return listed and all(fits(part, inner[0]) for part in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(fits(part, inner[1]) for part in value.values())
    if hint is float:
        return type(value) in (int, float) and -math.inf < value < math.inf
    return hint is Any or type(value) is hint


def words(hint: Any) -> str:
    """What is expected where `fits` is False."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return " or ".join(map(words, inner))
    if origin is tuple:
        count = "" if inner[-1] is Ellipsis else f"{len(inner)} "
        return f"a list of {count}{words(inner[0]).removeprefix('a ')}s"
    return _WORDS.get(hint, "an object")
