"""k-space under a mask: a drawn one chooses among what was acquired, and what is left is said in numbers and words."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import SettingsError
from ..kspace import KSpace
from .sampling import direction
from .settings import Sampling

REFERENCED = ("generated", "given")
"""Origins of masks over full scans, whose image is a reference."""
_OF_A_PART = " within an undersampled scan"


def sampled(kspace: KSpace, sampling: Sampling | None, mask: np.ndarray | None = None) -> KSpace:
    """`kspace` under a mask: the one passed, or one that `sampling` draws, or its own.

    Samples that were not acquired are taken out of the mask; if the scan is undersampled, `KSpace.notes` say how many.

    Raises
    ------
    SettingsError, VolumeError
        If the mask does not fit, or none of its samples was acquired.
    """
    origin = "given"
    if mask is None:
        if sampling is None:
            return kspace
        origin = "generated"
        mask = sampling.mask(kspace.matrix, str(kspace.metadata.get("source", "")))
    asked = np.asarray(mask, bool)
    found = replace(kspace, mask=asked, mask_origin=origin)  # a mask that does not fit is refused here
    left = asked & _acquired(kspace) if kspace.mask is None else _both(asked, kspace.mask)
    if asked.any() and not left.any():
        raise SettingsError("The chosen mask contains only samples that were not measured. Choose another one.")
    found = replace(found, mask=left)
    if kspace.mask is None:
        return found
    return replace(found, mask_origin=origin + _OF_A_PART, notes=(*kspace.notes, *_cut(asked, left)))


def _both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where both masks measure, in the larger of their shapes."""
    if max(a.ndim, b.ndim) == 3:
        a, b = (each.reshape((1,) * (3 - each.ndim) + each.shape) for each in (a, b))
    return a & b


def _acquired(kspace: KSpace) -> np.ndarray:
    """The columns (x,) that the scanner acquired."""
    first, end = kspace.acquired or (0, kspace.matrix[1])
    places = np.arange(kspace.matrix[1])
    return (places >= first) & (places < end)


def _cut(asked: np.ndarray, left: np.ndarray) -> list[str]:
    """What a person should know of a mask of which some was not measured."""
    share = float(left.mean() / asked.mean()) if asked.any() else 1.0
    if share == 1:
        return []
    return [f"The scan is undersampled: only {share:.0%} of the samples of the chosen mask were measured."]


def describe(kspace: KSpace) -> dict[str, Any]:
    """A mask in a few JSON-able words and numbers; its hash distinguishes it from others."""
    measured, full, what = _counted(kspace)
    mask = kspace.mask_of(0) if kspace.mask is None else kspace.mask
    return {
        "origin": kspace.mask_origin or "none",
        "samples": measured,
        "of": full,
        "against": what,
        "effective_acceleration": kspace.acceleration,
        "sha256": hashlib.sha256(np.packbits(mask).tobytes()).hexdigest(),
    }


def acceleration_text(kspace: KSpace) -> str:
    """The acceleration, and against what: ``3.91x (47 of 184 columns)``."""
    measured, full, what = _counted(kspace)
    if kspace.mask is not None and kspace.mask.ndim == 3:
        measured, full = round(measured / kspace.slices), full // kspace.slices
        what += " in each slice"
    return f"{kspace.acceleration:.2f}x ({measured} of {full} {what})"


def frames_text(kspace: KSpace) -> str:
    """What the frames of a scan are: ``10 (phase 0 to 9)``, ``4 (repetition 0 to 1, contrast 0 to 1)``."""
    frames = kspace.metadata.get("frames") or []
    parts = []
    for name in frames[0] if frames else ():
        numbers = [frame[name] for frame in frames]
        parts.append(f"{name} {min(numbers)} to {max(numbers)}")
    return f"{kspace.frames} ({', '.join(parts)})" if parts else str(kspace.frames)


def _counted(kspace: KSpace) -> tuple[int, int, str]:
    """What was measured, what a full scan at this resolution has, and what is counted: columns, rows or samples."""
    measured, full = kspace.counted()
    way = "x" if kspace.mask is None else direction(kspace.mask)
    first, end = kspace.whole
    if way == "y":
        width = end - first
        return measured // width, full // width, "rows"
    what = "columns" if way == "x" else "samples"
    if (first, end) != (0, kspace.matrix[1]):
        what = f"{what} from {first} to {end - 1}"
    return measured, full, what
