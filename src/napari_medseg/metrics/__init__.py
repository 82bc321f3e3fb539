"""Scores against a reference: of a segmentation (`labels`), of images (`images`)."""

from .images import mae, nmse, psnr, ssim, ssim_map
from .labels import (
    SCORES,
    Pair,
    Score,
    compare,
    dice,
    hd95,
    iou,
    mean_surface_distance,
    score_of,
    summarise,
    surface_distances,
)

__all__ = [
    "SCORES",
    "Pair",
    "Score",
    "compare",
    "dice",
    "hd95",
    "iou",
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
