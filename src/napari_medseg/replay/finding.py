"""Find the files that a session was made with: they are known by name and content, not by folder."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import io, samples
from ..errors import FileError, MedsegError
from ..io import contributions
from ..io.contributions import volume_from_layer_data
from ..recon import contributions as raw_data
from ..record import Item, voxel_hash
from ..volume import Volume
from .lines import safe_name
from .stage import DifferenceError

_SAMPLES = Path(samples.__file__).parent / "data"


def candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Files and folders of this name in or below some folders, and among the samples of this package.

    Raises
    ------
    FileError
        If there is none.
    """
    name = safe_name(name)
    found = False
    for path in _all(name, folders):
        found = True
        yield path
    if not found:
        where = " or ".join(f"'{folder}'" for folder in folders)
        raise FileError(f"the file '{name}' was not found in {where}. Name the folder that holds it with --inputs.")


def _all(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.name == name:  # a DICOM folder that was named itself
            yield folder
        yield from sorted(folder.rglob(glob.escape(name)))
    sample = _SAMPLES / name
    if sample.exists():
        yield sample


def opened(item: Item, folders: Sequence[Path]) -> Volume:
    """What a window opens of the file that `item` describes.

    Raises
    ------
    FileError
        If it is missing or cannot be read.
    DifferenceError
        If its voxels are others than they were.
    """
    problem = ""
    changed = ""
    for path in candidates(item.name, folders):
        try:
            volumes = layers_of(path)
        except MedsegError as error:
            problem = problem or str(error)
            continue
        for volume in volumes:
            if is_same(volume, item):
                return volume
        changed = changed or _changed(item, volumes)
    if changed:
        raise DifferenceError(changed)
    raise FileError(problem)


def layers_of(path: Path) -> list[Volume]:
    """The volumes of the layers that a window makes of a file or folder."""
    for room in (contributions, raw_data):
        reader = room.get_reader(str(path))
        if reader is not None:
            return [volume_from_layer_data(data, meta) for data, meta, _ in reader(str(path))]
    return io.read_all(path)


def is_same(volume: Volume, item: Item) -> bool:
    """Whether a volume has the voxels that `item` describes; of an array that is not in memory, the shape."""
    if tuple(volume.data.shape) != item.shape:
        return False
    return not item.voxels or voxel_hash(np.asarray(volume.data)) == item.voxels


def _changed(item: Item, volumes: Sequence[Volume]) -> str:
    shapes = [tuple(volume.data.shape) for volume in volumes]
    if item.shape not in shapes:
        return (
            f"the file '{item.name}' has another shape, {shapes[0]} in place of {item.shape}: it is not the one that "
            "was opened. Name the folder of that one with --inputs."
        )
    return (
        f"the file '{item.name}' has other voxels than when it was opened: it was changed, or is another one of this "
        "name. Name the folder of the original with --inputs."
    )
