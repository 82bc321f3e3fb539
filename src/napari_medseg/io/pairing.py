"""Which labels belong to which image, by the names that people and published data sets give to files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileError, short
from . import formats
from .clutter import is_hidden

_NAMED = 4  # files that are named one by one

_DOCUMENTS = {".cfg", ".csv", ".htm", ".html", ".ini", ".json", ".log", ".md", ".pdf", ".py", ".rst", ".toml", ".tsv"}
_DOCUMENTS |= {".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml"}
_DOCUMENT_NAMES = {"license", "licence", "readme", "notice"}

_LABEL = (
    r"segmentations?|segmented|d?segs?|masks?|labels?|lbl|gts?|ground[ _-]?truths?|annotations?|annot?|"
    r"contours?|manual|lesions?|roi"
)
_IMAGE = r"images?|imaging|img|im|scan|volume|vol|orig(?:inal)?|raw|input|data|training|test"
_CHANNEL = r"t[12](?:ce|c|n|w|f|gd)?|flair|adc|dwi|swi|pdw?|ct|mri?|pet|0000"  # BraTS, BIDS, nnU-Net

_LABEL_END = re.compile(rf"(?:^|[ _.\-]+)(?:{_LABEL})$|[ _.\-]+(?:{_LABEL})[ _.\-]?\d$")
_LABEL_START = re.compile(rf"^(?:{_LABEL})(?:[ _.\-]+|(?=\d))")
_IMAGE_END = re.compile(rf"(?:^|[ _.\-]+)(?:{_IMAGE}|{_CHANNEL})$")
_IMAGE_START = re.compile(rf"^(?:{_IMAGE})(?:[ _.\-]+|(?=\d))")
_NOTHING = re.compile(r"(?!)")

# what is taken from the name of an image and from that of labels before they are compared: little first
_OF_LABELS = ((_NOTHING, _NOTHING), (_NOTHING, _LABEL_END), (_LABEL_START, _NOTHING))
_OF_IMAGES = ((_NOTHING, _NOTHING), (_IMAGE_START, _NOTHING), (_NOTHING, _IMAGE_END), (_IMAGE_START, _IMAGE_END))
_STEPS = tuple(itertools.product((*_OF_IMAGES, *_OF_LABELS[1:]), _OF_LABELS))

Key = tuple[str, str]
"""Folder and name of a file, as far as both decide what it belongs to."""


@dataclass(frozen=True)
class Pairs:
    """Images with their labels, and what is left over.

    Parameters
    ----------
    pairs : tuple of (pathlib.Path, pathlib.Path)
        Image and labels, in the order of the images.
    images, labels : tuple of pathlib.Path
        Those that belong to nothing.
    """

    pairs: tuple[tuple[Path, Path], ...]
    images: tuple[Path, ...]
    labels: tuple[Path, ...]


def pair(images: Sequence[Path], labels: Sequence[Path], image_top: Path, label_top: Path) -> Pairs:
    """Find the labels of each image: those of the same name, else of a name that differs by a usual mark.

    Marks of labels are ``_mask``, ``_segmentation``, ``-label``, ``.seg``, ``gt_`` and the like; of images ``_image``,
    ``volume-``, ``_t1``, ``_0000`` and the like. Upper and lower case and the ending do not matter. In subfolders,
    both must lie in folders of equal names.

    Parameters
    ----------
    images, labels : sequence of pathlib.Path
    image_top, label_top : pathlib.Path
        Folders that the subfolders are seen from.

    Raises
    ------
    FileError
        If several images fit the same labels, or several labels the same image.
    """
    found: dict[Path, Path] = {}
    left_images = list(images)
    left_labels = list(labels)
    for image_marks, label_marks in _STEPS:
        by_image = _by_key(left_images, image_top, image_marks)
        by_label = _by_key(left_labels, label_top, label_marks)
        # those that have found each other by their names fit too
        all_images = _by_key(images, image_top, image_marks)
        all_labels = _by_key(labels, label_top, label_marks)
        for key in by_image.keys() & by_label.keys():
            _refuse_several(all_images[key], all_labels[key])
            found[by_image[key][0]] = by_label[key][0]
        taken = set(found.values())
        left_images = [path for path in left_images if path not in found]
        left_labels = [path for path in left_labels if path not in taken]
    pairs = tuple((image, found[image]) for image in images if image in found)
    return Pairs(pairs, tuple(left_images), tuple(left_labels))


def marked(paths: Sequence[Path]) -> list[Path]:
    """Those of the files of a folder whose names say that they hold labels: at the end, if any has it there."""
    for mark in (_LABEL_END, _LABEL_START):
        found = [path for path in paths if mark.search(_stem(path))]
        if found:
            return found
    return []


def listing(folder: Path) -> list[Path]:
    """The files and folders in a folder, sorted, without those that are hidden or left by macOS and Windows.

    Raises
    ------
    FileError
        If the folder cannot be opened.
    """
    try:
        return sorted(path for path in folder.iterdir() if not is_hidden(path))
    except OSError as error:
        why = error.strerror or short(error)
        raise FileError(f"The folder '{folder}' cannot be opened ({why}). Check its name and its rights.") from error


def is_document(path: Path) -> bool:
    """Whether a file is a text or a table, as people keep them next to images."""
    return path.suffix.lower() in _DOCUMENTS or path.stem.lower() in _DOCUMENT_NAMES


def names(paths: Iterable[Path]) -> str:
    """The first names of several files, for a sentence, and how many there are besides."""
    found = [path.name for path in paths]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _by_key(paths: Sequence[Path], top: Path, marks: Iterable[re.Pattern[str]]) -> dict[Key, list[Path]]:
    """Files by their folder, seen from `top`, and their name without `marks`."""
    found: dict[Key, list[Path]] = {}
    for path in paths:
        folder = path.parent.relative_to(top).as_posix().casefold()
        name = _stem(path)
        for mark in marks:
            name = mark.sub("", name, count=1)
        found.setdefault((folder, name), []).append(path)
    return found


def _refuse_several(images: Sequence[Path], labels: Sequence[Path]) -> None:
    """Nobody can say which of them belong together."""
    for several, others in ((images, labels), (labels, images)):
        if len(several) > 1:
            raise FileError(
                f"{len(several)} files fit '{others[0].name}': {names(several)}. Expected one. Keep one of them (one "
                "kind, one channel, one contrast) and move the others to another folder."
            )


def _stem(path: Path) -> str:
    """Name without ending, in lower case; of a folder the whole name."""
    if path.is_dir():
        return path.name.casefold()
    plain = path.stem if path.suffix.lower() == ".bmp" else formats.stem(path)
    # the ending says of what kind such a file is
    kind = formats.named(path)
    return plain.casefold() + (".seg" if kind and kind.labels_only else "")
