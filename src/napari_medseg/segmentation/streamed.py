"""Labels of a run that go to the disk slice by slice, because an image may be larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..io.ome_zarr_stream import Stream
from ..volume import LabelClass, Volume
from .orientation import AS_IT_LIES, Turn
from .slices import Canvas

KEPT_ALL = (
    "The labels do not fit into memory at once, so all pieces of every class are kept; in smaller images only the "
    "largest one is."
)
"""What to know of labels of a model that keeps the largest piece alone."""


class StreamedCanvas(Canvas):
    """A canvas whose slices are written to a store as they are filled; those that are there already are counted.

    Parameters
    ----------
    stream : Stream
    volume, classes, split, turn
        As of `Canvas`. The turn keeps slices.
    """

    def __init__(
        self,
        stream: Stream,
        volume: Volume,
        classes: tuple[LabelClass, ...],
        split: bool,
        turn: Turn = AS_IT_LIES,
    ):
        self._stream = stream
        super().__init__(volume, classes, split, turn)
        # the last one is done again: a run has something to do
        before = stream.done()[: self.count - 1]
        for number in before:
            self._count_again(stream.read(number))
        self.finished = frozenset(map(self.number, before))

    def _count_again(self, plane: np.ndarray) -> None:
        if self._split:
            self._count_objects(plane)
        self._count(np.minimum(plane, 1) if self._split else plane)

    def _made(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        return self._stream.array

    def _turned_view(self) -> np.ndarray:
        # of this only the shape is asked for
        nothing = np.broadcast_to(np.zeros((), self.array.dtype), self.array.shape)
        return self._turn.there(nothing, self._axes)

    def _keep(self, index: int, plane: np.ndarray) -> None:
        within = Turn(("z", *self._turn.sources[1:]), (False, *self._turn.reversed[1:]))
        self._stream.write(self.number(index), within.back(plane, "yx").astype(self.array.dtype))

    @property
    def labelled(self) -> list[int]:
        """The slices of the run that have any label."""
        return [index for index in range(self.count) if self._stream.read(self.number(index)).any()]

    def keep_largest(self) -> Iterator[None]:
        """Keep everything: pieces are not known before the last slice."""
        return iter(())
