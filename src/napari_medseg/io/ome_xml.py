"""OME-XML, the description in an OME-TIFF: what it declares, and what is written into it for other programs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import readable
from ..volume import Volume
from . import checks

_BYTES_PER_PLANE = 64  # what an index entry of an OME-TIFF costs at least
_CLASSES = "napari-medseg/classes"
_LONGEST_NAME = 200  # characters of a channel


def parsed(text: str) -> ElementTree.Element:
    """OME-XML; the error goes through `checks.damaged`."""
    # entities can blow a few bytes up to gigabytes
    if "<!DOCTYPE" in text:
        raise ValueError("its description declares a document type")
    return ElementTree.fromstring(text)


def check(path: Path, ome: ElementTree.Element) -> None:
    """Refuse declared sizes that tifffile would make an index for."""
    for pixels in ome.iterfind(".//{*}Pixels"):
        sizes = [int(pixels.attrib[f"Size{a}"]) for a in "TCZYX"]
        checks.check_size(path, (*sizes[:3], max(sizes[3] * sizes[4], _BYTES_PER_PLANE)), 1)
        planes = math.prod(sizes[:3])
        for block in pixels.iterfind("{*}TiffData"):
            numbers = [int(v) for k, v in block.attrib.items() if k in ("NumPlanes", "PlaneCount") or k[:5] == "First"]
            if max(numbers, default=0) > planes:
                raise ValueError(f"its description counts {max(numbers)} planes of {planes}")


def described(volume: Volume) -> dict[str, Any]:
    """What OME-XML says of channels and classes, for programs that do not know our notes."""
    found: dict[str, Any] = {}
    names = volume.metadata.get("channels", ())
    where = volume.channel_axis
    if where is not None and not volume.axes.endswith("c") and len(names) == volume.data.shape[where]:
        found["Channel"] = {"Name": list(names)}
    if volume.classes:
        rows = {str(row.id): f"{row.name} {row.colour}" for row in volume.classes}
        found["MapAnnotation"] = {"Namespace": _CLASSES, **rows}
    return found


def channels(ome: ElementTree.Element, count: int) -> tuple[str, ...]:
    """The names of `count` channels; empty if OME-XML does not name all of them."""
    pixels = ome.find(".//{*}Pixels")
    found = [] if pixels is None else [channel.get("Name", "") for channel in pixels.iterfind("{*}Channel")]
    return tuple(readable(name, _LONGEST_NAME) for name in found) if len(found) == count and all(found) else ()
