"""Training slices with their labels, as networks see them, from the entries of a data set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...errors import SettingsError
from ...io.checks import check_size
from ...label_values import number_objects
from ...preprocess import Preprocess, as_channels, neighbours
from ...segmentation.orientation import AS_IT_LIES, turn_for
from . import shares
from .reading import entries
from .shares import IGNORE
from .sources import Entry, Source

Join = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Makes one image of a slice and its neighbours."""

_CONTEXT = 3  # slices that a network with neighbours sees


@dataclass(frozen=True, eq=False)
class Sample:
    """One slice on its own grid.

    Parameters
    ----------
    image : torch.Tensor, shape (3, y, x) or (9, y, x), float32
        Normalised to [0, 1]; nine channels are those of the slice before, the slice and the slice after. With
        `Preprocess.neighbours` the three channels are these slices in grey.
    labels : torch.Tensor, shape (y, x), uint8
        0 background, i + 1 the class of logit map i, `IGNORE` where nothing is known.
    case, group : str
        Whose slice it is, and the group it is reported in.
    repeat : int
        Share of an epoch.
    spacing : (float, float) or None
        Pixel size (y, x) in mm where it is known.
    objects : numpy.ndarray, shape (y, x), or None
        Object numbers, 0 background.
    volume : str
        Which volume it is a slice of; the slices of a volume follow each other from the first to the last. Empty for
        single slices.
    thickness : float or None
        Distance to the next slice of the volume in mm; None where it is not known, or slices between are left out.
    unlabelled : tuple of int
        Classes that nobody drew in this slice, although they may be there, see `Source.unlabelled`.
    stack : str
        Which stack a single slice is a part of, see `Source.frame`; empty for slices of volumes and those that lie
        alone.
    number : int
        Place of the slice in its volume or stack: where two follow each other, they differ by one.
    target : torch.Tensor, shape (2, c, y, x), or None
        What the network should say, see `shares`; None where `labels` say it, on the grid that they were drawn on.
    """

    image: torch.Tensor
    labels: torch.Tensor
    case: str
    group: str = ""
    repeat: int = 1
    spacing: tuple[float, float] | None = None
    objects: np.ndarray | None = None
    volume: str = ""
    thickness: float | None = None
    unlabelled: tuple[int, ...] = ()
    stack: str = ""
    number: int = 0
    target: torch.Tensor | None = None

    def target_of(self, classes: int) -> torch.Tensor:
        """What the network should say of this slice, (2, c, y, x), see `shares`."""
        if self.target is not None:
            return self.target
        return shares.targets(self.labels, classes, self.unlabelled)


def load(
    sources: Iterable[Source],
    preprocess: Preprocess,
    root: Path,
    classes: int = 1,
    *,
    context: bool = False,
    orientation: str = "",
) -> list[Sample]:
    """Read and normalise all slices of `sources`; those without labels serve as neighbours only.

    Parameters
    ----------
    sources : iterable of Source
    preprocess : Preprocess
        Intensity scaling, the same as in inference.
    root : pathlib.Path
        Folder that relative paths start from.
    classes : int
        Number of classes without background. With one, every label above 0 means it (masks of 0 and 255 too); with
        more, labels must be 0 to `classes`. `Source.ignore` is allowed as well.
    context : bool
        Whether images get their neighbours, see `Sample`.
    orientation : str
        As on the card of the model: volumes whose place is known are turned to it, as in inference.

    Raises
    ------
    FileError, SettingsError
        If a source is missing, damaged or too large, or image and labels do not fit.
    """
    samples: list[Sample] = []
    for source in sources:
        samples += _samples(source, preprocess, root, classes, context, orientation)
    if not samples:
        raise SettingsError(
            "The data set holds no labelled slices. Check the paths and the entries 'select' and 'split' "
            "of its sources."
        )
    return samples


def _samples(
    source: Source,
    preprocess: Preprocess,
    root: Path,
    classes: int,
    context: bool,
    orientation: str,
) -> Iterator[Sample]:
    """The slices of one source, single ones of a series after the others if they are looked at together."""
    series: dict[tuple[str, int | str], list[tuple[int, Sample]]] = {}
    joined = _together if context else as_channels if preprocess.neighbours else None
    for entry in entries(source, root):
        stack = list(_slices(entry, preprocess, classes, _CONTEXT if context else 1, orientation))
        if entry.stack is not None and (joined or source.inner):
            series.setdefault(entry.stack, []).append((entry.frame, stack[0]))
        else:
            for _, volume in itertools.groupby(stack, key=lambda sample: sample.volume):
                yield from _chosen(list(volume), joined, source.inner and entry.labels.ndim > 2)
    for members in series.values():
        stack = [sample for _, sample in sorted(members, key=lambda member: member[0])]
        yield from _chosen(stack, joined, source.inner)


def _chosen(stack: list[Sample], joined: Join | None, inner: bool) -> list[Sample]:
    """The labelled slices of a stack, with neighbours that may be others."""
    if joined:
        stack = _with_neighbours(stack, joined)
    stack = stack[1:-1] if inner else stack
    known = [index for index, sample in enumerate(stack) if (sample.labels != IGNORE).any()]
    if known and known[-1] - known[0] >= len(known):
        return [replace(stack[index], thickness=None) for index in known]
    return [stack[index] for index in known]


