"""Labels inside the store of their image, ``image.zarr/labels/NAME``, as OME-NGFF has them."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..errors import FileError
from . import checks, formats, zarr_groups
from .zarr_groups import LABELS, image_of

if TYPE_CHECKING:
    from ..volume import Volume

UNFINISHED = ".part"
"""Ends the name of a store that is being written."""

_LONGEST = 240  # bytes of a name: for a while a store has a longer one, of at most 255


def misnamed(name: str) -> str:
    """Why labels in the store of their image cannot be called `name`, in a sentence; empty if they can."""
    if sentence := files.misfit(name):
        return f"{sentence} Choose another name."
    if name == zarr_groups.NODE or name.startswith((".", "__")):
        return f"Labels cannot be called '{name}': such names are those of what describes a store. Choose another."
    if name.endswith(UNFINISHED):
        whole = name.removesuffix(UNFINISHED)
        return f"Labels cannot be called '{name}': '{whole}' has this name until it is finished. Choose another."
    kind = formats.named(Path(name))
    if kind is not None and kind is not formats.OME_ZARR:
        plain = formats.stem(Path(name))
        return (
            f"'{name}' would lie among the labels of a store, which are OME-Zarr and not {kind.name}. Call it "
            f"'{plain}' or '{plain}.zarr', or save it elsewhere."
        )
    return ""


def store_for(source: Path, name: str, axes: str, shape: tuple[int, ...]) -> Path | None:
    """The store of an image to which labels can be added; None if there is none, or it cannot be written to.

    Parameters
    ----------
    source : pathlib.Path
        What the labels, or their image, were read from.
    name : str
        That the labels would have.
    axes : str
    shape : tuple of int
        Of the labels.
    """
    image = image_of(source) or source
    target = image / LABELS / name
    if image_of(target) is None or not files.is_folder(image):
        return None
    try:
        version = zarr_groups.version_of(image)
        said = _said(zarr_groups.attributes(image, version), version)
        if not isinstance(said, dict) or "image-label" in said:  # labels are a store of their own
            return None
        check(target, axes, shape)
    except FileError:
        return None
    folder = target.parent if files.is_folder(target.parent) else image
    return image if os.access(folder, os.W_OK) else None


def refuse_folder(target: Path) -> None:
    """Make sure that a store replaces nothing but an image that holds no labels of its own.

    Raises
    ------
    FileError
        If it would replace a file, a folder that is not an image, an image together with labels, or one that is
        write-protected; or if its name is so long that it could not be replaced.
    """
    if sentence := files.misfit(target.name, _LONGEST):
        raise FileError(f"{sentence} Choose another name.")
    if files.is_file(target):
        raise FileError(f"'{target.name}' is a file, and an OME-Zarr image is a folder. Choose another name.")
    if not files.is_folder(target):
        return
    if not formats.is_store(target):
        raise FileError(f"'{target.name}' is a folder that holds no OME-Zarr image. Choose another name.")
    if files.is_protected(target):
        raise FileError(f"'{target.name}' is write-protected. Allow writing to it, or choose another name.")
    inside = target / LABELS
    if files.is_folder(inside) and any(inside.iterdir()):
        raise FileError(
            f"'{target.name}' holds labels in its folder '{LABELS}', which would be lost with it. Choose another name, "
            "or move that folder away first."
        )


def zarr_version(path: Path) -> int:
    """The version of Zarr in which a store at `path` is written: of labels in the store of their image, that of it."""
    image = image_of(path)
    return 3 if image is None else zarr_groups.version_of(image)


def levels_of_image(image: Path) -> list[dict[str, int]]:
    """Voxels along each axis of every level of the image of a store, the finest first."""
    from ..volume import LEVELS

    found = _read(image)
    levels = [found.data, *found.metadata.get(LEVELS, ())]
    return [dict(zip(found.axes, map(int, level.shape), strict=True)) for level in levels]


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
        If there is no image, or one of another size; if a link, a damaged list of labels or damaged consolidated
        metadata are in the way; or if `target` lies in a folder of the labels, where nobody finds it.
    """
    _refuse_deeper(target)
    image = image_of(target)
    if image is None:
        return
    if not files.is_folder(image):
        raise FileError(f"'{image}' does not exist, so no labels can lie in it. Name the store of an image.")
    found = _read(image)
    version = zarr_groups.version_of(image)
    _refuse_links(image, target, version)
    _names(target.parent, version)
    listing = zarr_groups.description(target.parent, version)
    if files.is_protected(listing):
        raise FileError(f"'{listing}' is write-protected, and has to name the labels. Allow writing to it.")
    for known in _consolidated(image):
        _refuse_link(known.folder, known.path)
        known.refuse_protected()
    theirs = {name: length for name, length in zip(found.axes, found.data.shape, strict=True) if name in "tzyx"}
    ours = {name: length for name, length in zip(axes, shape, strict=True) if name in "tzyx"}
    if ours != theirs:
        raise FileError(
            f"The labels ({_by(ours)}) do not fit the image of '{image.name}' ({_by(theirs)}). Save them as a store of "
            "their own, or choose the store that they were made on."
        )


