"""Options: a field of a settings dataclass says once what it means; the command line and command texts follow from it.

A settings dataclass declares its fields with `option`. From them `add_arguments` makes the options of a command,
`read` and `given` make settings of what was typed, and `words` and `command` write what would have to be typed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import subprocess
import typing
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PROGRAM = "napari-medseg"
DEVICES = ("auto", "cpu", "cuda", "mps")
"""Where a network may compute."""

_ROW = "option"
_OBVIOUS = (None, False, "", ())  # defaults that help does not mention


@dataclass(frozen=True)
class Option:
    """How one field of a settings dataclass is given on the command line.

    Parameters
    ----------
    help : str
        A few words for the person who types it.
    flag : str
        With the hyphens; by default made of the name of the field.
    choices : tuple of str
        Empty: any value of the type.
    metavar : str or tuple of str
        What help shows for the value, one per value where there are several.
    smallest : int or None
        Of whole numbers.
    file : bool
        The field says whether something is wanted, and the command line says to which file it goes.
    always : bool
        Written even where the value is the default, since the command asks for it.
    type : type
        Of the value, without None; taken from the annotation of the field.
    default : object
        Of the field.
    """

    help: str
    flag: str = ""
    choices: tuple[str, ...] = ()
    metavar: str | tuple[str, ...] = ""
    smallest: int | None = None
    file: bool = False
    always: bool = False
    type: Any = str
    default: Any = None

    @property
    def place(self) -> str:
        """Attribute of the parsed arguments."""
        return self.flag.removeprefix("--").replace("-", "_")


def option(default: Any, help: str, **more: Any) -> Any:
    """A field of a settings dataclass that is also an option of the command line.

    Parameters
    ----------
    default : object
        Of the field.
    help : str
        See `Option`.
    **more
        Further fields of `Option`.
    """
    row = Option(help, default=default, **more)
    return dataclasses.field(default=default, metadata={_ROW: row})


def table(kind: type[DataclassInstance]) -> dict[str, Option]:
    """The options of a settings dataclass, by the names of its fields."""
    types = typing.get_type_hints(kind)
    rows = {}
    for field in dataclasses.fields(kind):
        row = field.metadata[_ROW]
        flag = row.flag or _flag(field.name)
        value_type = _without_none(types[field.name])
        rows[field.name] = dataclasses.replace(row, flag=flag, type=value_type)
    return rows


def add_arguments(
    parser: argparse.ArgumentParser,
    kind: type[DataclassInstance],
    *,
    only: Collection[str] = (),
    required: Collection[str] = (),
) -> None:
    """Add the options of a settings dataclass to the parser of a command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    kind : type
        A settings dataclass.
    only : collection of str
        Fields that the command uses; empty: all of them.
    required : collection of str
        Fields that must be given.
    """
    for name, row in table(kind).items():
        if only and name not in only:
            continue
        form = _form(row)
        if name in required:
            form["required"] = True
        parser.add_argument(row.flag, dest=row.place, help=_help(row, name in required), **form)


def given(args: argparse.Namespace, kind: type[DataclassInstance]) -> dict[str, Any]:
    """The fields of a settings dataclass that the command line sets."""
    found = {}
    for name, row in table(kind).items():
        value = getattr(args, row.place, None)
        if value is None:
            continue
        if row.file:
            value = True
        elif isinstance(value, list):
            value = tuple(value)
        found[name] = value
    return found


def read(args: argparse.Namespace, kind: type[DataclassInstance]) -> Any:
    """Settings of the parsed arguments; what was left out keeps its default."""
    return kind(**given(args, kind))


def words(settings: Any) -> list[str]:
    """The options that give `settings` on the command line: what differs from the defaults.

    Fields whose value on the command line is a file are left out, since settings do not know the file.
    """
    found = []
    for name, row in table(type(settings)).items():
        value = getattr(settings, name)
        if not row.file and (row.always or value != row.default):
            found += _written(row, value)
    return found


def command(name: str, *operands: str | Path, **parts: Any) -> str:
    """The text of a command, quoted for the shell of this system.

    Parameters
    ----------
    name : str
        Of the command, such as ``reconstruct``.
    *operands : str or path
        Files.
    **parts
        In the order of the text: settings dataclasses under any name; else the name of an option with its value: True
        for one without a value, a list for one that is repeated, None, False and "" to leave it out.
    """
    found = [PROGRAM, *name.split(), *map(operand, operands)]
    for key, value in parts.items():
        if dataclasses.is_dataclass(value):
            found += words(value)
        elif value:
            found += _part(_flag(key), value)
    return join(found)


def join(words: Iterable[str]) -> str:
    """The words of a command, quoted."""
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    return shlex.join(words)


def operand(path: str | Path) -> str:
    """A path that no parser takes for an option."""
    text = str(path)
    if text.startswith("-"):
        return os.path.join(".", text)
    return text


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them, as argparse reads the value of an option."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of numbers such as 1,2,4") from error


def whole_from(smallest: int) -> Callable[[str], int]:
    """An argument that is a whole number from `smallest`."""

    def whole(text: str) -> int:
        if not text.removeprefix("-").isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {smallest}")
        return int(text)

    return whole


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) not in (typing.Union, UnionType):
        return annotation
    (kind,) = (part for part in typing.get_args(annotation) if part is not type(None))
    return kind


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _help(row: Option, required: bool) -> str:
    if required or row.file:
        return row.help
    if row.default in _OBVIOUS or "default" in row.help:
        return row.help
    values = row.default if isinstance(row.default, tuple) else (row.default,)
    text = ",".join(map(_short, values))
    return f"{row.help} (default: {text})"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def _form(row: Option) -> dict[str, Any]:
    """Keywords of ``add_argument`` that follow from the type of the value."""
    if row.file:
        return {"type": Path, "metavar": row.metavar}
    # what is left out keeps the default of the dataclass
    form: dict[str, Any] = {"default": argparse.SUPPRESS}
    if row.type is bool:
        # one that is neither on nor off by default can be switched off too
        return form | {"action": "store_true" if row.default is not None else argparse.BooleanOptionalAction}
    if row.choices:
        form["choices"] = row.choices
    if row.metavar:
        form["metavar"] = row.metavar
    if typing.get_origin(row.type) is not tuple:
        form["type"] = row.type if row.smallest is None else whole_from(row.smallest)
        return form
    part, *rest = typing.get_args(row.type)
    if rest != [...]:
        form["type"] = part
        form["nargs"] = 1 + len(rest)
    elif part is str:
        form["action"] = "append"
    else:
        form["type"] = numbers
    return form


def _written(row: Option, value: Any) -> list[str]:
    """The words that give `value`."""
    if row.type is bool:
        return [row.flag if value else row.flag.replace("--", "--no-", 1)]
    if typing.get_origin(row.type) is not tuple:
        return _pair(row.flag, _text(value))
    part, *rest = typing.get_args(row.type)
    if rest != [...]:
        return [row.flag, *map(_text, value)]
    if part is str:
        return _repeated(row.flag, value)
    return _pair(row.flag, _list_text(value))


def _part(flag: str, value: Any) -> list[str]:
    if value is True:
        return [flag]
    if isinstance(value, Path):
        return [flag, operand(value)]
    if isinstance(value, list | tuple):
        return _repeated(flag, value)
    return _pair(flag, str(value))


def _repeated(flag: str, values: Iterable[Any]) -> list[str]:
    """The option once for each value."""
    found = []
    for value in values:
        found += _pair(flag, str(value))
    return found


def _pair(flag: str, text: str) -> list[str]:
    # a value that begins with a hyphen would be taken for an option
    if text.startswith("-"):
        return [f"{flag}={text}"]
    return [flag, text]


def _text(value: Any) -> str:
    # argparse does not take -1e-05 for a number
    if isinstance(value, float) and "e" in repr(value):
        return format(Decimal(repr(value)), "f")
    return str(value)


def _list_text(values: Iterable[float]) -> str:
    return ",".join(_text(value).removesuffix(".0") for value in values)
