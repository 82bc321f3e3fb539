"""Training slices with their labels, from npz files or folders of image/label pairs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ..errors import FileError, SettingsError
from ..io import read
from ..io.arrays import ERRORS
from ..io.checks import check_size, damaged
from ..preprocess import Preprocess, neighbours


@dataclass(frozen=True)
class Source:
    """Where slices come from.

    Parameters
    ----------
    path : str
        An ``.npz`` file, or a folder with the subfolders ``images`` and ``labels`` holding files of equal names.
    image, label : str
        Names of the arrays in an npz file. Slices are (n, y, x) or (n, y, x, 3); volumes (n, z, y, x), see `axes`.
        An empty `label` says that no slice holds any labelled object.
    case : str
        Array with the case (patient, image) of each entry; empty where every entry is a case of its own.
    group : str
        Array whose values the evaluation reports apart, for example ``kind``; empty for none.
    objects : str
        Array of object numbers shaped like `label`, for the object scores of the evaluation; empty for none.
    select : mapping of str to list
        Keep only the entries whose array of that name has one of the listed values.
    repeat : mapping of str to mapping of str to int, optional
        How often entries are drawn in one epoch, by the value of an array: ``{"kind": {"stained": 2}}``.
    axes : str
        Order of the axes of each volume in an npz file, ``zyx`` or ``xyz``.
    shape : str
        Array with the true shape of each volume, which lies in the first corner of its array; empty where it fills it.
    spacing : tuple of float or None
        Voxel size (y, x) or (z, y, x) in mm of all entries of an npz file; None where it is not known.
    frame : str
        Array with the number of each slice in the series of its `case`. Slices of one case whose numbers differ by
        multiples of `stride` lie on top of each other: they are neighbours. Empty: slices have no neighbours.
    stride : int
        See `frame`: images per slice position, for example the phases of a cine series.
    beside : int
        If above 0, show of each slice only the largest part that lies beside its objects, at least this many pixels
        away from them: an image without any object, of the same kind.
    """

    path: str
    image: str = "image"
    label: str = "label"
    case: str = ""
    group: str = ""
    objects: str = ""
    select: Mapping[str, list] = field(default_factory=dict)
    repeat: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    axes: str = "zyx"
    shape: str = ""
    spacing: tuple[float, ...] | None = None
    frame: str = ""
    stride: int = 1
    beside: int = 0


@dataclass(frozen=True, eq=False)
class Sample:
    """One slice on its own grid.

    Parameters
    ----------
    image : torch.Tensor, shape (3, y, x) or (9, y, x), float32
        Normalised to [0, 1]; nine channels are those of the slice before, the slice and the slice after.
    labels : torch.Tensor, shape (y, x), uint8
        0 background, i + 1 the class of logit map i.
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
        Distance to the next slice of the volume in mm.
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


@dataclass(frozen=True, eq=False)
class _Entry:
    """A slice or a stack as it lies in the file; see `Sample`."""

    image: np.ndarray
    labels: np.ndarray
    case: str
    group: str = ""
    repeat: int = 1
    spacing: tuple[float, ...] | None = None
    objects: np.ndarray | None = None
    stack: tuple[str, int] | None = None
    frame: int = 0


def load(
    sources: Iterable[Source], preprocess: Preprocess, root: Path, classes: int = 1, *, context: bool = False
) -> list[Sample]:
    """Read and normalise all slices of `sources`.

    Parameters
    ----------
    sources : iterable of Source
    preprocess : Preprocess
        Intensity scaling, the same as in inference.
    root : pathlib.Path
        Folder that relative paths start from.
    classes : int
        Number of classes without background. With one, every label above 0 means it (masks of 0 and 255 too); with
        more, labels must be 0 to `classes`.
    context : bool
        Whether images get their neighbours, see `Sample`.

    Raises
    ------
    FileError, SettingsError
        If a source is missing, damaged, or image and labels do not fit.
    """
    samples = []
    for source in sources:
        entries = list(_read_source(source, root))
        stacks = [list(_slices(entry, preprocess, classes)) for entry in entries]
        if context:
            stacks = [_with_neighbours(stack) for stack in _stacked(entries, stacks)]
        samples += [sample for stack in stacks for sample in stack]
    if not samples:
        raise SettingsError("The data set holds no slices. Check the paths and the 'select' entries of its sources.")
    return samples


