"""BIDS: the inputs that a dataset holds, and a derivatives dataset for what is made of them.

Names and fields follow the Brain Imaging Data Structure 1.10. ``.bidsignore`` is not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import files
from ..errors import FileError, SettingsError
from ..io import class_tables, formats
from ..record import Record, UsedModel
from ..version import __version__
from ..volume import LabelClass

DESCRIPTION = "dataset_description.json"
"""The file that every dataset has."""

LINK = "raw"
"""What the dataset of the inputs is called in a derivatives dataset."""

_VERSION = "1.10.0"
_PROGRAM = "napari-medseg"
_NAME = re.compile(r"(sub-[a-zA-Z0-9+]+(?:_[a-z]+-[a-zA-Z0-9+]+)*)_([a-zA-Z0-9]+)")
_IGNORED = (".napari-medseg.*", "*.csv", "*.html", "*_uncertainty.nii.gz", "*_disagreement.nii.gz")
_README = f"""\
Labels that {_PROGRAM} made of the images of another dataset, for research only.

Each label file says inside of which image, with which model and settings it was made; its JSON file says the same.
"""


def find(root: Path, suffix: str = "") -> list[Path]:
    """The images of a dataset: ``sub-*/[ses-*/]anat/*_SUFFIX.nii.gz``, or .nii.

    Parameters
    ----------
    root : pathlib.Path
        Folder of the dataset.
    suffix : str
        Such as ``T1w``, of any kind of data; may be left out where all images in ``anat`` have one.

    Raises
    ------
    FileError
        If the folder is not a dataset or holds no such image.
    SettingsError
        If the suffix must be chosen.
    """
    if not (root / DESCRIPTION).is_file():
        raise FileError(f"'{root}' is not a BIDS dataset: it holds no {DESCRIPTION}. Give its top folder.")
    known: dict[str, list[Path]] = {}
    for folder in ("sub-*", "sub-*/ses-*"):
        for path in root.glob(f"{folder}/{'*' if suffix else 'anat'}/sub-*"):
            found = _NAME.fullmatch(formats.stem(path))
            if found and formats.ending(path) in (".nii", ".nii.gz"):
                known.setdefault(found[2], []).append(path)
    wanted = suffix or next(iter(known), "")
    counts = ", ".join(f"{name} ({len(paths)})" for name, paths in sorted(known.items()))
    if not suffix and len(known) > 1:
        raise SettingsError(
            f"'{root}' holds images of several kinds: {counts}. Name one as suffix, such as {wanted} (--bids {wanted})."
        )
    if wanted not in known:
        there = f"there are {counts}" if counts else "there are no NIfTI images of subjects"
        raise FileError(f"'{root}' holds no image '*_{suffix or 'T1w'}.nii.gz'; {there}. Choose another suffix.")
    return sorted(known[wanted])


def label_of(models: Sequence[str]) -> str:
    """What stands for models in names: letters and digits only."""
    return re.sub(r"[^a-zA-Z0-9]", "", "".join(models))


def places(sources: Sequence[Path], root: Path, output: Path, models: Sequence[str]) -> list[Path]:
    """Where the labels of each image go.

    Raises
    ------
    SettingsError
        If two images differ in nothing that the name of the labels keeps.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        name = _NAME.fullmatch(formats.stem(source))
        if name is None:
            raise SettingsError(f"'{source.name}' is not a name of BIDS. Expected one such as sub-01_T1w.nii.gz.")
        folder = output / source.parent.relative_to(root)
        path = folder / f"{name[1]}_seg-{label_of(models)}_dseg.nii.gz"
        other = found.setdefault(path, source)
        if other != source:
            raise SettingsError(
                f"The labels of '{other.name}' and '{source.name}' would both be called '{path.name}'. "
                "Remove one of them from the dataset."
            )
    return list(found)


def sidecar(labels: Path) -> Path:
    """The JSON file of a label file."""
    return labels.with_name(f"{formats.stem(labels)}.json")


def source_of(source: Path, root: Path) -> str:
    """How a derivatives dataset names an image of the dataset that it is made of."""
    return f"bids:{LINK}:{source.relative_to(root).as_posix()}"


def content(record: Record, source: str) -> dict[str, Any]:
    """What the JSON file of labels says.

    Parameters
    ----------
    record : Record
        Of the run that made them.
    source : str
        What `source_of` returns.
    """
    names = " and ".join(model.name for model in record.models)
    return {
        "Description": f"Segmentation by {_PROGRAM} with {names}, not corrected by a person",
        "Manual": False,
        "Sources": [source],
        "record": record.to_json(),
    }


def prepare(output: Path, root: Path, models: Sequence[UsedModel], classes: Sequence[LabelClass]) -> None:
    """Make the files that describe a derivatives dataset; those that are there stay.

    Parameters
    ----------
    output, root : pathlib.Path
        Top folders of the new dataset and of that of the images.
    models : sequence of UsedModel
    classes : sequence of LabelClass
        Of the labels; empty where their numbers are those of objects.

    Raises
    ------
    SettingsError
        If `output` holds a dataset that was not made here, or of the images of another dataset.
    FileError
        If a file cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    link = Path(os.path.relpath(root.absolute(), output.absolute())).as_posix()
    description = output / DESCRIPTION
    if description.exists():
        _check(description, link)
    else:
        files.dump(description, _description(link))
    for name, text in (("README", _README), (".bidsignore", "".join(f"{line}\n" for line in _IGNORED))):
        if not (output / name).exists():
            files.replace_bytes(output / name, text.encode())
    if classes:
        table = output / f"seg-{label_of([model.name for model in models])}_dseg.tsv"
        class_tables.save(table, classes, "bids")


def _description(link: str) -> dict[str, Any]:
    return {
        "Name": f"Segmentations by {_PROGRAM}",
        "BIDSVersion": _VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": _PROGRAM, "Version": __version__}],
        "SourceDatasets": [{"URL": link}],
        "DatasetLinks": {LINK: link},
    }


def _check(description: Path, link: str) -> None:
    """Make sure that a dataset is one of ours, of the same images."""
    known = files.read_json(description)
    folder = description.parent
    by = known.get("GeneratedBy", []) if isinstance(known, dict) else []
    names = [each.get("Name") for each in by if isinstance(each, dict)]
    if _PROGRAM not in names:
        raise SettingsError(f"'{folder}' is a BIDS dataset that {_PROGRAM} did not make. Choose another folder.")
    links = known.get("DatasetLinks")
    if not isinstance(links, dict) or links.get(LINK) != link:
        raise SettingsError(f"'{folder}' was made of the images of another dataset. Choose another folder.")
