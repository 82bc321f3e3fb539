"""What Fine-tune learns from: reviewed slices of labels layers, and the classes that are painted on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels

from ...errors import MedsegError, VolumeError
from ...image_values import remark
from ...label_values import count_regions, renumbered
from ...progress import Job, Progress
from ...volume import Volume
from ..kit import layer_volumes
from ..kit.records import is_judged, ledger_of, note_changes, noted, record_of, say_reviewed
from .class_rows import Painted, count_objects, object_name

if TYPE_CHECKING:
    from ...models import ModelCard
    from ...training.data.survey import Survey

_SHOWN = 255  # labels of a layer that are listed as classes, one more than can be learnt


@dataclass(frozen=True)
class SliceLabels:
    """The labels on a slice, without 0, and the number of connected regions of equal labels."""

    numbers: frozenset[int]
    regions: int


@dataclass(frozen=True)
class Summary:
    """The labels on `reviewed` slices, rising; of all these slices, labels `shown` and connected `regions`."""

    reviewed: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    shown: int = 0
    regions: int = 0


def look_job(data: Any, slices: Sequence[int]) -> Job[dict[int, SliceLabels]]:
    """The labels on each of the `slices` of an array (z, y, x), or (y, x) with the single slice 0."""
    found = {}
    for done, number in enumerate(slices):
        yield Progress(done, len(slices))
        plane = np.asarray(data[number] if data.ndim == 3 else data)
        present = np.unique(plane).tolist()
        found[number] = SliceLabels(frozenset(present) - {0}, count_regions(plane))
    return found


@dataclass(frozen=True, eq=False)
class Seen:
    """What a look found: labels by layer and slice, remarks on images; or what a folder holds and what is wrong."""

    labels: dict[Labels, dict[int, SliceLabels]]
    remarks: Mapping[Image, str] = field(default_factory=dict)
    path: str = ""
    data: Survey | None = None
    problem: str = ""


def layers_job(
    stale: Sequence[tuple[Labels, Any, Sequence[int]]], images: Sequence[tuple[Image, Any]] = ()
) -> Job[Seen]:
    """Look at slices of the arrays of labels, see `look_job`, and at the arrays of images."""
    found = {}
    for layer, data, slices in stale:
        found[layer] = yield from look_job(data, slices)
    remarks = {}
    for image, data in images:
        yield Progress(0, 1)
        remarks[image] = _remark(data, image.rgb)
    return Seen(found, remarks)


def _remark(data: Any, rgb: bool) -> str:
    """Why nothing can be learnt from an array (z, y, x) or (y, x), perhaps with colours; empty if something can."""
    if data.ndim - rgb == 2:
        return remark(lambda _: data, 1)
    return remark(lambda number: data[number], len(data))


class Remarks:
    """What was found of the images, as long as their arrays are the same."""

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[Image, tuple[int, str]] = WeakKeyDictionary()

    def is_stale(self, image: Image) -> bool:
        """Whether an image is to be looked at."""
        array, _ = self._found.get(image, (0, ""))
        return array != id(image.data)

    def saw(self, found: Mapping[Image, str]) -> None:
        """Take down what `layers_job` found."""
        for image, text in found.items():
            self._found[image] = (id(image.data), text)

    def of(self, image: Image) -> str:
        """What there is to say of an image; empty if nothing."""
        _, text = self._found.get(image, (0, ""))
        return f"⚠ {image.name}: {text}" if text else ""


def folder_job(path: str) -> Job[Seen]:
    """Look at what the folder `path` holds."""
    from ...training.data.survey import survey_job

    try:
        found = yield from survey_job(Path(path))
    except MedsegError as error:
        return Seen({}, path=path, problem=str(error))
    return Seen({}, path=path, data=found)


@dataclass(eq=False)
class _Look:
    """Labels by slice as last seen, None before the first look; and the slices that have changed since, None: all."""

    labels: dict[int, SliceLabels] | None = None
    stale: set[int] | None = None
    summary: Summary | None = None


class Reviews:
    """What is on the slices of labels layers, and which of them count: those that their ledger has as reviewed.

    That is, those that a person has changed or approved, here or before the file was saved. Of labels that were drawn
    in this session, those that hold labels do until the person says which.
    """

    def __init__(self) -> None:
        self._looks: WeakKeyDictionary[Labels, _Look] = WeakKeyDictionary()

    def count(self, layer: Labels) -> int:
        """Number of slices."""
        return layer.data.shape[0] if layer.data.ndim == 3 else 1

    def stale(self, layer: Labels) -> list[int]:
        """Slices that were not looked at since they changed."""
        changed = self._look(layer).stale
        if changed is None:
            return list(range(self.count(layer)))
        return sorted(changed)

    def look(self, layer: Labels) -> list[int]:
        """The stale slices, which are going to be looked at."""
        slices = self.stale(layer)
        self._look(layer).stale = set()
        return slices

    def saw(self, layer: Labels, found: Mapping[int, SliceLabels]) -> None:
        """Take down what `look_job` found."""
        look = self._look(layer)
        look.labels = {**(look.labels or {}), **found}
        look.summary = None

    def known(self, layer: Labels) -> bool:
        """Whether a look has found what there is."""
        return self._look(layer).labels is not None

    def change(self, layer: Labels, slices: Iterable[int] | None) -> None:
        """Some or all slices may have changed."""
        look = self._look(layer)
        if slices is None:
            look.labels, look.stale, look.summary = None, None, None
        elif look.stale is not None:
            look.stale |= set(slices)

    def reviewed(self, layer: Labels) -> tuple[int, ...]:
        """The slices that count."""
        return ledger_of(layer).reviewed() if is_judged(layer) else self.filled(layer)

    def states(self, layer: Labels) -> list[str]:
        """Why the slices that count do: their states in the ledger, or that they were drawn in this session."""
        if not is_judged(layer):
            return ["drawn"] * len(self.filled(layer))
        ledger = ledger_of(layer)
        return [ledger.state(number) for number in ledger.reviewed()]

    def filled(self, layer: Labels) -> tuple[int, ...]:
        """The slices that hold labels, as far as they were looked at."""
        holding = [number for number, labels in self._seen(layer).items() if labels.numbers]
        return tuple(sorted(holding))

    def labels(self, layer: Labels) -> tuple[int, ...]:
        """The labels on reviewed slices, without 0."""
        return self.summary(layer).numbers

    def summary(self, layer: Labels) -> Summary:
        """What is on reviewed slices; kept, since there may be thousands of labels."""
        reviewed = self.reviewed(layer)
        look = self._look(layer)
        if look.summary is None or look.summary.reviewed != reviewed:
            seen = self._seen(layer)
            parts = [seen[number] for number in reviewed if number in seen]
            numbers = frozenset[int]().union(*(part.numbers for part in parts))
            shown = sum(len(part.numbers) for part in parts)
            regions = sum(part.regions for part in parts)
            look.summary = Summary(reviewed, tuple(sorted(numbers)), shown, regions)
        return look.summary

    def say(self, layer: Labels, slices: Iterable[int]) -> None:
        """Note in the layer which slices were reviewed."""
        say_reviewed(layer, slices)

    def paint(self, layer: Labels, slices: set[int]) -> None:
        """A person has painted: these slices are reviewed."""
        self.change(layer, slices)
        if self.known(layer):  # else the first look finds them, and what was painted before
            self.note(layer, slices)

    def note(self, layer: Labels, slices: Iterable[int] = ()) -> None:
        """Note in a layer that was drawn in this session what counts from now on, and `slices`."""
        if not is_judged(layer):
            note_changes(layer, dict.fromkeys((*self.reviewed(layer), *slices)))

    def _seen(self, layer: Labels) -> Mapping[int, SliceLabels]:
        return self._look(layer).labels or {}

    def _look(self, layer: Labels) -> _Look:
        return self._looks.setdefault(layer, _Look())


def class_names(layer: Labels, card: ModelCard | None) -> dict[int, str]:
    """Names of the labels of a layer: its own, else those that the model gives these numbers."""
    mine = noted(layer).get("classes", ())
    theirs = card.classes if card else ()
    return {row.id: row.name for row in mine or theirs}


def are_objects(layer: Labels, reviews: Reviews, card: ModelCard | None) -> bool:
    """Whether the labels of a layer have no names and number objects one by one."""
    if noted(layer).get("classes"):
        return False
    found = reviews.summary(layer)
    record = record_of(layer)
    if record is not None and record.settings.get("split_objects") and len(found.numbers) > 1:
        return True
    return count_objects(len(found.numbers), found.shown, found.regions, card)


def painted_labels(
    layers: Sequence[Labels], reviews: Reviews, card: ModelCard | None, objects: Collection[Labels] = ()
) -> list[Painted]:
    """The labels on the reviewed slices of all layers; those of `objects` number objects of one class."""
    found = []
    for layer in layers:
        labels = reviews.labels(layer)
        if layer in objects:
            first, *more = labels
            found.append(Painted(first, object_name(card), _colour(layer, first), tuple(more)))
            continue
        names = label_names(layer, labels, card)
        for label in labels[:_SHOWN]:
            found.append(Painted(label, names[label], _colour(layer, label)))
    return found


def label_names(layer: Labels, labels: Sequence[int], card: ModelCard | None, objects: bool = False) -> dict[int, str]:
    """A name for each of the `labels`, its number if it has none; one for all where they number objects."""
    if objects:
        return dict.fromkeys(labels, object_name(card))
    names = class_names(layer, card)
    return {label: names.get(label) or f"class {label}" for label in labels}


def _colour(layer: Labels, label: int) -> str:
    colour = layer.get_color(label)
    shares = (0.5, 0.5, 0.5) if colour is None else colour[:3]
    parts = [round(255 * float(share)) for share in shares]
    return "#{:02x}{:02x}{:02x}".format(*parts)


@dataclass(frozen=True, eq=False)
class Pair:
    """Labels, and the image they were drawn on."""

    labels: Labels
    image: Image
    axes: str


@dataclass(frozen=True, eq=False)
class Marked:
    """What is taken of an image and its labels when a training begins; the layers may change afterwards.

    Parameters
    ----------
    name : str
    image : Volume
    labels : numpy.ndarray
        On the grid of the image without colours; copied where reviewed, 0 elsewhere.
    reviewed : tuple of int
    table : mapping of int to int
        From the numbers in the layer to those of the classes to learn; what is missing stands for 0.
    """

    name: str
    image: Volume
    labels: np.ndarray
    reviewed: tuple[int, ...]
    table: Mapping[int, int]

    def translated(self) -> np.ndarray:
        """The labels as numbers of the classes, 8 bit.

        Raises
        ------
        VolumeError
            If there are labels that are not in the table.
        """
        found = np.zeros(self.labels.shape, np.uint8)
        planes = found.reshape(-1, *found.shape[-2:])
        old = self.labels.reshape(planes.shape)
        for number in self.reviewed:
            unknown = set(np.unique(old[number]).tolist()) - self.table.keys() - {0}
            if unknown:
                numbers = ", ".join(map(str, sorted(unknown)))
                labels = f"Labels {numbers} were" if len(unknown) > 1 else f"Label {numbers} was"
                raise VolumeError(
                    f"{labels} painted on slice {number} of '{self.name}' after you pressed Start. "
                    "Check the class table and press Start again."
                )
            planes[number] = renumbered(old[number], self.table)
        return found


def mark(layer: Labels, image: Image, axes: str, reviews: Reviews, table: Mapping[int, int]) -> Marked:
    """Take down the reviewed slices of `layer`.

    Raises
    ------
    MedsegError
        If layer and image do not fit.
    """
    if why_not := misfit(layer, image, axes):
        raise VolumeError(why_not)
    volume = stack(layer_volumes.to_volume(image, axes))
    reviewed = reviews.reviewed(layer)
    array = layer_volumes.finest(layer)
    copy = np.zeros(array.shape, array.dtype)
    if copy.ndim == 2:
        copy[:] = array
    else:
        slices = list(reviewed)
        copy[slices] = array[slices]
    name = f"{image.name} {layer.name}"
    return Marked(name, volume, copy, reviewed, table)


def stack(volume: Volume) -> Volume:
    """A time series of single slices as a pile of them: to learn from, each counts alone."""
    if not volume.axes.startswith("ty"):
        return volume
    return replace(volume, axes=volume.axes.replace("t", "z"))


def unlearnable(image: Image, axes: str | None) -> str:
    """Why nothing can be learnt from an image, whatever its labels; empty if something can."""
    if (axes or "").removesuffix("c") in ("yx", "zyx", "tyx"):
        return ""
    found = ", ".join(axes) if axes else "not known"
    return (
        f"'{image.name}' has the axes {found}; expected single images or stacks of slices, grey or in colour. Select "
        "one time point or channel as a layer of its own first."
    )


def misfit(layer: Labels, image: Image, axes: str | None) -> str:
    """Why `layer` cannot hold labels of `image`; empty if it can."""
    reason = unlearnable(image, axes)
    if reason or axes is None:
        return reason
    shape = tuple(image.data.shape[: len(axes.removesuffix("c"))])
    if tuple(layer.data.shape) != shape:
        return f"'{layer.name}' has {layer.data.shape} voxels, '{image.name}' has {shape}. Choose labels of this image."
    try:
        same_place = layer_volumes.lies_on(layer, image, axes)
    except VolumeError as error:
        return str(error)
    if not same_place:
        return f"'{layer.name}' lies elsewhere than '{image.name}'. Choose labels that were drawn on this image."
    return ""


def is_annotation(layer: Any) -> TypeGuard[Labels]:
    """Whether a layer holds labels that can be learnt from."""
    fits = isinstance(layer, Labels) and not layer.multiscale and layer.ndim in (2, 3)
    return fits and not layer.metadata.get(layer_volumes.SIGHT)
