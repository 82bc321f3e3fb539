"""Data sets in a folder: image and label files, and the ``dataset.json`` that lists them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import files
from ...errors import FileError, SettingsError, VolumeError
from ...io import write
from ...volume import LabelClass, Volume
from .pairs import SPLITS
from .sources import Case, Entry, Source, read_pair

NAME = "dataset.json"
"""The file that lists the cases of a folder."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class DatasetCase:
    """An image and its labels.

    Parameters
    ----------
    image, label : str
        Files, seen from the folder of the data set.
    case : str
        Whose image it is. All images of a patient belong into one split.
    split : {"train", "val", "test"}
    reviewed : tuple of int or None
        The slices (along z) that a person has looked at; what the others hold counts as not labelled. None: all.
    spacing : tuple of float or None
        Voxel size (y, x) or (z, y, x) in mm, only where the image file has none.
    held_back : tuple of int
        Slices that are not learnt from: those of a case for training are the ones that it has for validation.
    """

    image: str
    label: str
    case: str
    split: str
    reviewed: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    held_back: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _require(self.image and self.label and self.case, "image, label and case must be texts that are not empty")
        _require(self.split in SPLITS, f"the split is {self.split!r}; expected one of {', '.join(SPLITS)}")
        for name, slices in (("reviewed", self.reviewed or ()), ("held_back", self.held_back)):
            _require(all(z >= 0 for z in slices), f"{name} must be a list of slice numbers from 0 on")
        apart = not self.held_back or self.split == "train"
        _require(apart, "only a case for training can have slices held_back")
        if self.spacing is not None:
            sizes = len(self.spacing) in (2, 3) and all(0 < mm < math.inf for mm in self.spacing)
            _require(sizes, "spacing must be two or three sizes in mm above 0")


