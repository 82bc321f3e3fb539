"""The layers of a session while it is replayed, as they are and as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import FileError
from ..record import Item, voxel_hash
from ..review.deltas import Delta
from ..review.planes import Planes, checksum, slices_text
from ..volume import Volume


class DifferenceError(FileError):
    """Something is not what it was when the session was recorded."""


@dataclass
class Layer:
    """An array of the session.

    Parameters
    ----------
    volume : Volume
        As it is here. Labels have an array of their own, which is changed.
    then : numpy.ndarray or None
        Labels as they were in the session where these are others; None where they are the same.
    doubt : str
        Why an image is not known to be what it was; empty if it is.
    approvals : dict of int to int
        Checksums of the slices that were approved, as they were then.
    """

    volume: Volume
    then: np.ndarray | None = None
    doubt: str = ""
    approvals: dict[int, int] = field(default_factory=dict)

    @property
    def data(self) -> np.ndarray:
        """The array as it is here."""
        return np.asarray(self.volume.data)

    @property
    def recorded(self) -> np.ndarray:
        """The array as it was in the session."""
        return self.data if self.then is None else self.then

    def differing(self) -> int:
        """Voxels that are not what they were."""
        return 0 if self.then is None else int(np.count_nonzero(self.then != self.data))

    def approve(self, slices: Mapping[int, int | None]) -> None:
        """Approve slices again, with their checksums; None takes an approval back.

        Raises
        ------
        DifferenceError
            If the labels of the session were others then.
        """
        planes = Planes(self.recorded)
        given = {number: crc for number, crc in slices.items() if crc is not None}
        if any(not 0 <= number < planes.count for number in slices):
            raise FileError("it approves a slice that the labels do not have. Restore the session file.")
        unfit = [number for number, crc in given.items() if checksum(planes.read(number)) != crc]
        if unfit:
            raise DifferenceError(
                f"other labels were approved in {slices_text(unfit)}: a change before it is not in the session, or the "
                "session was altered."
            )
        kept = {number: crc for number, crc in self.approvals.items() if number not in slices}
        self.approvals = kept | given

    def approved(self) -> list[int]:
        """Slices that are as they were approved."""
        planes = Planes(self.recorded)
        return [number for number, crc in self.approvals.items() if checksum(planes.read(number)) == crc]

    def change(self, deltas: Sequence[Delta]) -> None:
        """Do a step again.

        Raises
        ------
        DifferenceError
            If the labels of the session were others before this step than it says.
        """
        planes = Planes(self.recorded)
        try:
            unfit = [delta.plane for delta in deltas if not delta.fits(planes.read(delta.plane))]
        except (ValueError, IndexError) as error:
            raise FileError("it changes a slice that the labels do not have. Restore the session file.") from error
        if unfit:
            raise DifferenceError(
                f"it was made on other labels in {slices_text(unfit)}: a change before it is not in the session, or "
                "the session was altered."
            )
        for array in [self.data] if self.then is None else [self.data, self.then]:
            for delta in deltas:
                delta.apply(Planes(array))


def owned(volume: Volume) -> Volume:
    """The same with an array in memory that is not shared."""
    return replace(volume, data=np.array(volume.data))


def placed(volume: Volume, item: Item) -> Volume:
    """A layer as it lay in the viewer: the axes that were chosen, and where it was moved to."""
    affine: Any = np.array(item.affine) if item.affine else volume.affine
    return replace(volume, axes=item.axes or volume.axes, affine=affine)


def refuse_other(layer: Layer, item: Item, what: str) -> None:
    """Make sure that what a step works on was the same in the session.

    Raises
    ------
    DifferenceError
        If it was not.
    """
    if item.voxels and voxel_hash(layer.recorded) != item.voxels:
        raise DifferenceError(
            f"{what} is not what it was in the session: a change of it was not recorded, or the session was altered."
        )


def slices_that_differ(labels: np.ndarray, sums: Sequence[int]) -> list[int]:
    """The slices of labels whose checksums are others than `sums`."""
    planes = Planes(labels)
    if planes.count != len(sums):
        return list(range(planes.count))
    return [number for number, crc in enumerate(sums) if checksum(planes.read(number)) != crc]
