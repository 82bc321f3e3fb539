"""Threads: drive a headless job next to the window and hand its steps and its result to the form."""

from __future__ import annotations

import atexit
import logging
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar, cast

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils.notifications import show_error
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

from ...errors import MedsegError, short
from ...progress import Job, Progress, Remaining
from ...quantities import duration

GATHER_MS = 100
"""How long a queue waits for further changes before it starts what they ask for."""

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Where napari's event loop was not the last to run, in a script for example, nothing else waits for the threads, and
# one that is still at work when Qt is taken down aborts the program. Called before Qt's own end, which is older.
atexit.register(GeneratorWorker.await_workers)


def _ignore(_: Any) -> None:
    pass


def _nothing() -> None:
    pass


def failure(title: str, error: BaseException) -> str:
    """What to say of a job that failed for a reason that it does not word itself.

    What the system and libraries raise is named by its kind: a full disk, too little memory, an error of PyTorch. The
    other kinds that Python itself raises are bugs.
    """
    kind = type(error).__name__
    said = short(error)
    text = f"{title} failed. {kind}." if said == kind else f"{title} failed. {kind}: {said}."
    if isinstance(error, MemoryError):
        return f"{text} Close other programs, or choose a smaller image, and try again."
    if _is_bug(error):
        return f"{text} This is a bug, please report it; the log says where it happened."
    return text


def _sentence(title: str, error: Exception) -> str:
    return str(error) if isinstance(error, MedsegError) else failure(title, error)


def _is_bug(error: BaseException) -> bool:
    kind = type(error)
    outside = isinstance(error, OSError | MemoryError) or kind is RuntimeError
    return kind.__module__ == "builtins" and not outside


def start(
    job: Job[T],
    *,
    owner: QObject,
    title: str,
    quiet: bool = False,
    on_step: Callable[[Progress], None] = _ignore,
    on_done: Callable[[T], None] = _ignore,
    on_error: Callable[[str], None] = show_error,
    on_end: Callable[[], None] = lambda: None,
) -> GeneratorWorker:
    """Drive `job` in a thread; ``quit()`` of the worker cancels it at its next step.

    Parameters
    ----------
    job : Job
        Touches no layer and no widget.
    owner : QObject
        The form, for example; once it is gone the job is cancelled and nothing is called any more.
    title : str
        Name of the work in napari's activity list.
    quiet : bool
        Leave the work out of the activity list.
    on_step, on_done, on_error : callable
        Called in the GUI thread with each `Progress`, with the result, and with why it failed, in a sentence; not any
        more once cancelled.
    on_end : callable
        Called last, whether the job succeeded, failed or was cancelled.

    Returns
    -------
    GeneratorWorker
        Running.
    """

    # napari's bar stays indeterminate: it runs the event loop inside of every update, so that steps would overtake
    # each other; forms show their own
    bar: bool | dict[str, int | str] = False if quiet else {"desc": title}
    made = create_worker(_driver(job, title), _progress=bar, _start_thread=False)
    worker = cast(GeneratorWorker, made)  # of a generator it makes no other
    heard = _Heard(worker, owner, title, on_step, on_done, on_error, on_end)
    # functions keep `heard` alive, which bound methods would not
    worker.yielded.connect(lambda progress: heard.step(progress))
    worker.returned.connect(lambda result: heard.done(result))
    worker.aborted.connect(lambda *_: job.close())  # frees model and arrays at once
    worker.finished.connect(lambda *_: heard.end())
    worker.start()
    return worker


@dataclass(frozen=True)
class _Failed:
    """Stands for the result of a job that failed.

    An error is not raised out of the thread: a RuntimeError, or what is not an `Exception` (a panic in Rust), would end
    it without a word, and PySide6 cannot call what napari connects to the signal of errors.
    """

    why: str


def _driver(job: Job[T], title: str) -> FunctionType:
    """What runs in the thread: the job, whose failures are worded."""

    def drive() -> Job[T | _Failed]:
        try:
            return (yield from job)
        except GeneratorExit:
            raise
        except MedsegError as error:
            return _Failed(str(error))
        except BaseException as error:
            _log.exception("%s failed", title)
            return _Failed(failure(title, error))

    drive.__qualname__ = title  # napari shows it when a window with running work is closed
    return drive


