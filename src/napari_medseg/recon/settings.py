"""What can be set of a reconstruction, its mask, its probe and a comparison of methods; light, so that help is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..options import DEVICES, option

if TYPE_CHECKING:
    import numpy as np

CONSISTENCY = ("none", "soft", "hard")
DIRECTIONS = ("x", "y")
PROBES = ("sensitivity", "noise", "g-factor")
AUTO = "auto"
"""Name of the method that the data decide, and of how partial Fourier is completed."""
POCS, HOMODYNE, NONE = "pocs", "homodyne", "none"
PARTIAL = (AUTO, POCS, HOMODYNE, NONE)
VIEWS = ("phase", "coils", "maps", "map-phases", "point-spread")
"""What can be shown of a reconstruction besides its magnitude, see `views.VIEWS`."""
HIDDEN = 1 / 6
"""Share of the measured lines outside of the full centre that is hidden from methods which are to predict it."""


@dataclass(frozen=True)
class ReconSettings:
    """Options of a reconstruction.

    Parameters
    ----------
    method : str
        One of `methods.METHODS`, the name of a model that reconstructs, or ``auto``, see `methods.candidates`.
    dc : {"none", "soft", "hard"}
        Data consistency after the method; ``hard`` puts the measured samples back.
    dc_weight : float
        Weight of the measured samples where `dc` is ``soft``.
    strength : float or None
        Weight of total variation or wavelets, see `classical.tv_steps`; None to choose it by hidden samples, see
        `strength.tuned_job`, or for the default of a method that needs no choice.
    iterations : int or None
        Of the method; None for its default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where a network computes.
    partial : {"auto", "pocs", "homodyne", "none"}
        How the side of k-space is completed that partial Fourier did not measure, after method and data consistency;
        ``auto`` decides between ``pocs`` and ``none``, see `partial_choice.partial_job`.
    together : bool
        Whether the frames of a cine are reconstructed together, see `frames.together_job`, whatever the method.

    Raises
    ------
    SettingsError
        If a value is not among these.
    """

    method: str = option(
        AUTO,
        "auto (by the data), zero-filled, tv, wavelet, sense, sense-tv, sense-wavelet, or a model that reconstructs",
        metavar="NAME",
        always=True,
    )
    dc: str = option("hard", "data consistency afterwards", choices=CONSISTENCY)
    dc_weight: float = option(1.0, "of the samples, with --dc soft", metavar="W")
    strength: float | None = option(None, "of total variation or wavelets; default: by hidden samples", metavar="S")
    iterations: int | None = option(None, "of the method", metavar="N")
    device: str = option("auto", "where a network runs", choices=DEVICES)
    partial: str = option(AUTO, "how partial Fourier is completed; auto: by hidden columns", choices=PARTIAL)
    together: bool = option(False, "reconstruct the frames of a cine together (k-t SENSE), whatever the method")

    def __post_init__(self) -> None:
        if self.partial not in PARTIAL:
            raise SettingsError(f"Partial Fourier is {self.partial!r}; choose one of {', '.join(PARTIAL)}.")
        if self.dc not in CONSISTENCY:
            raise SettingsError(f"Data consistency is {self.dc!r}; choose one of {', '.join(CONSISTENCY)}.")
        if not 0 <= self.dc_weight < math.inf:
            raise SettingsError(f"The weight of data consistency is {self.dc_weight}; expected a number from 0 up.")

    @property
    def weight(self) -> float | None:
        """Weight for `data_consistency`; None is hard."""
        return {"none": 0.0, "soft": self.dc_weight, "hard": None}[self.dc]


@dataclass(frozen=True)
class FinishSettings:
    """What comes after a reconstruction; false where nothing does.

    Figures against a reference are those of the image before it.

    Parameters
    ----------
    gibbs : float
        How far k-space is faded at its ends (generalised Hamming window), from 0 (no filter) to 1 (to nothing, Hann's
        window). At 0.5 edges overshoot by 2 % in place of 9 %, and points get 1.13 times wider; at 1 by 0.6 %, and
        1.67 times.
    interpolate : bool
        Whether pixels are made half as large in plane, by zeros around k-space. No detail is added.

    Raises
    ------
    SettingsError
        If `gibbs` is out of its range.
    """

    gibbs: float = option(
        0.0, "filter against ringing, 0 to 1; 0.5 makes points 1.13 times wider, 1 makes them 1.67 times", metavar="S"
    )
    interpolate: bool = option(False, "halve the pixel size in plane, by zeros around k-space")

    def __post_init__(self) -> None:
        if not 0 <= self.gibbs <= 1:
            raise SettingsError(f"The Gibbs filter is {self.gibbs}; expected a number from 0 (off) to 1.")

    def __bool__(self) -> bool:
        return self.interpolate or self.gibbs > 0

    @property
    def finer(self) -> int:
        """Pixels for each one of the matrix, along y and x."""
        return 2 if self.interpolate else 1


@dataclass(frozen=True)
class Sampling:
    """How k-space is undersampled.

    Parameters
    ----------
    kind : str
        One of `KINDS`; ``poisson`` samples in two directions, the others whole columns. See `sampling_mask`.
    acceleration : float
        From 1 up.
    center_fraction : float
        Share of the columns in the fully measured centre, of ``center_heavy`` the share of the sampled ones, of
        ``poisson`` the share of either axis.
    seed : int, optional
        Left out, the name of the file is the seed: all slices of a file share a mask, in every run.
    offset : int, optional
        First column of the equispaced and magic kinds, drawn if left out; the others ignore it.

    Raises
    ------
    SettingsError
        If the kind does not exist or a number is out of its range.
    """

    kind: str = option(
        "random",
        "undersample: random, equispaced_fraction, poisson, ... (default: do not)",
        flag="--mask",
        metavar="KIND",
        always=True,
    )
    acceleration: float = option(4.0, "how many times", metavar="A")
    center_fraction: float = option(0.08, "share of centre columns", metavar="F")
    seed: int | None = option(None, "of the mask; default: from the file name", metavar="N")
    offset: int | None = option(None, "first column of equal steps", metavar="N")
    direction: str = option("x", "axis of the phase encoding", choices=DIRECTIONS)

    def __post_init__(self) -> None:
        from .sampling import check  # needs NumPy, which help does not wait for

        if self.direction not in DIRECTIONS:
            raise SettingsError(f"The direction of the phase encoding is {self.direction!r}; choose x or y.")
        check(self.kind, self.acceleration, self.center_fraction, self.seed, self.offset)

    def mask(self, shape: tuple[int, int], name: str = "") -> np.ndarray:
        """Draw the mask for k-space of `shape` (rows, columns) from the file `name`.

        Without seed and name the seed is 0.

        Returns
        -------
        numpy.ndarray, shape (x,) or, of ``poisson`` and along ``y``, (y, x), bool

        Raises
        ------
        SettingsError
            If `shape` does not have two axes or the options cannot be met on it.
        """
        from .sampling import file_seed, poisson_mask, sampling_mask

        if len(shape) != 2:
            raise SettingsError(f"The shape of the mask is {tuple(shape)}; expected rows and columns.")
        seed = (file_seed(name) or 0) if self.seed is None else self.seed
        if self.kind == "poisson":
            rows, columns = (round(n * self.center_fraction) for n in shape)
            return poisson_mask(shape, self.acceleration, (rows, columns), seed)
        lines = shape[1 if self.direction == "x" else 0]
        mask = sampling_mask(self.kind, lines, self.acceleration, self.center_fraction, seed, self.offset)
        return mask if self.direction == "x" else mask[:, None].repeat(shape[1], 1)


@dataclass(frozen=True)
class HiddenSettings:
    """Options of a comparison by hidden lines.

    Parameters
    ----------
    share : float
        Share of the lines outside of the full centre that is hidden.
    repeats : int
        Choices of hidden lines whose errors are pooled.
    seed : int
        Of the choices; repeat by repeat, and slice by slice, the same for every method.

    Raises
    ------
    SettingsError
        If a value is out of its range.
    """

    share: float = option(
        HIDDEN, "share of the lines outside of the full centre that is hidden", flag="--hidden-share", metavar="F"
    )
    repeats: int = option(4, "choices of hidden lines whose errors are pooled", metavar="N")
    seed: int = option(0, "of the choices of hidden lines", flag="--hidden-seed", metavar="N")

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise SettingsError(f"The share of hidden lines is {self.share}; expected a number between 0 and 1.")
        if self.repeats < 1:
            raise SettingsError(f"The number of choices of hidden lines is {self.repeats}; expected 1 or more.")
        if self.seed < 0:
            raise SettingsError(f"The seed is {self.seed}; expected a whole number from 0 up.")


@dataclass(frozen=True)
class ProbeSettings:
    """Options of a probe.

    Parameters
    ----------
    repeats : int
        For the sensitivity: reconstructions of either kind, with noise added and with lines dropped.
    dropped : float
        For the sensitivity: share of the lines outside of the full centre that is dropped.
    seed : int
        Of noise and lines; repeat by repeat, and slice by slice, the same for every method.
    shows : {"sensitivity", "noise", "g-factor"}
        What is made of the repeats, see `probe.probe_job`.
    replicas : int
        For noise and g-factor: reconstructions with noise added. 32 leave an error of an eighth in every pixel.

    Raises
    ------
    SettingsError
        If a value is out of its range.
    """

    repeats: int = 4
    dropped: float = 0.1
    seed: int = 0
    shows: str = "sensitivity"
    replicas: int = 32

    @property
    def reconstructions(self) -> int:
        """How often a slice is reconstructed."""
        return 2 * self.repeats if self.shows == "sensitivity" else 1 + self.replicas

    def __post_init__(self) -> None:
        if self.shows not in PROBES:
            raise SettingsError(f"A probe cannot show {self.shows!r}; choose one of {', '.join(PROBES)}.")
        if self.replicas < 2:
            raise SettingsError(f"The number of replicas is {self.replicas}; expected 2 or more.")
        if self.repeats < 1:
            raise SettingsError(f"The number of repeats is {self.repeats}; expected 1 or more.")
        if not 0 < self.dropped < 1:
            raise SettingsError(f"The share of dropped lines is {self.dropped}; expected a number between 0 and 1.")
        if self.seed < 0:
            raise SettingsError(f"The seed is {self.seed}; expected a whole number from 0 up.")
