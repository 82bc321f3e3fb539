"""HDF5 files of raw data: nothing outside the file is opened, and one slice at a time is read."""

from __future__ import annotations

import operator
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileError
from . import checks
from .hdf5_heaps import WatchedFile
from .stacks import AXES

if TYPE_CHECKING:
    import h5py

LENGTH = np.dtype("<u4")
"""How the length of a field of variable length is stored: its first bytes."""

_HARD_LINK = 0  # kind of a link in HDF5 files: the member itself
_VARIABLE_BYTES = 16  # of a field of variable length: length, address, number
_MAX_RATIO = 2000  # deflate, the strongest filter that h5py brings, ends at about 1030


@contextmanager
def opened(path: Path) -> Generator[h5py.File]:
    """The file, open for reading.

    Raises
    ------
    FileError
        If it is damaged or not an HDF5 file; also in place of what h5py raises meanwhile.
    """
    import h5py

    with checks.damaged(path), WatchedFile(path) as content, h5py.File(content, "r") as file:
        yield file


def has(group: h5py.Group, name: str) -> bool:
    """Whether the group has a member or link `name`; asking h5py's ``in`` would follow a link out of the file."""
    return group.id.links.exists(name.encode())


def is_inside(group: h5py.Group, name: str) -> bool:
    """Whether a member is stored here, and is not a link to another place or file."""
    return group.id.links.get_info(name.encode()).type == _HARD_LINK


def names(group: h5py.Group, most: int) -> list[str]:
    """Names of the first members; what is not text is left out."""
    return [name for name in islice(group, most) if isinstance(name, str)]


