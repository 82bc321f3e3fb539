"""`KSpace`: raw MR data of a stack of slices, with the sampling mask and what the header said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import VolumeError

_UNEVEN = 2  # rows or columns by which a full scan may reach farther on one side of the centre
_GAPS = 2  # times the largest gap between measured lines: what chance alone leaves out at one end


def sides(first: int, end: int, count: int) -> tuple[int, int]:
    """How far from the centre of `count` rows or columns of k-space those from `first` to ``end - 1`` reach.

    Returns
    -------
    (int, int)
        Before and after the centre.
    """
    middle = count // 2
    before = middle - first
    after = end - 1 - middle
    if count % 2 == 0 and end == count:
        after += 1  # an even count has one more before its centre
    return before, after


def is_lopsided(first: int, end: int, count: int, gap: int = 1) -> bool:
    """Whether k-space was measured farther on one side of the centre than on the other (partial Fourier).

    Parameters
    ----------
    first, end : int
        First row or column that was measured, and the one after the last.
    count : int
        Rows or columns of k-space.
    gap : int
        Largest distance between neighbours that were measured.
    """
    before, after = sides(first, end, count)
    return abs(before - after) > max(_UNEVEN, _GAPS * gap)


@dataclass(frozen=True, eq=False)
class KSpace:
    """Cartesian k-space, read one slice at a time.

    Parameters
    ----------
    data : array
        Shape (slice, coil, y, x), complex; zero frequency at index ``n // 2``, arbitrary scanner units, ``y`` is the
        readout (or a second phase encoding) and ``x`` the phase encoding. Anything with ``shape`` and indexing along
        the first axis. Of several frames all slices of the first come first.
    mask : numpy.ndarray, shape (x,), (y, x), (slice, 1, x) or (slice, y, x), bool, or None
        Where k-space was measured, with an axis of slices where they differ; None where all of it was.
    mask_origin : str
        ``file``, ``inferred`` (from columns that hold only zeros), ``generated``, or empty without a mask.
    acquired : (int, int) or None
        First column that the scanner acquired and the one after the last; the rest is zero filling. None: all of them.
        Where it reaches farther on one side of the centre (partial Fourier), there is a mask, too.
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
        ``frames`` says what the frames are, one mapping for each, such as ``{"phase": 3}``.
    frames : int
        Time points, contrasts, repetitions, ...: they become the axis ``t`` of images.
    notes : tuple of str
        Sentences that a person should know of the data, such as what was left out.
    noise : numpy.ndarray, shape (coil, coil), complex, or None
        Covariance of the noise, E[n n^H], where a noise scan says it; as in the data where the file gives both dwell
        times. What is made of it does not depend on its scale.

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
    frames: int = 1
    notes: tuple[str, ...] = ()
    noise: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len(self.data.shape) != 4 or 0 in self.data.shape:
            raise VolumeError(
                f"The k-space has the shape {tuple(self.data.shape)}; expected the four axes slice, coil, y, x, none "
                "of them empty. Name its axes when opening it."
            )
        slices, coils, rows, columns = self.data.shape
        fitting = ((columns,), (rows, columns), (slices, 1, columns), (slices, rows, columns))
        if self.mask is not None and self.mask.shape not in fitting:
            raise VolumeError(
                f"The sampling mask has the shape {self.mask.shape}, but the k-space has {slices} slices of {rows} "
                f"rows and {columns} columns; expected a mask of ({columns},), ({rows}, {columns}) or "
                f"({slices}, {rows}, {columns}). Choose the mask of this scan."
            )
        if self.noise is not None and self.noise.shape != (coils, coils):
            raise VolumeError(
                f"The covariance of the noise has the shape {self.noise.shape}, but the k-space has {coils} coils; "
                f"expected ({coils}, {coils}). Take the noise scan of this scan."
            )
        if self.frames < 1 or slices % self.frames:
            raise VolumeError(
                f"The k-space has {slices} slices, which do not make {self.frames} frames of equal depth. Correct the "
                "number of frames."
            )
        if self.crop is not None and not (1 <= self.crop[0] <= rows and 1 <= self.crop[1] <= columns):
            raise VolumeError(
                f"The image cannot be cropped to {self.crop}: the matrix has only {rows} rows and {columns} columns."
            )

    @property
    def slices(self) -> int:
        """Number of slices, those of all frames."""
        return int(self.data.shape[0])

    @property
    def depth(self) -> int:
        """Number of slices of a frame."""
        return self.slices // self.frames

    @property
    def coils(self) -> int:
        """Number of receive coils."""
        return int(self.data.shape[1])

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of k-space."""
        return int(self.data.shape[2]), int(self.data.shape[3])

    @property
    def whole(self) -> tuple[int, int]:
        """First column of a full scan at this resolution, and the one after the last.

        Of partial Fourier these are also the columns opposite to those that were acquired.
        """
        columns = self.matrix[1]
        if self.acquired is None:
            return 0, columns
        first, end = self.acquired
        if not self.is_partial:
            return first, end
        middle = columns // 2
        reach = max(middle - first, end - middle)
        return max(middle - reach, 0), min(middle + reach, columns)

    @property
    def is_partial(self) -> bool:
        """Whether the scanner acquired more on one side of the centre than on the other (partial Fourier)."""
        return self.acquired is not None and is_lopsided(*self.acquired, self.matrix[1])

    def mask_of(self, index: int) -> np.ndarray:
        """Where a slice was measured, shape (x,) or (y, x), bool."""
        if self.mask is None:
            return np.ones(self.matrix[1], bool)
        if self.mask.ndim < 3:
            return self.mask
        own = self.mask[index]
        return own[0] if self.mask.shape[1] == 1 else own

    def counted(self) -> tuple[int, int]:
        """Samples that were measured, and those of a full scan: of one slice, or of all where their masks differ."""
        first, end = self.whole
        if self.mask is None:
            return end - first, end - first
        part = self.mask[..., first:end]
        return int(np.count_nonzero(part)), part.size

    @property
    def acceleration(self) -> float:
        """How many samples a full scan has for each one that was measured; infinity where nothing was."""
        measured, full = self.counted()
        return full / measured if measured else math.inf

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
