"""Slices to draw from: in shuffled epochs, or balanced over their classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .dataset import Sample


class Deck:
    """Slices of a run.

    Parameters
    ----------
    samples : sequence of Sample
    classes : int
        Without the background.
    """

    def __init__(self, samples: Sequence[Sample], classes: int):
        self.samples = samples
        self._epoch = [index for index, sample in enumerate(samples) for _ in range(sample.repeat)]
        labels = [np.unique(sample.labels.numpy()) for sample in samples]
        by_class = [[index for index in self._epoch if number in labels[index]] for number in range(1, classes + 1)]
        self._holding = [(number, indices) for number, indices in enumerate(by_class, start=1) if indices]

    def shuffled(self, seed: int, place: int) -> Sample:
        """The slice at a place of the endless sequence of shuffled epochs."""
        epoch, place = divmod(place, len(self._epoch))
        order = np.random.default_rng((seed, epoch)).permutation(len(self._epoch))
        return self.samples[self._epoch[order[place]]]

    def balanced(self, rng: np.random.Generator) -> tuple[Sample, tuple[int, int] | None]:
        """A slice with a class that was drawn first, and a pixel (y, x) of it; any slice if none holds an object."""
        if not self._holding:
            return self.samples[self._epoch[rng.integers(len(self._epoch))]], None
        number, indices = self._holding[rng.integers(len(self._holding))]
        sample = self.samples[indices[rng.integers(len(indices))]]
        pixels = np.argwhere(sample.labels.numpy() == number)
        y, x = pixels[rng.integers(len(pixels))]
        return sample, (int(y), int(x))
