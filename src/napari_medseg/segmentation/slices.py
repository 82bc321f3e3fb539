"""A volume as a sequence of two-dimensional slices: `Slices` to read them, `Canvas` to fill with their labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import labels
from ..errors import SettingsError, VolumeError
from ..memory import free_bytes
from ..preprocess import neighbours
from ..volume import LabelClass, Volume
from .orientation import AS_IT_LIES, Turn

_SHARE_OF_MEMORY = 4  # a slice may take the fourth part of what is free


class Slices:
    """The slices of an image, numbered over all axes before y and x.

    Parameters
    ----------
    volume : Volume
        Grey or RGB, any number of slices.
    channel : int or None
        Which channel to read where the image has a channel axis that is not RGB.
    along : str
        Axis on which neighbouring slices lie, ``z`` or ``t``; empty where a slice stands for its neighbours.

    Attributes
    ----------
    size, spacing : (int, int), (float, float) or None
        Of a slice, in pixels and mm per pixel.
    lead : tuple of int
        Lengths of the axes before y and x.
    count, stack : int
        Number of slices, and of those that follow each other in a stack: along z, or without it along time.

    Raises
    ------
    VolumeError, SettingsError
        If the values are not real numbers or the channel does not exist.
    """

    def __init__(self, volume: Volume, channel: int | None, along: str = ""):
        dtype = np.dtype(volume.data.dtype)
        if dtype.kind not in "biuf":
            raise VolumeError(f"The image holds values of type {dtype}; expected real numbers. Convert it first.")
        rgb = volume.axes.endswith("c") and volume.data.shape[-1] == 3
        if volume.channel_axis is None:
            if channel is not None:
                raise SettingsError(f"Channel {channel} was asked for, but the image has no channels. Leave it out.")
        elif channel is not None or not rgb:
            volume = volume.select("c", _channel(volume, channel))
        _check_slice(volume)
        self._data = volume.as_seen()
        *self._shape, height, width = label_shape(volume)
        self._along = volume.axes.index(along) if along else None
        self.size = (height, width)
        self.spacing = volume.spacing[-2:] if volume.has_spacing else None
        self.lead = tuple(self._shape)
        self.count = math.prod(self._shape)
        self.stack = self._shape[-1] if self._shape else 1

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Slices (n, y, x) or (n, y, x, 3)."""
        return np.stack([self.read_one(index) for index in indices])

    def read_one(self, index: int) -> np.ndarray:
        """One slice (y, x) or (y, x, 3)."""
        place = np.unravel_index(index, self._shape)
        return np.asarray(self._data[tuple(map(int, place))])

    def order(self, start: int) -> list[int]:
        """All slices once, neighbours after each other, from `start` on and around the end."""
        numbers = np.arange(self.count)
        if self._along is not None:
            grid = numbers.reshape(self._shape)
            numbers = np.moveaxis(grid, self._along, -1).ravel()
        first = numbers.tolist().index(start % self.count)
        return np.roll(numbers, -first).tolist()

    def around(self, index: int) -> tuple[int, int]:
        """The slices before and after slice `index`."""
        if self._along is None:
            return index, index
        stride = math.prod(self._shape[self._along + 1 :])
        count = self._shape[self._along]
        place = index // stride % count
        before, after = neighbours(place, count)
        first = index - place * stride
        return first + before * stride, first + after * stride


