"""How far the review of a case is: the slices of its labels that a person has approved."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import io
from ..record import Record
from ..slice_states import APPROVED, KEY, expand


@dataclass(frozen=True)
class Reviewed:
    """What a person has approved of the labels of a case.

    Parameters
    ----------
    slices : int
    approved : int
    complete : bool
        Whether no slice that holds labels is left, and at least one is approved.
    """

    slices: int
    approved: int = 0
    complete: bool = False

    @property
    def cell(self) -> str:
        """For a table."""
        return f"{'✓ ' if self.complete else ''}{self.approved} of {self.slices}"

    @property
    def text(self) -> str:
        """A sentence."""
        slices = "slice" if self.slices == 1 else "slices"
        return f"{self.approved} of {self.slices} {slices} approved."


def fresh(record: Record) -> Reviewed | None:
    """Of labels that a run has just made; None if its record does not say how many slices they have."""
    shape = next((item.shape for item in record.outputs if item.role == "labels"), ())
    return Reviewed(math.prod(shape[:-2])) if len(shape) > 1 else None


def of_states(states: Sequence[str], filled: Collection[int]) -> Reviewed:
    """From the states of all slices, and the numbers of those that hold labels."""
    approved = {number for number, state in enumerate(states) if state == APPROVED}
    return Reviewed(len(states), len(approved), bool(approved) and approved.issuperset(filled))


def in_file(path: Path) -> Reviewed:
    """From a file of labels; its voxels are read only where something is approved.

    Raises
    ------
    FileError, VolumeError
        If it cannot be read.
    """
    volume = io.read(path, lazy=True)
    count = math.prod(volume.data.shape[:-2])
    known = expand(volume.metadata.get(KEY))
    states = [known.get(number, {}).get("state", "") for number in range(count)]
    if APPROVED not in states:
        return Reviewed(count)
    lead = volume.data.shape[:-2]
    filled = [n for n, place in enumerate(np.ndindex(lead)) if np.asarray(volume.data[place]).any()]
    return of_states(states, filled)
