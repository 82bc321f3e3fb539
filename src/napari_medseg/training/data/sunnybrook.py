"""The Sunnybrook Cardiac Data: DICOM images and the contours that an expert drew on some of them."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from pydicom.config import disable_value_validation
from skimage.draw import polygon

from ...errors import FileError, SettingsError
from ...io.checks import check_size, damaged
from ...io.clutter import is_hidden
from ...io.dicom_frames import decode, frames_of, scaled
from .sources import Case, Entry, Source

_CONTOUR = re.compile(r"IM-\d+-(\d+)-([io])contour-manual\.txt")
_SPLITS = {"train": "TrainingData", "val": "ValidationData", "test": "OnlineData"}
_LABELS = {"": "io", "label": "io", "endocardium": "i", "epicardium": "o"}
_PHASES = 20  # images per slice position; numbers of one phase differ by multiples of it
_UNKNOWN = 255


@dataclass(frozen=True)
class _Study:
    """The contour files of one patient and the images by their numbers."""

    case: str
    contours: Mapping[tuple[int, str], Path]
    images: Mapping[int, list[Path]]


def cases(folder: Path, source: Source) -> Iterator[Case]:
    """Images of the cine series with contours, and their neighbours without, of all studies below `folder`.

    Contours are ``SC-HF-I-01/contours-manual/IRCCI-expert/IM-0001-0048-icontour-manual.txt`` (inner; outer with an o),
    the image is file number 48, for example ``IM-0004-0048.dcm``, in the folder ``SC-HF-I-1``, or in one that
    ``scd_patientdata.csv`` gives that name. The splits are the three parts of the challenge. Groups are the diagnoses:
    ``HF-I``, ``HF-NI``, ``HYP``, ``N``.

    `Source.label` chooses what is labelled: ``endocardium``, what lies inside the inner contour; ``epicardium``, inside
    the outer one; else both, 1 cavity and 2 myocardium. Where the outer contour was not drawn (end systole) nothing is
    known outside of the inner one.

    References
    ----------
    Radau et al., The MIDAS Journal, 2009.
    """
    drawn = _LABELS.get(source.label)
    if drawn is None:
        raise SettingsError(f"Sunnybrook has the labels endocardium and epicardium, not '{source.label}'.")
    for study in _studies(folder, source.split):
        group = study.case.split("-", 1)[-1].rsplit("-", 1)[0]
        for number in _with_neighbours(study, drawn):
            yield Case(study.case, group, partial(_read, study, number, drawn), _files(study, number, drawn))


def _files(study: _Study, number: int, drawn: str) -> tuple[Path, ...]:
    """The image of a number, and its contours; where several images have the number, all of them."""
    contours = [study.contours[number, kind] for kind in drawn if (number, kind) in study.contours]
    return (*study.images.get(number, ()), *contours)


def _studies(folder: Path, split: str) -> Iterator[_Study]:
    if split not in ("", *_SPLITS):
        raise SettingsError(f"Sunnybrook has the splits train, val and test; the source has '{split}'.")
    contours: dict[str, dict[tuple[int, str], Path]] = defaultdict(dict)
    for path in sorted(folder.rglob("IM-*contour-manual.txt")):
        found = _CONTOUR.fullmatch(path.name)
        if found and _SPLITS.get(split, "") in str(path.relative_to(folder)):
            contours[_plain(path.parents[2].name)][int(found[1]), found[2]] = path
    if not contours:
        raise FileError(
            f"'{folder}' holds no contours of the split '{split or 'any'}', like SC-HF-I-01/contours-manual/"
            "IRCCI-expert/IM-0001-0048-icontour-manual.txt. Choose the folder above the contours and the images."
        )
    images = _images(folder, set(contours))
    for case in sorted(contours):
        yield _Study(case, contours[case], images[case])


def _images(folder: Path, wanted: set[str]) -> dict[str, dict[int, list[Path]]]:
    """Image files by case and number; the number is the last one of the name."""
    originals = _originals(folder)
    images: dict[str, dict[int, list[Path]]] = {case: defaultdict(list) for case in wanted}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() != ".dcm" or is_hidden(path):
            continue
        names = (part for part in path.relative_to(folder).parts[:-1])
        case = next((c for name in names if (c := originals.get(name) or _plain(name)) in wanted), None)
        number = re.search(r"(\d+)$", path.stem)
        if case and number:
            images[case][int(number[1])].append(path)
    return images


def _originals(folder: Path) -> dict[str, str]:
    """Case of each patient number, from the table that lies with the anonymised images."""
    table = folder / "scd_patientdata.csv"
    if not table.exists():
        return {}
    with damaged(table):
        check_size(table, (max(table.stat().st_size, 1),), 1)
        rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    return {row["PatientID"]: _plain(row["OriginalID"]) for row in rows if {"PatientID", "OriginalID"} <= set(row)}


def _plain(name: str) -> str:
    """SC-HF-I-1 and SC-HF-I-01 are the same."""
    return re.sub(r"-0*(\d+)$", lambda m: f"-{int(m[1]):02d}", name)


def _with_neighbours(study: _Study, drawn: str) -> list[int]:
    """Numbers of the images with a contour, of those that lie between them and next to them at the same phase."""
    numbers = {number for number, kind in study.contours if kind in drawn}
    wanted = set(numbers)
    for phase in {n % _PHASES for n in numbers}:
        same = [n for n in numbers if n % _PHASES == phase]
        around = range(min(same) - _PHASES, max(same) + _PHASES + 1, _PHASES)
        wanted |= {n for n in around if n in study.images}
    return sorted(wanted)


def _read(study: _Study, number: int, drawn: str) -> Entry:
    path = _image_file(study, number)
    # identifiers of anonymised files are often invalid, which does not matter here
    with disable_value_validation():
        frames = frames_of(path)
        if not frames:
            raise FileError(f"'{path.name}' of {study.case} holds no image. Copy it again.")
        frame = frames[0]
        image = scaled(decode(path, frame.shape)[0], frame.scale)
    masks = {
        kind: _filled(study.contours[number, kind], image.shape) for kind in drawn if (number, kind) in study.contours
    }
    entry = Entry(
        image,
        np.zeros(image.shape, np.uint8),
        study.case,
        name=str(path),
        spacing=frame.spacing,
        stack=(study.case, number % _PHASES),
        frame=number,
        step=_PHASES,
        reviewed=None if masks else (),
    )
    if drawn != "io":
        return replace(entry, labels=next(iter(masks.values()), entry.labels))
    if "i" not in masks:
        return replace(entry, reviewed=())
    outside = 2 * masks["o"] if "o" in masks else _UNKNOWN
    return replace(entry, labels=np.where(masks["i"], 1, outside).astype(np.uint8), ignore=_UNKNOWN)


def _image_file(study: _Study, number: int) -> Path:
    """The one image of that number; of several series the short axis is named so, if at all."""
    found = study.images.get(number, [])
    named = [path for path in found if "CINESAX" in path.parent.name.upper()]
    chosen = named or found
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise FileError(f"The image {number} of {study.case}, on which a contour was drawn, is missing. Copy it.")
    raise FileError(
        f"{study.case} has several images with the number {number}: {', '.join(path.name for path in chosen[:3])}. "
        "Leave only the series of the short axis in its folder."
    )


def _filled(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Mask (y, x), uint8, of a file with one point (x, y) in pixels per line."""
    with damaged(path):
        check_size(path, (max(path.stat().st_size, 1),), 8)
        points = np.loadtxt(path, ndmin=2)
    if points.shape[1:] != (2,) or len(points) < 3 or not np.isfinite(points).all():
        raise FileError(f"'{path.name}' is not a contour; expected at least three lines with x and y. Copy it again.")
    mask = np.zeros(shape, np.uint8)
    mask[polygon(points[:, 1], points[:, 0], shape)] = 1
    return mask
