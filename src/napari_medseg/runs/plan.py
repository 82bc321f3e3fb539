"""Which images a segmentation of many files is about, where its results go, and the tasks that it means."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..record import UsedModel
from ..segmentation.settings import InferenceSettings, decided
from ..volume import LabelClass
from . import bids, outputs
from .inputs import find_inputs, image_kind, left_out, taken_once
from .references import find_references
from .tasks import Failure, Task

MAPS = ("uncertainty", "disagreement")
"""Images that a segmentation can make besides the labels."""


@dataclass(frozen=True)
class Wanted:
    """What is to be segmented, and where the results go.

    Parameters
    ----------
    inputs : tuple of str
        Files, folders and globs; of a BIDS dataset its top folder alone.
    output : pathlib.Path
        Folder of the labels; their file where one image is meant.
    models : tuple of str
        Names of the model, or of several that vote.
    maps : mapping of str to pathlib.Path
        Where those of `MAPS` go that are wanted.
    bids : str or None
        Suffix of the images of a BIDS dataset, empty for the only one; None if the input is none.
    reference : pathlib.Path or None
        Labels to compare with, see `references.find_references`.
    """

    inputs: tuple[str, ...]
    output: Path
    models: tuple[str, ...]
    maps: dict[str, Path]
    bids: str | None = None
    reference: Path | None = None


@dataclass(frozen=True)
class Plan:
    """Which images are segmented, and where what is made of them goes.

    Parameters
    ----------
    sources : tuple of pathlib.Path
    places : mapping of str to list of pathlib.Path
        What is made of each source, by its role.
    failures : tuple of Failure
        Inputs that mean nothing.
    notes : tuple of str
        What was left out of folders, in sentences.
    root : pathlib.Path, optional
        Of the BIDS dataset that they belong to.
    references : mapping of str to pathlib.Path, optional
        Labels to compare with, by the names of the sources that have some; None if none are wanted.
    """

    sources: tuple[Path, ...]
    places: dict[str, list[Path]]
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    root: Path | None = None
    references: Mapping[str, Path] | None = None

    @property
    def paths(self) -> list[Path]:
        """The files that are made."""
        return [path for paths in self.places.values() for path in paths]


def plan(wanted: Wanted) -> Plan:
    """Look for the images, and decide where results go.

    Raises
    ------
    FileError, SettingsError
        If the input is not a BIDS dataset, two results would have one name, one would replace an input, or the
        reference labels cannot be meant.
    """
    found = _in_folder(wanted) if wanted.bids is None else _in_dataset(wanted)
    outputs.refuse_conflicts([*map(Path, wanted.inputs), *found.sources], found.paths)
    if wanted.reference is None:
        return found
    return replace(found, references=find_references(found.sources, found.paths, wanted.reference))


def tasks(
    found: Plan,
    used: tuple[UsedModel, ...],
    settings: InferenceSettings,
    axes: str | None = None,
    names: Sequence[LabelClass] = (),
    **options: Any,
) -> list[Task]:
    """A task for each image of a plan.

    Parameters
    ----------
    found : Plan
    used : tuple of UsedModel
    settings : InferenceSettings
    axes : str, optional
        Names of the array axes, where files do not say.
    names : sequence of LabelClass
        Names and colours for classes of the models.
    **options
        Further arguments of `Task`.
    """
    settings = _decided(settings, used)
    rows = [{"id": row.id, "name": row.name, "colour": row.colour} for row in names]
    reading: dict[str, Any] = {"inference": asdict(settings), "axes": axes, "names": rows}
    made = []
    for number, source in enumerate(found.sources):
        places = {role: str(paths[number]) for role, paths in found.places.items()}
        named = {"source": bids.source_of(source, found.root)} if found.root is not None else {}
        labels = (found.references or {}).get(source.name)
        inputs = (str(source),) if labels is None else (str(source), str(labels))
        score = found.references is not None
        made.append(Task("segment", inputs, places, used, {**reading, **named}, score=score, **options))
    return made


def prepare(
    found: Plan,
    output: Path,
    used: Sequence[UsedModel],
    settings: InferenceSettings,
    names: Sequence[LabelClass] = (),
) -> None:
    """Make what describes the dataset of the labels, if the images are in a dataset.

    Raises
    ------
    SettingsError
        If there is another one.
    FileError
        If a file cannot be written.
    """
    if found.root is None:
        return
    from .. import models
    from ..io import class_tables

    settings = _decided(settings, used)
    classes = models.load_card(models.find(used[0].name)).classes
    classes = class_tables.renamed(classes, names) if names else classes
    bids.prepare(output, found.root, used, () if settings.split_objects else classes)


def _decided(settings: InferenceSettings, used: Sequence[UsedModel]) -> InferenceSettings:
    """Settings that say whether objects are numbered: an earlier output is compared with that."""
    from .. import models

    return decided(settings, [models.load_card(models.find(model.name)) for model in used])


def _in_folder(wanted: Wanted) -> Plan:
    """Files, folders and globs, and a file or a folder for their labels."""
    kind = functools.cache(image_kind)  # three questions, each file is opened once
    sources, failures = find_inputs(wanted.inputs, kind)
    notes = (*left_out(wanted.inputs, kind), *taken_once(wanted.inputs, kind))
    single = len(sources) + len(failures) == 1
    places = {"labels": outputs.place(sources, wanted.output, single=single)}
    return Plan(tuple(sources), places | _maps(wanted, sources, single), tuple(failures), notes)


def _in_dataset(wanted: Wanted) -> Plan:
    """A BIDS dataset, and another one for the labels."""
    if len(wanted.inputs) > 1:
        count = len(wanted.inputs)
        raise SettingsError(f"--bids takes one dataset, and there are {count} inputs. Give its top folder.")
    root = Path(wanted.inputs[0])
    sources = bids.find(root, wanted.bids or "")
    labels = bids.places(sources, root, wanted.output, wanted.models)
    places = {"labels": labels, "sidecar": [bids.sidecar(path) for path in labels]}
    return Plan(tuple(sources), places | _maps(wanted, sources, single=False), root=root)


def _maps(wanted: Wanted, sources: Sequence[Path], single: bool) -> dict[str, list[Path]]:
    """Where the maps go that were asked for."""
    folders = wanted.maps.items()
    return {role: outputs.place(sources, folder, f"_{role}", single=single) for role, folder in folders}
