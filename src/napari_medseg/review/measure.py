"""What labels measure: sizes, diameters and intensities of classes or objects, scores against a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from .. import metrics
from ..errors import SettingsError, VolumeError
from ..label_values import number_objects, whole_labels
from ..metrics import score_of
from ..metrics.grid import check_same_grid, squeezed, turned
from ..progress import Job, Progress, run
from ..quantities import MICROSCOPY_MM
from ..quantities import objects as objects_text
from ..volume import Volume
from .cine import Cine, cine_of
from .regions import Box, Row, Subject, names_of

_DIRECT = 2**20  # numbers up to here have a place in a list
_UNKNOWN_SIZE = "The voxel size is not known: sizes are in voxels, and lengths in pixels."


@dataclass(frozen=True)
class Measured:
    """A table of what was measured.

    Parameters
    ----------
    rows : tuple of Row
    cines : tuple of Cine
        Of labels over slices and time: a row per class.
    notes : tuple of str
        What to know of the numbers, in sentences.
    unit : {"mm", "um", "px"}
        In which lengths can be read: ``um`` for what a microscope sees, ``px`` where the voxel size is not known.
    flat : bool
        Whether sizes are areas.
    slices : int
        Of one time point.
    has_image : bool
        Whether there are intensities.
    """

    rows: tuple[Row, ...]
    cines: tuple[Cine, ...] = ()
    notes: tuple[str, ...] = ()
    unit: str = "mm"
    flat: bool = False
    slices: int = 1
    has_image: bool = False


def measure(
    labels: Volume, image: Volume | None = None, *, reference: Volume | None = None, objects: int | str | None = None
) -> Measured:
    """Measure labels; see `measure_job`."""
    return run(measure_job(labels, image, reference=reference, objects=objects))


def measure_job(
    labels: Volume, image: Volume | None = None, *, reference: Volume | None = None, objects: int | str | None = None
) -> Job[Measured]:
    """Measure the classes of labels, or the objects of one class.

    Parameters
    ----------
    labels : Volume
        With or without a time axis; every time point is measured by itself.
    image : Volume, optional
        On the same grid: adds mean and standard deviation of its intensities.
    reference : Volume, optional
        Labels to score these against.
    objects : int or str, optional
        Number or name of a class whose objects are measured instead. Voxels that share a face belong together.

    Yields
    ------
    Progress
        After each time point.

    Returns
    -------
    Measured

    Raises
    ------
    VolumeError
        If the labels are not labels, or image or reference are not on their grid.
    SettingsError
        If there is no such class, or objects were to be scored.
    """
    if objects is not None and reference is not None:
        raise SettingsError(
            "Objects are measured without a reference. Leave one of them out, or match objects by their overlap with "
            "'napari-medseg evaluate --objects'."
        )
    labels, image = _on_one_grid(labels, image, reference)
    subject = Subject(labels, image)
    yield Progress(0, subject.times)
    notes = [] if labels.has_spacing else [_UNKNOWN_SIZE]
    if objects is None:
        scores = _Scores() if reference is None else _Scores.of(labels, reference)
        rows = yield from _class_rows(subject, scores)
        if subject.times == 1 and not labels.classes and number_objects(labels.data):
            notes.insert(0, _count_text(labels, rows))
        notes += scores.notes
    else:
        rows = yield from _object_rows(subject, objects)
        faces = 6 if "z" in labels.axes else 4
        notes.append(f"Objects are regions whose voxels share a face ({faces} neighbours).")
    notes += subject.notes()
    cines = _cines(subject, rows) if objects is None else ()
    notes += [cine.note for cine in cines if cine.note]
    if len(cines) > 1:
        notes.append("An ejection fraction means something for a cavity only.")
    flat = "z" not in labels.axes
    return Measured(tuple(rows), cines, tuple(notes), _unit(labels), flat, subject.slices, image is not None)


def class_of(labels: Volume, wanted: int | str) -> tuple[int, str]:
    """Number and name of a class that is given by either.

    Raises
    ------
    SettingsError
        If the labels have no such class.
    """
    names = names_of(labels)
    for number, name in names.items():
        if wanted in (name, number, str(number)):
            return number, name
    known = ", ".join(f"{number} ({name})" for number, name in sorted(names.items())) or "none"
    raise SettingsError(f"The labels have no class '{wanted}'. Choose one of theirs by number or name: {known}.")


# ---- what is measured ----


def _on_one_grid(labels: Volume, image: Volume | None, reference: Volume | None) -> tuple[Volume, Volume | None]:
    labels = _single_channel(labels)
    if "c" in labels.axes:
        raise VolumeError(
            f"The labels have the axes {labels.axes} {labels.data.shape}; expected whole numbers from 0 up, one per "
            "voxel, without channels. Select one channel first."
        )
    for other in (image, reference):
        if other is not None:
            labels = squeezed(labels, other)
    numbers = whole_labels(np.asarray(labels.data))
    labels = replace(labels, data=numbers.astype(np.uint8) if numbers.dtype == bool else numbers)
    if image is None:
        return labels, None
    image = _single_channel(image)
    if "c" in image.axes:
        raise VolumeError(
            f"The image has {image.data.shape[image.axes.index('c')]} channels (axes {image.axes}); intensities are "
            "those of one. Select a channel first, or measure without an image."
        )
    image = turned(squeezed(image, labels), labels)
    check_same_grid(image, labels, ("image", "labels"))
    return labels, image


def _single_channel(volume: Volume) -> Volume:
    """The volume without a channel axis of length one."""
    where = volume.channel_axis
    if where is None or volume.data.shape[where] != 1:
        return volume
    return volume.select("c", 0)


def _unit(labels: Volume) -> str:
    if not labels.has_spacing:
        return "px"
    return "um" if max(labels.spacing[-2:]) < MICROSCOPY_MM else "mm"


# ---- classes ----


@dataclass(frozen=True)
class _Scores:
    """Scores by time and number, and the names of classes that the reference may have alone."""

    of_class: Mapping[tuple[int | None, int], Mapping[str, float]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, labels: Volume, reference: Volume) -> _Scores:
        if not labels.classes and not reference.classes and number_objects(labels.data):
            raise VolumeError(
                "The labels seem to number objects rather than to name classes, so they cannot be scored class by "
                "class. Match objects by their overlap with 'napari-medseg evaluate --objects'."
            )
        found = metrics.comparison(labels, reference, foreground=False)
        of_class = {}
        names = {}
        for row in found.rows:
            of_class[row["time"], row["id"]] = {key: value for key, value in row.items() if score_of(key)}
            if row["id"]:
                names[row["id"]] = row["name"]
        return cls(of_class, names, found.notes)


def _class_rows(subject: Subject, scores: _Scores) -> Job[list[Row]]:
    names = {**scores.names, **subject.names}
    rows = []
    for done, frame in enumerate(subject.frames(), start=1):
        boxes = _boxes(frame.labels, names)
        for number, name in sorted(names.items()):
            box = boxes.get(number)
            mask = frame.labels[box] == number if box else np.zeros(0, bool)
            known = scores.of_class.get((frame.time, number), {})
            rows.append(subject.row(frame, box, mask, id=number, name=name, scores=known))
        yield Progress(done, subject.times)
    return rows


def _count_text(labels: Volume, rows: Sequence[Row]) -> str:
    """How many objects are numbered, and of a single image how large one is on average."""
    facts: dict[str, float] = {"objects": len(rows), "slices": 1}
    if "z" not in labels.axes:
        pixels = sum(row.voxels for row in rows) / len(rows)
        facts["pixels_per_object"] = pixels
        if labels.has_spacing:
            facts["area_mm2_per_object"] = pixels * labels.voxel_size
    return f"{objects_text(facts)}."


def _boxes(labels: np.ndarray, numbers: Mapping[int, str]) -> dict[int, Box]:
    """The box of every number that occurs."""
    if not numbers:
        return {}
    if max(numbers) < _DIRECT:
        found = ndimage.find_objects(labels, max(numbers))
        return {number: found[number - 1] for number in numbers if found[number - 1] is not None}
    known, places = np.unique(np.append(labels.ravel(), labels.dtype.type(0)), return_inverse=True)
    found = ndimage.find_objects(places[:-1].reshape(labels.shape))
    return {int(known[place]): box for place, box in enumerate(found, start=1) if box is not None}


# ---- objects ----


def _object_rows(subject: Subject, wanted: int | str) -> Job[list[Row]]:
    number, name = class_of(subject.grid, wanted)
    rows = []
    for done, frame in enumerate(subject.frames(), start=1):
        regions, _ = ndimage.label(frame.labels == number)
        for place, box in enumerate(ndimage.find_objects(regions), start=1):
            mask = regions[box] == place
            rows.append(subject.row(frame, box, mask, id=number, name=name, object=place))
        yield Progress(done, subject.times)
    return rows


# ---- a cine ----


def _cines(subject: Subject, rows: Sequence[Row]) -> tuple[Cine, ...]:
    grid = subject.grid
    plain_time = not grid.metadata.get("t_axis")
    if grid.axes != "tzyx" or subject.times < 2 or not plain_time:
        return ()
    open_slices = np.reshape(subject.approved, (subject.times, -1)) == 0
    unapproved = open_slices.sum(axis=1).tolist()
    found = []
    for number in dict.fromkeys(row.id for row in rows):
        mine = [row for row in rows if row.id == number]
        sizes = [row.size if grid.has_spacing else float(row.voxels) for row in mine]
        found.append(cine_of(number, mine[0].name, sizes, unapproved, subject.slices))
    return tuple(found)
