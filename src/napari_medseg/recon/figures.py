"""The figures of a reconstruction against a reference: one table, from which reports, tables and CSV files are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .. import metrics
from ..quantities import rounded

RESIDUAL = "residual"
"""Key of the data residual, which needs no reference and stands next to the figures."""
CONVENTION = (
    "NMSE, PSNR and MAE over the whole volume, SSIM as the mean over slices (7 x 7 uniform window); data range: the "
    "maximum of the reference volume; no masking, no rescaling (fastMRI's definitions)"
)


@dataclass(frozen=True)
class Figure:
    """One figure of images against a reference.

    Parameters
    ----------
    title : str
        For a heading, short.
    function : callable
        Takes the reference (slice, y, x), the images of its shape, and the maximum of the reference volume.
    better : {"higher", "lower"}
    unit : str
        Empty for a number without one.
    decimals : int
        In texts.
    column : str
        Heading in CSV files; empty: key and unit.
    smallest : int
        Rows and columns that an image must have.
    shown : bool
        Whether it stands in tables; the others are in reports only.
    on_card : bool
        Whether training measures it for the card of a model.
    """

    title: str
    function: Callable[[np.ndarray, np.ndarray, float], float]
    better: Literal["higher", "lower"]
    unit: str = ""
    decimals: int = 4
    column: str = ""
    smallest: int = 1
    shown: bool = True
    on_card: bool = False

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def text(self, value: float | None) -> str:
        """A value for reading."""
        return "-" if value is None else rounded(value, self.decimals)


def _mae_share(reference: np.ndarray, images: np.ndarray, maximum: float) -> float:
    return metrics.mae(reference, images) / (maximum or 1.0)


FIGURES: dict[str, Figure] = {
    "nmse": Figure("NMSE", lambda truth, images, _: metrics.nmse(truth, images), "lower", on_card=True),
    "psnr": Figure("PSNR", metrics.psnr, "higher", unit="dB", on_card=True),
    "ssim": Figure("SSIM", metrics.ssim, "higher", smallest=7, on_card=True),
    "mae": Figure("MAE", lambda truth, images, _: metrics.mae(truth, images), "lower", shown=False),
    "mae_share": Figure("MAE / max", _mae_share, "lower", column="mae_share_of_maximum"),
}
"""By the names that reports use."""


def measure(reference: np.ndarray, images: np.ndarray, maximum: float) -> dict[str, float | None]:
    """All figures of images (slice, y, x); None where they are too small for one.

    Parameters
    ----------
    reference, images : numpy.ndarray, shape (slice, y, x), real
    maximum : float
        Of the reference volume, of which these may be a part.

    Raises
    ------
    VolumeError
        If shapes differ, or the reference holds only zeros.
    """
    found: dict[str, float | None] = {}
    for key, figure in FIGURES.items():
        large = min(reference.shape[1:]) >= figure.smallest
        found[key] = figure.function(reference, images, maximum) if large else None
    return found


def shown() -> dict[str, Figure]:
    """The figures that stand in tables."""
    return {key: figure for key, figure in FIGURES.items() if figure.shown}


def headings() -> dict[str, str]:
    """Headings of a table with the data residual at its end, by keys."""
    return {key: figure.heading for key, figure in shown().items()} | {RESIDUAL: "Data residual"}


def columns() -> dict[str, str]:
    """As `headings`, for a CSV file."""
    names = {}
    for key, figure in shown().items():
        names[key] = figure.column or "_".join(part for part in (key, figure.unit.lower()) if part)
    return names | {RESIDUAL: "data_residual"}


def directions() -> str:
    """Which way each figure of a table is better, in one sentence."""
    texts = []
    for better in ("higher", "lower"):
        titles = [figure.title for figure in shown().values() if figure.better == better]
        texts.append(f"{better} is better for {', '.join(titles)}")
    return f"{texts[0][0].upper()}{'; '.join(texts)[1:]}."
