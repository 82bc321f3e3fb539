"""Which values of an image are shown from black to white: the windows of CT, and one of percentiles for all others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

PERCENTILES = (1.0, 99.0)
"""Of the values of an image: what is darker is black, what is brighter is white."""

OPENING_PERCENTILES = (0.2, 99.8)
"""The same when an image is opened."""

_AIR = (-1150.0, -850.0)  # Hounsfield units, with the noise of the scanner
_SOFT = (-200.0, 200.0)  # fat, water, muscle
_BRIGHT = 400.0  # few voxels of a body are above it: bone, contrast medium, metal
_INSIDE = -200.0  # a CT of any part of a body goes down to it
_SAYS_NOTHING = ("", "OT", "SC")  # modalities of DICOM: not given, other, and screen captures
_SAMPLED = 500_000


@dataclass(frozen=True)
class Window:
    """The middle and the width of a range of Hounsfield units."""

    centre_hu: float
    width_hu: float

    @property
    def limits(self) -> tuple[float, float]:
        """What is black and what is white."""
        return self.centre_hu - self.width_hu / 2, self.centre_hu + self.width_hu / 2


# Common settings; that of the brain is the example of Radiopaedia, "Windowing (CT)". Hospitals differ a little.
CT_WINDOWS: Mapping[str, Window] = MappingProxyType(
    {
        "soft tissue": Window(50, 400),
        "lung": Window(-600, 1500),
        "bone": Window(400, 1800),
        "brain": Window(40, 80),
        "liver": Window(30, 150),
    }
)


OPENING = "soft tissue"
"""The window of `CT_WINDOWS` in which a CT is opened."""


def why_not_ct(modality: str, values: np.ndarray) -> str:
    """Why the values of an image are not taken for Hounsfield units; empty if they are.

    Parameters
    ----------
    modality : str
        As DICOM names it; empty if the file does not say.
    values : numpy.ndarray, shape (n,)
        A `sample` of them.
    """
    if modality == "CT":
        return ""
    if modality not in _SAYS_NOTHING:
        return f"the file says that the image is {modality}, which has no Hounsfield units."
    if not values.size:
        return "it has no values."
    lowest = float(values.min())
    if lowest > _AIR[1]:
        return (
            f"the file does not say that it is a CT, and its values start at {lowest:.6g}; a CT in Hounsfield units "
            "has air near -1000."
        )
    if _spread_like_ct(values):
        return ""
    return (
        f"the file does not say that it is a CT, and its values, from {lowest:.6g} to {values.max():.6g}, are not "
        "spread like those of one: air near -1000, much around 0, and little above 400."
    )


def _spread_like_ct(values: np.ndarray) -> bool:
    """Whether there is air and soft tissue, little that is brighter, and below air nothing but one value for outside.

    Phase images start at -1000 or -4096 too, but their values are spread evenly.
    """
    padding = values == values.min()
    inside = values[~padding] if values.min() < _AIR[0] else values
    if not inside.size:
        return False
    below = float((inside < _AIR[0]).mean())
    bright = float((inside > _BRIGHT).mean())
    return _share(inside, _AIR) > 0.01 and _share(inside, _SOFT) > 0.05 and below < 0.01 and bright < 0.2


def _share(values: np.ndarray, limits: tuple[float, float]) -> float:
    low, high = limits
    return float(((values >= low) & (values <= high)).mean())


def opening_window(modality: str, values: np.ndarray) -> tuple[float, float] | None:
    """Values that are black and white when an image is opened; None if they are all alike, or there are none.

    Parameters
    ----------
    modality, values
        As of `why_not_ct`.

    Returns
    -------
    tuple of two float, or None
        The window `OPENING` for a CT in Hounsfield units, unless hardly a voxel lies in it; of other images all but a
        few of the darkest and brightest values, so that a few bright voxels do not darken the rest.
    """
    if values.size and values.min() <= _INSIDE and not why_not_ct(modality, values):
        limits = CT_WINDOWS[OPENING].limits
        if _share(values, limits) > 0.05:
            return limits
    return percentile_window(values, OPENING_PERCENTILES)


def sample(data: np.ndarray) -> np.ndarray:
    """Finite values of an array, evenly over it, at most 500,000; shape (n,)."""
    step = max(1, math.ceil(data.size / _SAMPLED))
    values = np.asarray(data).reshape(-1)[::step]
    return values[np.isfinite(values)]


def percentile_window(values: np.ndarray, percentiles: tuple[float, float] = PERCENTILES) -> tuple[float, float] | None:
    """Values to show as black and white by `percentiles`; None if they are all alike, or there are none."""
    if not values.size:
        return None
    low, high = np.percentile(values, percentiles)
    return (float(low), float(high)) if low < high else None