def _together(before: torch.Tensor, current: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return torch.cat([before, current, after])


def _with_neighbours(stack: list[Sample], joined: Join) -> list[Sample]:
    images = [sample.image for sample in stack]
    around = (neighbours(index, len(stack)) for index in range(len(stack)))
    return [
        replace(sample, image=joined(images[before], sample.image, images[after]))
        for sample, (before, after) in zip(stack, around, strict=True)
    ]


def _slices(entry: Entry, preprocess: Preprocess, classes: int, shown: int, orientation: str = "") -> Iterator[Sample]:
    """The slices of an entry; `shown` of them will be kept for each."""
    check_size(Path(entry.name or entry.case), entry.labels.shape, 3 * 4 * shown + 1)
    if entry.labels.ndim > 3:
        for time in range(len(entry.labels)):
            objects = None if entry.objects is None else entry.objects[time]
            name = f"{entry.name or entry.case}-{time}"
            part = replace(entry, image=entry.image[time], labels=entry.labels[time], objects=objects, name=name)
            yield from _slices(part, preprocess, classes, shown, orientation)
        return
    numbers = torch.from_numpy(class_numbers(entry, classes))
    entry, numbers = _turned(entry, numbers, orientation)
    if numbers.ndim == 2:
        yield _slice(entry, preprocess, numbers)
        return
    volume = entry.name or entry.case
    thickness = entry.spacing[0] if entry.spacing else None
    for z in range(len(numbers)):
        objects = None if entry.objects is None else entry.objects[z]
        part = replace(entry, image=entry.image[z], objects=objects)
        yield replace(_slice(part, preprocess, numbers[z]), volume=volume, thickness=thickness, number=z)


def _turned(entry: Entry, numbers: torch.Tensor, orientation: str) -> tuple[Entry, torch.Tensor]:
    """A volume or slice and its class numbers (z, y, x) or (y, x) as the network is to see them."""
    turn = turn_for(entry.place, orientation) if entry.place else AS_IT_LIES
    if turn == AS_IT_LIES:
        return entry, numbers
    axes = "zyx"[-numbers.ndim :]
    objects = None if entry.objects is None else turn.there(entry.objects, axes)
    sides = dict(zip(reversed(axes), reversed(entry.spacing or ()), strict=False))
    spacing = tuple(sides[axis] for axis in turn.sources if axis in sides) or None
    colours = "c" if entry.image.ndim > numbers.ndim else ""
    turned = replace(entry, image=turn.there(entry.image, axes + colours), objects=objects, spacing=spacing)
    return turned, torch.from_numpy(np.ascontiguousarray(turn.there(numbers.numpy(), axes)))


def _slice(entry: Entry, preprocess: Preprocess, numbers: torch.Tensor) -> Sample:
    """The one slice of an entry whose image is that slice."""
    return Sample(
        torch.from_numpy(preprocess.normalise(entry.image)),
        numbers,
        entry.case,
        entry.group,
        repeat=entry.repeat,
        spacing=entry.plane_spacing,
        objects=entry.objects,
        unlabelled=entry.unlabelled,
        stack="" if entry.stack is None else "{}, {}".format(*entry.stack),
        number=entry.frame // entry.step,
    )


def class_numbers(entry: Entry, classes: int) -> np.ndarray:
    """The labels of `entry` as in `Sample.labels`, shape of its labels.

    Raises
    ------
    SettingsError
        If there are several classes and a label belongs to none of them.
    """
    ignored = entry.ignored()
    labels = np.where(ignored, 0, entry.labels)
    if classes > 1 and (unknown := np.setdiff1d(labels, np.arange(classes + 1))).size:
        advice = "Renumber the labels, add the classes to the settings, or name the label to ignore."
        if number_objects(labels):
            advice = "They seem to number objects one by one: name a single class, and all of them count as it."
        raise SettingsError(
            f"Case '{entry.case}' has the labels {', '.join(map(str, unknown[:5]))}, but the classes are 0 to "
            f"{classes}. {advice}"
        )
    numbers = (labels > 0 if classes == 1 else labels).astype(np.uint8)
    numbers[ignored] = IGNORE
    return numbers


def read_images(source: Source, root: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Case and image (y, x) of each slice of `source`; its labels are not needed.

    Raises
    ------
    SettingsError
        If an image has colours.
    """
    for entry in entries(replace(source, label=""), root):
        if entry.image.ndim != entry.labels.ndim:
            raise SettingsError(f"Case '{entry.case}' has colours; reconstruction learns from grey images only.")
        for image in entry.image.reshape(-1, *entry.image.shape[-2:]):
            yield entry.case, image


def on_working_grid(sample: Sample, preprocess: Preprocess, classes: int = 1) -> Sample:
    """`sample` at the pixel size that the network sees in inference, with the target there.

    Labels become shares: a label taken from the nearest pixel would be shifted by up to half of one. `Sample.labels`
    are then the classes in the middle of the new pixels, to choose slices and places by.
    """
    image = preprocess.resample(sample.image[None], sample.spacing)[0]
    height, width = image.shape[-2:]
    if (height, width) == sample.labels.shape:
        return sample
    return replace(
        sample,
        image=image,
        labels=shares.in_the_middle(sample.labels, (height, width)),
        spacing=(preprocess.spacing, preprocess.spacing),
        objects=None,
        target=shares.resampled(sample.target_of(classes), (height, width)),
    )


def padded(sample: Sample, preprocess: Preprocess, classes: int = 1) -> Sample:
    """`sample`, at the pixel size that the network sees, with what inference adds at its borders."""
    image = preprocess.pad(sample.image[None])[0]
    if image.shape == sample.image.shape:
        return sample
    inside = torch.ones(1, 1, *sample.labels.shape)
    grid = replace(preprocess, padding="zero")
    rows, columns = grid.pad(inside)[0, 0].nonzero(as_tuple=True)
    labels = torch.zeros(image.shape[-2:], dtype=torch.uint8)
    labels[rows, columns] = sample.labels.flatten()
    return replace(
        sample,
        image=image,
        labels=labels,
        objects=None,
        target=shares.exchanged(preprocess.pad(shares.exchanged(sample.target_of(classes)))),
    )