def read_images(source: Source, root: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Case and image (y, x) of each single slice of `source`; its labels are not needed."""
    for entry in _read_source(replace(source, label=""), root):
        yield entry.case, entry.image


def _stacked(entries: list[_Entry], slices: list[list[Sample]]) -> Iterator[list[Sample]]:
    """Slices that lie on top of each other, in order: those of a volume, or single ones of the same series."""
    series: dict[tuple[str, int], list[tuple[int, Sample]]] = {}
    for entry, stack in zip(entries, slices, strict=True):
        if entry.stack is None:
            yield stack
        else:
            series.setdefault(entry.stack, []).append((entry.frame, stack[0]))
    for members in series.values():
        yield [sample for _, sample in sorted(members, key=lambda member: member[0])]


def _with_neighbours(stack: list[Sample]) -> list[Sample]:
    images = [sample.image for sample in stack]
    around = (neighbours(index, len(stack)) for index in range(len(stack)))
    return [
        replace(sample, image=torch.cat([images[before], sample.image, images[after]]))
        for sample, (before, after) in zip(stack, around, strict=True)
    ]


def on_working_grid(sample: Sample, preprocess: Preprocess) -> Sample:
    """`sample` at the pixel size that the network sees in inference."""
    tensor, undo = preprocess.fit(sample.image[None], sample.spacing)
    height, width = undo.inner
    if undo.inner == undo.size:
        return sample
    labels = F.interpolate(sample.labels[None, None].float(), undo.inner, mode="nearest-exact")
    return replace(
        sample,
        image=tensor[0, :, :height, :width],
        labels=labels[0, 0].to(torch.uint8),
        spacing=(preprocess.spacing, preprocess.spacing),
        objects=None,
    )


def _read_source(source: Source, root: Path) -> Iterator[_Entry]:
    path = root / source.path
    if path.is_dir():
        return _read_folder(path)
    if path.suffix != ".npz" or not path.is_file():
        raise FileError(f"'{path}' is no data set; needed is an .npz file or a folder with images/ and labels/.")
    return _read_npz(path, source)


def _read_npz(path: Path, source: Source) -> Iterator[_Entry]:
    single = {source.image, source.label, source.case, source.group, source.objects, source.shape, source.frame}
    arrays = _arrays(path, (single | {*source.select, *source.repeat}) - {""})
    images, labels, objects = (arrays.get(name) for name in (source.image, source.label, source.objects))
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != len(images):
            raise SettingsError(
                f"'{path.name}': the array {name} {array.shape} does not fit the images {images.shape}."
            )
    for index, image in enumerate(images):
        if any(arrays[key][index] not in values for key, values in source.select.items()):
            continue
        label = np.zeros(_plane(image), np.uint8) if labels is None else labels[index]
        if source.beside:
            part = _beside(label > 0, source.beside)
            image, label = image[part], np.zeros_like(label[part])
            if not label.size:
                raise SettingsError(f"'{path.name}': entry {index} has no room beside its objects. Lower 'beside'.")
        numbers = None if objects is None else objects[index]
        if source.shape:
            inner = tuple(slice(0, int(n)) for n in arrays[source.shape][index])
            image, label, numbers = image[inner], label[inner], None if numbers is None else numbers[inner]
        if source.axes == "xyz":
            image, label, numbers = image.T, label.T, None if numbers is None else numbers.T
        case = str(arrays[source.case][index]) if source.case else f"{path.stem}-{index}"
        frame = int(arrays[source.frame][index]) if source.frame else 0
        yield _Entry(
            image,
            label,
            case,
            str(arrays[source.group][index]) if source.group else "",
            max([1, *(table.get(str(arrays[key][index]), 1) for key, table in source.repeat.items())]),
            tuple(source.spacing) if source.spacing else None,
            numbers,
            (case, frame % source.stride) if source.frame else None,
            frame,
        )


def _arrays(path: Path, names: set[str]) -> dict[str, np.ndarray]:
    with damaged(path, *ERRORS):
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist() if part.filename.removesuffix(".npy") in names)
            check_size(path, (max(size, 1),), 1)
        with np.load(path, allow_pickle=False) as file:
            missing = sorted(names - set(file))
            arrays = {name: file[name] for name in names if name in file}
            present = ", ".join(file)
    if missing:
        raise SettingsError(f"'{path.name}' has no array {', '.join(missing)}; it holds {present}.")
    return arrays


def _read_folder(path: Path) -> Iterator[_Entry]:
    images, labels = path / "images", path / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise FileError(f"'{path}' is no data set; needed are the subfolders images/ and labels/ with files.")
    # a .json beside an image holds notes of this package
    for image_path in sorted(p for p in images.iterdir() if not p.name.startswith(".") and p.suffix != ".json"):
        label_path = labels / image_path.name
        if not label_path.exists():
            raise FileError(f"'{image_path.name}' has no partner in '{labels}'. Give both the same name.")
        image, label = read(image_path), read(label_path)
        spacing = image.spacing if image.has_spacing else None
        yield _Entry(np.asarray(image.data), np.asarray(label.data), image_path.name, spacing=spacing)


def _beside(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The largest rectangle of a slice that lies above, below, left or right of the objects of `mask` (y, x)."""
    whole = slice(None)
    if not mask.any():
        return whole, whole
    (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (1, 0))
    parts = [
        (slice(0, max(top - margin, 0)), whole),
        (slice(bottom + 1 + margin, None), whole),
        (whole, slice(0, max(left - margin, 0))),
        (whole, slice(right + 1 + margin, None)),
    ]
    return max(parts, key=lambda part: mask[part].size)


def _plane(image: np.ndarray) -> tuple[int, ...]:
    return image.shape[:-1] if image.shape[-1] == 3 else image.shape


def _slices(entry: _Entry, preprocess: Preprocess, classes: int) -> Iterator[Sample]:
    image, labels, objects = entry.image, entry.labels, entry.objects
    if labels.ndim < 2 or image.shape not in (labels.shape, (*labels.shape, 3)):
        raise SettingsError(
            f"Case '{entry.case}': image {image.shape} and labels {labels.shape} do not fit; "
            "needed are equal shapes, or three colours at the end of the image's."
        )
    if objects is not None and objects.shape != labels.shape:
        raise SettingsError(f"Case '{entry.case}': labels {labels.shape} and objects {objects.shape} do not fit.")
    if labels.ndim > 2:
        for index in range(len(labels)):
            part = None if objects is None else objects[index]
            plane = replace(entry, image=image[index], labels=labels[index], objects=part)
            volume = {"volume": entry.case, "thickness": entry.spacing[0] if entry.spacing else None}
            yield from (replace(sample, **volume) for sample in _slices(plane, preprocess, classes))
        return
    yield Sample(
        torch.from_numpy(preprocess.normalise(image)),
        torch.from_numpy(_class_numbers(labels, classes, entry.case)),
        entry.case,
        entry.group,
        entry.repeat,
        entry.spacing[-2:] if entry.spacing else None,
        objects,
    )


def _class_numbers(labels: np.ndarray, classes: int, case: str) -> np.ndarray:
    if classes == 1:
        return (labels > 0).astype(np.uint8)
    if (unknown := np.setdiff1d(labels, np.arange(classes + 1))).size:
        raise SettingsError(
            f"Case '{case}' has the labels {', '.join(map(str, unknown[:5]))}, but the classes are 0 to {classes}. "
            "Renumber the labels or add the classes to the settings."
        )
    return labels.astype(np.uint8)
