"""Train the model of a session again, from the layers of a replay. Imports PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from .. import files, models
from ..errors import FileError
from ..models import TrainedModel
from ..progress import Job
from ..record import UsedModel
from ..training.comparison import Comparison
from ..training.course import Phase
from ..training.fine_tune import Annotation, FineTuneSettings, prepare
from ..training.gain import before_and_after
from ..training.loop import train_job
from ..training.run_folder import STOP
from ..training.settings import TrainSettings
from .lessons import Lesson, Pair
from .lines import Line
from .rerun import other_versions, trained
from .stage import DifferenceError

_CLOSE = 0.01  # Dice
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a training went along; the fields are those of `TrainSettings`."""

    steps: int
    phases: tuple[Phase, ...]
    warmup_steps: int
    validate_every: int
    seed: int
    threads: int


def retrain_job(line: Line, used: UsedModel, lesson: Lesson | None, say: Callable[[str], object]) -> Job[TrainedModel]:
    """Train a model that was accepted in the session again, on the CPU, and compare its Dice.

    Parameters
    ----------
    line : Line
        Its acceptance.
    used : UsedModel
        The model as the session has it.
    lesson : Lesson or None
        What it learnt from; None if the session does not say so.
    say : callable
        Is given a sentence on what came of it.

    Returns
    -------
    TrainedModel
        Under the name that it has in the session.

    Raises
    ------
    DifferenceError
        If the training begins with another model, or the Dice differs by more than 0.01.
    MedsegError
        If the session does not hold what is needed.
    """
    if lesson is None or "plan" not in line.content:
        raise FileError(
            "what it learnt from is not in the session: the training began before the recording, or the session is of "
            "an earlier version. Replay it without --retrain."
        )
    if not lesson.pairs:
        raise FileError(
            "it learnt from the folder of a data set, which the session does not hold. Replay it without --retrain."
        )
    done = line.get("done", int)
    plan = files.typed(Plan, line.get("plan", dict), "plan")
    settings = _settings(lesson)
    with files.scratch() as folder, _torch_as_before():
        run = folder / "run"
        recipe = prepare([_annotation(pair, settings) for pair in lesson.pairs], settings, run)
        yield from _until(done, replace(recipe, **vars(plan), seconds=0.0), run)
        found = before_and_after(run)
        model = models.load(run / f"{recipe.name}.safetensors")
    text = _compared(line, found)
    same = "Its weights are the same." if model.card.sha256 == used.sha256 else "Later steps use the new model."
    say(f"{line.title}: '{used.name}' was trained again for {done} steps. {text} {same}")
    return replace(model, card=replace(model.card, name=used.name))


def _settings(lesson: Lesson) -> FineTuneSettings:
    """Those of the session, under a name that is free here, with the model of the session to begin with."""
    said = files.typed(FineTuneSettings, lesson.settings, "settings")
    taken = models.available()
    name = next(name for name in map("retrained-{}".format, count(1)) if name not in taken)
    if lesson.base is not None:
        trained(lesson.base)
    base = lesson.base.name if lesson.base is not None else ""
    return replace(said, base=base, name=name, device="cpu", replay="", annotated=(), data="")


def _annotation(pair: Pair, settings: FineTuneSettings) -> Annotation:
    labels = pair.image.like(pair.labels, settings.classes)
    return Annotation("image", pair.image, labels, pair.reviewed)


def _until(done: int, recipe: TrainSettings, run: Path) -> Job[None]:
    """Train for so many steps; the learning rate falls as if all that were planned came."""
    if not 0 <= done <= recipe.steps:
        raise FileError(f"it was trained for {done} of {recipe.steps} steps. Restore the session file.")
    job = train_job(recipe, run, root=run)
    for step in job:
        if step.done >= done:
            (run / STOP).touch()
        yield step


@contextmanager
def _torch_as_before() -> Generator[None]:
    """Undo what a training sets for the whole process."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _compared(line: Line, found: Comparison) -> str:
    """The Dice of the new model, and what it was in the session.

    Raises
    ------
    DifferenceError
        If they are not close.
    """
    figures: Any = line.get("figures", dict).get("after")
    then = figures if isinstance(figures, dict) else {}
    where = "the held-out slices" if found.held_back else "the slice that it learnt from"
    pairs = {name: (then.get(name), here) for name, here in found.after.items()}
    rows = [f"{name} {_text(here)} (session: {_text(before)})" for name, (before, here) in pairs.items()]
    text = f"Dice on {where}: {', '.join(rows)}."
    if all(_is_close(before, here) for before, here in pairs.values()):
        return text
    raise DifferenceError(
        f"the model that was trained again is another one. {text} They may differ by {_CLOSE:g}."
        f"{other_versions(line.get('software', dict))}"
    )


def _is_close(before: Any, here: float | None) -> bool:
    if before is None or here is None:
        return before is here
    return isinstance(before, int | float) and abs(before - here) <= _CLOSE + _ROUNDING


def _text(dice: Any) -> str:
    return f"{dice:.4f}" if isinstance(dice, int | float) else "none"
