"""Where k-space was measured, slice by slice: as its zeros show, or as the positions of its readouts do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..kspace import KSpace

_MAX_HOLES = 0.1  # share of zeros in the columns of a slice that chance can explain


def inferred(kspace: KSpace) -> KSpace:
    """k-space with the mask that its zeros and its header show, or as it is where all of it was measured.

    See `kspace.read_kspace` for the rules.
    """
    columns = np.arange(kspace.matrix[1])
    first, end = kspace.acquired or (0, len(columns))
    acquired = (columns >= first) & (columns < end)
    if _is_full(kspace.data, acquired):
        return replace(kspace, mask=acquired, mask_origin="file") if kspace.is_partial else kspace
    mask = joined(_seen(kspace.data)) & acquired
    start, stop = kspace.whole
    if mask[..., start:stop].all() or not mask.any():
        return kspace
    return replace(kspace, mask=mask, mask_origin="inferred")


def joined(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Masks (1, x) or (y, x) of slices in the shape that `KSpace` wants, without axes along which all are equal."""
    rows = max(len(mask) for mask in masks)
    whole = np.stack([np.broadcast_to(mask, (rows, mask.shape[1])) for mask in masks])
    if (whole == whole[:1]).all():
        return whole[0, 0] if rows == 1 else whole[0]
    return whole


def masked(kspace: KSpace, masks: Sequence[np.ndarray]) -> KSpace:
    """k-space with the masks (1, x) or (y, x) of its slices, or one for all, unless they measure everything."""
    mask = joined(masks)
    first, end = kspace.whole
    return kspace if mask[..., first:end].all() else replace(kspace, mask=mask, mask_origin="file")


def _is_full(data: Any, acquired: np.ndarray) -> bool:
    """Whether all acquired columns of the first, the middle and the last slice hold samples."""
    slices = data.shape[0]
    few = [_sampled(data[index]) for index in sorted({0, slices // 2, slices - 1})]
    return all(_without_chance(seen)[:, acquired].all() for seen in few)


def _seen(data: Any) -> list[np.ndarray]:
    """Where each slice holds samples, (1, x) or (y, x); one that holds none counts as sampled like the others."""
    found = [_without_chance(_sampled(data[index])) for index in range(data.shape[0])]
    somewhere = np.any([mask.any(0) for mask in found], axis=0)[None]
    return [mask if mask.any() else somewhere for mask in found]


def _sampled(measured: Any) -> np.ndarray:
    """Where some coil of a slice is not zero, shape (y, x)."""
    return (np.asarray(measured) != 0).any(0)


def _without_chance(seen: np.ndarray) -> np.ndarray:
    """Whole columns (1, x) where few samples of the others are zero, which then are so by chance; else (y, x)."""
    columns = np.any(seen, axis=0)
    if columns.any() and 1 - seen[:, columns].mean() > _MAX_HOLES:
        return seen
    return columns[None]
