"""Runs of a session, done again and compared with what they gave then. Imports PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import models
from ..errors import FileError, MedsegError
from ..io import items
from ..io.kspace import read_kspace
from ..kspace import KSpace
from ..models import TrainedModel
from ..progress import Job
from ..recon.masked import sampled
from ..recon.reconstruct import reconstruct_job
from ..recon.settings import FinishSettings, ReconSettings
from ..recon.simulate import scan
from ..record import Item, Record, UsedModel, plain, software, voxel_hash
from ..runs.settings import StudySettings
from ..runs.study import acceleration_job
from ..segmentation import consensus, inference
from ..segmentation.settings import InferenceSettings
from ..volume import Volume
from .finding import candidates
from .lines import Line, unpack
from .stage import DifferenceError, Layer, placed, refuse_other

CLOSE = 1e-6  # relative, of the figures of a reconstruction
_DECIDING = ("napari-medseg", "torch", "cpu", "numpy")


def trained(used: UsedModel, retrained: Mapping[str, TrainedModel] | None = None) -> TrainedModel:
    """The model that a run of the session used.

    Parameters
    ----------
    used : UsedModel
    retrained : mapping of str to TrainedModel, optional
        Models that were trained again, by the SHA-256 of those that they replace.

    Raises
    ------
    ModelError
        If no model has its name, or the one that has it is damaged.
    DifferenceError
        If it is another one.
    """
    if retrained and used.sha256 in retrained:
        return retrained[used.sha256]
    path = models.find(used.name)
    found = models.load_card(path).sha256
    if found != used.sha256:
        raise DifferenceError(
            f"the model '{used.name}' is not the one of the session: its SHA-256 begins with {found[:12]} here and "
            f"with {used.sha256[:12]} there. Install that model under this name and replay again."
        )
    return models.load(path)


def segment_job(
    line: Line,
    layer: Layer,
    tolerance: float,
    say: Callable[[str], object],
    retrained: Mapping[str, TrainedModel] | None = None,
) -> Job[Layer]:
    """Segment a layer as the session did, with one model or several.

    Parameters
    ----------
    line : Line
    layer : Layer
        The image.
    tolerance : float
        Share of the voxels that may differ.
    say : callable
        Is given a sentence where they do.
    retrained : mapping of str to TrainedModel, optional
        See `trained`.

    Raises
    ------
    DifferenceError
        If image, model or labels are others than in the session.
    """
    record = line.record()
    volume = _image_then(record, layer)
    used = [trained(model, retrained) for model in record.models]
    settings = replace(settings_of(InferenceSettings, record.settings), device="auto")
    if len(used) == 1:
        found = yield from inference.segment_job(volume, used[0], settings)
    else:
        found = yield from consensus.consensus_job(volume, used, settings)
    return _labels_as_then(line, record, found.labels, tolerance, say, _again_text(record, retrained))


def _image_then(record: Record, layer: Layer) -> Volume:
    """The image of a run, with the place that it had then; another image is refused."""
    source = _first(record.inputs)
    if not layer.doubt:
        refuse_other(layer, source, "the image")
    return placed(layer.volume, source)


def _again_text(record: Record, retrained: Mapping[str, TrainedModel] | None) -> str:
    """Whether a run used a model that was trained again, as a further sentence."""
    again = any(model.sha256 in (retrained or {}) for model in record.models)
    return " Its model was trained again." if again else ""


def _labels_as_then(
    line: Line, record: Record, found: Volume, tolerance: float, say: Callable[[str], object], again: str
) -> Layer:
    """The labels with those of the session; `again` is a further sentence for where they differ."""
    now_there = np.array(found.data)
    expected = next((item.voxels for item in record.outputs if item.role == "labels"), "")
    layer = Layer(replace(found, data=now_there))
    if voxel_hash(now_there) == expected:
        return layer
    then = unpack(line.get("labels", dict), now_there.shape)
    if voxel_hash(then) != expected:
        raise FileError("the labels in its line are not those of its record. Restore the session file.")
    layer.then = then.copy()
    text = differing_text(layer.differing(), then.size) + other_versions(record.software) + again
    if layer.differing() > tolerance * then.size:
        raise DifferenceError(f"{text} --tolerance {_enough(layer.differing(), then.size)} goes on.")
    say(f"{line.title}: {text}")
    return layer


def differing_text(count: int, size: int) -> str:
    """How many voxels differ, in a sentence."""
    return f"the labels differ in {count} of {size} voxels ({100 * count / size:.2g} %) from those of the session."


def _enough(count: int, size: int) -> str:
    """A tolerance with which this difference is accepted."""
    return f"1e{math.ceil(math.log10(count / size))}" if count < size else "1"


def other_versions(then: Mapping[str, str]) -> str:
    """What differs between the software of the session and that here, as a further sentence."""
    here = software()
    differing = [name for name in _DECIDING if name in then and name in here and then[name] != here[name]]
    if not differing:
        return " The versions of the software are the same."
    there = ", ".join(f"{name} {then[name]}" for name in differing)
    now = ", ".join(f"{name} {here[name]}" for name in differing)
    return f" The session was recorded with {there}; here it is {now}."


# ---- studies ----


def study_again(
    line: Line,
    layer: Layer,
    tolerance: float,
    say: Callable[[str], object],
    retrained: Mapping[str, TrainedModel] | None = None,
) -> Job[None]:
    """Make an acceleration study again, and compare its figures.

    Parameters
    ----------
    line : Line
    layer : Layer
        The image.
    tolerance : float
        Above 0, other figures are said and the replay goes on: they follow from labels that may differ.
    say : callable
        Is given a sentence where they differ.
    retrained : mapping of str to TrainedModel, optional
        See `trained`.

    Raises
    ------
    DifferenceError
        If image, models or figures are others than in the session.
    """
    record = line.record()
    volume = _image_then(record, layer)
    segmenter, *others = [trained(model, retrained) for model in record.models]
    study = StudySettings.from_json(_known(StudySettings, record.settings))
    recon = replace(settings_of(ReconSettings, record.settings["reconstruction"]), device="auto")
    inferred = replace(settings_of(InferenceSettings, record.settings["segmentation"]), device="auto")
    reconstructor = next(iter(others), None)
    found = yield from acceleration_job(
        volume, segmenter, study, recon, reconstructor=reconstructor, inference=inferred
    )
    pairs = both(_study_rows(record), _study_rows(found.record))
    differing = [name for name, before, now in pairs if not is_close(before, now)]
    if not differing:
        return
    text = f"the figures differ by more than {CLOSE:g}: {', '.join(differing)}.{other_versions(record.software)}"
    text += _again_text(record, retrained)
    if not tolerance:
        raise DifferenceError(text)
    say(f"{line.title}: {text}")


def _study_rows(record: Record) -> dict[str, Any]:
    """The rows of a study by the place that they have, counted from 1."""
    rows = plain(record.figures.get("rows", []))
    return {f"row {place}": row for place, row in enumerate(rows, 1)}


# ---- reconstruction ----


def reconstruct_job_again(
    line: Line, layer: Layer | None, folders: Sequence[Path], say: Callable[[str], object]
) -> Job[Layer]:
    """Reconstruct as the session did.

    Parameters
    ----------
    line : Line
    layer : Layer or None
        The image whose measurement was simulated; None for raw data in a file.
    folders : sequence of pathlib.Path
        Where the file is looked for.
    say : callable
        Is given a sentence where the image is not the same bit by bit.

    Raises
    ------
    DifferenceError
        If raw data, model or figures are others than in the session.
    """
    record = line.record()
    kspace = kspace_again(line, layer, folders)
    model = trained(record.models[0]) if record.models else None
    settings = replace(settings_of(ReconSettings, record.settings), device="auto")
    finish = settings_of(FinishSettings, record.settings)
    found = yield from reconstruct_job(kspace, settings, model=model, finished=finish)
    return _image_as_then(line, record, found.image, found.record, say)


def kspace_again(line: Line, layer: Layer | None, folders: Sequence[Path]) -> KSpace:
    """What a run has measured, simulated or read again, under its mask.

    Raises
    ------
    DifferenceError
        If image or raw data are others than in the session.
    """
    record = line.record()
    kspace = _simulated(line, layer) if layer is not None else _raw_data(line, record, folders)
    _refuse_other_samples(kspace, _first(record.inputs))
    return _under_mask(line, kspace)


def _simulated(line: Line, layer: Layer) -> KSpace:
    source = line.item()
    if not layer.doubt:
        refuse_other(layer, source, "the image")
    return scan(placed(layer.volume, source))


def _raw_data(line: Line, record: Record, folders: Sequence[Path]) -> KSpace:
    reading = line.get("reading", dict)
    first = reading.get("first")
    options = {
        "axes": _or_none(reading.get("axes"), str),
        "conjugate": reading.get("conjugate") is True,
        "first": _or_none(first, dict),
    }
    wanted = _first(record.inputs)
    others: list[KSpace] = []
    problem = ""
    for path in candidates(wanted.name, folders):
        try:
            kspace = read_kspace(path, **options)
        except MedsegError as error:
            problem = str(error)
            continue
        if items.of_kspace(kspace)[0].voxels == wanted.voxels:
            return kspace
        others.append(kspace)
    if not others:
        raise FileError(problem)
    return others[0]


def _or_none(value: Any, kind: type) -> Any:
    return value if type(value) is kind and value else None


def _refuse_other_samples(kspace: KSpace, wanted: Item) -> None:
    if wanted.voxels and items.of_kspace(kspace)[0].voxels != wanted.voxels:
        what = f"the raw data of '{wanted.name}'" if wanted.name else "the simulated raw data"
        raise DifferenceError(f"{what} are not those of the session.{other_versions({})}")


def _under_mask(line: Line, kspace: KSpace) -> KSpace:
    """The k-space under the mask that was drawn, painted or read from a file; else under its own."""
    content = line.content.get("mask")
    if content is None:
        return kspace
    shapes = [kspace.matrix[1:], kspace.matrix, (kspace.slices, *kspace.matrix)]
    said = content.get("shape") if isinstance(content, dict) else None
    shape = next((shape for shape in shapes if list(shape) == said), None)
    if shape is None:
        raise FileError("the mask in its line does not fit the raw data. Restore the session file.")
    return sampled(kspace, None, unpack(content, shape))


def _image_as_then(line: Line, record: Record, image: Volume, found: Record, say: Callable[[str], object]) -> Layer:
    if voxel_hash(np.asarray(image.data)) == _first(record.outputs).voxels:
        return Layer(image)
    text = f"the image is not the same bit by bit as in the session.{other_versions(record.software)}"
    differing = [name for name, then, here in both(record.figures, found.figures) if not is_close(then, here)]
    if differing:
        raise DifferenceError(f"{text} Its figures differ by more than {CLOSE:g}: {', '.join(differing)}.")
    say(f"{line.title}: {text} Its figures agree within {CLOSE:g}.")
    return Layer(image, doubt=text)


def both(then: Mapping[str, Any], here: Mapping[str, Any], lead: str = "") -> Iterator[tuple[str, float, float]]:
    """The numbers that both have, with their names."""
    for name, value in then.items():
        other = here.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from both(value, other, f"{lead}{name}.")
        elif isinstance(value, float) and isinstance(other, int | float):
            yield f"{lead}{name}", value, other


def is_close(then: float, here: float) -> bool:
    return math.isclose(then, here, rel_tol=CLOSE, abs_tol=CLOSE)


def settings_of(kind: Any, said: Mapping[str, Any]) -> Any:
    """Settings of this kind as far as a record says them; what it does not know keeps its default."""
    return kind(**_known(kind, said))


def _known(kind: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """Those values of a record that are fields of this kind of settings."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in said.items() if name in names}


def _first(found: Sequence[Item]) -> Item:
    return found[0] if found else Item()
