"""What a run that learns to segment looks at: random views of its slices, and what the network should say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from ..errors import SettingsError
from . import processes
from .augment import Augment, AugmentSettings
from .data import shares
from .data.dataset import Sample, load, on_working_grid, padded
from .data.deck import Deck
from .data.shares import IGNORE
from .data.sources import Source
from .settings import TrainSettings

Place = tuple[float, float]


class Views:
    """The endless sequence of views of a run; each depends on the seed and its number alone.

    Parameters
    ----------
    settings : TrainSettings
    root : pathlib.Path
        Folder that relative data paths start from.
    context : bool
        Whether slices come with their neighbours.
    """

    def __init__(self, settings: TrainSettings, root: Path, context: bool):
        self._classes = len(settings.classes)

        def read(sources: Sequence[Source]) -> list[Sample]:
            samples = load(
                sources, settings.preprocess, root, self._classes, context=context, orientation=settings.orientation
            )
            return [self._prepared(sample, settings) for sample in samples]

        train = read(settings.train)
        replay = read(settings.replay) if settings.replay else []
        self.train = Deck(train, self._classes)
        self._replay = Deck(replay, self._classes) if replay else self.train
        self._empty = Deck(read(settings.empty), self._classes) if settings.empty else self.train
        self._centres = centres([*train, *replay]) if settings.about_objects else {}

    def _prepared(self, sample: Sample, settings: TrainSettings) -> Sample:
        """A slice as inference prepares it; crops are cut out before anything is added at their borders."""
        working = on_working_grid(sample, settings.preprocess, self._classes)
        largest = max(phase.size for phase in settings.phases)
        if settings.about_objects and min(working.labels.shape) >= largest:
            return working
        return padded(working, settings.preprocess, self._classes)

    def batch(self, settings: TrainSettings, step: int, changes: AugmentSettings) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (b, c, y, x) and targets (b, 2, classes, y, x), see `shares`, of this process in a step (from 0)."""
        phase = settings.phase(step)
        first = settings.seen(step) * processes.count() + phase.batch * processes.rank()
        views = [self._view(settings, place, phase.size, changes) for place in range(first, first + phase.batch)]
        images, targets = zip(*views, strict=True)
        return torch.stack(images), torch.stack(targets)

    def _view(
        self, settings: TrainSettings, place: int, size: int, changes: AugmentSettings
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The view at a place of the sequence."""
        rng = np.random.default_rng((settings.seed, place))
        deck = self._deck(settings, rng.random())
        balanced = rng.random() < settings.balance
        sample, focus = deck.balanced(rng) if balanced else (deck.shuffled(settings.seed, place), None)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        about = self._centres.get(_grid_of(sample))
        target = shares.exchanged(sample.target_of(self._classes))
        augment = Augment(changes, generator, settings.preprocess.padding)
        shown = _shown(sample, settings, size)
        image, target = augment(sample.image, target, shown, focus, about)
        if shown != (size, size):
            image, target = settings.preprocess.pad(image[None])[0], settings.preprocess.pad(target)
        if image.shape[-2:] != (size, size):
            height, width = image.shape[-2:]
            raise SettingsError(
                f"The phases have views of {size} x {size} pixels, but of the locator's crop the network is shown "
                f"{height} x {width}; expected phases of that size."
            )
        return image, shares.exchanged(target)

    def _deck(self, settings: TrainSettings, drawn: float) -> Deck:
        """The deck that a number from 0 to 1 chooses."""
        if drawn < settings.replay_share:
            return self._replay
        if drawn >= 1 - settings.empty_share:
            return self._empty
        return self.train


def centres(samples: Iterable[Sample]) -> dict[tuple[str, torch.Size], Place]:
    """The mean middle (y, x) in pixels of the objects of each case, for slices of one size; see `_grid_of`."""
    middles: dict[tuple[str, torch.Size], list[torch.Tensor]] = {}
    for sample in samples:
        objects = (sample.labels > 0) & (sample.labels != IGNORE)
        if objects.any():
            middle = objects.nonzero().to(torch.float32).mean(0)
            middles.setdefault(_grid_of(sample), []).append(middle)
    found = {}
    for key, places in middles.items():
        y, x = torch.stack(places).mean(0).tolist()
        found[key] = (y, x)
    return found


def _shown(sample: Sample, settings: TrainSettings, size: int) -> tuple[int, int]:
    """Height and width of a view before it is padded to `size`: the crop of a locator, which may be smaller."""
    pixel = settings.preprocess.spacing
    extent = settings.crop_mm
    height, width = sample.labels.shape
    if extent is None or pixel is None or min(height, width) <= size:
        return size, size
    rows, columns = (min(round(mm / pixel), size) for mm in extent)
    return rows, columns


def _grid_of(sample: Sample) -> tuple[str, torch.Size]:
    # a part of a slice, see `Source.beside`, has a size of its own: places in the whole slice are none in it
    return sample.case, sample.labels.shape
