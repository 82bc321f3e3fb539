"""Sampling masks: which part of k-space is measured.

Masks of columns (phase encoding) follow fastMRI draw by draw, so that one seed gives one mask in both; ``center_heavy``
is that of the Conditional Swin U-Net. Masks that are drawn here simulate an acquisition on a Cartesian grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from .. import files
from ..errors import FileError, SettingsError
from .columns import COLUMN_KINDS, centre, too_many_centre_lines

KINDS = (*COLUMN_KINDS, "poisson")

Seed = int | tuple[int, ...] | None

_BISECTIONS = 8  # leave some 2 % of the samples too many, which are then dropped
_FASTEST = 10**6  # no scan has so many lines


def check(kind: str, acceleration: float, center_fraction: float, seed: Seed, offset: int | None) -> None:
    """Make sure that masks of a `kind` can be drawn with these numbers.

    Raises
    ------
    SettingsError
        If the kind does not exist or a number is out of its range.
    """
    if kind not in KINDS:
        raise SettingsError(f"There is no sampling of the kind {kind!r}; choose one of {', '.join(KINDS)}.")
    _check(acceleration, center_fraction, offset)
    _stream(seed)


def file_seed(name: str) -> tuple[int, ...]:
    """The seed that fastMRI takes for a file: the character codes of its name, without folder, with extension."""
    return tuple(map(ord, PurePath(name).name))


def sampling_mask(
    kind: str, width: int, acceleration: float, center_fraction: float, seed: Seed = None, offset: int | None = None
) -> np.ndarray:
    """Choose the columns of k-space that are measured.

    Parameters
    ----------
    kind : str
        ``random``: every column with one probability, so that their number varies.
        ``equispaced``: every `acceleration`-th column, and the centre.
        ``equispaced_fraction``: steps widened until the acceleration holds with the centre, rounded to columns.
        ``magic``, ``magic_fraction``: as the two before, the halves of k-space shifted against each other, so that
        conjugate symmetry adds columns.
        ``center_heavy``: the given share of the sampled columns in the centre, the rest in equal steps.
        ``gaussian``: drawn around the centre, standard deviation a quarter of the width, in the exact number.
    width : int
        Number of columns.
    acceleration : float
        From 1 up; a whole number for ``equispaced`` and ``magic``.
    center_fraction : float
        Share of the columns in the fully measured centre; of ``center_heavy`` the share of the sampled ones.
    seed : int or tuple of int, optional
        Left out, every call draws another mask.
    offset : int, optional
        First column of the equispaced and magic kinds, drawn if left out; the others ignore it.

    Returns
    -------
    numpy.ndarray, shape (x,), bool

    Raises
    ------
    SettingsError
        If the kind does not exist, a number is out of its range, or both shares cannot be met.

    Notes
    -----
    With ``random``, ``equispaced`` and ``magic`` the true acceleration differs: see `effective_acceleration`.

    References
    ----------
    Zbontar et al., arXiv:1811.08839, and their software fastMRI.
    """
    return draw_mask(_stream(seed), kind, width, [acceleration], [center_fraction], offset)


def draw_mask(
    stream: np.random.RandomState,
    kind: str,
    width: int,
    accelerations: Sequence[float],
    center_fractions: Sequence[float],
    offset: int | None = None,
    combine: bool = False,
) -> np.ndarray:
    """Draw the next mask of a stream, with one of several accelerations.

    Parameters
    ----------
    stream : numpy.random.RandomState
        Goes on from call to call.
    accelerations, center_fractions : sequence of float
        Pairs, one of which is drawn; with `combine` both are drawn on their own.

    Other parameters, result and errors: see `sampling_mask`.
    """
    if kind not in COLUMN_KINDS:
        known = ", ".join(COLUMN_KINDS)
        raise SettingsError(f"There is no sampling of columns of the kind {kind!r}; choose one of {known}.")
    acceleration, fraction = _draw_pair(stream, accelerations, center_fractions, combine)
    _check(acceleration, fraction, offset)
    if width < 1:
        raise SettingsError(f"The mask has {width} columns; expected at least one.")
    mask = COLUMN_KINDS[kind](stream, width, acceleration, fraction, offset)
    if not mask.any():
        raise SettingsError(
            f"With acceleration {acceleration:g} none of the {width} columns would be measured; "
            "use a lower acceleration or more centre lines."
        )
    return mask


def poisson_mask(
    shape: tuple[int, int], acceleration: float, calibration: tuple[int, int] = (0, 0), seed: Seed = None
) -> np.ndarray:
    """Variable-density Poisson disc: samples that keep a distance, which grows from the centre outwards.

    A scanner can measure it with two phase-encoding directions; of slices it is a simulation.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    acceleration : float
        Above 1. Only the ellipse within `shape` is sampled, which alone makes 4 / pi.
    calibration : (int, int)
        Rows and columns of the fully measured centre.
    seed : int or tuple of int, optional
        Left out, every call draws another mask.

    Returns
    -------
    numpy.ndarray, shape (y, x), bool
        Holds ``round(y * x / acceleration)`` samples.

    Raises
    ------
    SettingsError
        If the acceleration cannot be met.

    Notes
    -----
    Points are visited in random order and taken unless one that was taken is closer than its radius, which is
    ``slope * distance`` (1 at the border of the ellipse) plus a uniform draw from [0, 1): on a grid the distances jump,
    and without that draw so would the density. The slope is found by bisection.

    References
    ----------
    Bridson, SIGGRAPH sketches, 2007; Lustig and Pauly, Magn Reson Med 64:457, 2010.
    """
    _check(acceleration, 0, None)
    stream = _stream(seed)
    distance = np.hypot(*np.meshgrid(*((np.arange(n) - n // 2) / (n / 2) for n in shape), indexing="ij"))
    mask = np.zeros(shape, bool)
    mask[np.ix_(*(centre(n, min(n, lines)) for n, lines in zip(shape, calibration, strict=True)))] = True
    points = stream.permutation(np.flatnonzero((distance <= 1) & ~mask))
    wanted = round(mask.size / acceleration) - np.count_nonzero(mask)
    if wanted < 1:
        raise too_many_centre_lines(acceleration)
    if wanted > len(points):
        lowest = mask.size / (len(points) + np.count_nonzero(mask))
        raise SettingsError(
            f"A Poisson disc leaves out the corners of k-space and so has an acceleration of {lowest:.2f} at least; "
            f"{acceleration:g} was asked for. Use a higher one or another kind of sampling."
        )
    blur = stream.uniform(size=len(points))
    low, high, chosen = 0.0, 2 * math.sqrt(acceleration), points
    for _ in range(_BISECTIONS):
        slope = (low + high) / 2
        thinned = _thin(points, slope * distance.flat[points] + blur, shape)
        if len(thinned) < wanted:
            high = slope
        else:
            low, chosen = slope, thinned
    mask.flat[chosen[:wanted]] = True
    return mask


def effective_acceleration(mask: np.ndarray) -> float:
    """How many samples a mask has for each one that it measures; infinity if it measures none."""
    measured = np.count_nonzero(mask)
    return mask.size / measured if measured else math.inf


def centre_lines(mask: np.ndarray) -> tuple[int, int]:
    """First column of the fully measured centre of a mask (x,) and the one after its last; equal if there is none."""
    middle = len(mask) // 2
    if not mask[middle]:
        return middle, middle
    gaps = np.flatnonzero(~mask.astype(bool))
    after = int(np.searchsorted(gaps, middle))
    return int(gaps[after - 1]) + 1 if after else 0, int(gaps[after]) if after < len(gaps) else len(mask)


def direction(mask: np.ndarray) -> str:
    """``x`` for a mask of whole columns, ``y`` for one of whole rows, else nothing; masks as in `KSpace`."""
    if mask.ndim == 1 or (mask.ndim == 3 and mask.shape[1] == 1):
        return "x"
    return "y" if (mask == mask[..., :1]).all() else ""


def load_mask(path: Path) -> np.ndarray:
    """A sampling mask, (x,), (y, x), (slice, 1, x) or (slice, y, x), bool.

    Raises
    ------
    FileError, SettingsError
        If it cannot be read or is not a mask.
    """
    files.refuse_special(path)
    try:
        mask = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # what NumPy raises on a damaged header is not foreseen
        raise FileError(f"The mask '{path.name}' cannot be read. Choose a .npy file of 0 and 1.") from error
    if getattr(mask, "ndim", 0) not in (1, 2, 3) or mask.dtype.kind not in "biuf":
        raise SettingsError(f"'{path.name}' is not a mask; expected an array (x,), (y, x) or (slice, y, x) of 0 and 1.")
    return np.array(mask) > 0


def save_mask(mask: np.ndarray, path: Path) -> None:
    """Write a mask as .npy, in one step.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    files.replace(path, lambda temporary: np.save(temporary, mask, allow_pickle=False), load_mask)


