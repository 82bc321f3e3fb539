"""What a TIFF file declares of its pages and of other files, judged before tifffile follows it."""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tifffile

from .. import files
from ..errors import FileError
from .codestreams import declared_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from xml.etree import ElementTree

MOST_PAGES = 100_000
"""More are not read: tifffile takes a minute for a million."""

_SIZED = (7, 33003, 33004, 33005, 34712)  # compressions whose parts declare a size: JPEG, JPEG 2000
_LONGEST_HEAD = 2**20  # bytes before the size of a part
_ROOM = 2  # a part may be filled up to whole blocks
_ROOM_OF_BLOCKS = 2**16  # pixels
_MICRO_MANAGER = ("Channels", "Slices", "Positions", "Frames")
_MOST_UNLIKE = 5_000  # pages that differ are compared each with each
_SMALLEST = 8  # bytes of a header
_SUB_IFDS = 330
_LARGEST = 2**32  # bytes of a file whose offsets have 32 bits


@dataclass(frozen=True)
class _Layout:
    """How numbers are stored: a count of tags, tags, the place of the next page."""

    order: str
    first: int
    count: str
    place: str
    tag: str

    @classmethod
    def of(cls, head: bytes) -> _Layout:
        order = "<" if head[:2] == b"II" else ">"
        if struct.unpack(f"{order}H", head[2:4])[0] == 43:
            return cls(order, 8, f"{order}Q", f"{order}Q", f"{order}HHQ8x")
        return cls(order, 4, f"{order}H", f"{order}I", f"{order}HHI4x")


def count(path: Path) -> int:
    """Follow the chain of pages of a TIFF file, once.

    Returns
    -------
    int
        How many pages there are, with those that lie below others.

    Raises
    ------
    FileError
        If the chain leads back to itself or is too long.
    """
    pages = 0
    seen: set[int] = set()
    if path.stat().st_size < _SMALLEST:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for place, below in _chain(content):
            if place in seen:
                raise FileError(
                    f"The pages of '{path.name}' lead back from page {len(seen)} to an earlier one, for ever. "
                    "Copy the file again from its source."
                )
            seen.add(place)
            pages += 1 + below
            if pages > MOST_PAGES:
                raise FileError(
                    f"'{path.name}' has more than {MOST_PAGES} pages; so many are not read. "
                    "Split it, or save it as ImageJ or OME-TIFF stacks of fewer pages."
                )
    return pages


def _chain(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Place of every page of the chain, and how many pages lie below it; damage is left to tifffile."""
    layout = _Layout.of(content[:4])
    if layout.first == 4 and len(content) > _LARGEST:
        return  # of Hamamatsu: some of its offsets have 64 bits
    try:
        place = struct.unpack_from(layout.place, content, layout.first)[0]
        while place:
            tags = struct.unpack_from(layout.count, content, place)[0]
            start = place + struct.calcsize(layout.count)
            end = start + tags * struct.calcsize(layout.tag)
            below = 0
            for code, _, count in struct.iter_unpack(layout.tag, content[start:end]):
                below += count if code == _SUB_IFDS else 0
            yield place, below
            place = struct.unpack_from(layout.place, content, end)[0]
    except (struct.error, OverflowError, IndexError):
        return


def check(path: Path, tif: tifffile.TiffFile, ome: ElementTree.Element | None, pages: int) -> None:
    """Refuse what tifffile would not come to an end with, and files outside the folder of this one.

    Parameters
    ----------
    path : pathlib.Path
    tif : tifffile.TiffFile
        Whose `series` nobody has asked for yet.
    ome : xml.etree.ElementTree.Element or None
        Description of an OME-TIFF.
    pages : int
        As of `count`.

    Raises
    ------
    FileError
        Through `checks.damaged` also in place of ValueError.
    """
    if tif.is_mmstack and tif.micromanager_metadata:
        summary = tif.micromanager_metadata["Summary"]
        _check_number(int(summary.get(name, 1)) for name in _MICRO_MANAGER)
    if ome is not None:
        _check_ome(ome, pages)
    _check_files(path, tif, ome)
    # those that differ are compared each with each
    if pages > _MOST_UNLIKE and not (tif.is_ome or tif.is_uniform):
        raise FileError(
            f"'{path.name}' has {pages} pages that differ in size, type or compression; one image is expected. "
            "Save each kind as a file of its own."
        )


def read_others(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Have the pages of `series` that lie in other files read there, one by one.

    Where pages would follow each other closely if they were in one file, tifffile reads this file instead.
    """
    if any(page is not None and page.parent is not tif for page in series.pages):
        series.dataoffset = None


def check_tiles(series: tifffile.TiffPageSeries) -> None:
    """Refuse compressed strips and tiles that are larger than the file says: unpacking would take what they declare.

    Raises
    ------
    ValueError
        Through `checks.damaged`.
    """
    page = series.keyframe
    if page.compression not in _SIZED:
        return
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    # of one strip with all rows, the number of rows may be that of no image
    rows = rows if page.is_tiled else min(rows, page.imagelength)
    most = _ROOM * rows * columns + _ROOM_OF_BLOCKS
    for part in filter(None, series.pages):
        with open(part.parent.filehandle.path, "rb") as file:
            for place, length in zip(part.dataoffsets, part.databytecounts, strict=False):
                file.seek(place)
                found = declared_size(file.read(min(length, _LONGEST_HEAD))) if length else (0, 0)
                if found is None or found[0] * found[1] > most:
                    raise ValueError(f"a part of {rows} x {columns} pixels declares another size, {found}")


def _check_ome(ome: ElementTree.Element, pages: int) -> None:
    """Refuse an OME description for whose planes tifffile would make endless lists."""
    for pixels in ome.iterfind(".//{*}Pixels"):
        _check_number(int(pixels.attrib[f"Size{axis}"]) for axis in "TCZ")
        planes = 0
        for block in pixels.iterfind("{*}TiffData"):
            alone = 1 if "IFD" in block.attrib else pages
            planes += int(block.get("PlaneCount", block.get("NumPlanes", alone)))
        _check_number([max(planes, 1)])
    for element in ome.iter():
        if "Start" in element.attrib and "End" in element.attrib:
            steps = (float(element.attrib["End"]) - float(element.attrib["Start"])) / float(element.get("Step", 1))
            _check_number([1 + max(0, int(steps))])


def _check_number(sizes: Iterable[int]) -> None:
    """Refuse a description of more images than are read."""
    total = math.prod(sizes)
    if not 0 < total <= MOST_PAGES:
        raise ValueError(f"its description counts {total} images")


def _check_files(path: Path, tif: tifffile.TiffFile, ome: ElementTree.Element | None) -> None:
    """Make sure that the other files that an image is said to lie in are in the same folder and can be read.

    tifffile opens every file that the description of an OME-TIFF, or the index of an NDTiff, names. A link in the
    folder may lead out of it, too.
    """
    names = {element.get("FileName", "") for element in ome.iterfind(".//{*}UUID")} if ome is not None else set()
    if tif.is_ndtiff:
        index = files.real(path).with_name("NDTiff.index")
        files.refuse_special(index)
        names |= {entry[1] for entry in tifffile.read_ndtiff_index(index)}
    folder = files.real(path).parent
    for name in sorted(names - {"", files.real(path).name}):
        other = files.real(folder / name)
        if not other.is_relative_to(folder):
            raise FileError(
                f"'{path.name}' points outside its own folder ('{name}'). It is not opened; "
                "put all files of the image into one folder."
            )
        files.refuse_special(other)
        if other.is_file():
            count(other)
