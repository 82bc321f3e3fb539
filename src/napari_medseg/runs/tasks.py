"""What is to be done with one input of a cohort, and what came of it: plain data that other processes can take."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import files
from ..errors import MedsegError, SettingsError
from ..record import Record, UsedModel, plain

_EXPECTED = (MedsegError, OSError, MemoryError)  # what they are is said by their text; others may be bugs


@dataclass(frozen=True)
class Failure:
    """A file that could not be processed, and why.

    Parameters
    ----------
    file : str
    error : str
        A sentence.
    detail : str
        Traceback of what was not foreseen.
    """

    file: str
    error: str
    detail: str = ""

    @classmethod
    def of(cls, file: str | Path, error: Exception) -> Failure:
        """What to say about `error`; those that are not ours are named by their kind."""
        text = str(error) if isinstance(error, MedsegError) else f"{type(error).__name__}: {error}"
        if isinstance(error, _EXPECTED):
            return cls(str(file), text)
        return cls(str(file), text, "".join(traceback.format_exception(error)))

    def to_json(self) -> dict[str, str]:
        """For a report; without an empty `detail`."""
        return {name: text for name, text in asdict(self).items() if text or name != "detail"}


@dataclass(frozen=True)
class Task:
    """One input, or a pair, and what is to be made of it.

    Parameters
    ----------
    what : str
        A key of `work.JOBS`: ``segment``, ``reconstruct``, ``evaluate``, ``study``, ``compare``.
    inputs : tuple of str
        Paths; the first one names the task.
    outputs : mapping of str to str
        Paths of the files that are made, by what they hold. All of them exist when the first one does.
    models : tuple of UsedModel
        By name and SHA-256: whoever works on the task loads them.
    settings : mapping
        Plain JSON values; each kind of work says which.
    resume : bool
        Whether outputs that are finished already stay, and so do those that a person has changed.
    look : bool
        Whether the outcome says how the outputs look.
    replace_edited : bool
        Whether outputs that a person has changed are made again.
    score : bool
        Whether the outcome says how the labels agree with a reference, the second input; without that, that there is
        none.
    """

    what: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, str] = field(default_factory=dict)
    models: tuple[UsedModel, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    look: bool = False
    replace_edited: bool = False
    score: bool = False

    @property
    def source(self) -> Path:
        """The first input."""
        return Path(self.inputs[0])

    @property
    def target(self) -> Path:
        """The first output."""
        return self.paths()[0]

    def paths(self) -> list[Path]:
        """The files that are made."""
        return [Path(path) for path in self.outputs.values()]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return plain(asdict(self))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Task:
        """From what `to_json` made."""
        values = dict(content)
        values["inputs"] = tuple(content["inputs"])
        values["models"] = tuple(UsedModel(**model) for model in content["models"])
        return cls(**values)


@dataclass(frozen=True)
class LookOfClass:
    """How the labels of one class look.

    Parameters
    ----------
    id : int
    name, colour : str
    voxels : int
    volume_ml, area_mm2 : float or None
        One of them, where the voxel size is known; of several time points the mean.
    area_jump : float or None
        Largest change of the area between neighbouring slices, by the largest area.
    parts : int
        Pieces that do not share a face, at most of all time points.
    touches_border : bool
        Whether they reach the end of a slice.
    uncertainty : float or None
        Mean at their outer pixels, 0 sure to 1 undecided.
    """

    id: int
    name: str
    colour: str
    voxels: int
    volume_ml: float | None = None
    area_mm2: float | None = None
    area_jump: float | None = None
    parts: int = 0
    touches_border: bool = False
    uncertainty: float | None = None


@dataclass(frozen=True)
class Look:
    """How the outputs of a task look.

    Parameters
    ----------
    classes : tuple of LookOfClass
    picture : str
        JPEG in base64.
    """

    classes: tuple[LookOfClass, ...] = ()
    picture: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Parameters
    ----------
    task : Task
    state : {"done", "skipped", "kept", "failed", "not reached"}
        ``skipped``: it was finished before. ``kept``: its output was not made by this task, and stays. ``not reached``:
        the run ended before.
    record : Record or None
        Of the run that made the output; None if there is none.
    error : str
        Why it failed, in a sentence.
    detail : str
        Traceback of what was not foreseen.
    note : str
        Why an earlier output was made again or kept.
    wrong_usage : bool
        Whether it failed because of the settings.
    seconds : float
    peak_mb : int
        Most memory that a child process was seen to take; 0 if it was not watched.
    look : Look or None
        If it was asked for.
    scores : tuple of mapping
        Likewise: ``id``, ``name`` and figures against the reference for each class, see `references.FIGURES`.
    """

    task: Task
    state: str
    record: Record | None = None
    error: str = ""
    detail: str = ""
    note: str = ""
    wrong_usage: bool = False
    seconds: float = 0.0
    peak_mb: int = 0
    look: Look | None = None
    scores: tuple[Mapping[str, Any], ...] = ()

    @property
    def took(self) -> float:
        """Seconds of the run that made the outputs, now or earlier; of one that failed, until then."""
        return self.record.seconds if self.record else self.seconds

    @classmethod
    def failed(cls, task: Task, error: Exception, seconds: float = 0.0) -> Outcome:
        """Of a task that ended with `error`."""
        why = Failure.of(task.source, error)
        usage = isinstance(error, SettingsError)
        return cls(task, "failed", None, why.error, why.detail, wrong_usage=usage, seconds=round(seconds, 3))

    @property
    def failure(self) -> Failure:
        """Of a task that failed."""
        return Failure(self.task.inputs[0], self.error, self.detail)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, without the task."""
        return plain(self) | {"task": None}

    @classmethod
    def from_json(cls, task: Task, content: Mapping[str, Any]) -> Outcome:
        """From what `to_json` made of the outcome of `task`."""
        values = dict(content)
        values["task"] = task
        values["record"] = Record.from_json(content["record"])
        values["scores"] = tuple(content.get("scores", ()))
        look = content.get("look")
        values["look"] = None if look is None else files.typed(Look, look)
        return cls(**values)
