"""`KSpace`: raw MR data of a stack of slices, with the sampling mask and what the header said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import VolumeError


@dataclass(frozen=True, eq=False)
class KSpace:
    """Cartesian k-space, read one slice at a time.

    Parameters
    ----------
    data : array
        Shape (slice, coil, y, x), complex; zero frequency at index ``n // 2``, arbitrary scanner units, ``y`` is the
        readout and ``x`` the phase encoding. Anything with ``shape`` and indexing along the first axis.
    mask : numpy.ndarray, shape (x,) or (y, x), bool, or None
        Where k-space was measured; None where all of it was.
    mask_origin : str
        ``file``, ``inferred`` (from columns that hold only zeros), ``generated``, or empty without a mask.
    acquired : (int, int) or None
        First column that the scanner acquired and the one after the last; the rest is zero filling. None: all of them.
    crop : (int, int) or None
        Rows and columns of the image that is shown, cut from the middle; None for the whole matrix.
    spacing : (float, float, float) or None
        Size of a voxel of the image in mm (z, y, x), where the file states it.
    reference : array or None
        Shape (slice, y, x), real: the image that the fully sampled data gave, cropped.
    simulated : bool
        Whether the data were computed from an image.
    metadata : mapping
        What else is known: ``source``, ``format``, ``acquisition``, ...

    Raises
    ------
    VolumeError
        If data and mask do not fit.
    """

    data: Any
    mask: np.ndarray | None = None
    mask_origin: str = ""
    acquired: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    reference: Any = None
    simulated: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.data.shape) != 4 or 0 in self.data.shape:
            raise VolumeError(
                f"The k-space has the shape {tuple(self.data.shape)}; expected the four axes slice, coil, y, x, none "
                "of them empty. Name its axes when opening it."
            )
        rows, columns = self.data.shape[2:]
        if self.mask is not None and self.mask.shape not in ((columns,), (rows, columns)):
            raise VolumeError(
                f"The sampling mask has the shape {self.mask.shape}, but the k-space has {rows} rows and {columns} "
                f"columns; expected a mask of ({columns},) or ({rows}, {columns}). Choose the mask of this scan."
            )
        if self.crop is not None and not (1 <= self.crop[0] <= rows and 1 <= self.crop[1] <= columns):
            raise VolumeError(
                f"The image cannot be cropped to {self.crop}: the matrix has only {rows} rows and {columns} columns."
            )

    @property
    def slices(self) -> int:
        """Number of slices."""
        return int(self.data.shape[0])

    @property
    def coils(self) -> int:
        """Number of receive coils."""
        return int(self.data.shape[1])

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of k-space."""
        return int(self.data.shape[2]), int(self.data.shape[3])

    def slice(self, index: int) -> np.ndarray:
        """The measured data of one slice, shape (coil, y, x), complex64.

        Raises
        ------
        VolumeError
            If the slice holds numbers that are not finite, or zeros only.
        """
        data = np.ascontiguousarray(self.data[index], dtype=np.complex64)
        if not np.isfinite(data).all():
            raise VolumeError(
                f"Slice {index} of the k-space holds values that are not finite (NaN or infinite). "
                "Replace them by 0 before opening it, or leave the slice out."
            )
        if not data.any():
            raise VolumeError(f"Slice {index} of the k-space holds only zeros: there is nothing to reconstruct.")
        return data
