"""Which values of an image are shown from black to white: the windows of CT, and one of percentiles for all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

PERCENTILES = (1.0, 99.0)
"""Of the values of an image: what is darker is black, what is brighter is white."""

_AIR = -900  # Hounsfield units; around a patient there are some that are lower
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


def why_not_ct(modality: str, lowest: float) -> str:
    """Why the values of an image are not taken for Hounsfield units; empty if they are.

    Parameters
    ----------
    modality : str
        As DICOM names it; empty if the file does not say.
    lowest : float
        Of the values.
    """
    if modality == "CT" or (modality in _SAYS_NOTHING and lowest <= _AIR):
        return ""
    if modality not in _SAYS_NOTHING:
        return f"the file says that the image is {modality}, which has no Hounsfield units."
    return (
        f"the file does not say that it is a CT, and its values start at {lowest:.6g}; a CT in Hounsfield units has "
        "air near -1000."
    )


def sample(data: np.ndarray) -> np.ndarray:
    """Finite values of an array, evenly over it, at most some 500,000; shape (n,)."""
    step = max(1, data.size // _SAMPLED)
    values = np.asarray(data).reshape(-1)[::step]
    return values[np.isfinite(values)]


def percentile_window(values: np.ndarray) -> tuple[float, float] | None:
    """Values to show as black and white by `PERCENTILES`; None if they are all alike, or there are none."""
    if not values.size:
        return None
    low, high = np.percentile(values, PERCENTILES)
    return (float(low), float(high)) if low < high else None
