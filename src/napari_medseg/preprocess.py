"""From image slices to the tensor a network sees, and back: the only place that resamples, pads or normalises."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .errors import SettingsError, VolumeError

if TYPE_CHECKING:
    # imported where it is used: model cards hold a `Preprocess`, and are listed without PyTorch
    import torch

PADDINGS = {"reflect": "reflect", "zero": "constant", "edge": "replicate"}
"""How slices are continued beyond their border, and what PyTorch calls it."""

OUTSIDE = -30.0
"""Logit of every class where the network has not looked: surely background."""

_NO_RANGE = 1e-12  # share of the values themselves: a range below it is rounding
_LONGEST_SIDE = 2**15  # pixels of a slice that a network sees
_AXES_OF_NEIGHBOURS = ("", "z", "t")


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
        Height and width are padded to multiples of this, equally on both sides; an odd pixel goes below or right.
    size : (int, int) or None
        Height and width that every slice is resized to, whatever its pixel size; None keeps its proportions.
    output : (float, float)
        What the two percentiles become.
    padding : {"reflect", "zero", "edge"}
        What lies beyond the border: the mirrored slice, 0 (whatever `output` is), or its outermost pixels. An axis that
        is too short to be mirrored that far repeats its outermost pixels instead.
    smallest : (int, int) or None
        Height and width in resampled pixels that smaller slices are padded to: what the network was trained to see.
    neighbours : {"", "z", "t"}
        Axis along which a network without context of its own looks around: its three channels are then the slice
        before, the slice and the slice after, in grey. Empty shows the slice alone.
    """

    percentiles: tuple[float, float] = (1.0, 99.8)
    min_range: float = 0.06
    spacing: float | None = None
    assumed_spacing: float | None = None
    multiple: int = 16
    size: tuple[int, int] | None = None
    output: tuple[float, float] = (0.0, 1.0)
    padding: str = "reflect"
    smallest: tuple[int, int] | None = None
    neighbours: str = ""

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise SettingsError(f"percentiles is ({low}, {high}); expected two rising numbers from 0 to 100.")
        object.__setattr__(self, "percentiles", (float(low), float(high)))
        if len(self.output) != 2 or not self.output[0] < self.output[1]:
            raise SettingsError(f"output is {self.output}; expected two rising numbers.")
        object.__setattr__(self, "output", tuple(map(float, self.output)))
        sides = (self.multiple, *(self.size or ()), *(self.smallest or ()))
        if max(sides) > _LONGEST_SIDE:
            raise SettingsError(f"A side of {max(sides)} pixels was asked for; expected at most {_LONGEST_SIDE}.")
        if self.multiple < 1 or any(mm is not None and not mm > 0 for mm in (self.spacing, self.assumed_spacing)):
            raise SettingsError(
                f"multiple is {self.multiple}, spacing {self.spacing}, assumed_spacing {self.assumed_spacing}; "
                "expected "
                "a multiple of at least 1, and sizes in mm above 0."
            )
        for name in ("size", "smallest"):
            pair = getattr(self, name)
            if pair is None:
                continue
            if len(pair) != 2 or min(pair) < 1:
                raise SettingsError(f"{name} is {pair}; expected the height and width of the network's input.")
            object.__setattr__(self, name, tuple(pair))
        if self.padding not in PADDINGS:
            raise SettingsError(f"padding is '{self.padding}'; expected one of {', '.join(PADDINGS)}.")
        if self.neighbours not in _AXES_OF_NEIGHBOURS:
            raise SettingsError(f"neighbours is '{self.neighbours}'; expected z, t or nothing.")

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

    def fit(
        self, tensor: torch.Tensor, spacing: Sequence[float] | None, crop: Crop | None = None
    ) -> tuple[torch.Tensor, Undo]:
        """Resample, crop and pad normalised slices (n, c, y, x): the second half of `apply`.

        Parameters
        ----------
        tensor : torch.Tensor, shape (n, c, y, x)
        spacing : (float, float) or None
            Pixel size (y, x) in mm; None when it is not known.
        crop : Crop or None
            What is shown of the slices; None shows them whole.

        Returns
        -------
        torch.Tensor, Undo
            The input (n, c, Y, X) and the way back to the grid of the slices.
        """
        import torch

        size = (tensor.shape[-2], tensor.shape[-1])
        tensor = self.resample(tensor, spacing)
        undo = self.undo(size, spacing, crop)
        if undo.corners:
            height, width = undo.seen
            views = zip(tensor, undo.corners, strict=True)
            tensor = torch.stack([image[:, y : y + height, x : x + width] for image, (y, x) in views])
        return self.pad(tensor), undo

    def resample(self, tensor: torch.Tensor, spacing: Sequence[float] | None) -> torch.Tensor:
        """Bring normalised slices (n, c, y, x) to the pixel size of the network, without padding."""
        from torch.nn import functional as F

        size = (tensor.shape[-2], tensor.shape[-1])
        inner = self.working_size(size, spacing)
        if inner == size:
            return tensor
        return F.interpolate(tensor, inner, mode="bilinear", antialias=True).clamp(*self.output)

    def undo(self, size: tuple[int, int], spacing: Sequence[float] | None, crop: Crop | None = None) -> Undo:
        """The way back for slices of that size; the parameters are those of `fit`."""
        inner = self.working_size(size, spacing)
        if crop is None:
            return Undo(size, inner, inner, (), self._offset(inner))
        seen = self._seen(inner, spacing, crop.extent_mm)
        corners = tuple(_corner(centre, size, inner, seen) for centre in crop.centres)
        return Undo(size, inner, seen, corners, self._offset(seen))

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

    def padded_size(
        self, size: Sequence[int], spacing: Sequence[float] | None, extent_mm: tuple[float, float] | None = None
    ) -> tuple[int, int]:
        """Height and width that the network sees, of whole slices or of a crop of that extent (y, x) in mm."""
        inner = self.working_size(size, spacing)
        seen = inner if extent_mm is None else self._seen(inner, spacing, extent_mm)
        return self._padded(seen)

    def shows_little(
        self, size: Sequence[int], spacing: Sequence[float] | None, extent_mm: tuple[float, float] | None = None
    ) -> bool:
        """Whether slices, or crops of them, fill less than half of `smallest` along an axis: most is made up then."""
        inner = self.working_size(size, spacing)
        seen = inner if extent_mm is None else self._seen(inner, spacing, extent_mm)
        return any(2 * length < wanted for length, wanted in zip(seen, self.smallest or (0, 0), strict=True))

    def pad(self, tensor: torch.Tensor) -> torch.Tensor:
        """Continue resampled images (n, c, y, x) to a size that the network takes, equally on both sides."""
        size = (tensor.shape[-2], tensor.shape[-1])
        missing = [wanted - length for wanted, length in zip(self._padded(size), size, strict=True)]
        if not any(missing):
            return tensor
        above, left = (each // 2 for each in missing)
        below, right = (each - each // 2 for each in missing)
        tensor = self._pad_axis(tensor, (0, 0, above, below), size[0])
        return self._pad_axis(tensor, (left, right, 0, 0), size[1])

    def _pad_axis(self, tensor: torch.Tensor, sides: tuple[int, int, int, int], length: int) -> torch.Tensor:
        from torch.nn import functional as F

        # reflection cannot exceed the image itself
        mode = "edge" if self.padding == "reflect" and max(sides) >= length else self.padding
        return F.pad(tensor, sides, mode=PADDINGS[mode]) if any(sides) else tensor

    def _padded(self, size: Sequence[int]) -> tuple[int, int]:
        height, width = (max(pair) for pair in zip(size, self.smallest or (0, 0), strict=True))
        return height + -height % self.multiple, width + -width % self.multiple

    def _offset(self, size: Sequence[int]) -> tuple[int, int]:
        """Rows above and columns left of an image that `pad` adds."""
        height, width = self._padded(size)
        return (height - size[0]) // 2, (width - size[1]) // 2

    def _seen(
        self, inner: tuple[int, int], spacing: Sequence[float] | None, extent_mm: tuple[float, float]
    ) -> tuple[int, int]:
        """Height and width in resampled pixels of a crop of that extent: never more than there is."""
        pixel = (self.spacing,) * 2 if self.spacing else spacing or (self.assumed_spacing or 1.0,) * 2
        wanted = (max(1, round(mm / size)) for mm, size in zip(extent_mm, pixel, strict=True))
        height, width = (min(pair) for pair in zip(wanted, inner, strict=True))
        return height, width


@dataclass(frozen=True)
class Crop:
    """What is shown of slices to a network that was trained on the surroundings of one organ.

    Parameters
    ----------
    extent_mm : (float, float)
        Height and width in mm.
    centres : tuple of (float, float)
        One centre (y, x) for each slice, in pixels of the slice: 0 is the middle of its first pixel. At the border the
        crop is moved inside the slice.
    """

    extent_mm: tuple[float, float]
    centres: tuple[tuple[float, float], ...]

    def of(self, indices: Iterable[int]) -> Crop:
        """That of some of the slices."""
        return replace(self, centres=tuple(self.centres[index] for index in indices))


def _corner(
    centre: tuple[float, float], size: tuple[int, int], inner: tuple[int, int], seen: tuple[int, int]
) -> tuple[int, int]:
    """First row and column in resampled pixels of a crop about `centre`, inside the slice."""
    found = []
    for middle, length, resampled, shown in zip(centre, size, inner, seen, strict=True):
        there = (middle + 0.5) * resampled / length
        first = math.ceil(there - shown / 2 - 0.5)
        found.append(min(max(first, 0), resampled - shown))
    return found[0], found[1]


def as_channels(before: torch.Tensor, current: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Three normalised slices (..., 3, y, x) as the channels of one image (..., 3, y, x), in grey.

    What `Preprocess.neighbours` asks for; the slices are those that `neighbours` names.
    """
    import torch

    return torch.stack([image.mean(-3) for image in (before, current, after)], -3)


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
        Height and width after resampling.
    seen : (int, int)
        Height and width of what the network is shown of that: all of it, or a crop.
    corners : tuple of (int, int)
        First row and column of each slice's crop after resampling; empty where the slices are shown whole.
    offset : (int, int)
        Rows above and columns left that padding added.
    """

    size: tuple[int, int]
    inner: tuple[int, int]
    seen: tuple[int, int]
    corners: tuple[tuple[int, int], ...] = ()
    offset: tuple[int, int] = (0, 0)

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Take the padding off and resample logits (n, c, Y, X) to (n, c, y, x); `OUTSIDE` of a crop."""
        from torch.nn import functional as F

        top, left = self.offset
        height, width = self.seen
        logits = logits[..., top : top + height, left : left + width]
        if self.corners:
            logits = self._pasted(logits)
        if self.inner == self.size:
            return logits
        return F.interpolate(logits, self.size, mode="bilinear", align_corners=False)

    def _pasted(self, logits: torch.Tensor) -> torch.Tensor:
        """Crops (n, c, y, x) at their place in whole resampled slices."""
        height, width = self.seen
        whole = logits.new_full((*logits.shape[:2], *self.inner), OUTSIDE)
        # by number: gradients do not pass through what an iteration over `whole` hands out
        for number, (y, x) in enumerate(self.corners):
            whole[number, :, y : y + height, x : x + width] = logits[number]
        return whole


def _as_floats(image: np.ndarray) -> np.ndarray:
    """The values of an image as numbers that keep them apart; whole numbers may be moved by a constant."""
    if image.dtype.kind in "iu" and image.dtype.itemsize > 2:
        # differences of the type itself overflow, and are right as numbers without a sign
        above = (image - image.min()).view(f"u{image.dtype.itemsize}")
        return above.astype(np.float64)
    return np.asarray(image, np.float64 if image.dtype.itemsize > 4 else np.float32)