def _read(image: Path) -> Volume:
    from .ome_zarr import read

    with checks.damaged(image):
        return read(image)


@contextmanager
def listed(target: Path, axes: str, shape: tuple[int, ...]) -> Generator[None]:
    """Keep others from the labels of a store while some are written, and name these at the end.

    Does nothing for a `target` elsewhere. Of what lies in the store, only the list of labels changes, and consolidated
    metadata where there are any.

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
    image = image_of(target)
    check(target, axes, shape)
    if image is None:
        yield
        return
    try:
        with files.lock(target.parent):
            files.sweep(image)
            yield
            if files.is_folder(target):
                _add(target.parent, target.name, zarr_groups.version_of(image))
                _renew(image, target.name)
    finally:
        with suppress(OSError):  # it holds something
            target.parent.rmdir()


def _refuse_links(image: Path, target: Path, version: int) -> None:
    """Refuse names under which labels would lie elsewhere than in the store, or replace what describes it."""
    if sentence := misnamed(target.name):
        raise FileError(sentence)
    for place in (target.parent, target, zarr_groups.description(target.parent, version)):
        _refuse_link(image, place)


def _refuse_deeper(target: Path) -> None:
    """Refuse places in a folder of the labels of a store: they are listed by one name each."""
    for folder in target.parents:
        image = image_of(folder)
        if image is not None:
            raise FileError(
                f"'{target.name}' would lie in '{folder.name}', inside the labels of '{image.name}', where no program "
                f"finds it. Names of labels hold no slash: choose '{image.name}/{LABELS}/NAME', or another folder."
            )


def _refuse_link(image: Path, place: Path) -> None:
    inside = place.relative_to(image)
    if files.real(place) != files.real(image) / inside:
        raise FileError(
            f"'{image.name}' has a link at '{inside}', and labels are only written into the store itself. Replace "
            "the link by what it leads to, or save the labels as a store of their own."
        )


def _names(folder: Path, version: int) -> list[Any]:
    """The labels that a store lists; none if it lists nothing.

    Raises
    ------
    FileError
        If what should be a list of labels is not one, or is one of the other version.
    """
    others = (zarr_groups.GROUP, zarr_groups.ATTRIBUTES) if version == 3 else (zarr_groups.NODE,)
    if any((folder / name).exists() for name in others):
        mine, other = zarr_groups.VERSIONS[version], zarr_groups.VERSIONS[5 - version]
        raise FileError(
            f"'{folder}' follows OME-NGFF {other}, and its image {mine}, which one store cannot mix. Save the labels "
            "as a store of their own."
        )
    if (folder / zarr_groups.ARRAY).exists():
        raise FileError(f"'{folder}' is an array and not a list of labels. Save the labels as a store of their own.")
    said = _said(zarr_groups.attributes(folder, version), version)
    names = said.get("labels") or [] if isinstance(said, dict) else None
    if not isinstance(names, list):
        raise FileError(
            f"'{zarr_groups.description(folder, version)}' is not a list of labels; expected a group that names them. "
            "Restore it, or remove it."
        )
    return names


def _said(attributes: dict[str, Any] | None, version: int) -> Any:
    """The part of the attributes of a group that is about images."""
    return attributes.get("ome") or {} if attributes is not None and version == 3 else attributes


def _add(folder: Path, name: str, version: int) -> None:
    """Add a name to the list of the labels of a store; what else is said there stays."""
    names = _names(folder, version)
    if name in names:
        return
    attributes = zarr_groups.attributes(folder, version)
    said = {**_said(attributes, version), "labels": [*names, name]}
    if version == 3:
        said = {**(attributes or {}), "ome": {"version": zarr_groups.VERSIONS[version], **said}}
    zarr_groups.describe(folder, said, version)


def _consolidated(image: Path) -> list[zarr_groups.Consolidated]:
    """Consolidated metadata that say which labels there are: of the labels, the image, and the store that it is in."""
    found = map(zarr_groups.Consolidated.of, (image / LABELS, *zarr_groups.stores_around(image)))
    return [known for known in found if known is not None]


def _renew(image: Path, name: str) -> None:
    """Let consolidated metadata say what the labels `name` are; a store that has none gets none."""
    folder = image / LABELS
    for known in _consolidated(image):
        known.renew((folder / name).relative_to(known.folder).as_posix(), inside=True)
        if known.folder != folder:
            known.renew(folder.relative_to(known.folder).as_posix(), inside=False)


def _by(lengths: dict[str, int]) -> str:
    return " x ".join(map(str, lengths.values()))
