"""Reference labels of the images of a cohort: which belong to which image, and the figures against them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import files, io
from ..errors import SettingsError
from ..io.pairing import names, pair
from .inputs import find_inputs
from .outputs import refuse_conflicts
from .tasks import Task

FIGURES = ("dice", "hd95_mm", "hd95_px", "f1", "precision", "recall")
"""Keys of the figures against a reference: of classes, and of objects."""


def find_references(sources: Sequence[Path], made: Sequence[Path], reference: Path) -> dict[str, Path]:
    """The reference labels of images, by the names of the images; those that have none are left out.

    Parameters
    ----------
    sources : sequence of pathlib.Path
        The images.
    made : sequence of pathlib.Path
        What the run will write.
    reference : pathlib.Path
        Folder, or quoted glob, of labels that are called as the images or differ by a usual mark, see `pairing.pair`;
        of a single image also a file, whatever its name.

    Raises
    ------
    SettingsError
        If there is nothing, or nothing that belongs to an image, or a result would replace a reference.
    FileError
        If several labels fit an image, or several images the same labels.
    """
    found, failures = find_inputs([str(reference)])
    if failures:
        raise SettingsError(f"Reference labels (--reference): {failures[0].error}")
    refuse_conflicts(found, made)
    single = len(sources) == 1 and len(found) == 1 and not files.is_folder(reference)
    belonging = {sources[0].name: found[0]} if single else _by_name(sources, found)
    if sources and not belonging:
        raise SettingsError(
            f"No file in '{reference}' has the name of an image; it holds {names(found)}, and the images are "
            f"{names(sources)}. Give reference labels the names of their images."
        )
    return belonging


def _by_name(sources: Sequence[Path], found: Sequence[Path]) -> dict[str, Path]:
    """The labels of each image by the name of the image, whatever the folders."""
    for kind, paths in (("images", sources), ("references", found)):
        twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
        if twice:
            raise SettingsError(
                f"Several {kind} are called '{twice[0]}', and a reference is found by its name. Run once for each "
                "folder."
            )
    labels = {path.name: path for path in found}
    pairs = pair([Path(path.name) for path in sources], [Path(name) for name in labels], Path(), Path()).pairs
    return {image.name: labels[reference.name] for image, reference in pairs}


def scores_of(task: Task) -> tuple[dict[str, Any], ...]:
    """Figures of the labels that a task has made against its reference, a row for each class.

    Of several time points a figure is the mean.

    Raises
    ------
    MedsegError
        If the reference cannot be read or is of another image.
    """
    from .. import metrics

    objects = bool(task.settings["inference"].get("split_objects"))
    found = metrics.comparison(io.read(task.target), io.read(task.inputs[1]), objects=objects)
    together: dict[int, list[Mapping[str, Any]]] = {}
    for row in found.rows:
        together.setdefault(row["id"], []).append(row)
    return tuple(_mean(rows) for rows in together.values())


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row for the time points of a class."""
    found: dict[str, Any] = {"id": rows[0]["id"], "name": rows[0]["name"]}
    for key in FIGURES:
        known = [row[key] for row in rows if key in row and math.isfinite(row[key])]
        if key in rows[0]:
            found[key] = sum(known) / len(known) if known else None
    return found
