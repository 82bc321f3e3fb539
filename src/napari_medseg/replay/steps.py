"""What each action of a session does to its layers and files when it is done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files, io
from ..errors import FileError
from ..progress import Job, Progress
from ..record import Item, Record, UsedModel, voxel_hash
from ..review.planes import slices_text
from ..volume import LabelClass, Volume
from . import finding, lessons, lines
from .lessons import Lesson
from .lines import Line
from .recording import as_saved
from .stage import DifferenceError, Layer, owned, placed, slices_that_differ

if TYPE_CHECKING:
    from ..models import TrainedModel


@dataclass(frozen=True)
class Output:
    """A file that the session saved, made again.

    Parameters
    ----------
    name : str
    voxels : int
    differing : int
        Voxels that are not what they were.
    """

    name: str
    voxels: int
    differing: int


@dataclass
class Replay:
    """A session on its way.

    Parameters
    ----------
    session : pathlib.Path
        Its file.
    folder : pathlib.Path
        Where outputs go.
    inputs : tuple of pathlib.Path
        Where files are looked for.
    tolerance : float
        Share of the voxels of labels that may differ.
    retrain : bool
        Train models again that were fine-tuned, in place of taking them from those of the user.
    layers : dict of str to Layer
    lessons : dict of str to Lesson
        What each training has taken to learn from, by the name of its model.
    retrained : dict of str to TrainedModel
        By the SHA-256 of the models that they replace.
    outputs : list of Output
    notes : list of str
        What the person should know, in sentences.
    """

    session: Path
    folder: Path
    inputs: tuple[Path, ...]
    tolerance: float = 0.0
    retrain: bool = False
    layers: dict[str, Layer] = field(default_factory=dict)
    lessons: dict[str, Lesson] = field(default_factory=dict)
    retrained: dict[str, TrainedModel] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def step_job(self, line: Line) -> Job[None]:
        """Do an action again.

        Raises
        ------
        DifferenceError
            If it finds, or gives, something else than in the session.
        MedsegError
            If it cannot be done.
        """
        action = ACTIONS.get(line.do)
        if action is None:
            raise FileError("this version of napari-medseg does not know this action. Update it.")
        yield from action(self, line)

    def layer(self, line: Line, name: Any) -> Layer:
        """A layer that the session has made before.

        Raises
        ------
        FileError
            If it has not.
        """
        found = self.layers.get(name) if isinstance(name, str) else None
        if found is None:
            raise FileError(f"it works on a layer '{name}' that no step before has made. Restore the session file.")
        return found

    def source(self, line: Line) -> Layer | None:
        """The layer that a run or a save is about; None if it is about a file."""
        names = line.get("of", list)
        return self.layer(line, names[0]) if names else None


def _open(replay: Replay, line: Line) -> Job[None]:
    yield Progress(0, 1)
    item = line.item()
    volume = finding.opened(item, replay.inputs)
    replay.layers[line.get("makes", str)] = _layer(volume, item)


def _keep(replay: Replay, line: Line) -> Job[None]:
    """An array that the session keeps next to its file."""
    yield Progress(0, 1)
    item = line.item()
    path = replay.session.with_name(line.file_name("file"))
    volume = io.read(path)
    if not finding.is_same(volume, item):
        raise FileError(f"'{path.name}' is not the array that was kept there. Restore it.")
    replay.layers[line.get("makes", str)] = _layer(volume, item)


def _layer(volume: Volume, item: Item) -> Layer:
    return Layer(owned(volume) if item.role == "labels" else volume)


def _segment(replay: Replay, line: Line) -> Job[None]:
    from .rerun import segment_job

    layer = replay.source(line)
    if layer is None:
        raise FileError("it does not say which layer was segmented. Restore the session file.")
    job = segment_job(line, layer, replay.tolerance, replay.notes.append, replay.retrained)
    found = yield from job
    replay.layers[line.get("makes", str)] = found


def _reconstruct(replay: Replay, line: Line) -> Job[None]:
    from .rerun import reconstruct_job_again

    job = reconstruct_job_again(line, replay.source(line), replay.inputs, replay.notes.append)
    replay.layers[line.get("makes", str)] = yield from job


def _edit(replay: Replay, line: Line) -> Job[None]:
    yield Progress(0, 1)
    layer = replay.layer(line, line.content.get("on"))
    layer.change(lines.deltas_in(line, layer.recorded.dtype))


def _approve(replay: Replay, line: Line) -> Job[None]:
    yield Progress(0, 1)
    layer = replay.layer(line, line.content.get("on"))
    layer.approve({int(number): crc for number, crc in line.get("slices", list)})


def _study(replay: Replay, line: Line) -> Job[None]:
    from .rerun import study_again

    layer = replay.source(line)
    if layer is None:
        raise FileError("it does not say which image was studied. Restore the session file.")
    yield from study_again(line, layer, replay.tolerance, replay.notes.append, replay.retrained)


def _compare(replay: Replay, line: Line) -> Job[None]:
    from .suggesting import hint_again

    yield from hint_again(line, replay.source(line), replay.inputs, replay.tolerance, replay.notes.append)


def _train(replay: Replay, line: Line) -> Job[None]:
    """What a training takes from the layers is built again and compared; they may change before it ends."""
    yield Progress(0, 1)
    pairs = []
    for content in line.get("pairs", list):
        part = Line(line.number, line.do, content if isinstance(content, dict) else {})
        names = part.get("of", list)
        if len(names) != 2:
            raise FileError("it does not say which layers it learns from. Restore the session file.")
        image, labels = [replay.layer(line, name) for name in names]
        pairs.append(lessons.pair_again(part, image, labels))
    base = _used(line, "base") if line.content.get("base") else None
    replay.lessons[line.get("name", str)] = Lesson(base, line.get("settings", dict), tuple(pairs))


def _fine_tune(replay: Replay, line: Line) -> Job[None]:
    """The model that came out is taken, or trained again if the person wants that."""
    from .rerun import trained

    used = _used(line, "model")
    if not replay.retrain:
        yield Progress(0, 1)
        trained(used)
        return
    from .retraining import retrain_job

    lesson = replay.lessons.get(used.name)
    replay.retrained[used.sha256] = yield from retrain_job(line, used, lesson, replay.notes.append)


def _used(line: Line, name: str) -> UsedModel:
    """A model that the session names."""
    content = line.get(name, dict)
    return UsedModel(str(content.get("name", "")), str(content.get("sha256", "")))


def _save(replay: Replay, line: Line) -> Job[None]:
    yield Progress(0, 1)
    layer = replay.source(line)
    if layer is None:
        raise FileError("it does not say which layer was saved. Restore the session file.")
    item = line.item()
    path = replay.folder / line.file_name("name")
    if item.role == "labels":
        _check_labels(layer, item, line)
        volume = _labels_to_save(replay, layer, item, line)
    else:
        _check_image(replay, layer, item)
        volume = placed(layer.volume, item)
    io.write(volume, path, say=replay.notes.append)
    replay.outputs.append(Output(path.name, int(layer.data.size), layer.differing()))


def _check_labels(layer: Layer, item: Item, line: Line) -> None:
    """Make sure that the labels of the session are those that were saved."""
    try:
        then = as_saved(layer.recorded.reshape(item.shape))
    except ValueError as error:
        raise DifferenceError(
            f"labels of the shape {item.shape} were saved, and these have {layer.recorded.shape}."
        ) from error
    if voxel_hash(then) == item.voxels:
        _check_approvals(layer, item, line)
        return
    where = slices_text(slices_that_differ(then, line.get("sums", list)))
    raise DifferenceError(
        f"the labels are not those that were saved: they differ in {where or 'their type'}. A change of them is not "
        "in the session, or the session was altered."
    )


def _check_approvals(layer: Layer, item: Item, line: Line) -> None:
    """Make sure that what was approved is reviewed in the file that was saved, where slices have the same numbers."""
    if tuple(item.shape) != layer.recorded.shape:
        return
    missing = sorted(set(layer.approved()) - set(_numbers(line.get("reviewed", list))))
    if missing:
        raise DifferenceError(
            f"approved, but not reviewed in the file that was saved: {slices_text(missing)}. The session was altered."
        )


def _check_image(replay: Replay, layer: Layer, item: Item) -> None:
    if voxel_hash(layer.data) == item.voxels:
        return
    if layer.doubt and replay.tolerance:
        replay.notes.append(f"The image that was saved differs: {layer.doubt}")
        return
    why = layer.doubt or "a change of it is not in the session."
    raise DifferenceError(f"the image is not the one that was saved: {why}")


def _of_the_image(replay: Replay, line: Line) -> Mapping[str, Any]:
    """What the image that labels lie on says of the patient, for labels that do not say it themselves."""
    names = line.get("of", list)
    if len(names) < 2:
        return {}
    image = replay.layer(line, names[1]).volume
    return image.with_slices(()).made_by(None).metadata


def _labels_to_save(replay: Replay, layer: Layer, item: Item, line: Line) -> Volume:
    rows = line.get("classes", list)
    classes = tuple(files.typed(LabelClass, row, "class table of the session") for row in rows)
    volume = placed(layer.volume, item)
    has_spacing = line.content.get("has_spacing") is True
    known = {**_of_the_image(replay, line), **layer.volume.metadata}
    notes = {**known, "labels": True, "has_spacing": has_spacing}
    found = replace(volume, data=layer.data.reshape(item.shape), classes=classes, metadata=notes)
    found = found.with_slices(line.get("slices", list))
    record = layer.volume.record or Record("draw")
    return found.made_by(record.with_reviewed(_numbers(line.get("reviewed", list))))


def _numbers(found: Sequence[Any]) -> list[int]:
    return [number for number in found if type(number) is int]


ACTIONS: dict[str, Callable[[Replay, Line], Job[None]]] = {
    "open": _open,
    "keep": _keep,
    "segment": _segment,
    "consensus": _segment,
    "reconstruct": _reconstruct,
    "edit": _edit,
    "approve": _approve,
    "study": _study,
    "compare": _compare,
    "train": _train,
    "fine-tune": _fine_tune,
    "save": _save,
}
"""How each action is done again."""