@dataclass(frozen=True)
class DatasetFile:
    """What a ``dataset.json`` holds.

    Parameters
    ----------
    classes : tuple of LabelClass
    cases : tuple of DatasetCase
    ignore : int or None
        Label for voxels about which nothing is known.
    """

    classes: tuple[LabelClass, ...]
    cases: tuple[DatasetCase, ...]
    ignore: int | None = None

    def __post_init__(self) -> None:
        ids = [row.id for row in self.classes]
        _require(ids == list(range(1, len(ids) + 1)) and ids, "the classes must be numbered 1, 2, ... in order")
        for row in self.classes:
            named = row.name and _COLOUR.fullmatch(row.colour)
            _require(named, 'a class needs a number "id", a "name" and a "colour" like #4dbbd5')
        free = self.ignore is None or self.ignore not in (0, *ids)
        _require(free, "ignore must be a number that is neither 0 nor that of a class")
        _require(self.cases, "there are no cases")
        images = [case.image for case in self.cases]
        _require(len(set(images)) == len(images), "an image is listed twice")

    def to_json(self) -> str:
        """As indented JSON; what is None or empty is left out."""
        content = {key: value for key, value in asdict(self).items() if value is not None}
        given = [{k: v for k, v in asdict(case).items() if v is not None} for case in self.cases]
        content["cases"] = [{k: v for k, v in case.items() if k != "held_back" or v} for case in given]
        return files.to_json(content)


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image with labels that is to become a case of a new data set.

    Parameters
    ----------
    image, labels : Volume
        On the same grid; axes yx, zyx or one of them with colours.
    case, split, reviewed, held_back
        See `DatasetCase`.
    name : str
        What its files are called, as far as the file system allows; `case` if empty.
    """

    image: Volume
    labels: Volume
    case: str
    split: str
    reviewed: tuple[int, ...] | None = None
    held_back: tuple[int, ...] = ()
    name: str = ""


def is_listed(folder: Path) -> bool:
    """Whether a folder has a ``dataset.json`` of this package; those of Decathlon and nnU-Net list no classes so."""
    path = folder / NAME
    if not files.is_file(path):
        return False
    content = files.read_json(path)
    foreign = isinstance(content, dict) and "labels" in content and not content.keys() & {"classes", "cases"}
    return not foreign


def read_dataset_file(folder: Path) -> DatasetFile:
    """Read and check the ``dataset.json`` of a folder; the images are not opened.

    Raises
    ------
    FileError
        If it is missing, damaged, names a file that is missing or outside the folder, or holds something unknown.
    """
    path = folder / NAME
    content = files.read_json(path)
    try:
        found = files.typed(DatasetFile, content)
        for case in found.cases:
            _inside(folder, case.image)
            _inside(folder, case.label)
    except (SettingsError, ValueError, OSError) as error:  # of names that no file can have, too
        words = str(error).removesuffix(".")
        raise FileError(f"'{path}' does not describe a data set: {words}. Correct it.") from error
    return found


def write_dataset(
    folder: Path, images: Iterable[LabelledImage], classes: tuple[LabelClass, ...], ignore: int | None = None
) -> DatasetFile:
    """Write a data set as NIfTI files and a ``dataset.json``, which comes last.

    Parameters
    ----------
    folder : pathlib.Path
        Made if need be; must hold no data set yet.
    images : iterable of LabelledImage
        Taken one at a time.
    classes, ignore
        See `DatasetFile`.

    Raises
    ------
    FileError
        If the folder holds a data set already, or a file cannot be written.
    VolumeError
        If an image and its labels do not fit, or have a time axis.
    """
    if (folder / NAME).exists():
        raise FileError(f"'{folder}' holds a data set already. Choose another folder.")
    try:
        for part in ("images", "labels"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"'{folder}' cannot be made ({error.strerror}). Choose another folder.") from error
    cases: list[DatasetCase] = []
    for item in images:
        _check_fit(item)
        name = _free_name(folder / "images", item.name or item.case)
        write(item.image, folder / "images" / name)
        flags = {**item.labels.metadata, "labels": True}
        write(replace(item.labels, classes=classes, metadata=flags), folder / "labels" / name)
        slices = {"reviewed": item.reviewed, "held_back": item.held_back}
        cases.append(DatasetCase(f"images/{name}", f"labels/{name}", item.case, item.split, **slices))
    found = DatasetFile(classes, tuple(cases), ignore)
    files.replace_bytes(folder / NAME, found.to_json().encode())
    return found


def _check_fit(item: LabelledImage) -> None:
    axes = item.image.axes
    if axes.removesuffix("c") not in ("yx", "zyx") or item.labels.axes != axes.removesuffix("c"):
        raise VolumeError(
            f"'{item.case}' has an image with the axes '{axes}' and labels with '{item.labels.axes}'; expected yx or "
            "zyx, and the image may have colours. Select one time point or channel first."
        )
    if item.image.data.shape[: len(item.labels.axes)] != item.labels.data.shape:
        raise VolumeError(
            f"'{item.case}' has an image of {item.image.data.shape} and labels of {item.labels.data.shape} voxels; "
            "both must have the same."
        )


def _free_name(folder: Path, wanted: str) -> str:
    stem = re.sub(r"[^\w.-]+", "_", wanted).strip("._")[:80] or "image"
    if files.misfit(f"{stem}.nii.gz"):
        stem = f"image_{stem}"
    name, number = f"{stem}.nii.gz", 1
    while (folder / name).exists():
        number += 1
        name = f"{stem}-{number}.nii.gz"
    return name


def listed(folder: Path, source: Source) -> Iterator[Case]:
    """The cases that the ``dataset.json`` of `folder` lists under the split of `source`."""
    found = read_dataset_file(folder)
    if source.split not in ("", *SPLITS):
        raise SettingsError(f"The split is '{source.split}'; choose one of {', '.join(SPLITS)}, or none for all.")
    for case in found.cases:
        held_back = source.split == "val" and bool(case.held_back)
        if held_back or source.split in ("", case.split):
            opened = partial(_read_case, folder, case, found.ignore, source.split)
            yield Case(case.case, "", opened, (folder / NAME, folder / case.image, folder / case.label))


def _read_case(folder: Path, case: DatasetCase, ignore: int | None, split: str) -> Entry:
    entry = read_pair(folder / case.image, folder / case.label, case.case)
    last = max((*(case.reviewed or ()), *case.held_back), default=0)
    if last >= entry.slices:
        raise FileError(
            f"'{NAME}' lists slice {last} of '{case.image}', but the last one is {entry.slices - 1}. Correct it."
        )
    if case.spacing and len(case.spacing) != entry.labels.ndim:
        raise FileError(
            f"'{NAME}' gives '{case.image}' a spacing of {len(case.spacing)} numbers for its {entry.labels.ndim} axes. "
            "Correct it."
        )
    if case.spacing and entry.spacing and not np.allclose(entry.spacing, case.spacing, rtol=0.01):
        raise FileError(
            f"'{NAME}' gives '{case.image}' voxels of {case.spacing} mm, but the file itself says {entry.spacing}. "
            "Leave out the spacing, or correct the file."
        )
    spacing = entry.spacing or case.spacing
    reviewed = case.reviewed
    if case.held_back and split:
        learnt = set(range(entry.slices) if reviewed is None else reviewed) - set(case.held_back)
        reviewed = tuple(sorted(learnt)) if split == "train" else case.held_back
    return replace(entry, ignore=ignore, reviewed=reviewed, spacing=spacing, divided=bool(case.held_back))


def _inside(folder: Path, name: str) -> None:
    path = files.real(folder / name)
    _require(path.is_relative_to(files.real(folder)), f"'{name}' lies outside the folder")
    _require(path.exists(), f"the file '{name}' is missing")


def _require(fulfilled: Any, sentence: str) -> None:
    if not fulfilled:
        raise SettingsError(sentence)
