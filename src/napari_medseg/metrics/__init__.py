"""Scores against a reference: of masks (`labels`), objects (`objects`), label volumes (`volumes`), images (`images`).

`grid` brings two volumes onto one grid, and `diameters` measures masks without a reference.
"""

from .diameters import largest_diameter
from .images import mae, nmse, psnr, ssim, ssim_map
from .labels import (
    SCORES,
    Pair,
    Score,
    dice,
    hd95,
    iou,
    mean_surface_distance,
    score_of,
    summarise,
    surface_distances,
)
from .objects import ObjectCounts, count_objects
from .volumes import Comparison, compare, comparison, complete

__all__ = [
    "SCORES",
    "Comparison",
    "ObjectCounts",
    "Pair",
    "Score",
    "compare",
    "comparison",
    "complete",
    "count_objects",
    "dice",
    "hd95",
    "iou",
    "largest_diameter",
    "mae",
    "mean_surface_distance",
    "nmse",
    "psnr",
    "score_of",
    "ssim",
    "ssim_map",
    "summarise",
    "surface_distances",
]
