"""Runs of the Fine-tune dock: their folders, what their logs say, and the child process that trains."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import psutil
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from ... import files
from ...errors import FileError, JobError, SettingsError
from ...models import models_folder
from ...progress import pace
from ...training import run_folder
from ...training.run_folder import DATA, LAST, RECIPE, STOP

_NAME = "napari-medseg training"
POLL_MS = 500
_NICE = 5
_TAIL_LINES, _TAIL_BYTES = 6, 4096
_LARGEST = 1e12  # step or second in a log
_ACCEPTED, _OUTPUT = "accepted", "output.txt"


def runs_folder() -> Path:
    """Folder of all runs, next to that of the user's models."""
    return models_folder().parent / "fine-tune"


def was_tuned(name: str) -> bool:
    """Whether the user's model `name` is one that Fine-tune made."""
    return (runs_folder() / name / _ACCEPTED).is_file() and (models_folder() / f"{name}.safetensors").is_file()


class Run:
    """One run, as its folder describes it.

    Parameters
    ----------
    folder : pathlib.Path

    Attributes
    ----------
    lines : list of dict
        The log as far as it was read, one entry per validation.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.lines: list[Mapping[str, Any]] = []
        self._read = 0
        self._settings: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        """Of the model that comes out."""
        return self.folder.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """The training settings as far as they are known; the child plans the steps."""
        if not self._settings:
            planned = _json(self.folder / "settings.json") if self.lines else {}
            if not planned:
                return _json(self.folder / RECIPE)
            self._settings = planned
        return self._settings

    @property
    def base(self) -> str:
        """Name of the model that the training begins with."""
        return Path(str(self.settings.get("start", ""))).stem

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        rows = self.settings.get("classes")
        rows = rows if isinstance(rows, list) else []
        return [str(row["name"]) for row in rows if isinstance(row, dict) and "name" in row]

    @property
    def judged_on(self) -> str:
        """The slices that decide which weights are kept, in words."""
        sources = self.settings.get("val")
        first = sources[0] if isinstance(sources, list) and sources and isinstance(sources[0], dict) else {}
        return "all reviewed slices" if first.get("path") == DATA and not first.get("split") else "held-out slices"

    @property
    def steps(self) -> int:
        """Steps in all; 0 before they are planned."""
        steps = self.settings.get("steps")
        return steps if self.lines and isinstance(steps, int) else 0

    @property
    def step(self) -> int:
        """Steps finished at the last validation."""
        return int(self.lines[-1]["step"]) if self.lines else 0

    @property
    def best(self) -> float | None:
        """Highest Dice on the slices that decide."""
        return self.lines[-1]["best"] if self.lines else None

    @property
    def weights(self) -> Path:
        """The best weights; they exist from the first validation on."""
        return self.folder / f"{self.name}.safetensors"

    @property
    def complete(self) -> bool:
        """Whether there is nothing to go on with, if no process is at it."""
        stopped = (self.folder / STOP).exists()
        return self.weights.exists() and (stopped or 0 < self.steps <= self.step)

    def read(self) -> bool:
        """Read what was added to the log; whether anything was."""
        path = self.folder / "log.jsonl"
        size = path.stat().st_size if path.is_file() else 0
        if size < self._read:  # a run that goes on cuts its log back
            self._read, self.lines, self._settings = 0, [], {}
        if size == self._read:
            return False
        with path.open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        self._read += len(whole) + bool(whole)
        for line in whole.splitlines():
            with suppress(ValueError, RecursionError):
                found = json.loads(line)
                if _is_entry(found):
                    self.lines.append(found)
        return bool(whole)

    def seconds_left(self) -> float | None:
        """Of the training, from its pace between the later validations; None before it is known."""
        marks = [(line["time"], line["step"]) for line in self.lines]
        seconds = pace(marks)
        if math.isnan(seconds):
            return None
        ended, step = marks[-1]
        return max(0.0, seconds * (self.steps - step) - (time.time() - ended))

    def tail(self) -> str:
        """The last lines that the child wrote."""
        path = self.folder / _OUTPUT
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
        return "\n".join([line for line in lines if line.strip()][-_TAIL_LINES:])

    def process(self) -> psutil.Process | None:
        """The child, whoever started it, while it runs."""
        return run_folder.process(self.folder)

    def mark_accepted(self) -> None:
        """Note that the person took the model; what only a run that goes on needs is deleted."""
        (self.folder / _ACCEPTED).touch()
        (self.folder / LAST).unlink(missing_ok=True)


def command(folder: Path, tied: bool) -> list[str]:
    """The words that start the child of a run; `tied` ends it when its standard input closes."""
    # -P: what lies in the folder that napari was started from is not imported
    words = [sys.executable, "-P", "-m", "napari_medseg.cli", "train", str(folder / RECIPE)]
    return [*words, "--run", str(folder), "--root", str(folder), *(["--tied"] if tied else [])]


def undecided() -> Run | None:
    """The newest run that is under way or that nobody has accepted or discarded yet."""
    folders = [path.parent for path in runs_folder().glob(f"*/{RECIPE}") if not (path.parent / _ACCEPTED).exists()]
    newest = max(folders, key=lambda folder: (folder / RECIPE).stat().st_mtime, default=None)
    return Run(newest) if newest else None


class Training(QObject):
    """The child process that trains, one at a time; it outlives docks and windows, but not the program.

    Parameters
    ----------
    parent : QCoreApplication

    Attributes
    ----------
    run : Run or None
        Under way, or ended and not decided upon.
    problem : str
        Why the child ended before its time; empty if it did not.
    stopping : bool
        Whether the child was asked to end.
    accepted : str
        Name of the model that was accepted last; empty if none was.
    """

    changed = Signal()
    """The run began, went on or ended."""
    models_changed = Signal()
    """The user's models are others than before."""

    def __init__(self, parent: QCoreApplication):
        super().__init__(parent)
        self.setObjectName(_NAME)
        self.run = undecided()
        self.problem = ""
        self.stopping = False
        self._killed = False
        self.accepted = ""
        self._child: subprocess.Popen | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        parent.aboutToQuit.connect(self._let_go)
        if self.run is not None:
            self.run.read()
            if self.running:
                self._timer.start()

    @property
    def running(self) -> bool:
        """Whether the child is at work, or one that an earlier program left at work."""
        if self.run is None:
            return False
        return self._child.poll() is None if self._child is not None else self.run.process() is not None

    def begin(self, run: Run, *, tied: bool) -> None:
        """Start the child on a prepared folder, or again on one where it was interrupted.

        Parameters
        ----------
        run : Run
        tied : bool
            End the child together with this program.

        Raises
        ------
        SettingsError
            If a run is under way.
        JobError
            If the system does not start the process.
        """
        if self.run is not None and self.running:
            raise SettingsError(f"The training of {self.run.name} is under way. Stop it first.")
        (run.folder / STOP).unlink(missing_ok=True)
        alone = {"stdin": subprocess.DEVNULL, "start_new_session": True}
        options: dict[str, Any] = {"stdin": subprocess.PIPE} if tied else alone
        try:
            with (run.folder / _OUTPUT).open("ab") as output:
                child = subprocess.Popen(
                    command(run.folder, tied),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                    **options,
                )
        except OSError as error:
            raise JobError(
                f"The training could not be started ({error}). Close other programs and try again."
            ) from error
        self._child = child
        _note_process(run, child)
        self.run, self.problem, self.stopping = run, "", False
        self._killed = False
        self._timer.start()
        self.changed.emit()

    def stop(self) -> None:
        """Ask the child to end with the best weights; asked again, end it at once."""
        if self.run is None or not self.running:
            return
        if not self.stopping:
            self.stopping = True
            (self.run.folder / STOP).touch()
        elif (process := self.run.process()) is not None:
            process.kill()
            self._killed = True
        self.changed.emit()

    def forget(self) -> None:
        """Let go of a run that is decided upon."""
        self.run, self.problem, self.stopping = None, "", False
        self._drop_child()
        self.changed.emit()

    def _poll(self) -> None:
        running = self.running  # asked first: what it wrote before it ended is read afterwards
        read = self.run is not None and self.run.read()
        if not running:
            self._timer.stop()
            self._tell_the_end()
        elif self.run is not None and self.stopping:
            (self.run.folder / STOP).touch()  # a child that is only starting clears away old wishes
        if read or not running:
            self.changed.emit()

    def _tell_the_end(self) -> None:
        if self.run is None:
            return
        name, code = self.run.name, self._child.poll() if self._child is not None else None
        self.stopping = False
        if code == 0 or self.run.complete:
            show_info(f"{name} is trained. The Fine-tune dock shows how good it is.")
        elif not self._killed:  # the person has asked for that
            how = "" if code is None else f" (exit code {code})"
            self.problem = f"The training of {name} ended early{how}. Its last lines:\n{self.run.tail() or 'none'}"
            show_error(self.problem)
        self._drop_child()

    def _drop_child(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()

    def _let_go(self) -> None:
        """The program ends: a child that is tied to it ends with the pipe."""
        self._timer.stop()
        self._drop_child()


def training() -> Training:
    """The one of this program."""
    # docks ask, and Qt makes no widget without an application
    application = cast(QCoreApplication, QCoreApplication.instance())
    return application.findChild(Training, _NAME) or Training(application)


def _note_process(run: Run, child: subprocess.Popen) -> None:
    try:
        process = psutil.Process(child.pid)
        files.note(run.folder, process.pid)  # the child does it too, but only after seconds
        # the person goes on painting: the window comes first
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else _NICE)
    except (psutil.Error, OSError, FileError):  # it has ended already, or the disk is full; the next poll says why
        pass


def _is_entry(found: Any) -> bool:
    """Whether a line of a log says in numbers what each of them does."""
    if not isinstance(found, dict) or "loss" not in found:
        return False
    places = all(isinstance(found.get(name), int | float) and abs(found[name]) < _LARGEST for name in ("step", "time"))
    figures = all(isinstance(found.get(name), int | float | None) for name in ("val", "best"))
    return places and figures and isinstance(found["loss"], int | float | None)


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = files.read_json(path)
    except FileError:
        return {}
    return found if isinstance(found, dict) else {}