class Canvas:
    """The label array of a run, filled slice by slice: classes as they are found, or objects numbered one by one.

    Parameters
    ----------
    volume : Volume
        The image.
    classes : tuple of LabelClass
    split : bool
        Number touching objects, slice after slice, instead of keeping their classes.
    turn : Turn
        How the image is turned for the run: slices are those of the turned image, and the array lies as the image does.

    Raises
    ------
    VolumeError
        If the labels of an image that stays on the disk do not fit into memory.
    """

    def __init__(self, volume: Volume, classes: tuple[LabelClass, ...], split: bool, turn: Turn = AS_IT_LIES):
        self._volume = volume
        self._turn = turn
        self.finished: frozenset[int] = frozenset()
        """Slices of the run that are labelled already."""
        self._axes = volume.axes.replace("c", "")
        self._classes = classes
        self._split = split
        self.array: Any = self._made(label_shape(volume), np.dtype(np.uint32 if split else np.uint8))
        self._turned = self._turned_view()
        self._voxels = np.zeros(len(classes) + 1, np.int64)
        self._objects = 0
        self._object_pixels = 0

    def _made(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array of no labels."""
        if not isinstance(self._volume.data, np.ndarray):
            _check_room(shape, dtype)
        return np.zeros(shape, dtype)

    def _turned_view(self) -> np.ndarray:
        """The array, turned for the run."""
        return self._turn.there(self.array, self._axes)

    def put(self, indices: Sequence[int], found: np.ndarray) -> None:
        """Write and count the class numbers (n, y, x) of slices."""
        self._count(found)
        for index, plane in zip(indices, found, strict=True):
            self._keep(index, self._numbered(plane) if self._split else plane)

    def _keep(self, index: int, plane: np.ndarray) -> None:
        self._turned[self._place(index)] = plane

    def number(self, index: int) -> int:
        """Which slice of the run slice `index` of the image is, and the other way round; 0 where they cross."""
        if not self._turn.keeps_slices:
            return 0
        place = list(self._place(index))
        if self._turn.reversed[0]:
            place[-1] = self._turned.shape[-3] - 1 - place[-1]
        return int(np.ravel_multi_index(tuple(place), self._turned.shape[:-2])) if place else 0

    @property
    def keeps_slices(self) -> bool:
        """Whether slices of the run are slices of the image."""
        return self._turn.keeps_slices

    @property
    def all_slices(self) -> list[int]:
        """The slices of the image."""
        return list(range(math.prod(self.array.shape[:-2])))

    @property
    def labelled(self) -> list[int]:
        """The slices of the run that have any label."""
        return [index for index in range(self.count) if self._turned[self._place(index)].any()]

    def write(self, array: np.ndarray, indices: Sequence[int], values: np.ndarray) -> None:
        """Write values (n, y, x) of slices of the run into an array on the grid of the image."""
        turned = self._turn.there(array, self._axes)
        for index, plane in zip(indices, values, strict=True):
            turned[self._place(index)] = plane

    def _place(self, index: int) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(index, self._turned.shape[:-2])))

    def keep_largest(self) -> Iterator[None]:
        """Keep the largest piece of each class in every stack along z; each step is one stack."""
        axes = self._volume.axes.replace("c", "")
        if "z" not in axes or self._split:
            return
        for stack in self.array.reshape(-1, *self.array.shape[-3:]):
            labels.keep_largest(stack, [row.id for row in self._classes])
            yield
        self._voxels[:] = 0
        for plane in planes(self.array):
            self._count(plane)

    def _count(self, found: np.ndarray) -> None:
        self._voxels += np.bincount(found.ravel(), minlength=len(self._voxels))

    def _numbered(self, plane: np.ndarray) -> np.ndarray:
        objects = labels.split_objects(plane > 0).astype(np.uint32)
        objects[objects > 0] += self._objects
        self._count_objects(objects)
        return objects

    def _count_objects(self, plane: np.ndarray) -> None:
        self._objects = max(self._objects, int(plane.max()))
        self._object_pixels += int(np.count_nonzero(plane))

    def volume(self) -> Volume:
        """The labels on the grid of the image."""
        # numbered objects have no class table that would mark them as labels
        classes = () if self._split else self._classes
        found = self._volume.like(self.array, classes)
        return replace(found, metadata={**found.metadata, "labels": True})

    @property
    def count(self) -> int:
        """Number of slices of the run."""
        return math.prod(self._turned.shape[:-2])

    def objects(self) -> dict[str, float]:
        """How many objects there are, where they are numbered, and how large one is on average."""
        if not self._split:
            return {}
        found: dict[str, float] = {"objects": self._objects}
        if self._objects:
            pixels = self._object_pixels / self._objects
            found["pixels_per_object"] = round(pixels, 1)
            if self._volume.has_spacing:
                sizes = dict(zip(self._volume.spatial_axes, self._volume.spacing, strict=True))
                _, rows, columns = self._turn.sources
                found["area_mm2_per_object"] = pixels * sizes[rows] * sizes[columns]
        return found

    def classes(self) -> tuple[dict[str, Any], ...]:
        """Voxels per class, with the voxel size known also volume (mm3) or area (mm2): of several times their mean."""
        lengths = dict(zip(self._volume.axes, self._volume.data.shape, strict=True))
        times = lengths.get("t", 1)
        unit = {3: "volume_mm3", 2: "area_mm2"}[len(self._volume.spatial_axes)]
        rows = []
        for row in self._classes:
            voxels = int(self._voxels[row.id])
            found = {"id": row.id, "name": row.name, "voxels": voxels}
            if self._volume.has_spacing:
                found[unit] = voxels * self._volume.voxel_size / times
                if times > 1:
                    found["time_points"] = times
            rows.append(found)
        return tuple(rows)


def label_shape(volume: Volume) -> tuple[int, ...]:
    """Shape of the labels of an image: its own without channels."""
    return tuple(n for n, axis in zip(volume.data.shape, volume.axes, strict=True) if axis != "c")


def _check_slice(volume: Volume) -> None:
    """Refuse an image that stays on the disk if not even a slice of it fits into memory."""
    if isinstance(volume.data, np.ndarray):
        return
    rows, columns = (volume.data.shape[volume.axes.index(axis)] for axis in "yx")
    needed = rows * columns * np.dtype(volume.data.dtype).itemsize
    free = free_bytes() // _SHARE_OF_MEMORY
    if needed > free:
        raise VolumeError(
            f"A slice of the image has {rows} x {columns} pixels and takes {needed / 2**30:.3g} GiB; at most "
            f"{free / 2**30:.3g} GiB can be read at a time. Crop the image, or take a coarser level of it."
        )


def _check_room(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse labels that do not fit into memory."""
    needed = math.prod(shape) * dtype.itemsize
    free = free_bytes()
    if needed > free:
        raise VolumeError(
            f"The labels take {needed / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB of memory are free. Write them to "
            "the disk slice by slice: napari-medseg segment SCAN -o LABELS.ome.zarr."
        )


def planes(array: np.ndarray) -> np.ndarray:
    """A view of an array (..., y, x) as (n, y, x)."""
    return array.reshape(-1, *array.shape[-2:])


def _channel(volume: Volume, channel: int | None) -> int:
    count = volume.data.shape[volume.channel_axis]
    if channel is None and count > 1:
        raise SettingsError(f"The image has {count} channels and the model takes one. Choose channel 0 to {count - 1}.")
    return channel or 0
