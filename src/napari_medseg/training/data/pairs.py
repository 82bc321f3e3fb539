"""Folders with images and labels that nobody has described: where both lie, and which labels belong to which image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import FileError, SettingsError
from ...io import formats, images, read
from ...io.pairing import Pairs, is_document, listing, marked, names, pair
from ...volume import Volume
from .sources import Case, Source, one_channel, read_pair

SPLITS = ("train", "val", "test")
"""The parts of a data set."""

EXPECTED = "the subfolders images/ and labels/ with files of equal names, or labels with a mark such as a_mask.png"

_IMAGES = {"image", "images", "img", "imgs", "input", "inputs", "scan", "scans", "volume", "volumes", "data"}
_LABELS = {"label", "labels", "mask", "masks", "seg", "segs", "segmentation", "segmentations", "annotation"}
_LABELS |= {"annotations", "annot", "ann", "gt", "truth", "truths", "groundtruth", "manual", "target", "targets"}
_SPLIT_OF = {"tr": "train", "train": "train", "training": "train", "va": "val", "val": "val", "valid": "val"}
_SPLIT_OF |= {"validation": "val", "ts": "test", "te": "test", "test": "test", "testing": "test"}
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_NOT_IMAGES = "_superpixels"  # lie among the images of ISIC 2017

Reader = Callable[[Path], Volume]


@dataclass(frozen=True)
class Part:
    """Where the images of a split lie, and their labels.

    Parameters
    ----------
    split : {"", "train", "val", "test"}
    images, labels : pathlib.Path
        Folders; equal where the labels lie among the images.
    """

    split: str
    images: Path
    labels: Path


@dataclass(frozen=True)
class Content:
    """What lies in a folder and those in it.

    Parameters
    ----------
    items : tuple of pathlib.Path
        Files that can be read, and folders that hold a DICOM series.
    others : tuple of pathlib.Path
        Other files, without documents.
    """

    items: tuple[Path, ...]
    others: tuple[Path, ...]


def paired(folder: Path, source: Source) -> Iterator[Case]:
    """The images below `folder` with their labels, wherever both lie; if nothing is labelled, just the images.

    Raises
    ------
    FileError, SettingsError
        If there is nothing of the kind, an image has no labels, or names fit several files.
    """
    if not source.label:
        yield from _unlabelled(folder, source)
        return
    found = parts(folder)
    if not found:
        raise FileError(f"'{folder}' is not a data set; expected {EXPECTED}.")
    elsewhere = _elsewhere(folder, found)
    for part in _chosen(folder, found, source.split):
        for case in cases(part, prefix=_prefix(folder, part, found)):
            yield replace(case, remarks=(*case.remarks, *elsewhere))


def _prefix(folder: Path, part: Part, found: list[Part]) -> str:
    """What tells cases of a part from those of others: the split, or the folder where several are of one split."""
    if len(found) == 1:
        return ""
    alone = [other.split for other in found].count(part.split) == 1
    return f"{part.split if alone else part.images.relative_to(folder).as_posix()}/"


def parts(folder: Path) -> list[Part]:
    """Where images and labels lie in a folder: ``images`` and ``labels``, ``imagesTr`` and ``labelsTr``, ``train`` and
    ``val`` with such folders or in them, or labels among the images; empty if nowhere.

    Raises
    ------
    FileError
        If several folders may be meant.
    """
    inner = [path for path in listing(folder) if path.is_dir()]
    by_images = _by_split(inner, _IMAGES - {"data"}) or _by_split(inner, _IMAGES)
    found = _side_by_side(folder, inner, by_images, _by_split(inner, _LABELS))
    if found:
        return found
    for path in inner:
        if _split(path):
            found += [replace(part, split=_split(path)) for part in parts(path)]
    if found:
        return found
    if _labels_among(content(folder).items):
        return [Part("", folder, folder)]
    # an archive that was unpacked into a folder of its own name
    return parts(inner[0]) if len(inner) == 1 else []


def cases(
    part: Part, *, prefix: str = "", reader: Reader | None = None, name: Callable[[Path], str] | None = None
) -> Iterator[Case]:
    """The cases of a part.

    Parameters
    ----------
    part : Part
    prefix : str
        Of the names of the cases.
    reader : callable, optional
        What reads the files.
    name : callable, optional
        Names the case of an image; by default its path in the folder of images.

    Raises
    ------
    FileError
        If there are no images, or one has no labels.
    """
    found, others = _pairs(part)
    _refuse_lonely(part, found, others)
    remarks = tuple(_remarks(part, found, others))
    for image, label in found.pairs:
        case = prefix + (name(image) if name else image.relative_to(part.images).as_posix())
        opened = partial(read_pair, image, label, case, reader=reader or _any)
        yield Case(case, "", opened, (image, label), remarks)


def read_labels(path: Path) -> np.ndarray:
    """The labels in a file, as training reads them.

    Raises
    ------
    FileError, VolumeError
        If it cannot be read, or holds colours.
    """
    return one_channel(path, _any(path))


def content(folder: Path, without: Path | None = None) -> Content:
    """What lies in a folder and those in it, but for the folder `without`."""
    items: list[Path] = []
    others: list[Path] = []
    _collect(folder, without, items, others, set())
    return Content(tuple(items), tuple(others))


def _collect(folder: Path, without: Path | None, items: list[Path], others: list[Path], seen: set) -> None:
    place = folder.stat()
    # links may lead back to a folder that contains them
    if (place.st_dev, place.st_ino) in seen:
        return
    seen.add((place.st_dev, place.st_ino))
    for path in listing(folder):
        if path.is_dir():
            if path == without:
                continue
            if _is_series(path):
                items.append(path)
            else:
                _collect(path, without, items, others, seen)
        elif _is_readable(path):
            items.append(path)
        elif not is_document(path):
            others.append(path)


def _is_readable(path: Path) -> bool:
    if formats.stem(path).casefold().endswith(_NOT_IMAGES):
        return False
    return path.suffix.lower() == ".bmp" or formats.named(path) is not None or _is_dicom(path)


def _is_dicom(path: Path) -> bool:
    """Whether a file whose name allows it is DICOM: it ends as such files do, in a number, or in nothing."""
    ending = path.suffix.lstrip(".")
    usual = not ending or ending.isdigit() or formats.named(path) is not None
    return usual and not is_document(path) and path.is_file() and formats.is_dicom(path)


def _is_series(folder: Path) -> bool:
    """Whether a folder holds DICOM files, which are slices of one image."""
    return any(map(_is_dicom, listing(folder)))


def _words(path: Path) -> list[str]:
    return [word.lower() for word in _WORD.findall(path.name)]


def _split(path: Path) -> str:
    """The split that the name of a folder says."""
    found = [_SPLIT_OF[word] for word in _words(path) if word in _SPLIT_OF]
    return found[0] if found else ""


def _by_split(folders: Iterable[Path], role: set[str]) -> dict[str, list[Path]]:
    """Folders whose names have a word of `role`, by split."""
    found: dict[str, list[Path]] = {}
    for path in folders:
        if role.intersection(_words(path)):
            found.setdefault(_split(path), []).append(path)
    return found


def _side_by_side(
    folder: Path, inner: list[Path], by_images: dict[str, list[Path]], by_labels: dict[str, list[Path]]
) -> list[Part]:
    """The parts of a folder with folders of labels; images are in folders like them, or around them."""
    found = []
    for split, labels in by_labels.items():
        taken = set(labels)
        named = [path for path in by_images.get(split, ()) if path not in taken]
        plain = [path for path in inner if split and path not in taken and _split(path) == split]
        images_in = _the_one(folder, named or plain or [folder])
        labels_in = _the_one(folder, labels)
        if images_in != folder or content(labels_in).items:
            found += _inner_splits(Part(split, images_in, labels_in))
    return found


def _the_one(folder: Path, paths: list[Path]) -> Path:
    """The only one of several folders, or the one that is called as expected."""
    if len(paths) == 1:
        return paths[0]
    plain = [path for path in paths if path.name.lower() in ("images", "labels")]
    if len(plain) == 1:
        return plain[0]
    raise FileError(
        f"'{folder}' has several folders that may be meant: {names(paths)}. "
        "Leave one for the images and one for the labels, or give the folder that holds the right ones."
    )


def _inner_splits(part: Part) -> list[Part]:
    """``images/train`` with ``labels/train`` and so on, or the part as it is."""
    in_images = _split_folders(part.images)
    in_labels = _split_folders(part.labels)
    both = [split for split in SPLITS if split in in_images and split in in_labels]
    if part.split or not both:
        return [part]
    return [Part(split, in_images[split], in_labels[split]) for split in both]


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folders of splits in a folder that holds nothing else."""
    inside = [path for path in listing(folder) if path.is_dir() or _is_readable(path)]
    found = {_split(path): path for path in inside if path.is_dir()}
    return found if len(found) == len(inside) and "" not in found else {}


