"""Labels inside the store of their image, ``image.zarr/labels/NAME``, as OME-NGFF has them."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .. import files
from ..errors import FileError

FOLDER = "labels"
"""Folder of a store that holds the labels of its image."""

_DESCRIPTION = "zarr.json"


def image_of(path: Path) -> Path | None:
    """The store whose image labels at `path` belong to, by the name alone; None if they are not inside a store."""
    store = path.parent.parent
    inside = path.parent.name == FOLDER and store.name.lower().endswith(".zarr")
    return store if inside else None


def check(target: Path, axes: str, shape: tuple[int, ...]) -> None:
    """Make sure that labels can be written into the store of their image, if `target` lies in one.

    Parameters
    ----------
    target : pathlib.Path
    axes : str
        Of the labels, or of the image that they are made of.
    shape : tuple of int

    Raises
    ------
    FileError
        If there is no image, it is of a version whose stores hold no others, or of another size; or if a link or a
        damaged list of labels is in the way.
    """
    image = image_of(target)
    if image is None:
        return
    if not files.is_folder(image):
        raise FileError(f"'{image}' does not exist, so no labels can lie in it. Name the store of an image.")
    from .checks import damaged
    from .ome_zarr import read

    with damaged(image):
        found = read(image)
    if not (image / _DESCRIPTION).exists():
        raise FileError(
            f"'{image.name}' follows OME-NGFF 0.4, and labels are written as 0.5, which one store cannot mix. Save the "
            "labels as a store of their own, or convert the image first."
        )
    _refuse_links(image, target)
    _listing(target.parent / _DESCRIPTION)
    theirs = {name: length for name, length in zip(found.axes, found.data.shape, strict=True) if name in "tzyx"}
    ours = {name: length for name, length in zip(axes, shape, strict=True) if name in "tzyx"}
    if ours != theirs:
        raise FileError(
            f"The labels ({_by(ours)}) do not fit the image of '{image.name}' ({_by(theirs)}). Save them as a store of "
            "their own, or choose the store that they were made on."
        )


@contextmanager
def listed(target: Path, axes: str, shape: tuple[int, ...]) -> Generator[None]:
    """Keep others from the labels of a store while some are written, and name these at the end.

    Does nothing for a `target` elsewhere. Of what lies in the store, only the list of labels changes.

    Parameters
    ----------
    target, axes, shape
        As of `check`.

    Raises
    ------
    FileError
        As of `check`.
    JobError
        If another process writes labels into the store.
    """
    if image_of(target) is None:
        yield
        return
    check(target, axes, shape)
    try:
        with files.lock(target.parent):
            yield
            if files.is_folder(target):
                _add(target.parent / _DESCRIPTION, target.name)
    finally:
        with suppress(OSError):  # it holds something
            target.parent.rmdir()


def _refuse_links(image: Path, target: Path) -> None:
    """Refuse names under which labels would lie elsewhere than in the store, or replace what describes it."""
    if sentence := files.misfit(target.name):
        raise FileError(f"{sentence} Choose another name.")
    if target.name == _DESCRIPTION:
        raise FileError(f"Labels cannot be called '{target.name}': the list of labels has this name. Choose another.")
    for place in (target.parent, target, target.parent / _DESCRIPTION):
        inside = place.relative_to(image)
        if files.real(place) != files.real(image) / inside:
            raise FileError(
                f"'{image.name}' has a link at '{inside}', and labels are only written into the store itself. Replace "
                "the link by what it leads to, or save the labels as a store of their own."
            )


def _listing(description: Path) -> dict[str, Any]:
    """What a store says about its labels; empty if it says nothing.

    Raises
    ------
    FileError
        If that is not a list of labels.
    """
    if description.with_name(".zgroup").exists():
        raise FileError(
            f"'{description.parent}' follows OME-NGFF 0.4, and labels are written as 0.5, which one store cannot mix. "
            "Save the labels as a store of their own."
        )
    if not os.path.lexists(description):
        return {}
    content = files.read_json(description)
    if not _is_listing(content):
        raise FileError(
            f"'{description}' is not a list of labels; expected a group that names them. Restore it, or remove it."
        )
    return content


def _is_listing(content: Any) -> bool:
    """Whether a description is that of a group, with names of labels if it says anything about images."""
    if not isinstance(content, dict) or content.get("node_type", "group") != "group":
        return False
    attributes = content.get("attributes") or {}
    said = (attributes.get("ome") or {}) if isinstance(attributes, dict) else None
    return isinstance(said, dict) and isinstance(said.get("labels") or [], list)


def _add(description: Path, name: str) -> None:
    """Add a name to the list of the labels of a store; what else is said there stays."""
    content = _listing(description)
    attributes = content.get("attributes") or {}
    said = attributes.get("ome") or {"version": "0.5"}
    known = said.get("labels") or []
    if name in known:
        return
    said = {**said, "labels": [*known, name]}
    group = {"zarr_format": 3, "node_type": "group"}
    files.dump(description, {**group, **content, "attributes": {**attributes, "ome": said}})


def _by(lengths: dict[str, int]) -> str:
    return " x ".join(map(str, lengths.values()))
