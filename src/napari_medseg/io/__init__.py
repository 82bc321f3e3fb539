"""Files in, files out: `read` and `write`, whatever the format.

The libraries behind the formats are imported on first use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..errors import FileError, VolumeError
from ..reference import KEY as REFERENCE
from ..reference import Reference
from ..volume import LEVELS, Volume
from . import checks, formats, verified, zarr_labels
from .notes import is_labels, refuse_foreign, side_file, side_text

_logger = logging.getLogger(__name__)

__all__ = ["check_target", "read", "read_all", "write"]


def read(path: str | Path, *, axes: str | None = None, lazy: bool = False) -> Volume:
    """Read an image or label file.

    Parameters
    ----------
    path : str or pathlib.Path
        NIfTI, NRRD, MetaImage, TIFF, PNG, JPEG, ``.npy``, ``.npz`` or DICOM file, or a folder that holds one DICOM
        series or is an OME-Zarr store. A DICOM file stands for its whole series, and ``zarr.json`` for its store.
    axes : str, optional
        Names of the array axes, see `Volume`, where the file does not say or is wrong.
    lazy : bool
        Leave the voxels on the disk where the format allows it: the array of the volume is then a dask array that reads
        its parts when they are asked for.

    Returns
    -------
    Volume
        ``metadata`` has ``source`` and ``format``, and ``has_spacing`` False where the file gives no voxel size.

    Raises
    ------
    FileError
        If the file is missing, damaged, too large or not what its name says.
    VolumeError
        If its axes cannot be determined or do not fit `axes`.
    """
    path = formats.whole(Path(path))
    format_ = formats.recognise(path)
    reader = formats.function(format_.read)
    with checks.damaged(path):
        volume = reader(path, axes)
        if format_.lazy and not lazy:
            volume = _in_memory(volume, path)
    return _with_source(volume, path, format_)


def read_all(path: str | Path) -> list[Volume]:
    """Read everything that a file holds: an image and its labels, or labels that overlap as a volume for each layer.

    Parameters
    ----------
    path : str or pathlib.Path
        As for `read`, which returns the first of them.

    Raises
    ------
    FileError, VolumeError
        As `read` does.
    """
    path = formats.whole(Path(path))
    format_ = formats.recognise(path)
    if not format_.read_all:
        return [read(path)]
    reader = formats.function(format_.read_all)
    with checks.damaged(path):
        volumes = reader(path)
    return [_with_source(volume, path, format_) for volume in volumes]


def _in_memory(volume: Volume, path: Path) -> Volume:
    """The volume with its voxels in memory, if they fit."""
    checks.check_size(path, volume.data.shape, volume.data.dtype.itemsize)
    metadata = {key: value for key, value in volume.metadata.items() if key != LEVELS}
    return replace(volume, data=np.asarray(volume.data), metadata=metadata)


def _with_source(volume: Volume, path: Path, format_: formats.Format) -> Volume:
    volume = replace(volume, metadata={"source": str(path), "format": format_.name, **volume.metadata})
    return _with_reference(volume, lambda known: known.seen_from(path.absolute().parent))


def _with_reference(volume: Volume, change: Callable[[Reference], Reference]) -> Volume:
    """The volume with the reference to its images, if it has one, turned into another."""
    known = volume.metadata.get(REFERENCE)
    if not isinstance(known, Reference):
        return volume
    return replace(volume, metadata={**volume.metadata, REFERENCE: change(known)})


def check_target(volume: Volume, path: str | Path, reference: str | Path | None = None) -> None:
    """Make sure, before work is done, that labels of an image could be saved at `path`.

    Parameters
    ----------
    volume : Volume
        The image.
    path, reference
        As for `write`.

    Raises
    ------
    FileError
        If no format has this ending, the one that has it needs images that are not known, a folder has this name, or
        the path lies in the store of another image.
    """
    path = Path(path)
    format_ = formats.writable(path)
    zarr_labels.check(path, volume.axes, tuple(volume.data.shape))
    _refuse_folder(path, format_)
    if format_.reference:
        formats.function(format_.reference)(volume, path, reference)


def write(
    volume: Volume,
    path: str | Path,
    reference: str | Path | None = None,
    *,
    label_map: bool = False,
    say: Callable[[str], object] = _logger.warning,
) -> Path:
    """Save a volume; the file is read back and compared before it takes its name.

    Parameters
    ----------
    volume : Volume
        Labels (a volume with classes, or ``labels`` True in its metadata) are saved as the smallest unsigned
        integers that hold them.
    path : str or pathlib.Path
        Ending in ``.nii``, ``.nii.gz``, ``.ome.zarr``, ``.nrrd``, ``.seg.nrrd``, ``.mha``, ``.seg.dcm``, ``.tif``,
        ``.tiff``, ``.npy`` or ``.npz``; or ``image.zarr/labels/NAME``, in the store of the image. Axes, affine, classes
        and record are kept inside; only ``scan.npy`` cannot hold them and gets a side file ``scan.npy.json``.
    reference : str or pathlib.Path, optional
        For ``.seg.dcm`` and ``.dcm``: folder or file of the DICOM series that labels were made on. By default the one
        that they remember, which is that of the image they were made of or read with.
    label_map : bool
        For ``.seg.dcm`` and ``.dcm``: write one compressed image of numbers in place of one mask per class.
    say : callable
        Is given a sentence for whatever the file holds otherwise than `volume`.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    FileError
        If it cannot be written or does not read back the same, or the side file belongs to another program; an
        earlier file is then unchanged.
    VolumeError
        If the format cannot hold the voxels, or labels are negative or not whole numbers.
    """
    path = Path(path)
    formats.writable(path)
    with zarr_labels.listed(path, volume.axes, tuple(volume.data.shape)):
        return _write(volume, path, reference, label_map, say)


def _write(
    volume: Volume, path: Path, reference: str | Path | None, label_map: bool, say: Callable[[str], object]
) -> Path:
    format_ = formats.writable(path)
    if not files.is_folder(path.parent):
        raise FileError(f"The folder '{path.parent}' does not exist. Create it first, or save elsewhere.")
    save = formats.function(format_.save)
    back = formats.function(format_.read)
    _refuse_folder(path, format_)
    if not format_.lazy and not isinstance(volume.data, np.ndarray):
        checks.check_size(path, volume.data.shape, np.dtype(volume.data.dtype).itemsize)
        volume = replace(volume, data=np.asarray(volume.data))
    volume = replace(volume, data=_storable(volume))
    if format_.fitted:
        fitted = formats.function(format_.fitted)(volume, path, reference)
        for sentence in fitted.notes:
            say(sentence)
        volume = fitted.volume
        save = partial(save, images=fitted.images, label_map=label_map)
    volume = _with_reference(volume, lambda known: known.relative_to(path.parent))
    axes = None if format_.keeps_notes else volume.axes
    array = files.Change(
        path,
        lambda temporary: save(volume, temporary),
        lambda temporary: verified.same(volume, back(temporary, axes), notes=format_.keeps_notes),
    )
    if format_.keeps_notes:
        files.replace_all(array)
    else:
        # the array first: after a crash between the two, the side file does not fit and is ignored
        files.replace_all(array, _side(path, volume))
    return path


def _refuse_folder(path: Path, format_: formats.Format) -> None:
    """Make sure that a save replaces no folder, or only one that is of its kind."""
    if format_.markers:
        zarr_labels.refuse_folder(path)
    elif files.is_folder(path):
        raise FileError(f"'{path.name}' is a folder; expected the name of a file. Choose another name.")


def _side(path: Path, volume: Volume) -> files.Change:
    """The side file of an array."""
    refuse_foreign(path)
    text = side_text(path, volume)

    def check(temporary: Path) -> None:
        if temporary.read_text("utf-8") != text:
            raise FileError("the copy read back is another text")

    return files.Change(side_file(path), lambda temporary: temporary.write_text(text, "utf-8"), check)


def _storable(volume: Volume) -> Any:
    """The voxels as an array of a type that every format can hold; one that stays on the disk is not read at once."""
    data: Any = volume.data
    if isinstance(data, np.ndarray):
        data = checks.native(data)
    if is_labels(volume):
        if data.dtype.kind not in "iu" or (data.dtype.kind == "i" and data.min() < 0):
            raise VolumeError(
                "The labels hold negative or fractional numbers; expected whole numbers from 0. Round or shift them "
                "before saving."
            )
        known = data.dtype in (np.uint8, np.uint16, np.uint32)
        return data if known else data.astype(np.min_scalar_type(int(data.max())))
    if data.dtype.kind not in "iuf" or data.dtype.itemsize > 8:
        raise VolumeError(f"The voxels are of type {data.dtype}; expected plain real numbers. Convert them first.")
    return data.astype(np.float32) if data.dtype == np.float16 else data
