"""Slices through a network: device, batches, tiles and neighbours, within the memory there is."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch

from .. import models
from ..errors import JobError
from ..image_values import Glance
from ..memory import free_bytes
from ..models import TrainedModel
from ..models.devices import choose_precision
from ..preprocess import Crop, Undo, as_channels
from ..progress import Job, Progress
from .gathering import Gathered
from .passes import side_by_side, threads
from .slices import Slices
from .tiling import Tile, tiles

_MOST_ON_GPU = 32  # slices of a pass
_TILE_BUDGET = 2e9  # bytes that a piece of a slice may take
_WHOLE_PIXELS = 1024 * 1024  # slices above this are cut into tiles
_SMALLEST_SIDE = 160
_MOST_WITH_CONTEXT = 4  # slices side by side
_LONG_PASS = 5e7  # bytes: a tenth of a second to half a second on a CPU
_TRIAL = 128  # height and width of the image that times a network

Encoding = list[list[list[torch.Tensor]]]
"""What a network with context made of one slice: per tile what `TrainedModel.encode` returned."""


class Engine:
    """Turns slices into logits.

    It gives way when the memory runs out: fewer workers, a smaller batch, smaller tiles, then the CPU.
    On a CPU each thread takes a pass of its own: threads that share one wait for the slowest, and for other programs.

    Parameters
    ----------
    model : TrainedModel
    source : Slices
    device : str
        ``cpu``, ``cuda`` or ``mps``.
    batch : int
        Slices per pass.
    precision : {"auto", "float32", "bfloat16"}
        See `InferenceSettings`.
    crop : Crop, optional
        What the network is shown of all slices; whole ones if left out.
    """

    def __init__(
        self,
        model: TrainedModel,
        source: Slices,
        device: str,
        batch: int = 1,
        precision: str = "float32",
        crop: Crop | None = None,
    ):
        self._model, self._source, self._crop = model, source, crop
        self._wanted = precision
        self.batch = batch
        self._side = tile_side(model)
        self._move(device)
        grid = source.size, source.spacing
        self._size = model.card.preprocess.padded_size(*grid, crop.extent_mm if crop else None)
        self._workers = _workers(model, device, math.prod(self._size))
        self._glance = Glance()
        self._unknown: dict[int, np.ndarray] = {}
        self._unknown_voxels = 0

    @property
    def slice_size(self) -> tuple[int, int]:
        """Height and width of the slices."""
        return self._source.size

    def answers(self, indices: list[int], progress: Progress) -> Job[Gathered]:
        """What the network makes of slices; yields `progress` between passes, to be cancelled there.

        Where the image has no finite value no class is possible, whatever the network makes of the gap.
        """
        while True:
            try:
                found = yield from self._attempt(indices, progress)
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
            else:
                self._blank_unknown(indices, found)
                return found
            self._give_way()

    def _attempt(self, indices: list[int], progress: Progress) -> Job[Gathered]:
        tensor, answers = self._read(indices), self._gathered(indices)
        step = 1 if self._workers > 1 else self.batch
        batches = [slice(first, first + step) for first in range(0, len(indices), step)]

        def work(images: slice, tile: Tile) -> None:
            with torch.inference_mode():
                piece = self._placed.logits(tile.cut(tensor[images]).to(self.device))
                answers.put(images, tile, piece)

        passes = [partial(work, images, tile) for images, tile in itertools.product(batches, self._tiles())]
        yield from side_by_side(passes, min(self._workers, len(passes)), progress, long=self._is_long)
        return answers

    def _blank_unknown(self, indices: list[int], found: Gathered) -> None:
        for place, index in enumerate(indices):
            unknown = self._unknown.pop(index, None)
            if unknown is not None:
                self._unknown_voxels += int(np.count_nonzero(unknown))
                found.blank(place, unknown)

    def inputs(self, indices: list[int]) -> tuple[torch.Tensor, Undo]:
        """What the network is shown of slices, (n, c, y, x) on the CPU, and the way back to their grid."""
        return self._read(indices), self._undo(indices)

    def notes(self) -> tuple[str, ...]:
        """What a person should know once all slices went through."""
        found = [self._glance.remark()]
        number = self._unknown_voxels
        if number:
            voxels = "1 voxel is not a finite number" if number == 1 else f"{number} voxels are not finite numbers"
            found.append(f"{voxels} in the image and got no label.")
        return tuple(filter(None, found))

    def _read(self, indices: list[int]) -> torch.Tensor:
        slices = self._source.read(indices)
        for plane in slices:
            self._glance.see(plane)
        if slices.dtype.kind == "f":
            self._note_unknown(indices, slices)
        spec = self._model.card.preprocess
        images = {index: spec.normalise(plane) for index, plane in zip(indices, slices, strict=True)}
        if spec.neighbours:
            images = self._with_neighbours(images)
        tensor = torch.from_numpy(np.stack([images[index] for index in indices]))
        return spec.fit(tensor, self._source.spacing, self._shown(indices))[0]

    def _shown(self, indices: list[int]) -> Crop | None:
        return self._crop.of(indices) if self._crop else None

    def _with_neighbours(self, images: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Normalised slices (3, y, x) with those before and after in their channels."""
        known = dict(images)
        found = {}
        for index in images:
            trio = self._trio(index)
            for number in trio:
                if number not in known:
                    known[number] = self._model.card.preprocess.normalise(self._source.read_one(number))
            before, current, after = (torch.from_numpy(known[number]) for number in trio)
            found[index] = as_channels(before, current, after).numpy()
        return found

    def _trio(self, index: int) -> tuple[int, int, int]:
        """The slices that a slice is made of."""
        before, after = self._source.around(index)
        return before, index, after

    def _note_unknown(self, indices: list[int], slices: np.ndarray) -> None:
        """Remember where slices (n, y, x) or (n, y, x, 3) hold no finite value."""
        for index, plane in zip(indices, slices, strict=True):
            unknown = ~np.isfinite(plane)
            if unknown.any():
                self._unknown[index] = unknown.any(-1) if unknown.ndim > 2 else unknown

    def _gathered(self, indices: list[int]) -> Gathered:
        return Gathered(len(indices), len(self._model.card.classes), self._size, self._undo(indices))

    def _undo(self, indices: list[int]) -> Undo:
        source = self._source
        return self._model.card.preprocess.undo(source.size, source.spacing, self._shown(indices))

    def _tiles(self) -> list[Tile]:
        return tiles(self._size, self._side, self._model.card.preprocess.multiple)

    @property
    def _is_long(self) -> bool:
        """Whether a pass takes so long that a run that is cancelled should not wait for it."""
        pixels = min(math.prod(self._size), self._side**2)
        return _bytes_per_pixel(self._model) * pixels > _LONG_PASS

    def _move(self, device: str) -> None:
        self.device = device
        self.precision = choose_precision(self._wanted, device)
        self._placed = self._model.on(device, self.precision)

    def _give_way(self) -> None:
        if self.device == "cuda":
            torch.cuda.empty_cache()
        if self._workers > 1:
            self._workers //= 2
        elif self.batch > 1:
            self.batch //= 2
        elif self._side >= 2 * _SMALLEST_SIDE:
            self._side //= 2
        elif self.device != "cpu":
            self._move("cpu")
        else:
            raise JobError(
                "The memory does not suffice to segment even a small piece of a slice. "
                "Close other programs or layers and run again."
            )


