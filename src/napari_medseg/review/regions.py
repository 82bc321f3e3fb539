"""Regions of labels, time point by time point, and what one of them measures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import metrics
from ..label_values import number_objects
from ..slice_states import APPROVED, UNSEEN
from ..slice_states import KEY as SLICES
from ..volume import Volume
from .ledger import Ledger
from .planes import Planes, checksum

Box = tuple[slice, ...]
"""Where a region lies, an interval per axis."""


@dataclass(frozen=True)
class Row:
    """What was measured of a class or an object, in the whole volume or at one time point.

    Parameters
    ----------
    id : int
        Number in the labels.
    name : str
    time : int or None
        None where the labels have no time axis.
    object : int or None
        Number of the object, from 1; None for a whole class.
    voxels : int
    size : float
        mm3, or mm2 of a single image; NaN where the voxel size is not known.
    diameter : float
        The largest in a slice, in mm, see `metrics.largest_diameter`; in pixels where the voxel size is not known. NaN
        if there is no voxel.
    mean, sd : float
        Of the intensities that are finite, the standard deviation with n - 1; NaN without an image.
    scores : mapping of str to float
        Of `metrics.SCORES`, lengths in mm (or pixels); empty without a reference.
    centre : tuple of float
        Mean position of the voxels in array order, in voxels; empty if there is none.
    plane : int or None
        The slice that holds the most of it, counted over all axes before y and x.
    slices, not_approved : int
        On how many slices it lies, and how many of them nobody has approved.
    """

    id: int
    name: str
    time: int | None = None
    object: int | None = None
    voxels: int = 0
    size: float = math.nan
    diameter: float = math.nan
    mean: float = math.nan
    sd: float = math.nan
    scores: Mapping[str, float] = field(default_factory=dict)
    centre: tuple[float, ...] = ()
    plane: int | None = None
    slices: int = 0
    not_approved: int = 0


@dataclass(frozen=True, eq=False)
class Frame:
    """Labels at one time point, (z,) y, x; the image there; the number of its first slice."""

    time: int | None
    labels: np.ndarray
    image: np.ndarray | None
    first: int


class Subject:
    """Labels and what belongs to them, time point by time point."""

    def __init__(self, labels: Volume, image: Volume | None):
        self.grid = labels
        self.names = names_of(labels)
        self.approved = [state == APPROVED for state in _states(labels)]
        self._image = image
        self._strange = 0  # labelled voxels without a finite intensity

    @property
    def timed(self) -> bool:
        return self.grid.axes.startswith("t")

    @property
    def times(self) -> int:
        return self.grid.data.shape[0] if self.timed else 1

    @property
    def slices(self) -> int:
        """Of one time point."""
        return len(self.approved) // self.times

    def frames(self) -> Iterator[Frame]:
        data = self.grid.data
        image = None if self._image is None else self._image.data
        if not self.timed:
            yield Frame(None, data, None if image is None else np.asarray(image), 0)
            return
        for time in range(self.times):
            there = None if image is None else np.asarray(image[time])
            yield Frame(time, data[time], there, time * self.slices)

    def row(self, frame: Frame, box: Box | None, mask: np.ndarray, **what: Any) -> Row:
        """Measure a mask that lies in a box of a frame; without a box there is nothing of it."""
        size = self.grid.voxel_size if self.grid.has_spacing else math.nan
        if box is None:
            return Row(time=frame.time, size=0 * size, **what)
        voxels = int(np.count_nonzero(mask))
        steps = self.grid.steps if self.grid.has_spacing else np.eye(mask.ndim)
        mean, sd = self._intensities(frame, box, mask)
        offset = [side.start for side in box]
        centre = np.argwhere(mask).mean(axis=0) + offset
        counts = np.count_nonzero(mask.reshape(-1, mask.shape[-2] * mask.shape[-1]), axis=1)
        first = frame.first + (offset[0] if mask.ndim == 3 else 0)
        planes = [first + int(place) for place in np.flatnonzero(counts)]
        return Row(
            time=frame.time,
            voxels=voxels,
            size=voxels * size,
            diameter=metrics.largest_diameter(mask, steps[-2:]),
            mean=mean,
            sd=sd,
            centre=tuple(centre.tolist()),
            plane=first + int(counts.argmax()),
            slices=len(planes),
            not_approved=sum(not self.approved[plane] for plane in planes),
            **what,
        )

    def _intensities(self, frame: Frame, box: Box, mask: np.ndarray) -> tuple[float, float]:
        if frame.image is None:
            return math.nan, math.nan
        values = frame.image[box][mask].astype(np.float64)
        known = values[np.isfinite(values)]
        self._strange += len(values) - len(known)
        mean = float(known.mean()) if len(known) else math.nan
        sd = float(known.std(ddof=1)) if len(known) > 1 else math.nan
        return mean, sd

    def notes(self) -> list[str]:
        if not self._strange:
            return []
        voxels = "1 labelled voxel has" if self._strange == 1 else f"{self._strange} labelled voxels have"
        return [f"{voxels} no finite intensity (NaN or infinity): left out of mean and standard deviation."]


def names_of(labels: Volume) -> dict[int, str]:
    """Numbers and names of the classes: those of the class table, and others that occur."""
    names = {row.id: row.name for row in labels.classes if row.id}
    word = "object" if not names and number_objects(labels.data) else "class"
    for number in np.unique(labels.data).tolist():
        if number:
            names.setdefault(number, f"{word} {number}")
    return names


def _states(labels: Volume) -> list[str]:
    """States of the slices; an approval counts only for the labels that were approved."""
    planes = Planes(labels.data)
    ledger = Ledger.from_json(labels.metadata.get(SLICES), planes.count)
    known = [number for number, state in enumerate(ledger.states()) if state != UNSEEN]
    ledger.check(lambda number: checksum(planes.read(number)), known)
    return ledger.states()
