"""NumPy's own files, ``.npy`` and ``.npz``: plain arrays only, never pickled objects."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import FileError, VolumeError
from ..volume import Volume
from . import checks
from .notes import KEY, Notes, read_side

_IMAGES = ("data", "image", "volume", "img", "arr_0")
_LABELS = ("labels", "label", "seg", "mask")
_MAX_NOTES_BYTES = 2**24
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read(path: Path, axes: str | None = None) -> Volume:
    """Read the image of a ``.npy`` or ``.npz`` file.

    Of several arrays in an archive the one named ``data``, ``image``, ``volume``, ``img`` or ``arr_0`` is the image.
    Files written by this package bring axes, affine and classes along; for others a last axis of 3 or 4 is colour,
    otherwise two axes are ``yx``, three ``zyx`` and four ``tzyx``.

    Parameters
    ----------
    path : pathlib.Path
    axes : str, optional
        Axis names in place of those.

    Raises
    ------
    FileError
        If the file is damaged, too large, or holds no array that is clearly the image.
    VolumeError
        If the axes of the array cannot be determined.
    """
    if path.suffix.lower() == ".npz":
        with checks.damaged(path), zipfile.ZipFile(path) as archive:
            data = _read_member(path, archive, _choose(path, archive))
            notes = _archive_notes(path, archive)
    else:
        with checks.damaged(path), path.open("rb") as file:
            data = _read_array(path, file, path.stat().st_size)
        notes = read_side(path, data) or Notes()
    return _volume(path, data, notes, axes)


def read_all(path: Path) -> list[Volume]:
    """The image of an ``.npz`` file, and the labels next to it if they lie on its grid.

    Raises
    ------
    FileError, VolumeError
        As `read` and `read_labels` do.
    """
    volume = read(path)
    labels = read_labels(path)
    fits = labels is not None and labels.data.shape == volume.data.shape[: labels.data.ndim]
    return [volume, labels] if labels is not None and fits else [volume]


def read_labels(path: Path) -> Volume | None:
    """The label array next to the image in an ``.npz`` file: ``image`` and ``label``, as in the slices of ACDC.

    Returns
    -------
    Volume or None
        None if the archive has no such array of whole numbers.

    Raises
    ------
    FileError
        If the file is damaged or too large.
    """
    with checks.damaged(path), zipfile.ZipFile(path) as archive:
        arrays = _members(archive)
        label = next((name for name in _LABELS if name in arrays), None)
        if label is None or label == _choose(path, archive):
            return None
        data = _read_member(path, archive, label)
    volume = _volume(path, data, Notes(metadata={"labels": True}), None) if data.dtype.kind in "biu" else None
    return volume if volume and "c" not in volume.axes else None


def save(volume: Volume, path: Path) -> None:
    """Write an archive with the arrays ``data`` and notes, or a bare array for ``.npy``."""
    if path.suffix.lower() == ".npz":
        notes = np.array(Notes.of(volume).to_text())
        np.savez_compressed(path, data=volume.data, napari_medseg=notes)  # the name is `KEY`
    else:
        np.save(path, volume.data, allow_pickle=False)


def _members(archive: zipfile.ZipFile) -> list[str]:
    """Names of the arrays, our notes left out."""
    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    return [name for name in names if name != KEY]


def _choose(path: Path, archive: zipfile.ZipFile) -> str:
    names = _members(archive)
    if len(names) == 1:
        return names[0]
    image = next((name for name in _IMAGES if name in names), None)
    if image is None:
        raise FileError(
            f"'{path.name}' holds the arrays {', '.join(names) or '(none)'}; none of them is clearly the image. "
            "Name one of them 'image' or 'data', or save it in a file of its own."
        )
    return image


def read_array_of(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array `name` of an archive, texts and complex numbers too; its header is judged before memory is taken."""
    with archive.open(f"{name}.npy") as file:
        shape, dtype, _ = read_header(path, file)
        if 0 not in shape:
            checks.check_size(path, shape or (1,), dtype.itemsize)
        if math.prod(shape) * dtype.itemsize > archive.getinfo(f"{name}.npy").file_size:
            raise FileError(f"'{name}' in '{path.name}' is cut short: it ends before its last value. Copy it again.")
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return _read_array(path, file, archive.getinfo(f"{name}.npy").file_size)


def _read_array(path: Path, file: IO[bytes], size: int) -> np.ndarray:
    """One array whose header and data are `size` bytes; the header is judged before memory is taken."""
    shape, dtype, turned = read_header(path, file)
    checks.check_real(path, dtype)
    copied = turned or not dtype.isnative or dtype.kind == "b" or shape[-1:] == (4,)
    # what is not in the order of this machine and of C, or has to lose its transparency, is copied
    checks.check_size(path, shape, dtype.itemsize, 2 * dtype.itemsize if copied else 0)
    if math.prod(shape) * dtype.itemsize > size:
        raise FileError(f"'{path.name}' is cut short: it ends before its last voxel. Copy it again from its source.")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def read_header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape and type of the array in `file`, and whether it is stored in Fortran order."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise FileError(
            f"'{path.name}' has the NumPy format {version}; expected (1, 0) or (2, 0). Save it again with numpy."
        )
    shape, turned, dtype = _HEADERS[version](file)
    return shape, dtype, turned


def _archive_notes(path: Path, archive: zipfile.ZipFile) -> Notes:
    name = f"{KEY}.npy"
    if name not in archive.namelist():
        return Notes()
    with archive.open(name) as file:
        shape, dtype, _ = read_header(path, file)
        if shape != () or dtype.kind != "U" or dtype.itemsize > _MAX_NOTES_BYTES:
            return Notes()
        file.seek(0)
        text = np.lib.format.read_array(file, allow_pickle=False)
    return Notes.from_text(str(text)) or Notes()


def _volume(path: Path, data: np.ndarray, notes: Notes, axes: str | None) -> Volume:
    flags = dict(notes.metadata)
    if data.dtype == bool:
        flags["labels"] = True
    axes = axes or notes.axes
    if not axes:
        axes = _guess(path, data.shape)
        # the fourth colour is transparency
        data = data[..., :3] if axes.endswith("c") else data
    if notes.affine is None:
        flags["has_spacing"] = False
    affine = np.eye(4) if notes.affine is None else notes.affine
    return Volume(checks.native(data), axes, affine, notes.classes, flags)


def _guess(path: Path, shape: tuple[int, ...]) -> str:
    colour = len(shape) > 2 and shape[-1] in (3, 4)
    spatial = {2: "yx", 3: "zyx", 4: "tzyx"}.get(len(shape) - colour)
    if spatial is None or len(shape) > 4:
        raise VolumeError(
            f"'{path.name}' holds an array of shape {shape}; expected 2 to 4 axes. "
            "Name them when reading, for example read(path, axes='tczyx')."
        )
    return spatial + "c" * colour
