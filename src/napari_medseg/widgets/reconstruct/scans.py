"""What the Reconstruct form works on: k-space and its place in the viewer; its jobs, and words for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image

from ...io.contributions import layer_tuple
from ...io.kspace import read_kspace
from ...io.places import WORLD
from ...kspace import KSpace
from ...progress import Job, Progress
from ...recon.contributions import magnitude
from ...recon.espirit import calibration_region
from ...recon.grid import offset, plane_volume, refined
from ...recon.masked import acceleration_text, sampled
from ...recon.sampling import centre_lines, direction
from ...recon.settings import Sampling
from ...recon.simulate import outer_share, scan
from ...recon.transforms import fft2c, rss
from ...volume import Volume
from ..kit import layer_volumes
from ..kit.layer_volumes import Grid

MANY_EMPTY = 0.25
"""Share of empty outer k-space that is worth a warning."""

_ORIGINS = {"file": "mask in the file", "inferred": "mask inferred from its zeros"}
_GEOMETRY = ("has_spacing", WORLD)  # what the metadata of a volume say of its place
_PLACE = ("scale", "translate", "axis_labels", "units")
_EPSILON = 1e-6  # share of the maximum; k-space values themselves may be tiny


@dataclass(frozen=True, eq=False)
class Scan:
    """k-space, and where its images lie in the viewer.

    Parameters
    ----------
    kspace : KSpace
        As it was read or simulated, with no mask but its own.
    name : str
        Of the file or layer.
    image : Volume
        Grid of the images: one slice of theirs, or the layer that k-space was simulated of.
    grid : Grid
        Place of the layers.
    limits : (float, float)
        Contrast limits that all images of the scan share.
    empty : mapping of str to float
        Share of outer k-space that is empty, by direction of the phase encoding; of simulated data.
    """

    kspace: KSpace
    name: str
    image: Volume
    grid: Grid
    limits: tuple[float, float]
    empty: Mapping[str, float]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the images."""
        return self.kspace.crop or self.kspace.matrix

    @property
    def axes(self) -> str:
        """Of the layers."""
        return self.image.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the layers with all slices."""
        lengths = {"t": self.kspace.frames, "z": self.kspace.depth}
        return tuple(lengths[axis] for axis in self.axes if axis in lengths) + self.size

    def index(self, number: int) -> tuple[int, ...]:
        """Position of a slice along the axes before y and x."""
        return tuple(int(place) for place in np.unravel_index(number, self.shape[:-2])) if self.shape[:-2] else ()

    def number(self, index: Sequence[float]) -> int:
        """Of the slice nearest to a position along the axes before y and x."""
        lengths = self.shape[:-2]
        inside = [int(np.clip(round(place), 0, n - 1)) for place, n in zip(index, lengths, strict=True)]
        return int(np.ravel_multi_index(inside, lengths)) if lengths else 0

    def words(self, number: int) -> str:
        """A slice for reading, such as ``frame 2, slice 3``: counted from 0, as the sliders of the viewer count."""
        nouns = {"t": "frame", "z": "slice"}
        named = [f"{nouns[axis]} {place}" for axis, place in zip(self.axes, self.index(number), strict=False)]
        return ", ".join(named) if named else "the slice"

    def place(self, finer: int = 1) -> Grid:
        """Place of the layers, with so many finer pixels for each one of the scan along y and x."""
        if finer == 1:
            return self.grid
        lead = (0.0,) * (len(self.axes) - 2)
        options = dict(self.grid.at_step((*lead, *offset(self.kspace, finer))))
        options["scale"] = np.array(options["scale"], float) / (*(1,) * len(lead), finer, finer)
        return replace(self.grid, options=options)

    def layer(
        self, images: np.ndarray, name: str, notes: Mapping[str, Any], finer: int = 1
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Data and arguments of a layer with `images` (slice, y, x), whose memory it shares."""
        data = images.reshape(*self.shape[:-2], *images.shape[1:])
        metadata = {name: self.image.metadata[name] for name in _GEOMETRY if name in self.image.metadata}
        metadata |= notes
        affine = refined(self.image.affine, self.kspace, finer)
        volume = replace(self.image, data=data, metadata=metadata, affine=affine)
        _, options, _ = layer_tuple(volume, name)
        return data, {**options, **self.place(finer).options, "contrast_limits": self.limits}


@dataclass(frozen=True, eq=False)
class Picture:
    """One slice to look at: log magnitude of k-space (y, x), its contrast limits, and the zero-filled image."""

    log: np.ndarray
    limits: tuple[float, float]
    zero_filled: np.ndarray


