"""Labels written into an OME-Zarr store slice by slice, while they are made; an interrupted run goes on where it ended.

Until it is finished the store is ``NAME.part``, next to its target.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .. import files
from ..errors import FileError, reason, short
from ..progress import Job, Progress
from ..record import voxel_digest
from ..volume import Volume
from . import formats, zarr_groups, zarr_labels, zarr_levels
from .ome_zarr_write import describe, levels_of_volume
from .zarr_levels import Level

_MARK = "napari_medseg_run"  # attribute: which run a store belongs to


class Stream:
    """A store that is being written.

    Parameters
    ----------
    part : pathlib.Path
        Its folder, which the caller has locked.
    target : pathlib.Path
        The name that it will get.
    axes : str
    shape : tuple of int
        Of the labels.
    dtype : numpy.dtype
    run : mapping
        What decides about the labels, as plain JSON values: a store of another run is left alone.

    Raises
    ------
    FileError
        If the folder belongs to another run.
    """

    def __init__(
        self,
        part: Path,
        target: Path,
        axes: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
        run: Mapping[str, Any],
    ):
        self._part = part
        self._target = target
        self._lead = shape[:-2]
        self.is_complete = False
        self._mark = mark = {"axes": axes, "shape": list(shape), "dtype": np.dtype(dtype).str, "run": dict(run)}
        try:
            self._join(mark)
            opened = zarr_levels.opened(part, Level("0", shape, (1,) * len(shape)), axes, dtype)
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(error) from error
        self._axes = axes
        self.array = opened
        """The labels, shape (..., y, x); nothing is read before it is asked for."""

    def _join(self, mark: Mapping[str, Any]) -> None:
        """Begin a store, or go on with what an interrupted run of the same kind has left."""
        version = zarr_labels.zarr_version(self._part)
        for path in self._part.rglob("*"):
            _refuse_link(path)
        if zarr_groups.description(self._part, version).exists():
            self._refuse_other(mark)
            for path in self._part.rglob("*.partial"):
                files.remove(path)
        else:
            zarr_groups.describe(self._part, {_MARK: mark}, version)

    def _refuse_other(self, mark: Mapping[str, Any]) -> None:
        known = zarr.open_group(self._part, mode="r").attrs.get(_MARK)
        if known == mark:
            return
        theirs = known.get("run", {}).get("model") if isinstance(known, dict) else None
        same = theirs == mark["run"].get("model")
        who = "a run with other settings" if same else f"another model ({theirs})"
        raise FileError(
            f"'{self._target.name}' was left unfinished by {who}. Remove '{self._part.name}' or choose another name."
        )

    def done(self) -> list[int]:
        """The slices that are written, counted over all axes before y and x: all files of them are there."""
        return [number for number in range(math.prod(self._lead)) if self._is_done(number)]

    def _is_done(self, number: int) -> bool:
        return zarr_levels.is_done(self._part, self.array, self._place(number))

    def write(self, number: int, plane: np.ndarray) -> None:
        """Write a slice (y, x), read it back and compare.

        Raises
        ------
        FileError
            If it cannot be written, or does not read back the same. What was written before stays.
        """
        place = self._place(number)
        try:
            self.array[place] = plane
            back = np.asarray(self.array[place])
        except OSError as error:
            raise FileError(
                f"'{self._target.name}' could not be written ({reason(error)}). What is finished lies in "
                f"'{self._part.name}': make room, and run the same again to go on."
            ) from error
        if not np.array_equal(back, plane):
            raise FileError(
                f"Slice {number} of '{self._target.name}' reads back with other labels than were written. Save to "
                "another disk."
            )

    def read(self, number: int) -> np.ndarray:
        """A slice (y, x)."""
        try:
            return np.asarray(self.array[self._place(number)])
        except (ValueError, RuntimeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> FileError:
        return FileError(
            f"'{self._part.name}' was left by an interrupted run and cannot be read ({short(error)}). Remove it, and "
            "run the same again."
        )

    def hash_job(self) -> Job[str]:
        """Read all labels once more; as `record.voxel_hash`."""
        count = math.prod(self._lead)
        digest = voxel_digest(self.array)
        for number in range(count):
            digest.update(np.ascontiguousarray(self.read(number), self.array.dtype.newbyteorder("<")).data)
            yield Progress(count, count)
        return digest.hexdigest()

    def finish_job(self, labels: Volume) -> Job[None]:
        """Write the coarser levels, and what the labels are; leaving the context gives the store its name.

        Parameters
        ----------
        labels : Volume
            Of which all but the voxels is written.
        """
        yield from zarr_levels.fill_job(self._part, levels_of_volume(labels, self._part), self._axes, labels=True)
        # with the mark: a process that is killed before the store has its name can still be followed by another
        describe(self._part, labels, more={_MARK: self._mark})
        self.is_complete = True

    def _place(self, number: int) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(number, self._lead))) if self._lead else ()


@contextmanager
def streamed(
    target: Path, axes: str, shape: tuple[int, ...], dtype: np.dtype, run: Mapping[str, Any]
) -> Generator[Stream]:
    """Write a store slice by slice; it takes its name at the end, if it is complete.

    Parameters
    ----------
    target, axes, shape, dtype, run
        As of `Stream`.

    Raises
    ------
    FileError
        If it cannot be written, `target` is a folder of another kind, or it lies in the store of another image.
    JobError
        If another process writes it.
    """
    formats.writable(target)
    files.put_back(target)
    zarr_labels.refuse_folder(target)
    part = target.with_name(f"{target.name}{zarr_labels.UNFINISHED}")
    _refuse_link(part)
    with zarr_labels.listed(target, axes, shape):
        with files.lock(part):
            stream = Stream(part, target, axes, shape, dtype, run)
            yield stream
        if stream.is_complete:
            files.replace_by(part, target)


def _refuse_link(path: Path) -> None:
    """Make sure that what is written lies where it seems to."""
    if path.is_symlink():
        raise FileError(f"'{path}' is a link, and labels are only written into a folder of their own. Remove the link.")
