"""How a run goes along: the views of its phases, and how the learning rate falls."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import SettingsError


@dataclass(frozen=True)
class Phase:
    """One part of a run: size and number of its views, from the end of the previous phase on.

    Parameters
    ----------
    until : float
        Share of all steps at which the phase ends.
    size : int
        Height and width of the views in pixels of the resampled images, see `Preprocess`.
    batch : int
        Views per step.
    """

    until: float
    size: int
    batch: int

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 16 or self.batch < 1:
            raise SettingsError(
                f"A phase has size {self.size} and batch {self.batch}; expected a size that is a multiple of 16 "
                "and at least one view."
            )


@dataclass(frozen=True)
class Schedule:
    """How the learning rate falls after the warm-up.

    Parameters
    ----------
    kind : {"cosine", "poly", "step", "plateau", "constant"}
        Half a cosine wave to `final_share`; ``(1 - done) ** power``; times `factor` after every `every` steps; times
        `gamma` after `patience` validations without a better one, down to `final_share`.
    final_share : float
        Of the full rate, at the end (cosine) or at least (plateau).
    every, gamma, patience, power : int, float, int, float
        See `kind`.
    """

    kind: str = "cosine"
    final_share: float = 0.02
    every: int = 1
    gamma: float = 1.0
    patience: int = 0
    power: float = 0.9

    def __post_init__(self) -> None:
        if self.kind not in (kinds := ("cosine", "poly", "step", "plateau", "constant")):
            raise SettingsError(f"The schedule '{self.kind}' does not exist; choose one of {', '.join(kinds)}.")
        waits, falls = min(self.patience, self.power) >= 0, 0 < self.gamma <= 1 and 0 <= self.final_share <= 1
        if self.every < 1 or not waits or not falls:
            raise SettingsError(
                "A schedule needs every of at least 1, gamma above 0 and up to 1, patience and power of 0 or more, and "
                "final_share from 0 to 1."
            )

    def factor(self, step: int, steps: int) -> float:
        """Share of the full rate in `step` (from 0) of `steps` after the warm-up; a plateau is up to validations."""
        done = min(step / max(1, steps), 1)
        if self.kind == "cosine":
            return self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * done))
        if self.kind == "poly":
            return (1 - done) ** self.power
        return self.gamma ** (step // self.every) if self.kind == "step" else 1.0
