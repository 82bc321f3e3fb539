"""What can be set of an acceleration study; light, so that help is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SettingsError
from ..options import option
from ..recon.settings import DIRECTIONS, Sampling


@dataclass(frozen=True)
class StudySettings:
    """Options of an acceleration study.

    Parameters
    ----------
    accelerations : tuple of float
        From 1 (all of k-space) up.
    kind : str
        Of the masks, see `recon.sampling_mask`.
    centre : float
        Share of the measured columns that lies in the centre; as of 4x with 8 % and 8x with 4 %.
    direction : {"x", "y"}
        Axis of the phase encoding.
    seed : int
        Of phase, noise and masks.
    noise : float
        See `recon.simulate`.

    Raises
    ------
    SettingsError
        If there is no acceleration or one below 1, or the seed is not one.
    """

    accelerations: tuple[float, ...] = option((1, 2, 3, 4, 5, 6, 8, 10, 12), "how many times faster", metavar="1,2,4")
    kind: str = option("equispaced_fraction", "kind of the masks", flag="--mask", metavar="KIND")
    centre: float = option(0.32, "share of the measured columns that lies in the centre", metavar="F")
    direction: str = option("x", "axis of the phase encoding", choices=DIRECTIONS)
    seed: int = option(0, "of phase, noise and masks", metavar="N")
    noise: float = option(0.01, "standard deviation of the noise, of the brightest pixel", metavar="S")

    def __post_init__(self) -> None:
        if not self.accelerations or min(self.accelerations) < 1:
            raise SettingsError(f"The accelerations are {self.accelerations}; expected numbers from 1 up.")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"The seed is {self.seed}; expected a whole number from 0 to {2**32 - 1}.")

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> StudySettings:
        """From the fields as JSON holds them."""
        values = dict(content)
        values["accelerations"] = tuple(content["accelerations"])
        return cls(**values)

    def sampling(self, acceleration: float) -> Sampling | None:
        """Rules for the mask; None keeps everything."""
        if acceleration == 1:
            return None
        return Sampling(self.kind, acceleration, self.centre / acceleration, self.seed, direction=self.direction)
