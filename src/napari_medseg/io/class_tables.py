"""Class tables as other programs write them: ITK-SNAP, BIDS, CSV, and the XML of Connectome Workbench.

Rows for the background (0) are written where a program expects one, and left out when they are read.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from .. import files
from ..errors import FileError, reason
from ..volume import LabelClass
from .formats import stem

LARGEST_ID = 2**32 - 1
"""The highest number that label arrays hold."""

_MAX_BYTES = 2**24
_NAMED = 6  # numbers that a sentence lists
_GREY = "#9a9a9a"  # of classes to which a file gives no colour
_COLOUR = re.compile(r"#?([0-9a-fA-F]{6})")
_NUMBER = re.compile(r"\d{1,20}")  # Python refuses to make numbers of thousands of digits
_ITK_SNAP = re.compile(r"\s*(\d{1,20})\s+(\d{1,20})\s+(\d{1,20})\s+(\d{1,20})\s+\S+\s+\S+\s+\S+\s+\"(.*)\"\s*")
_HEAD = """\
################################################
# ITK-SnAP Label Description File
# Fields: IDX  R  G  B  A  VIS  MSH  "LABEL"
################################################
"""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of file that holds a class table and nothing else.

    Parameters
    ----------
    ending : str
        What follows the stem of the label file in its name.
    text : callable
        The content of the file for some classes.
    """

    ending: str
    text: Callable[[Sequence[LabelClass]], str]


def itk_snap(classes: Sequence[LabelClass]) -> str:
    """Label descriptions for ITK-SNAP; double quotes in names become single ones."""
    lines = ['0 0 0 0 0 0 0 "Clear Label"']
    for row in classes:
        if row.id:
            colour = " ".join(map(str, bytes.fromhex(row.colour[1:])))
            name = row.name.replace('"', "'")
            lines.append(f'{row.id} {colour} 1 1 1 "{name}"')
    return _HEAD + "".join(f"{line}\n" for line in lines)


def bids(classes: Sequence[LabelClass]) -> str:
    """The table of a BIDS ``_dseg.tsv`` file."""
    rows = ["index\tname\tcolor", *(f"{row.id}\t{row.name}\t{row.colour}" for row in classes)]
    return "".join(f"{row}\n" for row in rows)


KINDS = {"itksnap": Kind(".label.txt", itk_snap), "bids": Kind(".tsv", bids)}
"""The kinds of tables that can be written next to labels, by the names that people give to choose them."""


def place(path: Path, classes: Sequence[LabelClass], kind: str) -> Path:
    """The name of the class table next to the label file `path`.

    Parameters
    ----------
    path : pathlib.Path
    classes : sequence of LabelClass
    kind : str
        One of `KINDS`.

    Raises
    ------
    FileError
        If there are no classes, or a file of that name does not hold a class table.
    """
    if not classes:
        raise FileError(
            f"The labels for '{path.name}' have no class names to write next to them. Leave the option out."
        )
    table = path.with_name(stem(path) + KINDS[kind].ending)
    if table.exists():
        read(table)
    return table


