"""Reconstructions compared with a reference: figures of volumes and slices, and images of where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import files, metrics
from ..kspace import KSpace
from ..progress import Job, Progress
from . import figures
from .contributions import magnitude
from .noise import whitened
from .reconstruct import compare

VIEWS = ("error", "difference", "ssim")
"""What `view_job` shows: ``|result - reference|``, ``result - reference``, and `metrics.ssim_map`."""
ERROR_SHARE = 0.2
"""Of the largest value of the reference: where the scale of errors and differences ends."""


@dataclass(frozen=True, eq=False)
class Source:
    """What is compared: name, method, images (slice, y, x), and the data residual of the volume and by slice."""

    name: str
    method: str
    images: np.ndarray
    residual: float | None
    residuals: Sequence[float]


@dataclass(frozen=True, eq=False)
class Row:
    """Figures of one result: of the volume, and of every slice."""

    name: str
    volume: Mapping[str, float | None]
    slices: Sequence[Mapping[str, float | None]]


def reference_job(kspace: KSpace, images: np.ndarray | None) -> Job[np.ndarray]:
    """The reference (slice, y, x): given images, else those of the file, else those of the full k-space."""
    if images is not None:
        return np.asarray(images, np.float32).reshape(-1, *(kspace.crop or kspace.matrix))
    kspace = whitened(kspace)
    found = []
    for index in range(kspace.slices):
        yield Progress(index, kspace.slices)
        if kspace.reference is None:
            found.append(magnitude(kspace, index))
        else:
            found.append(np.asarray(kspace.reference[index], np.float32))
    return np.stack(found)


def compare_job(
    full: KSpace, reference: np.ndarray | None, sources: Sequence[Source], masked: KSpace | None
) -> Job[list[Row]]:
    """Figures of results, and of zero filling, against a reference.

    Parameters
    ----------
    full : KSpace
        As it was measured.
    reference : numpy.ndarray or None
        See `reference_job`.
    sources : sequence of Source
    masked : KSpace or None
        What to fill with zeros; None to leave it out.

    Raises
    ------
    VolumeError
        If shapes differ.
    """
    truth = yield from reference_job(full, reference)
    if masked is not None and masked.mask is not None:
        masked = whitened(masked)
        images = []
        for index in range(masked.slices):
            yield Progress(index, masked.slices)
            images.append(magnitude(masked, index))
        none = [0.0] * len(images)
        filled = Source("zero-filled, mask as now", "zero-filled", np.stack(images), 0.0, none)
        sources = [filled, *sources]
    largest = float(truth.max())
    rows = []
    for source in sources:
        yield Progress(len(rows), len(sources))
        compared = compare(truth, {source.name: source.images})
        volume = {**compared[source.name], figures.RESIDUAL: source.residual}
        slices = []
        for index, (right, image) in enumerate(zip(truth, source.images, strict=True)):
            yield Progress(len(rows), len(sources))
            residual = source.residuals[index] if index < len(source.residuals) else None
            found = _figures(right[None], image[None], largest)
            slices.append({**found, figures.RESIDUAL: residual})
        rows.append(Row(source.name, volume, slices))
    return rows


def residuals_only(sources: Sequence[Source]) -> list[Row]:
    """What is known of results without a reference: how far they lie from the measured samples."""
    rows = []
    for source in sources:
        slices = [_residual_only(residual) for residual in source.residuals]
        rows.append(Row(source.name, _residual_only(source.residual), slices))
    return rows


def _residual_only(residual: float | None) -> dict[str, float | None]:
    return {**dict.fromkeys(figures.FIGURES), figures.RESIDUAL: residual}


def _figures(reference: np.ndarray, image: np.ndarray, maximum: float) -> Mapping[str, float | None]:
    """Of one slice (1, y, x); nothing of an empty one, which has no scale."""
    if not reference.any():
        return dict.fromkeys(figures.FIGURES)
    return figures.measure(reference, image, maximum)


def view_job(
    view: str, full: KSpace, reference: np.ndarray | None, sources: Sequence[Source]
) -> Job[tuple[float, list[np.ndarray]]]:
    """Images of where results differ from a reference.

    Parameters
    ----------
    view : str
        One of `VIEWS`.
    full, reference, sources
        See `compare_job`.

    Returns
    -------
    (float, list of numpy.ndarray, shape (slice, y, x), float32)
        The largest value of the reference, and one image per source. Nothing is scaled by an image's own maximum: a bad
        and a good result must not look alike.

    Raises
    ------
    VolumeError
        If shapes differ; for ``ssim`` also if the images have fewer than 7 x 7 pixels or the reference is empty.
    """
    truth = yield from reference_job(full, reference)
    largest = float(truth.max())
    found = []
    for source in sources:
        planes = []
        for right, image in zip(truth, source.images, strict=True):
            yield Progress(len(found), len(sources))
            planes.append(_plane(view, right, image, largest))
        found.append(np.stack(planes))
    return largest, found


def _plane(view: str, right: np.ndarray, image: np.ndarray, largest: float) -> np.ndarray:
    """Where a slice (y, x) differs from the right one."""
    if view == "ssim":
        return metrics.ssim_map(right[None], image[None], largest)[0]
    difference = image - right
    if view == "error":
        return np.abs(difference)
    return difference


def view_limits(view: str, largest: float, times: float = 1) -> tuple[float, float]:
    """Values to show as the ends of the colour map, the same for all results.

    Parameters
    ----------
    view : str
        One of `VIEWS`.
    largest : float
        Largest value of the reference.
    times : float
        How many times stronger to show errors and differences.
    """
    end = ERROR_SHARE * (largest or 1.0) / times
    limits = {
        "error": (0.0, end),
        "difference": (-end, end),
        "ssim": (0.0, 1.0),
    }
    return limits[view]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """The figures of volumes and slices as a table; its last line says how they are defined.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    names = figures.columns()
    table = [["result", "slice", *names.values()]]
    for row in rows:
        for place, values in (("all", row.volume), *enumerate(row.slices)):
            cells = ["" if values[key] is None else values[key] for key in names]
            table.append([row.name, place, *cells])
    table.append([f"# {figures.CONVENTION}"])
    files.save_table(path, table)