def open_job(
    path: Path, axes: str, conjugate: bool, grid: Grid | None = None, first: Mapping[str, int] | None = None
) -> Job[Scan]:
    """Open a file of raw data.

    Parameters
    ----------
    grid : Grid, optional
        Of the layer that shows its zero-filled images; not used where the scan has other axes.
    first : mapping, optional
        The frame to take; None for all.
    """
    yield Progress(0, 1)
    kspace = read_kspace(path, axes=axes or None, conjugate=conjugate, first=first)
    middle = magnitude(kspace, kspace.slices // 2)
    image = plane_volume(kspace, middle)
    if grid is None or len(grid.options["scale"]) != len(image.axes):
        _, options, _ = layer_tuple(image, path.stem)
        grid = Grid({name: options[name] for name in _PLACE if name in options})
    taken = kspace.metadata.get("taken", {})
    name = " ".join([path.stem, *_counted_from_one(taken)])
    return Scan(kspace, name, image, grid, _limits(middle), {})


def layer_job(layer: Image) -> Job[Scan]:
    """Simulate the measurement of an image layer.

    Raises
    ------
    MedsegError
        If it does not hold a single image or one stack of slices, of magnitudes.
    """
    axes = next(iter(layer_volumes.axes_choices(layer)), None)
    volume = layer_volumes.to_volume(layer, axes)
    return simulate_job(volume, layer.name, Grid.of(layer, volume.axes))


def simulate_job(volume: Volume, name: str, grid: Grid) -> Job[Scan]:
    """Simulate the measurement of an image."""
    yield Progress(0, 1)
    kspace = scan(volume)
    slices = np.asarray(volume.data).reshape(-1, *volume.data.shape[-2:])
    middle = slices[kspace.slices // 2]
    clean = fft2c(middle.astype(np.complex64))
    empty = {"x": outer_share(clean), "y": outer_share(clean.T)} if middle.any() else {}
    limits = _limits(magnitude(kspace, kspace.slices // 2))
    return Scan(kspace, name, volume, grid, limits, empty)


def mask_job(of: Scan, sampling: Sampling | None, mask: np.ndarray | None) -> Job[KSpace]:
    """The k-space of a scan under a mask: its own, a drawn one or one passed to it."""
    yield Progress(0, 1)
    return sampled(of.kspace, sampling, mask)


def picture_job(kspace: KSpace, index: int) -> Job[Picture]:
    """What is to see of one slice."""
    yield Progress(0, 2)
    size = rss(kspace.slice(index), 0)
    floor = _EPSILON * size.max()
    log = np.log10(size + floor).astype(np.float32)
    low, high = np.percentile(log[size > 0], (1, 99.9))  # what was not measured stays black
    limits = (float(low), float(max(high, low + _EPSILON)))
    yield Progress(1, 2)
    return Picture(log, limits, magnitude(kspace, index))


def facts(of: Scan) -> str:
    """What was recognised of a scan."""
    kspace = of.kspace
    meta = kspace.metadata
    lines = [_data_text(kspace)]
    if kspace.acquired:
        first, end = kspace.acquired
        missing = "partial Fourier, the others are estimated" if kspace.is_partial else "the others are filling"
        lines.append(f"Measured: columns {first} to {end - 1}, {missing}")
    if meta.get("acquisition"):
        lines.append(f"Acquisition {meta['acquisition']}")
    if meta.get("across"):
        lines.append("3-D scan: slices lie across the readout, rows are partitions")
    if meta.get("averages"):
        lines.append(f"{meta['averages']} averages, their mean is taken")
    for text in _counted_from_one(meta.get("taken", {})):
        lines.append(f"Only {text} of several is taken")
    if kspace.spacing:
        lines.append("Voxel {:.3g} x {:.3g} x {:.3g} mm (z, y, x)".format(*kspace.spacing))
    else:
        lines.append("Voxel size unknown")
    lines.append(_sampling_text(kspace))
    lines += kspace.notes
    return "\n".join(lines)


def _data_text(kspace: KSpace) -> str:
    source = "Simulated from an image" if kspace.simulated else kspace.metadata.get("format", "Raw data")
    slices = _count(kspace.depth, "slice")
    if kspace.frames > 1:
        slices = f"{_count(kspace.frames, 'frame')} of {slices}"
    coils = _count(kspace.coils, "coil")
    text = "{}: {}, {}, matrix {} x {}".format(source, slices, coils, *kspace.matrix)
    if kspace.crop and kspace.crop != kspace.matrix:
        text += ", image {} x {}".format(*kspace.crop)
    return text


def _sampling_text(kspace: KSpace) -> str:
    text = "Fully sampled"
    if kspace.mask is not None:
        way = direction(kspace.mask)
        along = f" along phase encoding ({way})," if way else ""
        origin = _ORIGINS.get(kspace.mask_origin, "masked")
        text = f"Undersampled{along} {acceleration_text(kspace)}, {origin}"
    if kspace.reference is not None:
        text += ", reference image in the file"
    return text


def frame_texts(kspace: KSpace) -> list[str]:
    """What each of several frames is, such as ``phase 1`` or ``repetition 2, contrast 1``, counted from 1."""
    found = []
    for frame in kspace.metadata.get("frames", ()):
        found.append(", ".join(_counted_from_one(frame)))
    return found


def _counted_from_one(frame: Mapping[str, int]) -> list[str]:
    """The counters of a frame, for reading."""
    return [f"{name} {number + 1}" for name, number in frame.items()]


def mask_text(kspace: KSpace) -> str:
    """How much a mask measures; of masks that differ between slices, what the middle one says of its centre."""
    if kspace.mask is None:
        first, end = kspace.whole
        return f"All {end - first} columns measured"
    mask = kspace.mask_of(kspace.slices // 2)
    way = direction(mask)
    if way:
        first, last = centre_lines(mask if way == "x" else mask[:, 0])
        centre = _count(last - first, "column" if way == "x" else "row")
    else:
        region = calibration_region(mask, len(mask))
        centre = " x ".join(str(part.stop - part.start) for part in region)
    text = f"Acceleration {acceleration_text(kspace)}, full centre of {centre}"
    return "\n".join([text, *kspace.notes])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _limits(image: np.ndarray) -> tuple[float, float]:
    return 0.0, float(np.percentile(image, 99.8)) or 1.0
