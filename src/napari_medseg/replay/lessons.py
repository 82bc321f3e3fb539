"""What a fine-tuning learns from: as a session describes it, and built again from the layers of a replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import FileError
from ..label_values import renumbered
from ..record import Item, UsedModel, voxel_hash
from ..volume import Volume
from .lines import Line
from .stage import DifferenceError, Layer, placed


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and its labels, as they are handed to a training.

    Parameters
    ----------
    image : Volume
    labels : numpy.ndarray, uint8
        On the grid of the image without colours; numbers of the classes to learn on the reviewed slices, 0 elsewhere.
    reviewed : tuple of int
    """

    image: Volume
    labels: np.ndarray
    reviewed: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a fine-tuning learns from, and how.

    Parameters
    ----------
    base : UsedModel or None
        The model that it begins with; None if it begins with nothing.
    settings : mapping
        `FineTuneSettings` as plain JSON values.
    pairs : tuple of Pair
        Empty if it learns from the folder of a data set.
    """

    base: UsedModel | None
    settings: Mapping[str, Any]
    pairs: tuple[Pair, ...]


def describe(pair: Pair, table: Mapping[int, int]) -> dict[str, Any]:
    """What a session says of a pair; the layers that it is of are added there.

    Parameters
    ----------
    pair : Pair
    table : mapping of int to int
        From the numbers in the labels layer to those of the classes.
    """
    image = pair.image
    affine = tuple(tuple(row) for row in image.affine.tolist())
    stacked = pair.labels.ndim > 2
    return {
        "item": Item("image", axes=image.axes, shape=tuple(image.data.shape), affine=affine),
        "has_spacing": image.has_spacing,
        "reviewed": list(pair.reviewed),
        "table": [list(row) for row in table.items()],
        "image": _hash(image.data, pair.reviewed, stacked),
        "labels": _hash(pair.labels, pair.reviewed, stacked),
    }


def _hash(data: Any, slices: Sequence[int], stacked: bool) -> str:
    """Of the slices that are learnt from; the others of a large image need not be read."""
    if not stacked:
        return voxel_hash(np.asarray(data))
    return voxel_hash(np.stack([np.asarray(data[number]) for number in slices]))


def pair_again(part: Line, image: Layer, labels: Layer) -> Pair:
    """The pair that `describe` has described, from the layers as they are now.

    Parameters
    ----------
    part : Line
        What the session says of the pair.
    image, labels : Layer

    Raises
    ------
    DifferenceError
        If image or labels are others than in the session.
    FileError
        If the description is damaged.
    """
    volume = placed(image.volume, part.item())
    known = {**volume.metadata, "has_spacing": part.content.get("has_spacing") is True}
    volume = replace(volume, metadata=known)
    before = labels.recorded
    reviewed = _reviewed(part, volume, before)
    table = _table(part)
    after = np.zeros(before.shape, np.uint8)
    rows, columns = before.shape[-2:]
    for number in reviewed:
        after.reshape(-1, rows, columns)[number] = renumbered(before.reshape(-1, rows, columns)[number], table)
    pair = Pair(volume, after, reviewed)
    here = describe(pair, table)
    words = {"labels": "labels"} if image.doubt else {"labels": "labels", "image": "voxels"}
    for name, word in words.items():
        if here[name] != part.get(name, str):
            raise DifferenceError(
                f"the {word} to learn from are not what they were in the session: a change was not recorded, or the "
                "session was altered."
            )
    return pair


def _reviewed(part: Line, image: Volume, labels: np.ndarray) -> tuple[int, ...]:
    count = len(labels) if labels.ndim > 2 else 1
    slices = part.get("reviewed", list)
    known = slices and all(type(number) is int and 0 <= number < count for number in slices)
    if not known or tuple(image.data.shape[: labels.ndim]) != labels.shape:
        raise FileError("it learns from slices that image or labels do not have. Restore the session file.")
    return tuple(slices)


def _table(part: Line) -> dict[int, int]:
    rows = part.get("table", list)
    plain = all(isinstance(row, list) and [type(number) for number in row] == [int, int] for row in rows)
    if not plain or any(not 0 <= after < 256 for _, after in rows):
        raise FileError("the numbers of its classes are damaged. Restore the session file.")
    return dict(rows)
