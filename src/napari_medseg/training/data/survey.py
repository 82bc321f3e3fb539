"""What there is to learn from in a folder: its classes, from a ``dataset.json`` or from the labels themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import files
from ...errors import FileError
from ...label_values import number_objects, whole_labels
from ...progress import Job, Progress
from ...volume import LabelClass, colour_of
from .folders import NAME, is_listed, read_dataset_file
from .pairs import paired, read_labels
from .sources import Case, Source

_MOST = 32  # more labels than this are numbers of objects
_FEW = 10  # more than this are, where each is one connected region


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Parameters
    ----------
    classes : tuple of LabelClass
        Numbered from 1.
    ignore : int or None
        Label of voxels about which nothing is known.
    named : bool
        Whether the data set names its classes.
    words : str
        What a person should know of it.
    """

    classes: tuple[LabelClass, ...]
    ignore: int | None = None
    named: bool = True
    words: str = ""


def survey_job(folder: Path) -> Job[Survey]:
    """Look at a folder; labels are read only where nothing says what the classes are.

    Raises
    ------
    MedsegError
        If it cannot be learnt from.
    """
    yield Progress(0, 1)
    if not folder.is_dir():
        raise FileError(f"The folder '{folder}' does not exist. Choose one with images and labels, or a {NAME}.")
    if is_listed(folder):
        found = read_dataset_file(folder)
        return Survey(found.classes, found.ignore)
    cases = list(paired(folder, Source("")))
    values: set[int] = set()
    numbered: list[bool] = []
    for done, case in enumerate(cases):
        yield Progress(done, len(cases))
        labels = _labels_in(case.files[1])
        found = set(np.unique(labels).tolist()) - {0}
        values |= found
        if len(found) > 1:
            numbered.append(number_objects(labels))
    words = [f"{len(cases)} labelled image{'' if len(cases) == 1 else 's'}."]
    words += [f"Left out: {remark}." for remark in _remarks(cases)]
    names, ignore = _foreign(folder)
    if names:
        return Survey(_named(folder, names, values - {ignore}), ignore, words="\n".join(words))
    # few numbers may be those of classes, each of them in one piece
    objects = len(values) > _MOST or (len(values) > _FEW and bool(numbered) and all(numbered))
    if objects:
        words.append(
            f"The {len(values)} different labels are taken for the numbers of objects of one class. If they are "
            "classes, list them in a dataset.json in the folder."
        )
    return Survey(_unnamed(folder, values, objects), named=False, words="\n".join(words))


def _remarks(cases: list[Case]) -> list[str]:
    """What is said of the cases, each once."""
    found: dict[str, None] = {}
    for case in cases:
        found |= dict.fromkeys(case.remarks)
    return list(found)


def _labels_in(path: Path) -> np.ndarray:
    return whole_labels(read_labels(path), f"The mask '{path.name}'")


def _foreign(folder: Path) -> tuple[dict[int, str], int | None]:
    """Names of classes by number, and the label to ignore, from a ``dataset.json`` of the Decathlon or of nnU-Net."""
    path = folder / NAME
    content: Any = files.read_json(path) if path.exists() else {}
    labels = content.get("labels")
    if not isinstance(labels, Mapping):
        return {}, None
    names: dict[int, str] = {}
    for key, value in labels.items():
        number, name = (key, value) if str(key).isdecimal() else (value, key)
        if not str(number).isdecimal():
            return {}, None  # regions, which overlap
        names[int(number)] = str(name)
    ignored = [number for number, name in names.items() if name == "ignore"]
    kept = {number: name for number, name in names.items() if number and number not in ignored}
    return kept, ignored[0] if ignored else None


def _named(folder: Path, names: Mapping[int, str], values: set[int]) -> tuple[LabelClass, ...]:
    unknown = values - names.keys()
    if sorted(names) != list(range(1, len(names) + 1)) or unknown:
        more = f", but the labels hold {_listed(unknown)}" if unknown else ""
        raise FileError(
            f"'{folder / NAME}' names the labels {_listed(names.keys())}{more}; expected 1, 2, ... without gaps. "
            "Renumber the labels, or correct the list."
        )
    return tuple(LabelClass(number, names[number], colour_of(number)) for number in sorted(names))


def _unnamed(folder: Path, values: set[int], objects: bool) -> tuple[LabelClass, ...]:
    """One class if there is one label, or if they number objects; else as many as there are labels."""
    if not values:
        raise FileError(f"The labels in '{folder}' are empty: there is no class to learn. Label some images first.")
    count = 1 if objects else len(values)
    if count > 1 and values != set(range(1, count + 1)):
        raise FileError(
            f"The labels in '{folder}' are {_listed(values)}; expected 1, 2, ... without gaps, or a single one. "
            f"Renumber them, or say in a {NAME} which classes they are and which label to ignore."
        )
    return tuple(LabelClass(number, f"class {number}", colour_of(number)) for number in range(1, count + 1))


def _listed(numbers: Any) -> str:
    found = [str(number) for number in sorted(numbers)]
    return ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
