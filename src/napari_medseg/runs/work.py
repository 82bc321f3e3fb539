"""Work on one file: every kind of task as a job that reads its inputs, writes its outputs and returns its record."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files, io, models
from ..errors import MedsegError, ModelError, SettingsError, short
from ..io import class_tables, items
from ..progress import Job, Progress, run
from ..recon.settings import FinishSettings, HiddenSettings, ReconSettings
from ..record import Record, UsedModel, now, software
from ..segmentation import consensus, inference
from ..volume import LabelClass, Volume
from . import bids, outputs, resume, streamed
from .tasks import Outcome, Task

if TYPE_CHECKING:
    from ..models import TrainedModel

# Each kind of work imports what it alone needs: to segment a small file takes no longer than loading PyTorch, and the
# libraries of the other kinds would add a third to that.


def outcome_job(task: Task) -> Job[Outcome]:
    """Do a task; whatever goes wrong is in the outcome.

    Yields
    ------
    Progress
        Of the work on this file.
    """
    began = time.monotonic()
    try:
        known = resume.judge(task)
        if known.state != "new":
            return _seen(Outcome(task, known.state, known.record, note=known.note))
        record = yield from JOBS[task.what](task)
    except Exception as error:  # one file of many never stops the others
        return Outcome.failed(task, error, time.monotonic() - began)
    return _seen(Outcome(task, "done", record, note=known.note, seconds=round(time.monotonic() - began, 3)))


def _seen(outcome: Outcome) -> Outcome:
    """An outcome with how its outputs look and agree with a reference, if asked for; a note says what is not there."""
    if outcome.task.score:
        outcome = scored(outcome)
    if outcome.task.look:
        from . import looks

        try:
            outcome = replace(outcome, look=looks.of_task(outcome.task))
        except Exception as error:  # the outputs are there all the same
            outcome = _noted(outcome, f"no picture could be made ({short(error)})")
    return outcome


def scored(outcome: Outcome) -> Outcome:
    """An outcome with its figures against the reference, or with a note why there are none."""
    from . import references

    if len(outcome.task.inputs) < 2:
        return _noted(outcome, "no reference has the name of this image")
    try:
        return replace(outcome, scores=references.scores_of(outcome.task))
    except Exception as error:  # the labels are there all the same
        why = str(error) if isinstance(error, MedsegError) else short(error)
        return _noted(outcome, f"not compared with the reference: {why}")


def _noted(outcome: Outcome, note: str) -> Outcome:
    """An outcome with one more note."""
    before = outcome.note.rstrip(".")
    return replace(outcome, note=f"{before}; {note}" if before else note)


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of the outcome of the task that is given as JSON."""
    return run(outcome_job(Task.from_json(question))).to_json()


def use(name: str) -> UsedModel:
    """A model that tasks shall use, loaded and checked in this process.

    Raises
    ------
    ModelError
        If there is none, or it is damaged.
    """
    path = models.find(name)
    card = models.load_card(path)
    _load(path, card.sha256)
    return UsedModel(card.name, card.sha256, card.architecture)


@lru_cache(maxsize=8)
def _load(path: Path, sha256: str) -> TrainedModel:
    """The model in a file; loaded once per process."""
    model = models.load(path)
    if model.card.sha256 != sha256:
        raise ModelError(f"The model '{model.card.name}' is not the one that the run began with. Start the run again.")
    return model


def _loaded(task: Task) -> list[TrainedModel]:
    return [_load(models.find(model.name), model.sha256) for model in task.models]


def _with_names(found: TrainedModel, names: Sequence[Mapping[str, Any]]) -> TrainedModel:
    """A model whose classes have the names that a person has given them."""
    if not names:
        return found
    rows = [LabelClass(**row) for row in names]
    return replace(found, card=replace(found.card, classes=class_tables.renamed(found.card.classes, rows)))


def segment_job(task: Task) -> Job[Record]:
    """Labels of an image; several models vote.

    Settings: ``inference``, those of `InferenceSettings`, ``axes``, and ``names``, rows of a class table. Outputs:
    ``labels``, and if asked for ``uncertainty`` and ``disagreement``. In a BIDS dataset also ``sidecar``, with the
    setting ``source``.
    """
    settings = inference.InferenceSettings(**task.settings["inference"])
    names = task.settings.get("names", ())
    chosen = [_with_names(model, names) for model in _loaded(task)]
    volume = io.read(task.source, axes=task.settings["axes"], lazy=True)
    io.check_target(volume, task.outputs["labels"])
    completed = partial(_completed, reading={"axes": task.settings["axes"], "names": list(names)})
    if streamed.is_possible(task, volume, chosen):
        record = yield from streamed.segment_job(task, volume, chosen[0], settings, completed)
        return record
    if len(chosen) == 1:
        result = yield from inference.segment_job(volume, chosen[0], settings)
    else:
        result = yield from consensus.consensus_job(volume, chosen, settings)
    record = completed(result.record)
    resume.refuse_edited(task)
    if "sidecar" in task.outputs:
        outputs.make_folder(task.target.parent)
        files.dump(Path(task.outputs["sidecar"]), bids.content(record, task.settings["source"]))
    # the labels come last: where they exist, everything does
    for role in ("uncertainty", "disagreement", "labels"):
        found = getattr(result, role)
        if found is not None and role in task.outputs:
            _write(found.made_by(record), Path(task.outputs[role]))
    return record