def member(path: Path, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """A member that lies in the file itself.

    Raises
    ------
    FileError
        If there is none, or it is a link, or its data lie in another file.
    """
    import h5py

    if not has(group, name):
        raise FileError(f"'{path.name}' has no '{name}' in {group.name}. Choose the file with the raw data.")
    found = group[name] if is_inside(group, name) else None
    outside = isinstance(found, h5py.Dataset) and (found.external or found.is_virtual)
    if found is None or outside:
        raise FileError(
            f"'{name}' in '{path.name}' is a link or lies in another file, which is not followed. "
            "Copy the data themselves into one file, for example with h5repack or h5py."
        )
    return found


def group(path: Path, parent: h5py.Group, name: str) -> h5py.Group:
    """A group that lies in the file itself.

    Raises
    ------
    FileError
        If there is none, or it is something else.
    """
    import h5py

    found = member(path, parent, name)
    if not isinstance(found, h5py.Group):
        raise FileError(f"'{name}' in '{path.name}' is not a group. Choose the file with the raw data.")
    return found


def dataset(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset that lies in the file itself and whose declared size can be true.

    Raises
    ------
    FileError
        If there is none, or it is a link, or much larger than what is stored.
    """
    import h5py

    found = member(path, group, name)
    if not isinstance(found, h5py.Dataset) or not isinstance(found.shape, tuple):
        raise FileError(f"'{name}' in '{path.name}' is not an array. Choose the file with the raw data.")
    stored = min(found.id.get_storage_size(), path.stat().st_size)
    if found.nbytes > _MAX_RATIO * stored:
        raise FileError(
            f"'{name}' in '{path.name}' declares {found.nbytes / 2**30:.3g} GiB, but the file holds {stored} bytes of "
            "it: it was cut off while it was written. Copy it again from its source."
        )
    return found


def stored_bytes(path: Path, found: h5py.Dataset, itemsize: int) -> np.ndarray:
    """What a dataset of at most one axis stores, shape (byte,): of fields of variable length only length and place.

    HDF5 takes memory for whatever length these declare, so they are to be looked at before h5py reads them.

    Parameters
    ----------
    path : pathlib.Path
    found : h5py.Dataset
    itemsize : int
        Bytes per entry in the file.

    Raises
    ------
    FileError
        If it is compressed or incomplete.
    """
    chunk = found.chunks[0] if found.chunks else 0
    checks.check_size(path, (max(found.size, chunk), itemsize), 1)
    offset = found.id.get_offset()
    if found.id.get_create_plist().get_nfilters() or (not chunk and offset is None):
        raise FileError(
            f"'{found.name}' in '{path.name}' is compressed or stored in an unusual way. "
            "Rewrite the file with 'h5repack -f NONE -l CHUNK=1'."
        )
    if not chunk:
        return np.fromfile(path, np.uint8, found.size * itemsize, offset=offset)
    data = np.zeros((-(-found.size // chunk), chunk * itemsize), np.uint8)
    for number, part in enumerate(data):
        found.id.read_direct_chunk((number * chunk,), out=part)
    return data.ravel()[: found.size * itemsize]


def text(path: Path, group: h5py.Group, name: str) -> str:
    """A dataset that is one string.

    Raises
    ------
    FileError
        If it is something else.
    """
    import h5py

    found = dataset(path, group, name)
    kind = h5py.check_string_dtype(found.dtype)
    if kind is None or found.shape not in ((), (1,)):
        raise FileError(f"'{name}' in '{path.name}' is not text. Export the file again.")
    length = kind.length or int(stored_bytes(path, found, _VARIABLE_BYTES)[: LENGTH.itemsize].view(LENGTH)[0])
    if length > path.stat().st_size:
        raise FileError(f"'{name}' in '{path.name}' declares more text than the file holds. Copy it again.")
    return found.asstr()[() if found.shape == () else 0]


def attributes(file: h5py.File, names: tuple[str, ...]) -> dict[str, Any]:
    """Those attributes of the root that are there and are one number or one string."""
    import h5py

    found = {}
    for name in names:
        kind = file.attrs.get_id(name) if name in file.attrs else None
        if kind and kind.shape == () and (kind.dtype.kind in "biufSU" or h5py.check_string_dtype(kind.dtype)):
            value = file.attrs[name]
            value = value.item() if isinstance(value, np.generic) else value
            found[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


def complex_type(dtype: np.dtype) -> np.dtype | None:
    """The complex numbers that a dataset of this type holds, MATLAB's pairs of real and imag too; None if none."""
    if dtype.kind == "c":
        return dtype
    parts = [dtype[name] for name in dtype.names or ()]
    if dtype.names == ("real", "imag") and parts[0] == parts[1] and parts[0].kind == "f":
        return np.result_type(parts[0], np.complex64)
    return None


def as_complex(part: np.ndarray) -> np.ndarray:
    """Pairs of real and imag as complex numbers; other arrays as they are."""
    if part.dtype.names is None:
        return part
    found = part["real"].astype(complex_type(part.dtype))
    found.imag = part["imag"]
    return found


def _arranged_shape(axes: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape (frame, slice, coil, y, x) of an array whose axes are named by `axes`."""
    length: Mapping[str, int] = dict(zip(axes, shape, strict=True))
    return tuple(length.get(axis, 1) for axis in AXES)


def _arranged(array: np.ndarray, axes: str) -> np.ndarray:
    """The array with the axes (frame, slice, coil, y, x), as a view."""
    shape = _arranged_shape(axes, array.shape)
    return array.transpose([axes.index(axis) for axis in AXES if axis in axes]).reshape(shape)


@dataclass(frozen=True, eq=False)
class Slices:
    """An array in an HDF5 file of which one slice at a time is read.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        Dataset in the root group.
    axes : str
        One letter of `AXES` per axis of the dataset.
    stored : tuple of int
        Shape of the dataset.
    dtype : numpy.dtype
    coils : bool
        Whether slices have the axes (coil, y, x) or, without coils, (y, x).
    crop : (int, int) or None
        Rows and columns to be cut from the middle.
    """

    path: Path
    name: str
    axes: str
    stored: tuple[int, ...]
    dtype: np.dtype
    coils: bool = True
    crop: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (frame * slice, coil, y, x) or (frame * slice, y, x)."""
        frames, slices, coils, *matrix = _arranged_shape(self.axes, self.stored)
        return (frames * slices, *((coils,) if self.coils else ()), *(self.crop or matrix))

    @property
    def frames(self) -> int:
        """Number of frames."""
        return _arranged_shape(self.axes, self.stored)[0]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """Slice `index`, shape (coil, y, x) or (y, x), read from the file.

        Raises
        ------
        FileError
            If the file is gone, damaged or another one now.
        """
        frame, number = divmod(range(len(self))[operator.index(index)], len(self) // self.frames)
        one = {"t": slice(frame, frame + 1), "s": slice(number, number + 1)}
        with opened(self.path) as file:
            found = dataset(self.path, file, self.name)
            if (found.shape, found.dtype) != (self.stored, self.dtype):
                raise FileError(f"'{self.path.name}' has changed since it was opened. Open it again.")
            part = found[tuple(one.get(axis, slice(None)) for axis in self.axes)]
        matrix = _arranged(as_complex(part), self.axes)[0, 0]
        if self.crop is not None:
            top, left = ((n - m) // 2 for n, m in zip(matrix.shape[-2:], self.crop, strict=True))
            matrix = matrix[:, top : top + self.crop[0], left : left + self.crop[1]]
        return matrix if self.coils else matrix[0]
