"""From images that a person has labelled, in part, to a run that makes a model of theirs better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import models
from ..errors import SettingsError, VolumeError
from ..models.card import replace_file
from ..models.library import check_new_name
from ..volume import LabelClass, Volume
from .augment import AugmentSettings
from .evaluate import evaluate
from .folders import LabelledImage, read_dataset_file, write_dataset
from .settings import Phase, TrainSettings, read_settings
from .sources import Source

DATA = "data"
RECIPE = "recipe.json"
_EVERY = 5  # reviewed slice validates
_LEARNING: dict[str, Any] = {"optimizer": "nadam", "learning_rate": 3e-4, "ema": 0.9, "balance": 0.5, "clip": 1.0}


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


@dataclass(frozen=True, kw_only=True)
class FineTuneSettings:
    """How a model is to be made better.

    Parameters
    ----------
    base, name : str
        The model to begin with, and the name of the one that comes out.
    classes : tuple of LabelClass
        Numbered 1, 2, ... as in the labels. Those that the model knows by name go on, the others are new.
    seconds : float
        Time to train, about.
    ignore : int or None
        Label of voxels that nobody said anything about.
    device, threads
        See `RunSettings`.
    replay : str
        Folder with the data that the base model was trained on, where its recipe finds them; empty for none. They are
        rehearsed, so that less of them is forgotten.
    """

    base: str
    name: str
    classes: tuple[LabelClass, ...]
    seconds: float = 60.0
    ignore: int | None = None
    device: str = "auto"
    threads: int = 0
    replay: str = ""


def prepare(annotations: Sequence[Annotation], settings: FineTuneSettings, folder: Path) -> TrainSettings:
    """Write the data set and the recipe of a run into `folder`.

    Every fifth reviewed slice, at least one where there are two, is not learnt from: it tells whether the model got
    better.

    Raises
    ------
    MedsegError
        If nothing was reviewed, labels and image do not fit, or the settings are impossible.
    """
    if not any(annotation.reviewed for annotation in annotations):
        raise SettingsError("No slice is marked as reviewed, so there is nothing to learn from. Mark the right ones.")
    recipe = _recipe(settings)
    for annotation in annotations:
        _check(annotation, settings)
    places = [(number, z) for number, annotation in enumerate(annotations) for z in sorted(set(annotation.reviewed))]
    held_back = set(places[_EVERY // 2 :: _EVERY] or places[1:2])
    images = [
        LabelledImage(
            annotation.image,
            annotation.labels,
            annotation.name,
            "train",
            tuple(sorted(set(annotation.reviewed))),
            held_back=tuple(z for other, z in sorted(held_back) if other == number),
        )
        for number, annotation in enumerate(annotations)
        if annotation.reviewed
    ]
    write_dataset(folder / DATA, images, settings.classes, settings.ignore)
    part = "val" if held_back else "train"  # of a single slice, better its own figure than none
    return _written(replace(recipe, train=(Source(DATA, split="train"),), val=(Source(DATA, split=part),)), folder)


def prepare_folder(source: Path, settings: FineTuneSettings, folder: Path) -> TrainSettings:
    """Write the recipe of a run into `folder` that learns from the data set in the folder `source`.

    Raises
    ------
    MedsegError
        If there is no ``dataset.json``, it has nothing to validate on, or the settings are impossible.
    """
    found = read_dataset_file(source)
    if [row.id for row in found.classes] != [row.id for row in settings.classes]:
        raise SettingsError(f"'{source.name}' has {len(found.classes)} classes, the settings {len(settings.classes)}.")
    if not any(case.split == "val" or case.held_back for case in found.cases):
        raise SettingsError(
            f"'{source.name}' has nothing to validate on. Give some of its cases the split val, or list slices as "
            "held_back."
        )
    train, val = (Source(str(source.resolve()), split=split) for split in ("train", "val"))
    return _written(replace(_recipe(settings), train=(train,), val=(val,)), folder)


def _written(recipe: TrainSettings, folder: Path) -> TrainSettings:
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / RECIPE, recipe.to_json().encode())
    return recipe


def _check(annotation: Annotation, settings: FineTuneSettings) -> None:
    labels, count = annotation.labels, 1 if annotation.labels.axes == "yx" else len(annotation.labels.data)
    if beyond := [z for z in annotation.reviewed if not 0 <= z < count]:
        raise SettingsError(
            f"'{annotation.name}' has {count} slices, 0 to {count - 1}; slice {beyond[0]} cannot be reviewed."
        )
    known = {0, settings.ignore, *(row.id for row in settings.classes)}
    if unknown := sorted(set(np.unique(labels.data).tolist()) - known):
        raise VolumeError(
            f"'{annotation.name}' holds the labels {', '.join(map(str, unknown[:5]))}, which are no classes. "
            "Add them to the classes, or erase them."
        )


def _recipe(settings: FineTuneSettings) -> TrainSettings:
    check_new_name(settings.name)
    path = models.find(settings.base)
    card = models.load_card(path)
    if card.design:
        raise SettingsError(f"'{card.name}' reconstructs; only models that segment can learn from labels.")
    same = [row.name for row in settings.classes] == [row.name for row in card.classes]
    return TrainSettings(
        name=settings.name,
        architecture=card.architecture,
        options=models.options_of(path),
        start=str(path),
        train=(Source(DATA),),
        val=(Source(DATA),),
        replay=_replay(settings, card, same),
        replay_share=0.5 if settings.replay else 0.0,
        classes=settings.classes,
        preprocess=card.preprocess,
        seconds=settings.seconds,
        phases=(Phase(1.0, 16, 1),),
        steps=1,
        **_LEARNING,
        loss="dice-ce" if models.architecture(card.architecture).background else "dice-bce",
        augment=AugmentSettings(quarter_turns=False, rotate=15.0, zoom=(0.85, 1.2)),
        threads=settings.threads,
        device=settings.device,
        card=_texts(card, settings, same),
    )


def _replay(settings: FineTuneSettings, card: models.ModelCard, same: bool) -> tuple[Source, ...]:
    """The data of the base model, by its recipe."""
    if not settings.replay:
        return ()
    if not same:
        raise SettingsError(
            "The old data do not hold the new classes, so they cannot be rehearsed. Leave out the replay folder."
        )
    recipe = Path(__file__).parent / "recipes" / card.recipe
    if not card.recipe or not recipe.is_file():
        raise SettingsError(
            f"The recipe of '{card.name}' is not known, so its data are not. Leave out the replay folder."
        )
    return tuple(
        replace(source, path=str(Path(settings.replay).resolve() / source.path))
        for source in read_settings(recipe).train
    )


def _texts(card: models.ModelCard, settings: FineTuneSettings, same: bool) -> dict[str, Any]:
    """Texts of the new card."""
    names = ", ".join(row.name for row in settings.classes)
    return {
        "task": card.task if same else names,
        "modality": card.modality,
        "data": f"{card.name}, fine-tuned on slices annotated by its user. Before that: {card.data}",
        "licence": f"of {card.name}: {card.licence}; of the annotations: their author's",
        "split": "every fifth annotated slice for validation, none for a test",
        "limits": f"Measured on slices of the images it learnt from only. {card.limits}",
        "spacing_mm": card.spacing_mm,
        "dicom_modality": card.dicom_modality,
        "orientation": card.orientation,
        "turns": card.turns,
        "certainty": card.certainty,
        "objects": card.objects,
    }


@dataclass(frozen=True)
class Comparison:
    """The model that a run began with and its best one, on the slices that were held back.

    Parameters
    ----------
    before, after : mapping
        Figures, see `evaluate.summarise`; `before` is None where the classes are others.
    """

    before: dict[str, Any] | None
    after: dict[str, Any]

    @property
    def slices(self) -> int:
        """How many there were."""
        return self.after["images"]

    @property
    def better(self) -> bool:
        """Whether the mean Dice rose."""
        return self.before is None or (self.after["dice"] or 0) > (self.before["dice"] or 0)


def before_and_after(folder: Path) -> Comparison:
    """Score a run's first and best model on its `val`.

    Raises
    ------
    MedsegError
        If the run has not made a model yet, or a file cannot be read.
    """
    recipe = read_settings(folder / RECIPE)
    after = folder / f"{recipe.name}.safetensors"
    if not after.exists():
        raise SettingsError(f"'{folder.name}' has not made a model yet. Let it run until its first validation.")
    before = Path(recipe.start)
    same = [row.name for row in models.load_card(before).classes] == [row.name for row in recipe.classes]
    return Comparison(
        evaluate(before, recipe.val, folder) if same else None,
        evaluate(after, recipe.val, folder),
    )