def save(path: Path, classes: Sequence[LabelClass], kind: str) -> None:
    """Write a class table of one of the `KINDS`.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    files.replace_bytes(path, KINDS[kind].text(classes).encode("utf-8"))


def renamed(classes: Sequence[LabelClass], names: Sequence[LabelClass]) -> tuple[LabelClass, ...]:
    """Classes with the names and colours that a table gives to their numbers; where it has none, those they have.

    Raises
    ------
    FileError
        If the table names none of them.
    """
    refuse_others(names, [row.id for row in classes])
    known = {row.id: row for row in names}
    found = []
    for row in classes:
        new = known.get(row.id, row)
        found.append(replace(row, name=new.name or row.name, colour=row.colour if new.colour == _GREY else new.colour))
    return tuple(found)


def refuse_others(names: Sequence[LabelClass], numbers: Sequence[int]) -> None:
    """Make sure that a table is about classes of these numbers.

    Raises
    ------
    FileError
        If it names none of them.
    """
    named = [row.id for row in names]
    if not set(named) & set(numbers):
        raise FileError(
            f"The class table names {numbers_text(named)}, and the classes are {numbers_text(numbers)}. Give a table "
            "with these numbers."
        )


def numbers_text(numbers: Sequence[int]) -> str:
    """The first of some numbers, for a sentence."""
    found = list(map(str, numbers))
    return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")


def read(path: Path) -> tuple[LabelClass, ...]:
    """The classes in a file of ITK-SNAP, of BIDS if its name ends in ``.tsv``, or in a table if it ends in ``.csv``.

    A CSV table has a column of numbers (``index``, ``id`` or ``label``), one of names (``name`` or ``class``) and maybe
    one of colours (``color`` or ``colour``, such as ``#ff0000``), separated by commas or semicolons.

    Raises
    ------
    FileError
        If the file cannot be read, does not hold a class table, or gives a number two names.
    """
    files.refuse_special(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FileError(f"'{path.name}' has more than 16 MiB; a class table is a small text. Choose another file.")
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"'{path.name}' cannot be read ({reason(error)}). Check the path.") from error
    text = _decoded(path, content)
    read_text, expected = _READERS.get(path.suffix.lower(), (_from_itk_snap, _LINES))
    rows = read_text(text)
    if rows is None:
        raise FileError(f"'{path.name}' does not hold a class table; expected {expected}. Choose another file.")
    beyond = next((row.id for row in rows if row.id > LARGEST_ID), None)
    if beyond is not None:
        raise FileError(f"'{path.name}' names class {beyond}; labels end at {LARGEST_ID}. Remove that line.")
    found = _unique(rows)
    known = {row.id: row.name for row in found}
    other = next((row for row in rows if row.name != known.get(row.id, row.name)), None)
    if other is not None:
        raise FileError(
            f"'{path.name}' calls number {other.id} both '{known[other.id]}' and '{other.name}'. Keep one line for "
            "each number."
        )
    return found


def _decoded(path: Path, content: bytes) -> str:
    """The text in a file: UTF-8, or UTF-16 where the file begins by saying so, as spreadsheets write it."""
    is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(
            f"'{path.name}' has letters that are not UTF-8 (byte {error.start + 1}), so names would be damaged. Save "
            "it again as UTF-8."
        ) from error


def next_to(path: Path) -> tuple[LabelClass, ...]:
    """The classes in the BIDS table of a label file that is named ``_dseg``; empty if there are none."""
    name = stem(path)
    table = path.with_name(f"{name}.tsv")
    if not name.endswith("_dseg") or not table.is_file():
        return ()
    try:
        return read(table)
    except FileError as error:
        _logger.warning("The class names of '%s' are left out: %s", path.name, error)
        return ()


def to_xml(classes: Iterable[LabelClass]) -> bytes:
    """The label table of Connectome Workbench, as it stands in a NIfTI file."""
    top = ElementTree.Element("CaretExtension")
    information = ElementTree.SubElement(top, "VolumeInformation", Index="0")
    table = ElementTree.SubElement(information, "LabelTable")
    for row in classes:
        red, green, blue = (f"{part / 255:.6f}" for part in bytes.fromhex(row.colour[1:]))
        label = ElementTree.SubElement(
            table, "Label", Key=str(row.id), Red=red, Green=green, Blue=blue, Alpha="1.000000"
        )
        label.text = row.name
    ElementTree.SubElement(information, "VolumeType").text = "Label"
    return ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)


def from_xml(content: bytes) -> tuple[LabelClass, ...]:
    """The classes in such a label table; empty if it is not one."""
    # entities can blow a few bytes up to gigabytes
    if b"<!DOCTYPE" in content or len(content) > _MAX_BYTES:
        return ()
    try:
        top = ElementTree.fromstring(content.rstrip(b"\0"))
        rows = [_from_label(label) for label in top.iterfind(".//VolumeInformation/LabelTable/Label")]
    except (ElementTree.ParseError, ValueError, KeyError):
        return ()
    return _unique(rows)


def _from_label(label: ElementTree.Element) -> LabelClass:
    parts = [min(max(float(label.get(name, 0.6)), 0.0), 1.0) for name in ("Red", "Green", "Blue")]
    colour = bytes(round(255 * part) for part in parts).hex()
    return LabelClass(int(label.attrib["Key"]), (label.text or "").strip(), f"#{colour}")


def _from_itk_snap(text: str) -> list[LabelClass] | None:
    rows = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _ITK_SNAP.fullmatch(line)
        if found is None:
            return None
        number, red, green, blue = map(int, found.groups()[:4])
        colour = bytes(min(part, 255) for part in (red, green, blue)).hex()
        rows.append(LabelClass(number, found.group(5), f"#{colour}"))
    return rows or None


def _from_bids(text: str) -> list[LabelClass] | None:
    rows = []
    reader = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        lines = list(reader)
    except csv.Error:
        return None
    if not {"index", "name"} <= set(reader.fieldnames or ()):
        return None
    for row in lines:
        index, name = row["index"] or "", row["name"] or ""
        if not _NUMBER.fullmatch(index.strip()):
            return None
        colour = _COLOUR.fullmatch((row.get("color") or "").strip())
        rows.append(LabelClass(int(index), name.strip(), f"#{colour.group(1).lower()}" if colour else _GREY))
    return rows


def _from_csv(text: str) -> list[LabelClass] | None:
    head = text.splitlines()[0] if text else ""
    # strict: a quote that nobody closes would make the lines after it part of a name
    reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in head else ",", strict=True)
    try:
        heading, *lines = [line for line in reader if any(cell.strip() for cell in line)]
    except (ValueError, csv.Error):
        return None
    titles = [title.strip().casefold() for title in heading]
    number, name, colour = (_column(titles, wanted) for wanted in _COLUMNS)
    if number is None or name is None or number == name:
        return None
    rows = []
    for line in lines:
        cells = [cell.strip() for cell in line] + [""] * len(titles)
        if not _NUMBER.fullmatch(cells[number]):
            return None
        given = _COLOUR.fullmatch(cells[colour]) if colour is not None else None
        rows.append(LabelClass(int(cells[number]), cells[name], f"#{given.group(1).lower()}" if given else _GREY))
    return rows


def _column(titles: Sequence[str], wanted: Iterable[str]) -> int | None:
    """The first column that has one of the wanted titles."""
    return next((titles.index(title) for title in wanted if title in titles), None)


_COLUMNS = (("index", "id", "label", "number", "value"), ("name", "class", "structure", "label"), ("color", "colour"))
_LINES = "lines such as '1 255 0 0 1 1 1 \"liver\"'"
_READERS: dict[str, tuple[Callable[[str], list[LabelClass] | None], str]] = {
    ".tsv": (_from_bids, "the columns index and name"),
    ".csv": (_from_csv, "a column index (or id, label) with whole numbers, and a column name (or class)"),
}
"""How a text is read, and what it should have held, for each ending; other texts are ITK-SNAP's."""


def _unique(rows: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
    """The first row of each number that labels can hold, without the background."""
    found: dict[int, LabelClass] = {}
    for row in rows:
        if 0 < row.id <= LARGEST_ID:
            found.setdefault(row.id, row)
    return tuple(found.values())
