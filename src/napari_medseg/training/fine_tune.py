"""From images that a person has labelled, in part, to a run that makes a model of theirs better."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import files, io, models
from ..errors import FileError, SettingsError, VolumeError
from ..label_values import is_unlabelled, number_objects, whole_labels
from ..models.library import check_new_name
from ..volume import LabelClass, Volume
from . import anew
from .augment import AugmentSettings
from .comparison import held_back
from .continuing import refuse_other_settings
from .course import Phase
from .data.folders import LabelledImage, is_listed, read_dataset_file, write_dataset
from .data.pairs import paired, parts
from .data.sources import Source
from .run_folder import DATA, RECIPE
from .settings import CARD_TEXTS, RECIPES, TrainSettings, read_settings

_log = logging.getLogger(__name__)

HELD_BACK = Source(DATA, split="val")
_ENOUGH = 5  # slices to choose weights by
_LEARNING: dict[str, Any] = {"optimizer": "nadam", "ema": 0.9, "balance": 0.5, "clip": 1.0}
_RATE = 5e-5  # higher ones fit the reviewed slices better and those next to them worse
_RATE_ANEW = 1e-3  # where classes begin anew
_ANCHOR = 0.5  # gains half as much on the images learnt from, and loses little elsewhere (measured on `val`)
_REPLAYED = 0.5  # share of the views
_JITTER = 8.0  # pixels of a crop about an organ


@dataclass(frozen=True, eq=False)
class Annotation:
    """An image and what a person said about it.

    Parameters
    ----------
    name : str
    image, labels : Volume
        On the same grid.
    reviewed : tuple of int
        Slices along z whose labels are right, and complete but for voxels with the label to ignore; 0 of a 2-D image.
    """

    name: str
    image: Volume
    labels: Volume
    reviewed: tuple[int, ...]


@dataclass(frozen=True)
class AnnotatedFiles:
    """An `Annotation` in files.

    Parameters
    ----------
    image, labels : str
        Files, as seen from the settings file.
    reviewed : tuple of int
        As in `Annotation`.
    name : str
        What the run calls it; that of the image file if empty.
    """

    image: str
    labels: str
    reviewed: tuple[int, ...]
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class FineTuneSettings:
    """How a model is to be made better.

    Parameters
    ----------
    base, name : str
        The model to begin with, and the name of the one that comes out. An empty `base` begins with nothing: a new
        LiteNeXt, see `anew`.
    classes : tuple of LabelClass
        Numbered 1, 2, ... as in the labels. Those that the model knows by name go on, the others are new.
    seconds : float
        Time to train, about.
    ignore : int or None
        Label of voxels about which nothing is known.
    device, threads
        See `RunSettings`.
    replay : str
        Folder with the data that the base model was trained on, where its recipe finds them. They are rehearsed, so
        that less of them is forgotten. Empty: the few slices that come with the model, if any do and the classes are
        its own.
    annotated : tuple of AnnotatedFiles
        What to learn from, in settings that lie in a file.
    data : str
        In place of `annotated`: the folder of a data set, as seen from the settings file.
    """

    base: str
    name: str
    classes: tuple[LabelClass, ...]
    seconds: float = 60.0
    ignore: int | None = None
    device: str = "auto"
    threads: int = 0
    replay: str = ""
    annotated: tuple[AnnotatedFiles, ...] = ()
    data: str = ""


def read(path: Path) -> FineTuneSettings | None:
    """The settings in a JSON file; None if it holds another kind of settings, which have no ``base``.

    Raises
    ------
    FileError, SettingsError
        If the file cannot be read or holds an unknown or impossible option.
    """
    content = files.read_json(path)
    if not isinstance(content, dict) or "base" not in content:
        return None
    return files.typed(FineTuneSettings, content, path.name)


def save(path: Path, annotations: Sequence[Annotation], settings: FineTuneSettings) -> None:
    """Write settings as JSON, and what they learn from into a folder next to it: ``a.json`` and ``a-data``.

    Raises
    ------
    MedsegError
        If there is such a folder, or a file cannot be written.
    """
    folder = path.with_name(f"{path.stem}-data")
    try:
        folder.mkdir()
    except OSError as error:
        raise FileError(f"The folder '{folder}' cannot be made ({error.strerror}). Choose another name.") from error
    annotated = []
    for number, annotation in enumerate(annotations, start=1):
        image = f"{folder.name}/image-{number}.nii.gz"
        labels = f"{folder.name}/labels-{number}.nii.gz"
        io.write(annotation.image, path.parent / image)
        io.write(replace(annotation.labels, classes=settings.classes), path.parent / labels)
        annotated.append(AnnotatedFiles(image, labels, tuple(annotation.reviewed), annotation.name))
    files.dump(path, replace(settings, annotated=tuple(annotated)))


def begin(settings: FineTuneSettings, place: Path, folder: Path) -> TrainSettings:
    """Prepare a run in `folder`, or go on with the one that was begun there.

    Parameters
    ----------
    settings : FineTuneSettings
    place : pathlib.Path
        Folder of the settings file.
    folder : pathlib.Path
        Of the run; its data are read from there on.

    Raises
    ------
    MedsegError
        If the settings do not name data, these cannot be learnt from, or the folder holds a run with other settings.
    """
    if (folder / RECIPE).exists():
        begun = read_settings(folder / RECIPE)
        mine = replace(recipe_of(settings), train=begun.train, val=begun.val)
        # its pixel size is that of an image, which need not be read again
        if isinstance(begun, TrainSettings) and not settings.base:
            mine = replace(mine, preprocess=begun.preprocess)
        refuse_other_settings(folder, begun, mine)
        _log.info("The run goes on with the data that it began with.")
        return mine
    if settings.data:
        return prepare_folder(place / settings.data, settings, folder)
    if not settings.annotated:
        raise SettingsError(
            "The settings do not say what to learn from. List image and label files under 'annotated', or give the "
            "folder of a data set as 'data'."
        )
    return prepare([_opened(each, place) for each in settings.annotated], settings, folder)


def _opened(given: AnnotatedFiles, place: Path) -> Annotation:
    image = io.read(place / given.image)
    labels = io.read(place / given.labels)
    return Annotation(given.name or Path(given.image).name, image, labels, given.reviewed)


def prepare(annotations: Sequence[Annotation], settings: FineTuneSettings, folder: Path) -> TrainSettings:
    """Write the data set and the recipe of a run into `folder`.

    Every fifth reviewed slice, at least one where there are two, and those with labels first, is held back: it is not
    learnt from and shows whether the model got better, see `gain.before_and_after`. Which weights are the best is
    decided on these slices too; as long as they are fewer than five, which say little, on all that were reviewed.

    Raises
    ------
    MedsegError
        If nothing was reviewed, labels and image do not fit, or the settings are impossible.
    """
    if not any(annotation.reviewed for annotation in annotations):
        raise SettingsError("No slice is marked as reviewed, so there is nothing to learn from. Mark the right ones.")
    plane = anew.Plane.of(next(annotation.image for annotation in annotations if annotation.reviewed))
    recipe = recipe_of(settings, plane)
    annotations = [_checked(annotation, settings) for annotation in annotations]
    places = [(number, z) for number, annotation in enumerate(annotations) for z in sorted(set(annotation.reviewed))]
    # slices without labels come last: figures of these alone would say nothing of what is found
    places.sort(key=lambda place: is_unlabelled(annotations[place[0]].labels.data, place[1], settings.ignore))
    apart = set(held_back(places))
    images = [
        LabelledImage(
            annotation.image,
            annotation.labels,
            annotation.name,
            "train",
            tuple(sorted(set(annotation.reviewed))),
            held_back=tuple(z for other, z in sorted(apart) if other == number),
        )
        for number, annotation in enumerate(annotations)
        if annotation.reviewed
    ]
    write_dataset(folder / DATA, images, settings.classes, settings.ignore)
    judging = HELD_BACK if len(apart) >= _ENOUGH else Source(DATA)
    return _written(replace(recipe, train=(Source(DATA, split="train"),), val=(judging,)), folder)


def prepare_folder(source: Path, settings: FineTuneSettings, folder: Path) -> TrainSettings:
    """Write the recipe of a run into `folder` that learns from the data set in the folder `source`.

    Without a ``dataset.json`` the folders ``train`` and ``val`` are what their names say; if there are none, every
    fifth image is held back to validate on.

    Raises
    ------
    MedsegError
        If there is no data set, it has nothing to validate on, or the settings are impossible.
    """
    train, val = _listed(source, settings) if is_listed(source) else _unlisted(source, settings)
    plane = None if settings.base else anew.Plane.first_of(train)
    return _written(replace(recipe_of(settings, plane), train=(train,), val=(val,)), folder)


def _listed(source: Path, settings: FineTuneSettings) -> tuple[Source, Source]:
    """What a ``dataset.json`` says is to train and to validate on."""
    found = read_dataset_file(source)
    if [row.id for row in found.classes] != [row.id for row in settings.classes]:
        raise SettingsError(f"'{source.name}' has {len(found.classes)} classes, the settings {len(settings.classes)}.")
    if not any(case.split == "val" or case.held_back for case in found.cases):
        raise SettingsError(
            f"'{source.name}' has nothing to validate on. Give some of its cases the split val, or list slices as "
            "held_back."
        )
    path = str(files.real(source))
    return Source(path, split="train"), Source(path, split="val")


def _unlisted(source: Path, settings: FineTuneSettings) -> tuple[Source, Source]:
    """What is to train and to validate on in a folder of images and labels."""
    whole = Source(str(files.real(source)), ignore=settings.ignore)
    splits = {part.split for part in parts(source)}
    if {"train", "val"} <= splits:
        return replace(whole, split="train"), replace(whole, split="val")
    if "train" in splits:
        whole = replace(whole, split="train")
    names = [case.name for case in paired(source, whole)]
    judging = held_back(names)
    if not judging:
        raise SettingsError(
            f"'{source.name}' has a single labelled image, and nothing to validate on. Add a second one, or open it in "
            "the viewer and learn from its slices."
        )
    learnt = [name for name in names if name not in judging]
    return replace(whole, select={"case": learnt}), replace(whole, select={"case": [*judging]})


def _written(recipe: TrainSettings, folder: Path) -> TrainSettings:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"'{folder}' cannot be made ({error.strerror}). Choose another folder.") from error
    files.dump(folder / RECIPE, recipe)
    return recipe


def _checked(annotation: Annotation, settings: FineTuneSettings) -> Annotation:
    """The annotation, in which numbered objects have become the class to learn if there is only one."""
    name, labels = annotation.name, annotation.labels
    count = 1 if labels.axes == "yx" else len(labels.data)
    if beyond := [z for z in annotation.reviewed if not 0 <= z < count]:
        raise SettingsError(f"'{name}' has {count} slices, 0 to {count - 1}; slice {beyond[0]} cannot be reviewed.")
    data = whole_labels(np.asarray(labels.data), f"The mask of '{name}'")
    ignored = data == settings.ignore
    if len(settings.classes) == 1 and number_objects(np.where(ignored, 0, data)):
        _log.info("The labels of '%s' number objects: all are '%s'.", name, settings.classes[0].name)
        data = np.where(ignored, data, data > 0)
        labels = replace(labels, data=data)
    known = {0, settings.ignore, *(row.id for row in settings.classes)}
    if unknown := sorted(set(np.unique(data).tolist()) - known):
        raise VolumeError(
            f"'{name}' holds the labels {', '.join(map(str, unknown[:5]))}, which do not belong to any class. "
            "Add them to the classes, or erase them."
        )
    return replace(annotation, labels=labels)


def recipe_of(settings: FineTuneSettings, plane: anew.Plane | None = None) -> TrainSettings:
    """How to learn; `plane` is one of the slices to learn from, which decides where a run begins with nothing.

    Raises
    ------
    MedsegError
        If the settings are impossible.
    """
    check_new_name(settings.name)
    if not settings.seconds > 0:
        raise SettingsError(f"The time to train is {settings.seconds} s; expected more than 0.")
    if settings.ignore in (0, *(row.id for row in settings.classes)):
        raise SettingsError(f"The label to ignore is {settings.ignore}; expected neither 0 nor that of a class.")
    if not settings.base and settings.replay:
        raise SettingsError("A run that begins with nothing has no old data to rehearse. Leave out the replay folder.")
    beginning = _going_on(settings) if settings.base else anew.options(plane, settings.classes)
    return TrainSettings(
        name=settings.name,
        train=(Source(DATA),),
        val=(Source(DATA),),
        classes=settings.classes,
        seconds=settings.seconds,
        phases=(Phase(1.0, 16, 1),),
        steps=1,
        **_LEARNING,
        augment=AugmentSettings(quarter_turns=False, rotate=15.0, zoom=(0.85, 1.2), jitter=_JITTER),
        threads=settings.threads,
        device=settings.device,
        **beginning,
    )


def _going_on(settings: FineTuneSettings) -> dict[str, Any]:
    """What is taken over from the model that a run begins with."""
    path = models.find(settings.base)
    card = models.load_card(path)
    if card.design:
        raise SettingsError(f"'{card.name}' reconstructs; only models that segment can learn from labels.")
    same = [row.name for row in settings.classes] == [row.name for row in card.classes]
    replay = _replay(settings, path, same)
    return {
        "architecture": card.architecture,
        "options": models.options_of(path),
        "start": str(path),
        "replay": replay,
        "replay_share": _REPLAYED if replay else 0.0,
        "preprocess": card.preprocess,
        "learning_rate": _RATE if same else _RATE_ANEW,
        "anchor": _ANCHOR if same else 0.0,
        "loss": "dice-ce" if models.architecture(card.architecture).background else "dice-bce",
        "about_objects": card.locator is not None,
        "card": _texts(card, settings, same),
    }


def _replay(settings: FineTuneSettings, path: Path, same: bool) -> tuple[Source, ...]:
    """Data of the base model: all of them, by its recipe, or the slices that come with its weights."""
    card, beside = models.load_card(path), path.with_suffix(".replay.npz")
    if not settings.replay:
        spacing = (card.preprocess.spacing,) * 2 if card.preprocess.spacing else None
        return (Source(str(beside), case="case", spacing=spacing),) if same and beside.exists() else ()
    if not same:
        raise SettingsError(
            "The old data do not hold the new classes, so they cannot be rehearsed. Leave out the replay folder."
        )
    recipe = RECIPES / Path(card.recipe).name
    if not card.recipe or not recipe.is_file():
        raise SettingsError(f"Neither the recipe nor the data of '{card.name}' are known. Leave out the replay folder.")
    folder = files.real(Path(settings.replay))
    return tuple(replace(source, path=str(folder / source.path)) for source in read_settings(recipe).train)


def _texts(card: models.ModelCard, settings: FineTuneSettings, same: bool) -> dict[str, Any]:
    """Texts of the new card."""
    names = ", ".join(row.name for row in settings.classes)
    inherited = {name: getattr(card, name) for name in CARD_TEXTS}
    if not same:
        inherited |= {"task": names, "members": (), "temperature": 1.0}
    return inherited | {
        "data": f"{card.name}, fine-tuned on slices annotated by its user. Before that: {card.data}",
        "licence": f"of {card.name}: {card.licence}; of the annotations: their author's",
        "split": "every fifth annotated slice for validation, none for a test",
        "limits": f"Measured only on slices of the images that it was trained on. {card.limits}",
        # whoever teaches a model other images shall not be asked about each of them
        "appearance": None,
    }
