"""Raw data in napari's own Open, and as a sample: their zero-filled magnitude, which remembers its file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import samples
from ..acquisition import KSpace
from ..errors import VolumeError
from ..io.contributions import LayerData, layer_tuple
from ..io.kspace import is_kspace, read_kspace
from ..volume import Volume
from .kspace import centre_crop, ifft2c, rss
from .reconstruct import image_volume

FILE = "kspace_file"
"""Key in the metadata of a volume that is the zero-filled image of this file of raw data."""


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """The reader for a file of raw data, for napari; None for other files."""
    if not isinstance(path, str) or not is_kspace(path):
        return None
    return lambda path: _layers(Path(path))


def head() -> list[LayerData]:
    """One slice of a head, measured with eight coils and eightfold undersampled, for napari."""
    return _layers(samples.path("brain8_poisson8x.npz"))


def magnitude(kspace: KSpace, index: int) -> np.ndarray:
    """Zero-filled image (y, x) of one slice: root of the sum of squares over the coils, cropped, float32."""
    measured = kspace.slice(index)
    if kspace.mask is not None:
        measured = np.where(kspace.mask, measured, 0)
    return centre_crop(rss(ifft2c(measured), 0), kspace.crop or kspace.matrix).astype(np.float32)


def zero_filled(kspace: KSpace) -> Volume:
    """Zero-filled images of all slices."""
    return image_volume(kspace, np.stack([magnitude(kspace, index) for index in range(kspace.slices)]))


def _layers(path: Path) -> list[LayerData]:
    try:
        volume = zero_filled(read_kspace(path))
    except VolumeError as error:
        raise VolumeError(f"{error} The Reconstruct dock can open the file and has a field for its axes.") from error
    name = path.name.removesuffix(path.suffix)
    return [layer_tuple(replace(volume, metadata={**volume.metadata, FILE: str(path)}), f"{name} zero-filled")]
