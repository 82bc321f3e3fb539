"""What the training images of a model look like, in a few numbers on its card, and how far another image is from it.

A slice is described by thirteen measures that turns and mirroring do not change: distribution of its grey values,
edges at two scales, fall of its spectrum, brightness of its border, symmetry. The training slices give their mean and
covariance; the distance of a slice is the one of Mahalanobis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import SettingsError

_CENTRE = 512  # pixels along each side that are looked at
_SIDE = 128  # pixels of the longer side of what is measured
_SMALLEST = 8  # pixels of the shorter side
_PERCENTILES = (1, 99.8)  # grey values that become 0 and 1
_BAND = (0.04, 0.45)  # cycles per pixel between which the fall of the spectrum is measured
_LOOSE = 0.02  # share of the variances that is added to them: measures of few slices vary together by chance

MEASURES = (
    "mean",
    "deviation",
    "percentile_10",
    "percentile_50",
    "percentile_90",
    "dark",
    "bright",
    "fine_edges",
    "coarse_edges",
    "spectrum",
    "border",
    "evenness",
    "symmetry",
)
"""Names of what `measure` returns."""


@dataclass(frozen=True)
class Appearance:
    """Mean and covariance of what `measure` finds in training slices.

    Parameters
    ----------
    mean : tuple of float
        One per measure.
    covariance : tuple of tuple of float
        Square.
    limit : float
        Largest distance of a slice that is not doubted; chosen on `val`.
    margin : float
        How much likelier, as a difference of logarithms, another kind of images must make a slice for it to be
        doubted; chosen on `val`.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    limit: float
    margin: float = 0.0

    def __post_init__(self) -> None:
        count = len(MEASURES)
        square = len(self.covariance) == count and all(len(row) == count for row in self.covariance)
        if len(self.mean) != count or not square:
            raise SettingsError(f"The appearance does not have a mean and a covariance of {count} measures.")
        if np.linalg.eigvalsh(self._matrix).min() <= 0:
            raise SettingsError("The covariance of the appearance is not positive.")

    @property
    def _matrix(self) -> np.ndarray:
        return np.array(self.covariance, np.float64)

    def distance(self, measures: np.ndarray) -> float:
        """Distance of Mahalanobis between what `measure` returned and the training slices."""
        away = measures - np.array(self.mean)
        return math.sqrt(away @ np.linalg.solve(self._matrix, away))

    def likelihood(self, measures: np.ndarray) -> float:
        """Logarithm of the probability density of what `measure` returned, up to a constant that all kinds share."""
        _, spread = np.linalg.slogdet(self._matrix)
        return -0.5 * (self.distance(measures) ** 2 + float(spread))


def fit(rows: Iterable[np.ndarray], limit: float = math.inf, margin: float = 0.0) -> Appearance:
    """The appearance of slices of which `measure` returned `rows`."""
    found = np.array(list(rows), np.float64)
    covariance = np.cov(found.T)
    covariance += _LOOSE * np.diag(np.diag(covariance))
    return Appearance(_plain(found.mean(0)), tuple(map(_plain, covariance)), limit, margin)


def measure(plane: np.ndarray) -> np.ndarray | None:
    """Measures of a slice.

    Parameters
    ----------
    plane : numpy.ndarray, shape (y, x) or (y, x, colour)
        Any real dtype. Of a large slice the middle is looked at; colours are averaged.

    Returns
    -------
    numpy.ndarray, shape (13,), float64
        In the order of `MEASURES`; None where there is nothing to see.
    """
    image = _thumbnail(plane)
    if image is None:
        return None
    from scipy import ndimage

    deviation = image.std()
    smooth = ndimage.gaussian_filter(image, 2)
    fine = _gradient(image)
    coarse = _gradient(smooth)
    if not deviation or not fine.any() or not coarse.any():
        return None
    found = [
        image.mean(),
        deviation,
        *np.percentile(image, (10, 50, 90)),
        (image < 0.06).mean(),
        (image > 0.6).mean(),
        math.log(_root_mean_square(fine) / deviation),
        math.log(_root_mean_square(coarse) / deviation),
        _fall_of_spectrum(image),
        _border(image),
        math.log(fine.mean() / _root_mean_square(fine)),
        _symmetry(smooth),
    ]
    return np.array(found, np.float64)


def _thumbnail(plane: np.ndarray) -> np.ndarray | None:
    """The middle of a slice as a small grey image (y, x) from 0 to 1; None if it holds a single value or is tiny."""
    from skimage.transform import resize

    height, width = plane.shape[:2]
    top, left = max(0, height - _CENTRE) // 2, max(0, width - _CENTRE) // 2
    image = np.asarray(plane[top : top + _CENTRE, left : left + _CENTRE], np.float32)
    if image.ndim > 2:
        image = image.mean(-1)
    finite = np.isfinite(image)
    if min(image.shape) < _SMALLEST or not finite.any():
        return None
    low, high = np.percentile(image[finite], _PERCENTILES)
    if not high > low:
        return None
    image = np.where(finite, image, low)
    image = np.clip((image - low) / (high - low), 0, 1)
    factor = _SIDE / max(image.shape)
    if factor >= 1:
        return image
    size = [max(_SMALLEST, round(side * factor)) for side in image.shape]
    return resize(image, size, order=1, anti_aliasing=True)


def _gradient(image: np.ndarray) -> np.ndarray:
    return np.hypot(*np.gradient(image))


def _root_mean_square(values: np.ndarray) -> float:
    return math.sqrt(np.square(values).mean())


def _fall_of_spectrum(image: np.ndarray) -> float:
    """Slope of the logarithm of the power over that of the frequency."""
    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    down = np.fft.fftfreq(image.shape[0])[:, None]
    across = np.fft.fftfreq(image.shape[1])
    frequency = np.hypot(down, across)
    inside = (frequency > _BAND[0]) & (frequency < _BAND[1])
    slope, _ = np.polyfit(np.log(frequency[inside]), np.log(power[inside] + 1e-9), 1)
    return float(slope)


def _border(image: np.ndarray) -> float:
    """How much brighter the outer eighth is than the rest."""
    width = max(1, min(image.shape) // 8)
    inside = np.zeros(image.shape, bool)
    inside[width:-width, width:-width] = True
    return float(image[~inside].mean() - image[inside].mean())


def _symmetry(image: np.ndarray) -> float:
    """The larger correlation of an image with its two mirror images."""
    centred = image - image.mean()
    power = np.square(centred).sum()
    mirrored = (centred[::-1], centred[:, ::-1])
    return float(max((centred * other).sum() for other in mirrored) / power)


def _plain(values: np.ndarray) -> tuple[float, ...]:
    """Numbers of six digits: more would say nothing."""
    return tuple(float(f"{value:.6g}") for value in values)
