"""From a volume and a model to labels: device, plan, batches, memory ladder; the job behind every segmentation."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from . import __version__, labels, models
from .errors import JobError, SettingsError, VolumeError
from .models import ModelCard, TrainedModel
from .progress import Job, Progress, run
from .volume import Volume

_CPU_BUDGET = 160e6  # bytes; a larger batch is not faster on a CPU
_WHOLE_PIXELS = 1024 * 1024  # slices above this are cut into tiles
_TILE_OVERLAP = 64
_MAX_PIXELS = 2**27


@dataclass(frozen=True)
class InferenceSettings:
    """Options of a segmentation run.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
        ``auto`` takes the fastest one present.
    batch : int
        Slices per batch; 0 plans it from the memory.
    channel : int or None
        Which channel to use where the image has a channel axis that is not RGB.
    uncertainty : bool
        Also return an 8-bit image: 0 sure, 255 undecided.
    split_objects : bool
        Number touching objects one by one instead of by class.
    """

    device: str = "auto"
    batch: int = 0
    channel: int | None = None
    uncertainty: bool = False
    split_objects: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run will take: slices, slices per batch, device, seconds, extra memory in MB, and what to be warned of."""

    slices: int
    batch: int
    device: str
    seconds: float
    memory_mb: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """What a running job has so far.

    Parameters
    ----------
    labels : numpy.ndarray
        The whole label array, axes of the image without channels; still being filled.
    uncertainty : numpy.ndarray or None
        Likewise.
    indices : list of int
        Slices finished since the last part, counted over all axes before y and x.
    """

    labels: np.ndarray
    uncertainty: np.ndarray | None
    indices: list[int]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result of a run: label volume with its class table, uncertainty if asked for, and a JSON-able report."""

    labels: Volume
    uncertainty: Volume | None
    report: dict[str, Any]


def plan(volume: Volume, model: TrainedModel, settings: InferenceSettings) -> Plan:
    """Check that a run is possible and say what it will take; the time comes from a trial on a small image.

    Raises
    ------
    VolumeError, SettingsError
        If image, model and settings do not fit.
    """
    source = _Slices(volume, settings.channel)
    device = _device(settings.device)
    size = model.card.preprocess.padded_size(source.size, source.spacing)
    _check_size(source.size, size)
    pixels = size[0] * size[1]
    batch = settings.batch or _plan_batch(model.card, device, pixels)
    memory = models.architecture(model.card.architecture).bytes_per_pixel * min(pixels, _WHOLE_PIXELS) * batch
    seconds = _seconds_per_pixel(model) * pixels * source.count if device == "cpu" else math.nan
    return Plan(source.count, batch, device, seconds, memory / 1e6, _warnings(volume, model.card))


def segment_job(
    volume: Volume, model: TrainedModel, settings: InferenceSettings, *, start: int = 0
) -> Job[Segmentation]:
    """Segment every slice of `volume`.

    Parameters
    ----------
    volume : Volume
        Grey or RGB, two-dimensional or a stack over z, time or both. Stays untouched.
    model : TrainedModel
    settings : InferenceSettings
    start : int
        Slice to begin with, counted over all axes before y and x; the run wraps around.

    Yields
    ------
    Progress
        After each pass through the network; `partial` is a `Part` when slices were finished.

    Returns
    -------
    Segmentation

    Raises
    ------
    VolumeError, SettingsError
        If image, model and settings do not fit.
    JobError
        If the memory does not suffice even for the smallest step.
    """
    began = time.monotonic()
    what = plan(volume, model, settings)
    source = _Slices(volume, settings.channel)
    engine = _Engine(model, what.device, what.batch)
    result = np.zeros(source.label_shape, np.uint32 if settings.split_objects else np.uint8)
    doubt = np.zeros(source.label_shape, np.uint8) if settings.uncertainty else None
    tally = _Tally(len(model.card.classes))
    flat, flat_doubt = _planes(result), None if doubt is None else _planes(doubt)
    order = iter([*range(start % source.count, source.count), *range(start % source.count)])
    done = 0
    while indices := list(itertools.islice(order, engine.batch)):
        tensor, undo = model.card.preprocess.apply(source.read(indices), source.spacing)
        logits = undo((yield from engine.logits(tensor, Progress(done, source.count))))
        found = labels.from_logits(logits, model.card.certainty)
        for index, plane in zip(indices, found, strict=True):
            flat[index] = tally.split(plane) if settings.split_objects else plane
        tally.count(found)
        if flat_doubt is not None:
            flat_doubt[indices] = labels.uncertainty(logits)
        done += len(indices)
        yield Progress(done, source.count, Part(result, doubt, indices))
    report = {
        "version": __version__,
        "model": {"name": model.card.name, "sha256": model.card.sha256},
        "settings": asdict(settings),
        "device": engine.device,
        "slices": source.count,
        "seconds": round(time.monotonic() - began, 3),
        "warnings": list(what.warnings),
        "classes": tally.table(model.card, volume),
    }
    if settings.split_objects:
        report["objects"] = tally.objects
    classes = () if settings.split_objects else model.card.classes
    # numbered objects have no class table that would mark them as labels
    labelled = replace(volume.like(result, classes), metadata={**volume.metadata, "labels": True})
    return Segmentation(labelled, None if doubt is None else volume.like(doubt), report)


def segment(volume: Volume, model: str | TrainedModel = "litenext-heart", **settings: Any) -> Segmentation:
    """Segment `volume` with a bundled model, one of the user's own, or one already loaded.

    Parameters
    ----------
    volume : Volume
    model : str or TrainedModel
    **settings
        Fields of `InferenceSettings`.

    Raises
    ------
    MedsegError
        If image, model and settings do not fit.
    """
    try:
        options = InferenceSettings(**settings)
    except TypeError as error:
        raise SettingsError(f"segment does not take these options: {error}.") from error
    loaded = models.load(models.find(model)) if isinstance(model, str) else model
    return run(segment_job(volume, loaded, options))


class _Slices:
    """A volume seen as a sequence of two-dimensional slices."""

    def __init__(self, volume: Volume, channel: int | None):
        dtype = np.dtype(volume.data.dtype)
        if dtype.kind not in "biuf":
            raise VolumeError(f"The image holds values of type {dtype}; needed are real numbers. Convert it first.")
        self._rgb = volume.axes.endswith("c") and volume.data.shape[-1] == 3 and channel is None
        if volume.channel_axis is not None and not self._rgb:
            volume = volume.select("c", _channel(volume, channel))
        elif channel is not None and volume.channel_axis is None:
            raise SettingsError(f"Channel {channel} was asked for, but the image has no channels. Leave it out.")
        self._data = volume.data
        self.label_shape = tuple(n for n, a in zip(volume.data.shape, volume.axes, strict=True) if a != "c")
        self.size = self.label_shape[-2:]
        self.spacing = volume.spacing[-2:] if volume.has_spacing else None
        self.count = math.prod(self.label_shape[:-2])

    def read(self, indices: list[int]) -> np.ndarray:
        """Slices (n, y, x) or (n, y, x, 3)."""
        where = [np.unravel_index(i, self.label_shape[:-2]) for i in indices]
        return np.stack([np.asarray(self._data[tuple(int(k) for k in w)]) for w in where])


def _channel(volume: Volume, channel: int | None) -> int:
    count = volume.data.shape[volume.channel_axis]
    if channel is None and count > 1:
        raise SettingsError(f"The image has {count} channels and the model takes one. Choose channel 0 to {count - 1}.")
    return channel or 0


def _planes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, *array.shape[-2:])


class _Engine:
    """Runs a network on batches and gives way when the memory runs out: smaller batch, smaller tiles, then the CPU."""

    def __init__(self, model: TrainedModel, device: str, batch: int):
        self._model = model
        self.batch = batch
        self._tile = int(math.sqrt(_WHOLE_PIXELS))
        self._move(device)

    def _move(self, device: str) -> None:
        self.device = device
        network = self._model.network if device == "cpu" else copy.deepcopy(self._model.network).to(device)
        self._placed = replace(self._model, network=network)

    def logits(self, tensor: torch.Tensor, progress: Progress) -> Iterator[Progress]:
        """Logits (n, c, Y, X) of `tensor`; yields `progress` between passes, so that a run can be cancelled there."""
        while True:
            try:
                return (yield from self._attempt(tensor, progress))
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
            self._give_way()

    def _attempt(self, tensor: torch.Tensor, progress: Progress) -> Iterator[Progress]:
        whole = None
        for number, (images, tile) in enumerate(self._passes(tensor)):
            if number:
                yield progress
            with torch.inference_mode():
                out = self._placed.logits(tensor[images][..., tile.seen_y, tile.seen_x].to(self.device)).float().cpu()
            if whole is None:
                whole = out.new_empty(len(tensor), out.shape[1], *tensor.shape[-2:])
            whole[images, :, tile.kept_y, tile.kept_x] = out[..., tile.inner_y, tile.inner_x]
        return whole

    def _passes(self, tensor: torch.Tensor) -> Iterator[tuple[slice, _Tile]]:
        height, width = tensor.shape[-2:]
        tiled = height * width > self._tile**2
        for first in range(0, len(tensor), self.batch):
            for tile in _tiles(height, width, self._tile if tiled else max(height, width)):
                yield slice(first, first + self.batch), tile

    def _give_way(self) -> None:
        if self.device == "cuda":
            torch.cuda.empty_cache()
        if self.batch > 1:
            self.batch //= 2
        elif self._tile > 320:
            self._tile //= 2
        elif self.device != "cpu":
            self._move("cpu")
        else:
            raise JobError(
                "The memory does not suffice to segment even a small piece of a slice. "
                "Close other programs or layers and run again."
            )


def _out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "memory" in text


@dataclass(frozen=True)
class _Tile:
    """What the network sees, what of it is kept, and where that lies inside of what is seen."""

    seen_y: slice
    seen_x: slice
    kept_y: slice
    kept_x: slice
    inner_y: slice
    inner_x: slice


def _tiles(height: int, width: int, tile: int) -> Iterator[_Tile]:
    for (seen_y, kept_y, inner_y), (seen_x, kept_x, inner_x) in itertools.product(
        _spans(height, tile), _spans(width, tile)
    ):
        yield _Tile(seen_y, seen_x, kept_y, kept_x, inner_y, inner_x)


def _spans(length: int, tile: int) -> list[tuple[slice, slice, slice]]:
    """Overlapping pieces of one axis as (seen, kept, inner); the kept ones partition the axis."""
    if length <= tile:
        return [(slice(0, length),) * 3]
    tile -= tile % 16
    count = math.ceil((length - _TILE_OVERLAP) / (tile - _TILE_OVERLAP))
    # starts stay multiples of 16, the step of the coarsest feature map
    starts = [(length - tile) * i // (count - 1) // 16 * 16 for i in range(count)]
    starts[-1] = length - tile
    cuts = [0, *((a + tile + b) // 2 for a, b in itertools.pairwise(starts)), length]
    return [
        (slice(s, s + tile), slice(a, b), slice(a - s, b - s))
        for s, (a, b) in zip(starts, itertools.pairwise(cuts), strict=True)
    ]


class _Tally:
    """Counts voxels per class, and objects, while the slices pass by."""

    def __init__(self, classes: int):
        self._voxels = np.zeros(classes + 1, np.int64)
        self.objects = 0

    def count(self, found: np.ndarray) -> None:
        self._voxels += np.bincount(found.ravel(), minlength=len(self._voxels))

    def split(self, plane: np.ndarray) -> np.ndarray:
        """Number the objects of one slice, going on from the slices before."""
        numbered = labels.split_objects(plane > 0).astype(np.uint32)
        count = int(numbered.max())
        numbered[numbered > 0] += self.objects
        self.objects += count
        return numbered

    def table(self, card: ModelCard, volume: Volume) -> list[dict[str, Any]]:
        """Rows of id, name, voxels and, where the voxel size is known, volume (mm3) or area (mm2)."""
        unit = {3: "volume_mm3", 2: "area_mm2"}[len(volume.spatial_axes)]
        size = math.prod(volume.spacing) if volume.has_spacing else None
        rows = []
        for row in card.classes:
            voxels = int(self._voxels[row.id])
            measured = {} if size is None else {unit: round(voxels * size, 3)}
            rows.append({"id": row.id, "name": row.name, "voxels": voxels, **measured})
        return rows


def _device(name: str) -> str:
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, there in present.items() if there)
    if not present.get(name):
        choices = ", ".join(device for device, there in present.items() if there)
        raise SettingsError(f"The device '{name}' is not available on this computer; choose auto or {choices}.")
    return name


def _plan_batch(card: ModelCard, device: str, pixels: int) -> int:
    need = models.architecture(card.architecture).bytes_per_pixel * pixels
    budget = torch.cuda.mem_get_info()[0] / 2 if device == "cuda" else _CPU_BUDGET
    return int(min(max(budget // need, 1), 32 if device == "cuda" else 4))


def _seconds_per_pixel(model: TrainedModel) -> float:
    trial = torch.zeros(1, 3, 128, 128)
    with torch.inference_mode():
        model.logits(trial)
        began = time.perf_counter()
        model.logits(trial)
    return (time.perf_counter() - began) / (128 * 128)


def _check_size(size: tuple[int, int], working: tuple[int, int]) -> None:
    if working[0] * working[1] > _MAX_PIXELS:
        raise VolumeError(
            f"A slice of {size[0]} x {size[1]} pixels would become {working[0]} x {working[1]} for this model; "
            f"at most {_MAX_PIXELS} pixels are possible. Crop the image, or check its pixel size."
        )


def _warnings(volume: Volume, card: ModelCard) -> tuple[str, ...]:
    found = []
    if card.spacing_mm and volume.has_spacing:
        low, high = card.spacing_mm
        if not all(low <= mm <= high for mm in volume.spacing[-2:]):
            seen = " x ".join(f"{mm:.3g}" for mm in volume.spacing[-2:])
            found.append(f"Pixels are {seen} mm; {card.name} was trained for {low:g} to {high:g} mm.")
    elif card.preprocess.assumed_spacing:
        found.append(f"The pixel size is not known; {card.name} assumes {card.preprocess.assumed_spacing:g} mm.")
    elif "z" in volume.axes:
        found.append(f"{card.name} was trained on single images; a stack is segmented slice by slice.")
    modality = volume.metadata.get("modality")
    if modality and card.dicom_modality and modality != card.dicom_modality:
        found.append(f"The image is {modality}; {card.name} was trained on {card.dicom_modality}.")
    if card.dicom_modality and volume.axes.endswith("c"):
        found.append(f"The image is in colour; {card.name} was trained on grey {card.dicom_modality} images.")
    return tuple(found)
