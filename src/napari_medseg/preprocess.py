"""From image slices to the tensor a network sees, and back: the only place that resamples, pads or normalises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import SettingsError, VolumeError

if TYPE_CHECKING:
    # imported where it is used: model cards hold a `Preprocess`, and are listed without PyTorch
    import torch

_NO_RANGE = 1e-12  # share of the values themselves: a range below it is rounding
_LONGEST_SIDE = 2**15  # pixels of a slice that a network sees


@dataclass(frozen=True)
class Preprocess:
    """How slices become network input; stored in every checkpoint, used in training and inference alike.

    Parameters
    ----------
    percentiles : (float, float)
        Values of a slice (all its channels together) that become 0 and 1; the rest is clipped.
    min_range : float
        Smallest distance between the two, as a share of 255, for 8-bit images: keeps a dark image dark.
    spacing : float or None
        In-plane pixel size in mm that images are resampled to; None keeps the pixels.
    assumed_spacing : float or None
        Pixel size in mm of images whose file does not say; None leaves such images as they are.
    multiple : int
        Height and width are padded by reflection to multiples of this.
    size : (int, int) or None
        Height and width that every slice is resized to, whatever its pixel size; None keeps its proportions.
    output : (float, float)
        What the two percentiles become.
    """

    percentiles: tuple[float, float] = (1.0, 99.8)
    min_range: float = 0.06
    spacing: float | None = None
    assumed_spacing: float | None = None
    multiple: int = 16
    size: tuple[int, int] | None = None
    output: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise SettingsError(f"percentiles is ({low}, {high}); expected two rising numbers from 0 to 100.")
        object.__setattr__(self, "percentiles", (float(low), float(high)))
        if len(self.output) != 2 or not self.output[0] < self.output[1]:
            raise SettingsError(f"output is {self.output}; expected two rising numbers.")
        object.__setattr__(self, "output", tuple(map(float, self.output)))
        sides = (self.multiple, *(self.size or ()))
        if max(sides) > _LONGEST_SIDE:
            raise SettingsError(f"A side of {max(sides)} pixels was asked for; expected at most {_LONGEST_SIDE}.")
        if self.multiple < 1 or any(mm is not None and not mm > 0 for mm in (self.spacing, self.assumed_spacing)):
            raise SettingsError(
                f"multiple is {self.multiple}, spacing {self.spacing}, assumed_spacing {self.assumed_spacing}; "
                "expected "
                "a multiple of at least 1, and sizes in mm above 0."
            )
        if self.size is not None:
            if len(self.size) != 2 or min(self.size) < 1:
                raise SettingsError(f"size is {self.size}; expected the height and width of the network's input.")
            object.__setattr__(self, "size", tuple(self.size))

    def normalise(self, image: np.ndarray) -> np.ndarray:
        """Scale one slice (y, x) or (y, x, 3) to `output`, float32, as (3, y, x); grey is repeated.

        Values that are not finite become the lower limit.
        """
        values = _as_floats(image)
        finite = np.isfinite(values)
        everywhere = finite.all()
        known = values if everywhere else values[finite]
        low, high = np.percentile(known, self.percentiles) if known.size else (0.0, 1.0)
        span = high - low
        if image.dtype == np.uint8:
            span = max(span, self.min_range * 255)
        kind = values.dtype.type
        if not everywhere:
            values = np.where(finite, values, kind(low))
        if span <= _NO_RANGE * max(abs(low), abs(high)):
            span = 1.0
        scaled = np.clip((values - kind(low)) / kind(span), 0, 1).astype(np.float32, copy=False)
        if self.output != (0.0, 1.0):
            scaled = scaled * np.float32(self.output[1] - self.output[0]) + np.float32(self.output[0])
        if scaled.ndim == 2:
            return np.repeat(scaled[None], 3, axis=0)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def apply(self, slices: np.ndarray, spacing: Sequence[float] | None) -> tuple[torch.Tensor, Undo]:
        """Turn slices (n, y, x) or (n, y, x, 3) into network input (n, 3, Y, X).

        Parameters
        ----------
        slices : numpy.ndarray
            Any real dtype.
        spacing : (float, float) or None
            Pixel size (y, x) in mm; None when it is not known.

        Returns
        -------
        torch.Tensor, Undo
            The input and the way back to the grid of the slices.
        """
        import torch

        return self.fit(torch.from_numpy(np.stack([self.normalise(image) for image in slices])), spacing)

    def fit(self, tensor: torch.Tensor, spacing: Sequence[float] | None) -> tuple[torch.Tensor, Undo]:
        """Resample and pad normalised slices (n, c, y, x): the second half of `apply`."""
        from torch.nn import functional as F

        height, width = tensor.shape[-2:]
        inner = self.working_size((height, width), spacing)
        if inner != (height, width):
            tensor = F.interpolate(tensor, inner, mode="bilinear", antialias=True).clamp(*self.output)
        return self._pad(tensor), Undo((height, width), inner)

    def working_size(self, size: Sequence[int], spacing: Sequence[float] | None) -> tuple[int, int]:
        """Height and width of a slice after resampling, before padding."""
        if self.size is not None:
            return self.size
        if spacing is None and self.assumed_spacing is not None:
            spacing = (self.assumed_spacing, self.assumed_spacing)
        height, width = size
        if self.spacing is None or spacing is None:
            return height, width
        height_mm, width_mm = spacing
        rows = height * height_mm / self.spacing
        columns = width * width_mm / self.spacing
        if max(rows, columns) > _LONGEST_SIDE:
            raise VolumeError(
                f"A slice of {height * height_mm:.0f} x {width * width_mm:.0f} mm is {rows:.0f} x {columns:.0f} pixels "
                f"of {self.spacing:g} mm, in which the model works; expected at most {_LONGEST_SIDE} along an axis. "
                "Check the voxel size, or crop the image."
            )
        return max(1, round(rows)), max(1, round(columns))

    def padded_size(self, size: Sequence[int], spacing: Sequence[float] | None) -> tuple[int, int]:
        """Height and width that the network sees."""
        height, width = self.working_size(size, spacing)
        return height + -height % self.multiple, width + -width % self.multiple

    def _pad(self, tensor: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional as F

        height, width = tensor.shape[-2:]
        below, right = -height % self.multiple, -width % self.multiple
        # reflection cannot exceed the image itself: thin images repeat their last line instead
        mode = "reflect" if below < height and right < width else "replicate"
        return F.pad(tensor, (0, right, 0, below), mode=mode) if below or right else tensor


def neighbours(index: int, count: int) -> tuple[int, int]:
    """The slices before and after slice `index` of `count`, for networks that see three.

    At the ends the two slices around the last inner one are taken, as the authors of LSTM-SA do; a stack of fewer than
    three slices repeats its own.
    """
    centre = min(max(index, 1), count - 2) if count > 2 else index
    return max(centre - 1, 0), min(centre + 1, count - 1)


@dataclass(frozen=True)
class Undo:
    """The way back from network output to the grid of the slices.

    Parameters
    ----------
    size : (int, int)
        Height and width of the original slices.
    inner : (int, int)
        Height and width after resampling, before padding.
    """

    size: tuple[int, int]
    inner: tuple[int, int]

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Crop the padding and resample logits (n, c, Y, X) to (n, c, y, x)."""
        from torch.nn import functional as F

        logits = logits[..., : self.inner[0], : self.inner[1]]
        if self.inner == self.size:
            return logits
        return F.interpolate(logits, self.size, mode="bilinear", align_corners=False)


def _as_floats(image: np.ndarray) -> np.ndarray:
    """The values of an image as numbers that keep them apart; whole numbers may be moved by a constant."""
    if image.dtype.kind in "iu" and image.dtype.itemsize > 2:
        # differences of the type itself overflow, and are right as numbers without a sign
        above = (image - image.min()).view(f"u{image.dtype.itemsize}")
        return above.astype(np.float64)
    return np.asarray(image, np.float64 if image.dtype.itemsize > 4 else np.float32)
