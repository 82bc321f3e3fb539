"""Tools that change labels voxel by voxel."""

from __future__ import annotations

import numpy as np

from ...errors import VolumeError
from .common import Box, Change, Where, check_fits, class_by_class


def relabel(labels: np.ndarray, where: Where, into: float = 1) -> Change:
    """Give classes to another one: merges several, and renumbers one.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
    into : float
        The class that they become; 0 is background.

    Raises
    ------
    VolumeError
        If it does not fit into the type of the labels.
    """
    target = int(into)
    check_fits(target, labels.dtype)
    return _replace(labels, where, target)


def clear(labels: np.ndarray, where: Where) -> Change:
    """Give classes to the background."""
    return _replace(labels, where, 0)


def _replace(labels: np.ndarray, where: Where, target: int) -> Change:
    def draw(part: np.ndarray, region: np.ndarray, number: int, box: Box) -> None:
        part[region[box] == number] = target

    return class_by_class(labels, where, draw)


def keep_range(labels: np.ndarray, where: Where, low: float, high: float) -> Change:
    """Keep of a class only what lies within a range of intensities: a rough region becomes what is in it.

    Parameters
    ----------
    labels : numpy.ndarray, shape (z, y, x), integer
    where : Where
        With its image.
    low, high : float
        Intensities, both included.

    Raises
    ------
    VolumeError
        If there is no image.
    """
    image = image_of(where)
    pixels = where.region(image)

    def draw(part: np.ndarray, region: np.ndarray, number: int, box: Box) -> None:
        outside = ~within(pixels[box], low, high)
        part[outside & (region[box] == number)] = 0

    return class_by_class(labels, where, draw)


def within(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Where intensities lie in a range; NaN does not."""
    return (pixels >= low) & (pixels <= high)


def image_of(where: Where) -> np.ndarray:
    """The image that a tool needs.

    Raises
    ------
    VolumeError
        If there is none.
    """
    if where.image is None:
        raise VolumeError("This tool needs the image of the labels; none is chosen. Choose it at the top of the dock.")
    return where.image
