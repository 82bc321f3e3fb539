"""What can be shown of a reconstruction besides its magnitude: phase, coils and their maps, the spread of a point."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingsError
from ..kspace import KSpace
from .methods import Slice, candidates, has_maps
from .point_spread import point_spread
from .settings import ReconSettings

if TYPE_CHECKING:
    from ..models import ModelCard


@dataclass(frozen=True)
class View:
    """One thing to show of a slice.

    Parameters
    ----------
    title : str
        For lists.
    make : callable
        Takes what a method made of a slice, and its mask; returns (y, x) or (coil, y, x), real.
    unit : str
        Of the values; empty where they have the units of the measurement, or none.
    """

    title: str
    make: Callable[[Slice, np.ndarray], np.ndarray]
    unit: str = ""


def _phase(found: Slice, mask: np.ndarray) -> np.ndarray:
    return np.angle(found.image)


def _coils(found: Slice, mask: np.ndarray) -> np.ndarray:
    return np.abs(found.coils)


def _maps(found: Slice, mask: np.ndarray) -> np.ndarray:
    return np.abs(found.sensitivities())


def _map_phases(found: Slice, mask: np.ndarray) -> np.ndarray:
    return np.angle(found.sensitivities())


def _point_spread(found: Slice, mask: np.ndarray) -> np.ndarray:
    return point_spread(mask, found.coils.shape[-2:])


VIEWS = {
    "phase": View("Phase", _phase, "rad"),
    "coils": View("Coil images", _coils),
    "maps": View("Coil maps", _maps),
    "map-phases": View("Phase of coil maps", _map_phases, "rad"),
    "point-spread": View("Point spread of the mask", _point_spread, "dB"),
}
"""By the names of `settings.VIEWS`."""


def cannot_show(name: str, kspace: KSpace, settings: ReconSettings, card: ModelCard | None = None) -> str:
    """Why a view cannot be had of a reconstruction with these `settings`, in a sentence; empty if it can.

    Of a model, with its `card`.
    """
    if name not in VIEWS:
        return f"There is no view '{name}'; choose one of {', '.join(VIEWS)}."
    if name not in ("phase", "maps", "map-phases"):
        return ""
    method = candidates(kspace, settings)[0]
    combined = settings.together or has_maps(kspace, settings, card)
    if name == "phase":
        if combined or kspace.coils == 1:
            return ""
        return (
            f"'{method}' combines the {kspace.coils} coils by the root of the sum of their squares, which has no "
            "phase. Choose a SENSE method."
        )
    if kspace.coils == 1:
        return "The k-space has one coil, which has no map."
    if combined:
        return ""
    return f"'{method}' combines the {kspace.coils} coils without coil maps. Choose a SENSE method."


def check(names: Collection[str], kspace: KSpace, settings: ReconSettings, card: ModelCard | None = None) -> None:
    """Make sure that views can be had.

    Raises
    ------
    SettingsError
        If one cannot, see `cannot_show`.
    """
    for name in names:
        problem = cannot_show(name, kspace, settings, card)
        if problem:
            raise SettingsError(problem)
