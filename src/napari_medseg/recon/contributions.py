"""Raw data in napari's own Open, and as a sample: their zero-filled magnitude, which remembers its file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import samples
from ..errors import VolumeError
from ..io.contributions import LayerData, layer_tuple
from ..io.kspace import is_kspace, read_kspace
from ..kspace import KSpace
from .grid import image_volume, plane_volume
from .transforms import centre_crop, ifft2c, rss

if TYPE_CHECKING:
    import dask.array

FILE = "kspace_file"
"""Key in the metadata of a volume that is the zero-filled image of this file of raw data."""

_AT_ONCE = 2**23  # samples of k-space; those of a larger one are transformed slice by slice, when they are looked at


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
    measured = np.where(kspace.mask_of(index), kspace.slice(index), 0)
    return centre_crop(rss(ifft2c(measured), 0), kspace.crop or kspace.matrix).astype(np.float32)


def _layers(path: Path) -> list[LayerData]:
    try:
        kspace = read_kspace(path)
        at_once = math.prod(kspace.data.shape) <= _AT_ONCE
        if at_once:
            images = image_volume(kspace, np.stack([magnitude(kspace, index) for index in range(kspace.slices)]))
        else:
            images = plane_volume(kspace, magnitude(kspace, kspace.slices // 2))
    except VolumeError as error:
        raise VolumeError(f"{error} The Reconstruct dock can open the file and has a field for its axes.") from error
    name = path.name.removesuffix(path.suffix)
    notes = {**images.metadata, FILE: str(path)}
    data, options, kind = layer_tuple(replace(images, metadata=notes), f"{name} zero-filled")
    return [(data if at_once else _lazy(kspace), options, kind)]


def _lazy(kspace: KSpace) -> dask.array.Array:
    """`magnitude` of all slices, (slice, y, x) or (frame, slice, y, x), each computed when it is asked for."""
    import dask.array

    size = kspace.crop or kspace.matrix
    image = dask.delayed(partial(magnitude, kspace), pure=False)
    planes = [dask.array.from_delayed(image(index), size, np.float32) for index in range(kspace.slices)]
    stack = dask.array.stack(planes)
    return stack.reshape(kspace.frames, kspace.depth, *size) if kspace.frames > 1 else stack