def reconstruct_task_job(task: Task) -> Job[Record]:
    """Images of k-space.

    Settings: ``reconstruction``, those of `ReconSettings`; ``finish``, those of `FinishSettings`; and what `kspace_of`
    reads. Outputs: ``image``, and if asked for those of `views.VIEWS`.
    """
    from ..io.kspace_out import write_reconstruction
    from ..recon.reconstruct import reconstruct_job
    from .raw import kspace_of, reading

    kspace = kspace_of(task)
    model = next(iter(_loaded(task)), None)
    also = [name for name in task.outputs if name != "image"]
    finish = FinishSettings(**task.settings["finish"])
    settings = ReconSettings(**task.settings["reconstruction"])
    result = yield from reconstruct_job(kspace, settings, model=model, also=also, finished=finish)
    record = _completed(result.record, reading(task))
    resume.refuse_edited(task)
    # the image comes last: where it exists, everything does
    for name in also:
        _write(result.views[name].made_by(record), Path(task.outputs[name]))
    if task.target.suffix.lower() in outputs.HDF5:
        outputs.make_folder(task.target.parent)
        write_reconstruction(task.target, result.image.data, record.report(), record)
    else:
        _write(result.image.made_by(record), task.target)
    return record


def evaluate_job(task: Task) -> Job[Record]:
    """Scores of labels (first input) against a reference (second input). Settings: ``foreground`` and ``objects``."""
    from .. import metrics

    began = time.monotonic()
    ours = io.read(task.inputs[0])
    theirs = io.read(task.inputs[1])
    found = metrics.comparison(ours, theirs, **task.settings)
    yield Progress(1, 1)
    return Record(
        "evaluate",
        time=now(),
        software=software(),
        inputs=(items.of_volume(ours, "labels"), items.of_volume(theirs, "reference")),
        settings=task.settings,
        seconds=round(time.monotonic() - began, 3),
        warnings=found.notes,
        figures={"scores": found.rows},
    ).sealed()


def study_job(task: Task) -> Job[Record]:
    """What undersampling does to a segmentation.

    Settings: ``study``, those of `StudySettings`, ``reconstruction``, those of `ReconSettings`, and ``axes``. Models:
    the one that segments, and the one that reconstructs, if any. Outputs: ``table``, and if asked for ``plot``.
    """
    from . import study

    recon = ReconSettings(**task.settings["reconstruction"])
    segmenter, *others = _loaded(task)
    found = yield from study.acceleration_job(
        io.read(task.source, axes=task.settings["axes"]),
        segmenter,
        study.StudySettings.from_json(task.settings["study"]),
        recon,
        reconstructor=next(iter(others), None),
        inference=inference.InferenceSettings(device=recon.device),
    )
    files.save_table(Path(task.outputs["table"]), found.table())
    if "plot" in task.outputs:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        study.plot(found.rows, figure, title=f"{task.source.name}: {segmenter.card.name} after {recon.method}")
        files.save_plot(Path(task.outputs["plot"]), figure)
    return found.record


def compare_job(task: Task) -> Job[Record]:
    """Which method predicts hidden lines best.

    Settings: ``candidates``, each those of `ReconSettings`; ``hidden``, those of `HiddenSettings`; ``slices``, and
    what `kspace_of` reads. Models: those of the candidates that are models. Output: ``table``.
    """
    from ..recon.suggest import hint_job
    from .raw import kspace_of

    chosen = {model.card.name: model for model in _loaded(task)}
    settings = [ReconSettings(**each) for each in task.settings["candidates"]]
    candidates = [(each, chosen.get(each.method)) for each in settings]
    hidden = HiddenSettings(**task.settings["hidden"])
    found = yield from hint_job(kspace_of(task), candidates, hidden, indices=task.settings["slices"])
    rows = [(name, f"{error:.4f}") for name, error in (*found.rows, ("zero-filled", 1.0))]
    files.save_table(task.target, [("method", "error"), *rows])
    return found.record


JOBS: dict[str, Callable[[Task], Job[Record]]] = {
    "segment": segment_job,
    "reconstruct": reconstruct_task_job,
    "evaluate": evaluate_job,
    "study": study_job,
    "compare": compare_job,
}
"""How each kind of task is done."""


def model_used(method: str) -> tuple[UsedModel, ...]:
    """The model of a reconstruction method; empty if it is a method without one.

    Raises
    ------
    SettingsError, ModelError
        If there is no such method or model.
    """
    from ..recon.methods import METHODS
    from ..recon.settings import AUTO

    if method == AUTO or method in METHODS:
        return ()
    if method not in models.available():
        raise SettingsError(
            f"There is no method '{method}'; choose one of {', '.join(METHODS)}, or a model that reconstructs."
        )
    return (use(method),)


def _completed(record: Record, reading: Mapping[str, Any]) -> Record:
    """A record that also says how the input was read and with how many threads the work was done."""
    place = dict(record.place)
    torch = sys.modules.get("torch")
    if torch is not None:
        place["threads"] = torch.get_num_threads()
    return replace(record, settings={**record.settings, **reading}, place=place).sealed()


def _write(volume: Volume, path: Path) -> None:
    outputs.make_folder(path.parent)
    io.write(volume, path)