def _chosen(folder: Path, found: list[Part], split: str) -> list[Part]:
    """The parts of a split; all of them if it is empty."""
    if not split:
        return found
    there = [part.split for part in found if part.split]
    if not there:
        raise SettingsError(f"'{folder}' has no splits. Add a dataset.json, or leave out 'split'.")
    if split not in there:
        raise SettingsError(
            f"'{folder}' has no labelled images for the split '{split}', only for {', '.join(there)}. "
            "Choose one of them, or none for all."
        )
    return [part for part in found if part.split == split]


def _labels_among(items: Iterable[Path]) -> list[Path]:
    """Those of the files that hold labels, folder by folder."""
    by_folder: dict[Path, list[Path]] = {}
    for path in items:
        by_folder.setdefault(path.parent, []).append(path)
    found: list[Path] = []
    for paths in by_folder.values():
        found += marked(paths)
    return found


def _pairs(part: Part) -> tuple[Pairs, tuple[Path, ...]]:
    """The pairs of a part, and files that cannot be read."""
    if part.images == part.labels:
        inside = content(part.images)
        labels = _labels_among(inside.items)
        taken = set(labels)
        image_files = [path for path in inside.items if path not in taken]
        return pair(image_files, labels, part.images, part.images), inside.others
    drawn = content(part.labels)
    shown = content(part.images, without=part.labels)
    others = (*shown.others, *drawn.others)
    return pair(shown.items, drawn.items, part.images, part.labels), others


