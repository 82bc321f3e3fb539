"""Random changes of training slices, drawn from a generator so that a resumed run sees the same ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from ..errors import SettingsError

_BEYOND = {"reflect": "reflection", "zero": "zeros", "edge": "border"}  # as PyTorch calls them
_MAX_BLUR = 5.0  # its kernel must be smaller than the smallest view


@dataclass(frozen=True)
class AugmentSettings:
    """Ranges of the random changes; each is drawn uniformly and independently per slice.

    Parameters
    ----------
    rotate : float
        Largest rotation in degrees, either way, on top of a random multiple of `quarter_turns` times 90 degrees.
    quarter_turns, flip : bool
        Random multiples of 90 degrees; random mirroring of each axis in `flip_axes`.
    flip_axes : str
        ``xy``, ``x`` or ``y``: leave out an axis along which classes follow each other.
    zoom : (float, float)
        Magnification.
    shift : float
        Largest shift as a share of the image, used where the whole slice is shown.
    gamma, gain : (float, float)
        Exponent and factor of the intensities.
    offset : float
        Largest amount added to the intensities, either way.
    colour_gain : float
        Largest relative change of the gain of single channels.
    blur, noise : float
        Largest standard deviation of Gaussian blur (pixels) and noise (intensity); each in half of the slices.
    spread : float
        How far from the middle of the image crops may lie: 0 the middle only, 1 anywhere.
    warp : float
        Largest displacement of a smooth random deformation, as a share of the view.
    alone : float
        Share of the slices with neighbours that are shown with themselves in place of both.
    jitter : float
        Largest distance along each axis, in pixels, of the middle of a view from the place that it is to be about.
    """

    rotate: float = 20.0
    quarter_turns: bool = True
    flip: bool = True
    flip_axes: str = "xy"
    zoom: tuple[float, float] = (0.78, 1.28)
    shift: float = 0.1
    gamma: tuple[float, float] = (0.7, 1.45)
    gain: tuple[float, float] = (0.8, 1.2)
    offset: float = 0.1
    colour_gain: float = 0.15
    blur: float = 1.2
    noise: float = 0.05
    spread: float = 1.0
    warp: float = 0.0
    alone: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for name in ("zoom", "gamma", "gain"):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise SettingsError(f"The augmentation '{name}' is {pair}; expected two rising numbers above 0.")
        if not 0 <= self.blur <= _MAX_BLUR:
            raise SettingsError(f"The augmentation 'blur' is {self.blur}; expected a number from 0 to {_MAX_BLUR}.")

    def without_resampling(self) -> AugmentSettings:
        """The same, but pixels stay where they are, up to mirroring and quarter turns."""
        return replace(self, rotate=0, zoom=(1, 1), shift=0, warp=0)


NOTHING = AugmentSettings(
    rotate=0,
    quarter_turns=False,
    flip=False,
    zoom=(1, 1),
    shift=0,
    gamma=(1, 1),
    gain=(1, 1),
    offset=0,
    colour_gain=0,
    blur=0,
    noise=0,
)
"""Changes nothing, but crops at random where the image is larger than the view."""


class Augment:
    """Draws one random view of each slice.

    Parameters
    ----------
    settings : AugmentSettings
    generator : torch.Generator
        Source of all randomness.
    padding : {"reflect", "zero", "edge"}
        What lies beyond the border of an image, see `Preprocess`.
    """

    def __init__(self, settings: AugmentSettings, generator: torch.Generator, padding: str = "reflect"):
        self._settings, self._generator = settings, generator
        self._beyond = _BEYOND[padding]

    def __call__(
        self,
        image: torch.Tensor,
        target: torch.Tensor,
        size: tuple[int, int],
        focus: tuple[int, int] | None = None,
        about: tuple[float, float] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One view of `size` of an image and of what belongs to it, interpolated alike.

        Parameters
        ----------
        image : torch.Tensor, shape (3, Y, X), or (9, Y, X) with neighbours
        target : torch.Tensor, shape (..., Y, X), float32
            Moves with the image, its values stay as they are; for labels see `shares.targets`.
        size : (int, int)
            Height and width of the view.
        focus : (int, int), optional
            A crop shows this pixel (y, x).
        about : (float, float), optional
            The middle of the view lies here (y, x), up to `AugmentSettings.jitter`; then `focus` is not looked at.
        """
        height, width = image.shape[-2:]
        grid = self._grid((height, width), size, focus, about)
        view = self._intensities(self._sampled(image, grid))
        if len(view) == 9 and self._uniform(0, 1) < self._settings.alone:
            view = view[3:6].repeat(3, 1, 1)
        return view, self._sampled(target.flatten(0, -3), grid).view(*target.shape[:-2], *size)

    def _sampled(self, maps: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """Maps (c, Y, X) where `grid` (1, y, x, 2) points."""
        return F.grid_sample(maps[None], grid, mode="bilinear", padding_mode=self._beyond, align_corners=False)[0]

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._generator))

    def _coin(self) -> bool:
        return self._uniform(0, 1) < 0.5

    def _grid(
        self,
        shape: tuple[int, int],
        size: tuple[int, int],
        focus: tuple[int, int] | None,
        about: tuple[float, float] | None,
    ) -> torch.Tensor:
        s = self._settings
        turns = int(self._uniform(0, 4)) % 4 if s.quarter_turns else 0
        angle = math.radians(90 * turns + self._uniform(-s.rotate, s.rotate))
        zoom = math.exp(self._uniform(math.log(s.zoom[0]), math.log(s.zoom[1])))
        mirror = [-1.0 if s.flip and self._coin() and axis in s.flip_axes else 1.0 for axis in "xy"]
        # output pixels -> input pixels (x, y), both measured from their centres
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        matrix = torch.tensor([[cos * mirror[0], -sin * mirror[1]], [sin * mirror[0], cos * mirror[1]]])
        if about is None:
            centre = self._anywhere(shape, size, zoom, focus)
        else:
            centre = [self._near(*place) for place in zip(shape[::-1], size[::-1], about[::-1], strict=True)]
        y, x = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in size), indexing="ij")
        seen = torch.stack([x, y], -1)
        if s.warp:
            seen = seen + self._warp(size)
        pixels = seen @ matrix.T + torch.tensor(centre)
        return (pixels / torch.tensor([shape[1] / 2, shape[0] / 2]))[None]

    def _warp(self, size: tuple[int, int]) -> torch.Tensor:
        """Displacements (y, x, 2) in pixels, smooth over a quarter of the view."""
        knots = torch.rand(1, 2, 5, 5, generator=self._generator) * 2 - 1
        field = F.interpolate(knots, size, mode="bicubic", align_corners=True)[0]
        return self._settings.warp * min(size) * field.permute(1, 2, 0)

    def _anywhere(
        self, shape: tuple[int, int], size: tuple[int, int], zoom: float, focus: tuple[int, int] | None
    ) -> list[float]:
        """Where to look (x, y), in pixels from the middle, see `_centre`."""
        middle = [(n - 1) / 2 for n in shape]
        towards = [None, None] if focus is None else [at - half for at, half in zip(focus, middle, strict=True)]
        axes = zip(shape[::-1], size[::-1], towards[::-1], strict=True)
        return [self._centre(n, m / zoom, at) for n, m, at in axes]

    def _near(self, length: int, size: int, about: float) -> float:
        """Where to look along one axis, in pixels from the middle: close to `about`, on whole pixels.

        As in inference, a view is moved inside the image where that is large enough, see `preprocess.Crop`.
        """
        jitter = self._settings.jitter
        wanted = about + self._uniform(-jitter, jitter) - (size - 1) / 2
        first = math.floor(wanted + 0.5)
        if size <= length:
            first = min(max(first, 0), length - size)
        return first + (size - 1) / 2 - (length - 1) / 2

    def _centre(self, length: int, seen: float, towards: float | None) -> float:
        """Where to look along one axis, in pixels from the middle.

        Nearly the middle if the whole image is seen, else anywhere; or where `towards` lies in the inner half of the
        view, as far as the image reaches.
        """
        slack = max(self._settings.spread * (length - seen) / 2, self._settings.shift * length)
        if towards is None:
            return self._uniform(-slack, slack)
        return min(max(towards + self._uniform(-seen / 4, seen / 4), -slack), slack)

    def _intensities(self, image: torch.Tensor) -> torch.Tensor:
        view = image[None]
        s = self._settings
        view = view.clamp(0, 1) ** math.exp(self._uniform(math.log(s.gamma[0]), math.log(s.gamma[1])))
        colour = torch.rand(3, generator=self._generator) * 2 - 1
        gain = self._uniform(*s.gain) * (1 + s.colour_gain * colour)
        slices = view.shape[1] // 3
        view = view * gain.repeat(slices).view(1, -1, 1, 1) + self._uniform(-s.offset, s.offset)
        if s.blur and self._coin():
            view = _gaussian_blur(view, self._uniform(0.2, s.blur))
        if s.noise and self._coin():
            # one noise field for the channels of a slice: grey slices stay grey
            field = torch.randn(slices, *view.shape[-2:], generator=self._generator)
            view = view + self._uniform(0, s.noise) * field.repeat_interleave(3, 0)
        return view[0]


def _gaussian_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = max(1, math.ceil(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    channels = image.shape[1]
    kernel = (kernel / kernel.sum()).repeat(channels, 1)
    image = F.conv2d(F.pad(image, (reach, reach, 0, 0), mode="reflect"), kernel[:, None, None, :], groups=channels)
    return F.conv2d(F.pad(image, (0, 0, reach, reach), mode="reflect"), kernel[:, None, :, None], groups=channels)
