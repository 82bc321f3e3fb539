"""Write a session: each action is a line that is in the file once it has been done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import io
from ..errors import FileError, MedsegError, reason
from ..io import formats, items
from ..io.notes import is_labels
from ..record import Item, Record, UsedModel, now, plain, software, voxel_hash, without_folders
from ..review.deltas import Delta
from ..review.planes import Planes, checksum
from ..slice_states import KEY as SLICES
from ..volume import Volume
from . import lines

if TYPE_CHECKING:
    from ..training.fine_tune import FineTuneSettings

PLANNED = ("steps", "phases", "warmup_steps", "validate_every", "seed", "threads")
"""Options of a training that are decided when it begins, or by the machine."""


class Recording:
    """A session file that grows with every action.

    A file that cannot be written any more ends the recording, which `problem` says; the work goes on.

    Parameters
    ----------
    path : pathlib.Path
        A new file; its folder exists.

    Attributes
    ----------
    count : int
        Actions so far.
    problem : str
        Why it has ended, in a sentence; empty if it has not.

    Raises
    ------
    FileError
        If the file exists or cannot be made.
    """

    def __init__(self, path: Path):
        self.path = path
        self.count = 0
        self.problem = ""
        self._layers = 0
        self._saved: dict[str, Path] = {}
        head = {"kind": lines.KIND, "schema": lines.SCHEMA, "software": software(), "time": now()}
        try:
            self._file = path.open("xb")
        except FileExistsError as error:
            raise FileError(f"'{path.name}' exists already. Choose another name for the session.") from error
        except OSError as error:
            raise FileError(f"'{path}' cannot be made ({reason(error)}). Choose another folder.") from error
        self._append(head)

    @property
    def is_open(self) -> bool:
        """Whether actions are still written down."""
        return not self._file.closed

    def close(self) -> None:
        """End the recording."""
        self._file.close()

    def new_name(self) -> str:
        """A name for a layer: ``L1``, ``L2`` and so on."""
        self._layers += 1
        return f"L{self._layers}"

    # ---- actions ----

    def opened(self, layer: str, volume: Volume, role: str) -> None:
        """A file was opened, ``source`` of `volume`, and became a layer.

        Parameters
        ----------
        role : str
            ``image`` or ``labels``.
        """
        self.add("open", makes=layer, item=_item(items.of_volume(volume, role)))

    def holds(self, layer: str, volume: Volume, role: str) -> None:
        """A layer holds an array that no file has: it is kept next to the session."""
        name = f"{self.path.name.removesuffix(lines.SUFFIX)}.{layer}-{self.count + 1}.npz"
        notes = {"labels": True} if role == "labels" else {}
        kept = Volume(volume.data, volume.axes, volume.affine, volume.classes, notes)
        try:
            io.write(kept, self.path.with_name(name))
        except MedsegError as error:
            self._end(str(error))
            return
        self.add("keep", makes=layer, file=name, item=_item(items.of_result(volume, role)))

    def ran(self, layer: str, of: str, record: Record, labels: np.ndarray | None = None, **more: Any) -> None:
        """A run has made a layer of another one, or of a file.

        Parameters
        ----------
        layer, of : str
            Names of the layers; `of` is empty where the record's first input is a file.
        record : Record
        labels : numpy.ndarray, optional
            That it has made, so that differences can be counted.
        **more
            What else it needs: ``reading``, ``mask``.
        """
        if labels is not None:
            more["labels"] = lines.pack(labels)
        found = without_folders(record.to_json())
        self.add(record.what, makes=layer, of=[of] if of else [], record=found, **more)

    def edited(self, layer: str, name: str, deltas: Sequence[Delta], dtype: np.dtype, **more: Any) -> None:
        """Labels were changed: by a stroke, a tool, undo or redo, or from outside.

        Parameters
        ----------
        name : str
            Of the step, for people.
        deltas : sequence of Delta
        dtype : numpy.dtype
            Of the labels.
        **more
            ``tool`` with its settings, or ``moved`` ("undo" or "redo"); for people.
        """
        self.add("edit", on=layer, name=name, **lines.delta_fields(deltas, dtype), **more)

    def approved(self, layer: str, slices: Mapping[int, int | None]) -> None:
        """A person has approved slices of labels, or has taken that back.

        Parameters
        ----------
        slices : mapping of int to int or None
            Checksum of each slice as it was approved; None where the approval was taken back.
        """
        self.add("approve", on=layer, slices=[list(each) for each in slices.items()])

    def studied(self, of: str, record: Record, **more: Any) -> None:
        """A study was made, which has made no layer.

        Parameters
        ----------
        of : str
            Of this image; empty where the record's first input is a file.
        record : Record
        **more
            What else it needs: ``reading``, ``mask``.
        """
        self.add(record.what, of=[of] if of else [], record=without_folders(record.to_json()), **more)

    def taught(self, settings: FineTuneSettings, base: UsedModel | None, pairs: Sequence[Mapping[str, Any]]) -> None:
        """A fine-tuning takes what it learns from.

        Parameters
        ----------
        settings : FineTuneSettings
        base : UsedModel or None
            The model that it begins with; None if it begins with nothing.
        pairs : sequence of mapping
            See `lessons.describe`, each with the layers of image and labels as ``of``; none for the folder of a data
            set.
        """
        found = without_folders(plain(settings))
        self.add("train", name=settings.name, base=base, settings=found, pairs=list(pairs))

    def tuned(self, model: UsedModel, base: str, **more: Any) -> None:
        """A model was fine-tuned, from the model `base`, and accepted.

        Parameters
        ----------
        model : UsedModel
        base : str
            Empty if it began with nothing.
        **more
            What training it again needs: the ``plan`` with the options `PLANNED` of its run, the number of steps
            ``done``, the ``figures`` of its `Comparison`.
        """
        self.add("fine-tune", model=model, base=base, software=software(), **more)

    def saved(self, layer: str, volume: Volume, path: Path, on: str = "") -> None:
        """A layer is saved as `volume` says it; `on` is the layer that says where in the patient it lies."""
        fields: dict[str, Any] = {"name": self._name_for(path), "has_spacing": volume.has_spacing}
        item = items.of_result(volume)
        if is_labels(volume):
            narrow = as_saved(np.asarray(volume.data))
            planes = Planes(narrow)
            fields["sums"] = [checksum(planes.read(number)) for number in range(planes.count)]
            fields["classes"] = plain(list(volume.classes))
            fields["slices"] = plain(list(volume.metadata.get(SLICES, ())))
            fields["reviewed"] = list(volume.record.reviewed) if volume.record else []
            item = Item("labels", voxels=voxel_hash(narrow), axes=item.axes, shape=item.shape, affine=item.affine)
        self.add("save", of=[layer, on] if on else [layer], item=_item(item), **fields)

    def add(self, do: str, **fields: Any) -> None:
        """Write an action down."""
        self.count += 1
        self._append({"n": self.count, "do": do, "time": now(), **plain(fields)})

    # ---- the file ----

    def _name_for(self, path: Path) -> str:
        """A name that no other file of this session has: folders are left out."""
        own = formats.stem(path)
        ending = path.name.removeprefix(own) or formats.OME_ZARR.suffixes[0]  # labels in a store need none there
        name = f"{own}{ending}"
        number = 2
        while self._saved.setdefault(name.casefold(), path) != path:
            name = f"{own}-{number}{ending}"
            number += 1
        return name

    def _append(self, content: Mapping[str, Any]) -> None:
        if not self.is_open:
            return
        try:
            self._file.write(lines.write(content))
            self._file.flush()
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise FileNotFoundError(2, "the file was deleted")
        except (OSError, ValueError) as error:
            self._end(reason(error))

    def _end(self, why: str) -> None:
        because = why.rstrip(".")
        self.problem = f"The session is not recorded any more ({because}). What was written until now can be replayed."
        self._file.close()


def as_saved(labels: np.ndarray) -> np.ndarray:
    """Labels in the smallest unsigned type that holds them: files may keep them in another one than layers."""
    return labels.astype(np.min_scalar_type(int(labels.max(initial=0))), copy=False)


def _item(item: Item) -> Any:
    return without_folders(plain(item))
