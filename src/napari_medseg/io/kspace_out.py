"""Reconstructed images in the layout of fastMRI's submissions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..errors import FileError, VolumeError, short
from ..record import KEY as RECORD
from ..record import Record
from . import checks, kspace_hdf5

_NAME = "reconstruction"
_METRICS = "metrics"
_SUFFIXES = (".h5", ".hdf5")


def write_reconstruction(
    path: str | Path, image: np.ndarray, metrics: Mapping[str, Any], record: Record | None = None
) -> Path:
    """Save images as an HDF5 file; it is read back and compared before it takes its name.

    Parameters
    ----------
    path : str or pathlib.Path
        Ending in ``.h5`` or ``.hdf5``.
    image : numpy.ndarray, shape (slice, y, x) or (frame, slice, y, x), real
        Saved as the dataset ``reconstruction``, float32.
    metrics : mapping
        What is known of the images, such as method, settings and metrics: saved as JSON in the attribute ``metrics``;
        numbers that are not finite become null.
    record : Record, optional
        How the images came to be: saved as JSON in the attribute ``record``.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    FileError
        If it cannot be written or does not read back the same; an earlier file is then unchanged.
    VolumeError
        If the image is not real, finite and of three or four axes.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise FileError(f"'{path.name}' is not named as an HDF5 file. End the name in {' or '.join(_SUFFIXES)}.")
    if not path.parent.is_dir():
        raise FileError(f"The folder '{path.parent}' does not exist. Create it first, or save elsewhere.")
    image = np.asarray(image)
    if image.ndim not in (3, 4) or image.dtype.kind not in "iuf" or 0 in image.shape:
        raise VolumeError(
            f"The reconstruction has the shape {image.shape} and the type {image.dtype}; expected real images "
            "(slice, y, x), or with frames (frame, slice, y, x). Take the magnitude."
        )
    with np.errstate(over="ignore"):  # an overflow is reported next
        image = image.astype(np.float32)
    if not np.isfinite(image).all():
        raise VolumeError("The reconstruction holds values that are not finite. Reconstruct it again.")
    texts = {_METRICS: _to_json(metrics)}
    if record is not None:
        texts[RECORD] = json.dumps(record.to_json(), allow_nan=False)
    files.replace(path, lambda temporary: _save(temporary, image, texts), lambda saved: _check(saved, image, texts))
    return path


def _to_json(metrics: Mapping[str, Any]) -> str:
    text = json.dumps(metrics, default=lambda value: np.asarray(value).tolist())
    # JSON has no NaN or infinity, which Python writes nonetheless
    return json.dumps(json.loads(text, parse_constant=lambda _: None), allow_nan=False)


def is_reconstruction(path: Path) -> bool:
    """Whether a file looks like one of `write_reconstruction`."""
    if path.suffix.lower() not in _SUFFIXES:
        return False
    try:
        with kspace_hdf5.opened(path) as file:
            return kspace_hdf5.has(file, _NAME)
    except FileError:
        return False


def read_reconstruction(path: Path) -> tuple[np.ndarray, Record | None]:
    """Images that `write_reconstruction` saved, and their record if it was saved too.

    Raises
    ------
    FileError
        If the file is damaged or is not of that kind.
    """
    with kspace_hdf5.opened(path) as file:
        found = kspace_hdf5.dataset(path, file, _NAME)
        checks.check_size(path, found.shape, found.dtype.itemsize)
        image = found[:]
        text = file.attrs.get(RECORD)
    try:
        content = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise FileError(f"The record in '{path.name}' is damaged. Make the file again.") from error
    return image, None if files.is_deep(content) else Record.from_json(content)


def _save(path: Path, image: np.ndarray, texts: Mapping[str, str]) -> None:
    import h5py

    try:
        with h5py.File(path, "w") as file:
            file[_NAME] = image
            file.attrs.update(texts)
    except RuntimeError as error:  # a disk that is full when the file is closed
        raise OSError(short(error)) from error


def _check(path: Path, image: np.ndarray, texts: Mapping[str, str]) -> None:
    with kspace_hdf5.opened(path) as file:
        back = kspace_hdf5.dataset(path, file, _NAME)
        same = (back.shape, back.dtype, dict(file.attrs)) == (image.shape, image.dtype, texts)
        # slice by slice: comparing needs temporary arrays
        if not same or not all(np.array_equal(a, b) for a, b in zip(back, image, strict=True)):
            raise FileError("the copy read back differs")