class ContextEngine(Engine):
    """An engine for networks that see three slices: each slice is encoded once and serves its neighbours too.

    A crop has one centre for all slices, see `Locator`: an encoding serves the slices next to it.
    As many slices as there are workers are under way together: first those that are missing are encoded side by side,
    then all are fused side by side. Only the encodings that these slices need are kept.
    """

    def __init__(self, *given: Any, **options: Any):
        super().__init__(*given, **options)
        self._encodings: dict[int, Encoding] = {}

    def _attempt(self, indices: list[int], progress: Progress) -> Job[Gathered]:
        answers = self._gathered(indices)
        for first in range(0, len(indices), self._workers):
            if first:
                yield progress
            group = indices[first : first + self._workers]
            trios = {place: self._trio(index) for place, index in enumerate(group, start=first)}
            yield from self._encode(list(dict.fromkeys(itertools.chain(*trios.values()))), progress)
            yield from self._fuse(trios, answers, progress)
        return answers

    def _encode(self, numbers: list[int], progress: Progress) -> Job[None]:
        """Encode the slices that are not known yet, and forget those that are not asked for."""
        self._encodings = {number: codes for number, codes in self._encodings.items() if number in numbers}
        missing = [number for number in numbers if number not in self._encodings]
        if not missing:
            return
        tensor, pieces = self._read(missing), self._tiles()
        # whole slices in pieces are the ones too large for a graphics card
        home = self.device if len(pieces) == 1 else "cpu"
        found: dict[int, Encoding] = {number: [[] for _ in pieces] for number in missing}

        def work(image: int, piece: int) -> None:
            seen = pieces[piece].cut(tensor[image : image + 1])
            with torch.inference_mode():
                found[missing[image]][piece] = _to(self._placed.encode(seen.to(self.device)), home)

        passes = [partial(work, *place) for place in itertools.product(range(len(missing)), range(len(pieces)))]
        yield from side_by_side(passes, min(self._workers, len(passes)), progress, long=self._is_long)
        self._encodings |= found
        yield progress

    def _fuse(self, trios: dict[int, tuple[int, int, int]], answers: Gathered, progress: Progress) -> Job[None]:
        """Hand in the logits of slices by their places among `answers`, each from the slices that it is made of."""

        def work(place: int, piece: int, tile: Tile) -> None:
            codes = [_to(self._encodings[number][piece], self.device) for number in trios[place]]
            with torch.inference_mode():
                logits = self._placed.fuse(*codes)
                answers.put(slice(place, place + 1), tile, logits)

        pieces = list(enumerate(self._tiles()))
        passes = [partial(work, place, *piece) for place, piece in itertools.product(trios, pieces)]
        yield from side_by_side(passes, min(self._workers, len(passes)), progress, long=self._is_long)

    def _give_way(self) -> None:
        self._encodings.clear()
        super()._give_way()
        self.batch = min(self.batch, self._workers)