@dataclass(frozen=True, eq=False)
class _Heard:
    """What is called in the GUI thread for a worker, as `start` describes it."""

    worker: GeneratorWorker
    owner: QObject
    title: str
    on_step: Callable[[Progress], None]
    on_done: Callable[[Any], None]
    on_error: Callable[[str], None]
    on_end: Callable[[], None]

    def step(self, progress: Progress) -> None:
        if self._is_wanted():
            self._hand_over(self.on_step, progress)

    def done(self, result: Any) -> None:
        if not self._is_wanted():
            return
        if isinstance(result, _Failed):
            self.on_error(result.why)
        else:
            self._hand_over(self.on_done, result)

    def end(self) -> None:
        # napari keeps every worker as long as its window: let go of the form and of the images it got
        worker = self.worker
        for signal in (worker.yielded, worker.returned, worker.aborted, worker.finished):
            signal.disconnect()
        if isalive(self.owner):
            self.on_end()

    def _is_wanted(self) -> bool:
        # steps and results may still be queued when Cancel is pressed or the window closed
        if not isalive(self.owner):
            self.worker.quit()
        return not self.worker.abort_requested

    def _hand_over(self, receive: Callable[[Any], None], given: Any) -> None:
        try:
            receive(given)
        except Exception as error:  # napari draws and lists what it is handed, and may fail at it
            _log.exception("%s failed in the window", self.title)
            self.worker.quit()
            self.on_error(_sentence(self.title, error))


def once(work: Callable[..., T], *given: Any) -> Job[T]:
    """A call as a job of one step."""
    yield Progress(0, 1)
    return work(*given)


class Queue:
    """The jobs of one form, one at a time: of those wanted, the most urgent goes first.

    Parameters
    ----------
    owner : QWidget
        The form.
    kinds : tuple of str
        Kinds of jobs, the most urgent first; a later wish of a kind replaces an earlier one.
    on_change : callable
        Called when a job has started or ended.
    on_error : callable
        Called with why a job could not be started, in a sentence.
    """

    def __init__(
        self,
        owner: QWidget,
        kinds: tuple[str, ...],
        on_change: Callable[[], None],
        on_error: Callable[[str], None] = show_error,
    ):
        self.kind = ""
        self._owner = owner
        self._kinds = kinds
        self._on_change = on_change
        self._on_error = on_error
        self._wanted: dict[str, Callable[[], None]] = {}
        self._worker: GeneratorWorker | None = None
        self._timer = QTimer(owner)  # gathers the wishes of several changes in a row
        self._timer.setSingleShot(True)
        self._timer.setInterval(GATHER_MS)
        self._timer.timeout.connect(self._go)

    @property
    def busy(self) -> bool:
        """Whether a job is under way or wanted."""
        return self._worker is not None or bool(self._wanted)

    def want(self, kind: str, begin: Callable[[], None]) -> None:
        """Call `begin`, which may start a job with `start`, as soon as it is its turn."""
        self._wanted[kind] = begin
        self._timer.start()

    def forget(self, *kinds: str) -> None:
        """Drop wishes."""
        for kind in kinds:
            self._wanted.pop(kind, None)

    def start(self, kind: str, job: Job[Any], **options: Any) -> None:
        """Start `job` with the `options` of the function of this name."""
        self.kind = kind
        self._worker = start(job, owner=self._owner, on_end=self._ended, **options)
        self._on_change()

    def stop(self) -> None:
        """Cancel the job under way."""
        if self._worker is not None:
            self._worker.quit()

    def close(self, lasting: tuple[str, ...] = ()) -> None:
        """Drop what is wanted and cancel what is under way, but for the `lasting` kinds; changes are not heard of.

        Wishes of these begin now, whatever is under way: the program may end before their turn comes.
        """
        self.forget(*(set(self._wanted) - set(lasting)))
        if self.kind not in lasting:
            self.stop()
        self._on_change = _nothing
        for kind in [kind for kind in lasting if kind in self._wanted]:
            self._begin(kind, self._wanted.pop(kind))

    def _go(self) -> None:
        kind = next((kind for kind in self._kinds if kind in self._wanted), None)
        if kind is not None and self._worker is None:
            self._begin(kind, self._wanted.pop(kind))
            self._timer.start()

    def _begin(self, kind: str, begin: Callable[[], None]) -> None:
        try:
            begin()
        except Exception as error:
            _log.exception("%s could not be started", kind)
            self._on_error(_sentence(f"Starting {kind}", error))
            self._on_change()

    def _ended(self) -> None:
        self._worker, self.kind = None, ""
        self._on_change()
        self._timer.start()


@contextmanager
def errors_shown() -> Generator[None]:
    """Show a `MedsegError` raised inside to the person at the screen."""
    try:
        yield
    except MedsegError as error:
        show_error(str(error))


class Clock:
    """Says how far a job is and how long it will still take.

    Parameters
    ----------
    expected : float
        Seconds that its plan says; NaN if there is none.
    """

    def __init__(self, expected: float = math.nan) -> None:
        self._remaining = Remaining(expected)

    def text(self, progress: Progress, unit: str) -> str:
        """For example ``12 of 160 slices, about 40 s left``."""
        text = f"{progress.done} of {progress.total} {unit}"
        seconds = self._remaining.seconds(progress)
        return text if math.isnan(seconds) else f"{text}, about {duration(seconds)} left"
