"""Record a session: what is done with the layers of a viewer, written down so that it can be replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet, ref

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error

from ...errors import MedsegError, VolumeError
from ...io import items
from ...models import find, load_card
from ...record import Record, UsedModel, voxel_hash
from ...replay.finding import is_same, layers_of
from ...replay.recording import Recording
from ...review.history import Approval, Step
from ...volume import Volume
from . import layer_volumes, records
from .painting import Painting, painting_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from ...training.fine_tune import FineTuneSettings

_LOOKED_AT = 2**26  # bytes of an image that is compared with its file; larger ones are taken to be as they were read


class Recorder:
    """Writes down what happens to the layers of a viewer, from `start` to `stop`.

    A layer is named when it is first worked with: as the file that it was opened from, or with its array where no file
    has that.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Is not kept.
    painting : Painting
        Tells of strokes, tools, undo and redo.
    """

    def __init__(self, viewer: ViewerModel, painting: Painting):
        self._viewer = ref(viewer)
        self._painting = painting
        self._recording: Recording | None = None
        self._names: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
        self._stale: WeakSet[Layer] = WeakSet()
        self._content: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()  # hashes of labels without a journal
        painting.protected.connect(self._protected)
        painting.stepped.connect(self._stepped)
        painting.approved.connect(self._approved)
        painting.replaced.connect(self._replaced)

    @property
    def path(self) -> Path | None:
        """The session that is being recorded, if one is."""
        return None if self._recording is None else self._recording.path

    @property
    def count(self) -> int:
        """Actions that were written down."""
        return 0 if self._recording is None else self._recording.count

    def start(self, path: Path) -> None:
        """Record into a new file from now on.

        Raises
        ------
        FileError
            If it exists or cannot be made.
        """
        recording = Recording(path)
        self.stop()
        self._names.clear()
        self._recording = recording
        viewer = self._viewer()
        for layer in list(viewer.layers) if viewer is not None else ():
            self._protected(layer)

    def stop(self) -> None:
        """End the recording; the file is complete."""
        if self._recording is not None:
            self._painting.settle_all()
            self._recording.close()
            self._recording = None

    # ---- what the docks tell ----

    def ran(
        self, record: Record, layer: Layer, of: Layer | None, labels: np.ndarray | None = None, **more: Any
    ) -> None:
        """A run has made a layer, of another one or, with None, of a file.

        Parameters
        ----------
        record : Record
        layer, of : napari.layers.Layer
        labels : numpy.ndarray, optional
            That it has made.
        **more
            See `Recording.ran`.
        """
        recording = self._recording
        if recording is None:
            return
        source = "" if of is None else self._name(of)
        if of is not None and not source:
            return
        self._names[layer] = recording.new_name()
        self._stale.discard(layer)
        self._note_content(layer)
        recording.ran(self._names[layer], source, record, labels, **more)
        self._look()

    def saved(self, layer: Layer, volume: Volume, path: Path, image: Image | None = None) -> None:
        """A layer is about to be saved as `volume`; `image` says where in the patient it lies."""
        recording = self._recording
        if recording is None:
            return
        name = self._name(layer)
        on = "" if image is None else self._name(image)
        if name:
            recording.saved(name, volume, path, on)
        self._look()

    def studied(self, record: Record, image: Layer | None, **more: Any) -> None:
        """A study of an image or, with None, of a file has ended, which changes no layer.

        Parameters
        ----------
        record : Record
        image : napari.layers.Layer or None
        **more
            See `Recording.studied`.
        """
        recording = self._recording
        if recording is None:
            return
        source = "" if image is None else self._name(image)
        if image is None or source:
            recording.studied(source, record, **more)
        self._look()

    def taught(
        self, settings: FineTuneSettings, layers: Sequence[tuple[Layer, Layer]], pairs: Sequence[Mapping[str, Any]]
    ) -> None:
        """A training takes what it learns from.

        Parameters
        ----------
        settings : FineTuneSettings
        layers : sequence of (napari.layers.Layer, napari.layers.Layer)
            Image and labels of each pair.
        pairs : sequence of mapping
            See `replay.lessons.describe`.
        """
        recording = self._recording
        if recording is None:
            return
        named = []
        for (image, labels), pair in zip(layers, pairs, strict=True):
            names = [self._name(image), self._name(labels)]
            if not all(names):
                return
            named.append({"of": names, **pair})
        recording.taught(settings, _used(settings.base) if settings.base else None, named)
        self._look()

    def tuned(self, name: str, base: str, **more: Any) -> None:
        """The model `name`, fine-tuned from `base`, was accepted: it is one of the user's now.

        Parameters
        ----------
        name, base : str
        **more
            See `Recording.tuned`.
        """
        if self._recording is not None:
            self._recording.tuned(_used(name), base, **more)
            self._look()

    # ---- layers ----

    def _name(self, layer: Layer) -> str:
        """The name of a layer in the session, which holds it as it is now; empty if it cannot."""
        recording = self._recording
        if recording is None:
            return ""
        if isinstance(layer, Labels):
            records.settle(layer)  # which may name it
        known = self._names.get(layer, "")
        if known and layer not in self._stale and not self._has_drifted(layer):
            return known
        try:
            volume = _volume_of(layer)
        except VolumeError as error:
            show_error(f"'{layer.name}' is not in the session: {error}")
            return ""
        name = known or recording.new_name()
        self._names[layer] = name
        self._stale.discard(layer)
        self._note_content(layer)
        role = "labels" if isinstance(layer, Labels) else "image"
        if _is_as_in_its_file(layer, volume):
            recording.opened(name, volume, role)
        else:
            recording.holds(name, volume, role)
        return name

    def _note_content(self, layer: Layer) -> None:
        """Remember what labels hold of which no journal tells."""
        if isinstance(layer, Labels) and self._painting.follower(layer) is None:
            self._content[layer] = voxel_hash(np.asarray(layer.data))
        else:
            self._content.pop(layer, None)

    def _has_drifted(self, layer: Layer) -> bool:
        """Whether labels without a journal were changed since they were named."""
        known = self._content.get(layer)
        return known is not None and voxel_hash(np.asarray(layer.data)) != known

    def _look(self) -> None:
        """Say it if nothing can be written any more."""
        if self._recording is not None and self._recording.problem:
            show_error(self._recording.problem)
            self._recording = None

    # ---- what happens to labels ----

    def _protected(self, layer: Any) -> None:
        """A layer has a journal: every later change of it can be written down."""
        if self._recording is None or self._painting.follower(layer) is None:
            return
        if layer not in self._names or layer in self._stale or self._has_drifted(layer):
            self._name(layer)
            self._look()
        self._content.pop(layer, None)  # the journal tells of it

    def _stepped(self, layer: Labels, step: Step, moved: str) -> None:
        follower = self._painting.follower(layer)
        recording = self._recording
        if recording is None or follower is None or layer not in self._names or layer in self._stale:
            return  # what was done to a layer before it is named is in its array
        deltas = follower.journal.deltas(step)
        if moved == "undo":
            deltas = [delta.swapped() for delta in deltas]
        if deltas:
            more = {"moved": moved} if moved else {}
            recording.edited(self._names[layer], step.name, deltas, np.dtype(layer.data.dtype), **more)
            self._look()

    def _approved(self, layer: Labels, approvals: Sequence[Approval]) -> None:
        recording = self._recording
        if recording is None or layer not in self._names or layer in self._stale:
            return
        recording.approved(self._names[layer], {number: crc for number, crc, _, _ in approvals})
        self._look()

    def _replaced(self, layer: Any) -> None:
        """A layer has another array."""
        if layer in self._names:
            self._stale.add(layer)


def _used(name: str) -> UsedModel:
    """An installed model as a session names it."""
    card = load_card(find(name))
    return UsedModel(card.name, card.sha256, card.architecture)


def _volume_of(layer: Layer) -> Volume:
    """The array of a layer as it is read from its file or kept."""
    if isinstance(layer, Labels):
        data = np.array(layer.data)
        axes = "tzyx"[-data.ndim :] if data.ndim <= 4 else ""
        return Volume(data, axes, metadata=_source(layer))
    if not isinstance(layer, Image):
        raise VolumeError("it is neither an image nor labels.")
    volume = layer_volumes.to_volume(layer, next(iter(layer_volumes.axes_choices(layer)), None))
    return Volume(volume.data, volume.axes, volume.affine, metadata={**volume.metadata, **_source(layer)})


def _source(layer: Layer) -> dict[str, Any]:
    path = records.noted(layer).get("source") or layer.source.path
    return {"source": str(path), "format": records.noted(layer).get("format", "")} if path else {}


def _is_as_in_its_file(layer: Layer, volume: Volume) -> bool:
    """Whether the file of a layer gives the array that it has."""
    path = volume.metadata.get("source")
    if not path:
        return False
    large = not isinstance(volume.data, np.ndarray) or volume.data.nbytes > _LOOKED_AT
    record = records.record_of(layer)
    if large and isinstance(layer, Image):
        return record is None or not record.models
    try:
        return any(is_same(found, items.of_result(volume)) for found in layers_of(Path(path)))
    except (MedsegError, OSError):
        return False


_RECORDERS: WeakKeyDictionary[ViewerModel, Recorder] = WeakKeyDictionary()


def recorder_of(viewer: ViewerModel) -> Recorder:
    """The recorder of a viewer, which lives as long as the viewer."""
    found = _RECORDERS.get(viewer)
    if found is None:
        found = Recorder(viewer, painting_of(viewer))
        _RECORDERS[viewer] = found
    return found