def _refuse_lonely(part: Part, found: Pairs, others: tuple[Path, ...]) -> None:
    total = len(found.pairs) + len(found.images)
    if not total:
        held = f", only {names(others)}" if others else ""
        raise FileError(f"'{part.images}' holds no images that can be read{held}. Expected {EXPECTED}.")
    if found.images:
        verb = "has" if len(found.images) == 1 else "have"
        raise FileError(
            f"{len(found.images)} of {total} images in '{part.images}' {verb} no file of the same name in "
            f"'{part.labels}': {names(found.images)}. Expected {EXPECTED}. "
            "Add the labels, or move these images to another folder."
        )


def _remarks(part: Part, found: Pairs, others: tuple[Path, ...]) -> Iterator[str]:
    """What is left out, as half sentences."""
    if found.labels:
        yield f"{_count(found.labels)} in '{part.labels.name}' without an image of that name: {names(found.labels)}"
    unread = [path for path in others if not formats.stem(path).casefold().endswith(_NOT_IMAGES)]
    if unread:
        yield f"{_count(unread)} in '{part.images.name}' and '{part.labels.name}' cannot be read: {names(unread)}"


def _elsewhere(folder: Path, found: list[Part]) -> tuple[str, ...]:
    """What lies in a data set outside of its parts, such as images that nobody has labelled, as a half sentence."""
    tops = {top for part in found for top in (part.images, part.labels)}
    try:
        items = content(folder).items
    except FileError:  # of a folder next to the data, which nobody may open
        return ()
    left = [path for path in items if not tops.intersection((path, *path.parents))]
    if not left:
        return ()
    places = names(dict.fromkeys(path.parent for path in left))
    return (f"{_count(left)} in '{places}' without labels: {names(left)}",)


def _count(paths: Iterable[Path]) -> str:
    number = len(tuple(paths))
    return f"{number} file{'' if number == 1 else 's'}"


def _any(path: Path) -> Volume:
    """What is in a file; of the pictures that only training reads, too."""
    return images.read(path) if path.suffix.lower() == ".bmp" else read(path)


def _unlabelled(folder: Path, source: Source) -> Iterator[Case]:
    """The images of a folder that holds no labels, or whose labels do not matter."""
    found = parts(folder)
    if not found:
        inner = [path for path in listing(folder) if path.is_dir()]
        by_images = _by_split(inner, _IMAGES)
        found = [Part(split, place, place) for split, places in by_images.items() for place in places]
    if not found:
        raise FileError(f"'{folder}' is not a data set; expected {EXPECTED}.")
    for part in _chosen(folder, found, source.split):
        items = content(part.images, without=part.labels).items
        drawn = set(_labels_among(items)) if part.images == part.labels else set()
        for image in items:
            if image not in drawn:
                case = image.relative_to(part.images).as_posix()
                yield Case(case, "", partial(read_pair, image, None, case, reader=_any), (image,))