def engine_for(
    model: TrainedModel, source: Slices, device: str, batch: int, precision: str, crop: Crop | None = None
) -> Engine:
    """The engine that `model` needs."""
    kind = ContextEngine if model.context else Engine
    return kind(model, source, device, batch, precision, crop)


def plan_batch(model: TrainedModel, device: str, pixels: int, wanted: int = 0) -> int:
    """How many slices of that many pixels go through the network together: `wanted`, or for 0 what the memory allows.

    On a CPU, and with context, whose neighbours are kept for every slice of a batch, it is what goes side by side.
    """
    together = _workers(model, device, pixels)
    if model.context:
        return min(wanted or together, together)
    if wanted or device != "cuda":
        return wanted or together
    fitting = torch.cuda.mem_get_info()[0] / 2 // (_bytes_per_pixel(model) * pixels)
    return int(max(1, min(fitting, _MOST_ON_GPU)))


def memory_needed(model: TrainedModel, pixels: int, batch: int, kept: float) -> float:
    """Bytes that a pass takes, given the size of slices and what `try_out` said of an encoding."""
    side = tile_side(model)
    # the memory of a pass counts the encodings of what it sees; those of slices in pieces are kept whole
    more = (batch + 2) * kept * pixels if pixels > side**2 else 0
    return _bytes_per_pixel(model) * min(pixels, side**2) * batch + more


def try_out(model: TrainedModel) -> tuple[float, float]:
    """Run a small image on the CPU: seconds per pixel, and bytes per pixel of an encoding (0 without context)."""
    multiple = model.card.preprocess.multiple
    side = -(-_TRIAL // multiple) * multiple
    image = torch.zeros(1, 3, side, side)
    for _ in range(2):  # the first pass warms up; a slow network need not
        began = time.perf_counter()
        with torch.inference_mode():
            encoding = model.encode(image) if model.context else []
            _ = model.fuse(encoding, encoding, encoding) if model.context else model.logits(image)
        seconds = time.perf_counter() - began
        if seconds > 1:
            break
    return seconds / side**2, sum(part.nbytes for code in encoding for part in code) / side**2


def workers_of(device: str) -> int:
    """How many passes are under way at a time: on a CPU one per thread that PyTorch may use."""
    return threads() if device == "cpu" else 1


def _workers(model: TrainedModel, device: str, pixels: int) -> int:
    """How many passes are under way at a time: what fits the memory; few with context, whose encodings are large."""
    most = min(workers_of(device), _MOST_WITH_CONTEXT) if model.context else workers_of(device)
    fitting = free_bytes() / 2 // memory_needed(model, pixels, 1, 0)
    return int(max(1, min(most, fitting)))


def tile_side(model: TrainedModel) -> int:
    """Largest side of the squares that a large slice is cut into."""
    return int(math.sqrt(min(_WHOLE_PIXELS, _TILE_BUDGET / _bytes_per_pixel(model))))


def _bytes_per_pixel(model: TrainedModel) -> int:
    return models.architecture(model.card.architecture).bytes_per_pixel


def _to(codes: Iterable[list[torch.Tensor]], device: str) -> list[list[torch.Tensor]]:
    return [[part.to(device) for part in code] for code in codes]


def _out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "memory" in text
