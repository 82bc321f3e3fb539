"""What groups of stores say, in both versions of Zarr: read, written, and renewed where a store repeats it for readers.

Consolidated metadata are such a repetition: descriptions of all that a group holds, in one file. Readers that use them
see nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import files
from ..errors import FileError

VERSIONS = {2: "0.4", 3: "0.5"}
"""Versions of OME-NGFF that are written, by the version of Zarr whose stores hold them."""

GROUP = ".zgroup"
ATTRIBUTES = ".zattrs"
ARRAY = ".zarray"
NODE = "zarr.json"
LABELS = "labels"
"""Group of a store that holds the labels of its image."""
_CONSOLIDATED = ".zmetadata"
_INLINE = "consolidated_metadata"
_NONE_INSIDE = {"kind": "inline", "must_understand": False, "metadata": {}}


def image_of(path: Path) -> Path | None:
    """The image whose labels lie at `path`: a store by its name, or an image inside a store; None if there is none."""
    image = path.parent.parent
    if path.parent.name != LABELS:
        return None
    inside = any(_is_store(folder) for folder in image.parents) and description(image, version_of(image)).exists()
    return image if _is_store(image) or inside else None


def stores_around(image: Path) -> list[Path]:
    """The folders from an image up to the store that it lies in."""
    above = list(image.parents)
    outer = [place for place, folder in enumerate(above, 1) if _is_store(folder)]
    return [image, *above[: max(outer, default=0)]]


def _is_store(folder: Path) -> bool:
    return folder.name.lower().endswith(".zarr")


def version_of(folder: Path) -> int:
    """The version of Zarr, 2 or 3, of a store or a group in it."""
    return 3 if (folder / NODE).exists() else 2


def description(folder: Path, version: int) -> Path:
    """The file that holds the attributes of a group."""
    return folder / (NODE if version == 3 else ATTRIBUTES)


def attributes(folder: Path, version: int) -> dict[str, Any] | None:
    """The attributes of a group; none if something else is described there.

    Raises
    ------
    FileError
        If they cannot be read.
    """
    path = description(folder, version)
    if not os.path.lexists(path):
        return {}
    content = files.read_json(path)
    if version == 3 and isinstance(content, dict):
        is_group = content.get("node_type", "group") == "group"
        content = content.get("attributes") or {} if is_group else None
    return content if isinstance(content, dict) else None


def describe(folder: Path, said: Mapping[str, Any], version: int) -> None:
    """Make a folder a group with the attributes `said`; whatever else a group says of itself stays."""
    if version == 2:
        if not (folder / GROUP).exists():
            files.dump(folder / GROUP, {"zarr_format": 2})
        files.rewrite(folder / ATTRIBUTES, said)
        return
    path = folder / NODE
    known = files.read_json(path) if path.exists() else {}
    files.rewrite(path, {"zarr_format": 3, "node_type": "group", **known, "attributes": said})


@dataclass(frozen=True)
class Consolidated:
    """The consolidated metadata of a group.

    Parameters
    ----------
    folder : pathlib.Path
        Of the group.
    path : pathlib.Path
        The file that holds them.
    content : dict
        All that this file says.
    entries : dict
        Its part about what the group holds: a description by its place.
    """

    folder: Path
    path: Path
    content: dict[str, Any]
    entries: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Consolidated | None:
        """Those of a group; None if it has none.

        Raises
        ------
        FileError
            If they are damaged.
        """
        version = version_of(folder)
        path = folder / (NODE if version == 3 else _CONSOLIDATED)
        if not os.path.lexists(path):
            return None
        content = files.read_json(path)
        holder = content.get(_INLINE) if version == 3 and isinstance(content, dict) else content
        if version == 3 and holder is None:
            return None
        entries = holder.get("metadata") if isinstance(holder, dict) else None
        if not isinstance(content, dict) or not isinstance(entries, dict):
            raise FileError(
                f"'{path}' should repeat what the store holds (consolidated metadata), and is something else. Restore "
                "it, or consolidate the store again with the program that made it."
            )
        return cls(folder, path, content, entries)

    def refuse_protected(self) -> None:
        """Make sure that they can be renewed.

        Raises
        ------
        FileError
            If the system does not allow it.
        """
        if files.is_protected(self.path) or not os.access(self.folder, os.W_OK):
            raise FileError(
                f"'{self.path}' is write-protected, and has to name what is added to the store (consolidated "
                "metadata). Allow writing to it, or save elsewhere."
            )

    def renew(self, place: str, *, inside: bool) -> None:
        """Write them again with what the group at `place` says now, and, if `inside`, all groups and arrays in it."""
        if inside:
            gone = [key for key in self.entries if f"{key}/".startswith(f"{place}/")]
        else:
            gone = [place, *(f"{place}/{name}" for name in (GROUP, ATTRIBUTES))]
        for key in gone:
            self.entries.pop(key, None)
        for inner, name, content in _nodes(self.folder / place, inside=inside):
            there = "/".join([place, *inner])
            self.entries[there if name == NODE else f"{there}/{name}"] = _repeated(content, name)
        files.rewrite(self.path, self.content)


def _nodes(top: Path, *, inside: bool) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Descriptions in a group, and of what lies in it: place, name of the file, content. Links are not followed."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        place = waiting.pop()
        folder = top.joinpath(*place)
        names = [name for name in (NODE, GROUP, ATTRIBUTES, ARRAY) if (folder / name).is_file()]
        found = {name: files.read_json(folder / name) for name in names}
        yield from ((place, name, content) for name, content in found.items())
        is_array = ARRAY in found or (NODE in found and found[NODE].get("node_type") == "array")
        if not inside or is_array or not found:
            continue
        for each in sorted(folder.iterdir(), reverse=True):
            if each.is_dir() and not each.is_symlink():
                waiting.append((*place, each.name))


def _repeated(content: Any, name: str) -> Any:
    """A description as it is repeated: groups say that they repeat nothing themselves."""
    is_group = name == NODE and content.get("node_type") == "group"
    return {**content, _INLINE: _NONE_INSIDE} if is_group else content