def _check(acceleration: float, center_fraction: float, offset: int | None) -> None:
    if not 1 <= acceleration <= _FASTEST:
        raise SettingsError(f"The acceleration is {acceleration}; expected a number from 1 up to {_FASTEST}.")
    if not 0 <= center_fraction <= 1:
        raise SettingsError(f"The centre fraction is {center_fraction}; expected a share from 0 to 1.")
    if offset is not None and offset < 0:
        raise SettingsError(f"The offset of the mask is {offset}; expected the number of a column, from 0 up.")


def _stream(seed: Seed) -> np.random.RandomState:
    try:
        return np.random.RandomState(seed)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"The seed is {seed!r}; expected a whole number from 0 to {2**32 - 1}, or several of them."
        ) from error


def _draw_pair(
    stream: np.random.RandomState, accelerations: Sequence[float], fractions: Sequence[float], combine: bool
) -> tuple[float, float]:
    if combine:  # fraction first: the order of the draws decides which mask a seed gives
        fraction = stream.choice(fractions)
        return float(stream.choice(accelerations)), float(fraction)
    if len(accelerations) != len(fractions) or not len(fractions):
        raise SettingsError(
            f"There are {len(accelerations)} accelerations and {len(fractions)} centre fractions; expected one "
            "fraction for each acceleration, or combine them freely."
        )
    index = stream.randint(len(fractions))
    return float(accelerations[index]), float(fractions[index])


def _thin(points: np.ndarray, radii: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Those of `points` (flat positions, in order of visit) that no earlier one keeps away by its radius in pixels."""
    pad = math.ceil(radii.max())
    width = shape[1] + 2 * pad
    steps = np.indices((2 * pad + 1,) * 2).reshape(2, -1) - pad
    lengths = np.hypot(*steps)
    order = np.argsort(lengths)
    disc = (steps[0] * width + steps[1])[order]
    covered = np.searchsorted(lengths[order], radii)
    rows, columns = np.divmod(points, shape[1])
    taken = bytearray((shape[0] + 2 * pad) * width)  # far faster to ask one by one than an array
    painted = np.frombuffer(taken, np.uint8)
    kept = []
    places = (rows + pad) * width + columns + pad
    for index, (place, n) in enumerate(zip(places.tolist(), covered.tolist(), strict=True)):
        if not taken[place]:
            kept.append(index)
            if n > 1:  # otherwise it covers only itself
                painted[place + disc[:n]] = 1
    return points[kept]
