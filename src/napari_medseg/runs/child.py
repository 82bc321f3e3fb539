"""Child processes that do tasks one after the other: a file that brings its process down fails alone.

One line of JSON goes in for each task, and one comes out. ``python -m napari_medseg.runs.child`` is such a process;
it ends when its standard input closes, so when its parent has gone, however that ended.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from .. import files
from .tasks import Outcome, Task

_BETWEEN_LOOKS = 0.2  # seconds between two looks at the memory of a child
_WAYS_OUT = "Raise the limit, or crop the image."
_COMMAND = (sys.executable, "-P", "-m", "napari_medseg.runs.child")


class Children:
    """A child process for each thread that brings work.

    Parameters
    ----------
    threads : int
        Of each child.
    memory_gb, minutes : float
        A child that takes more for a task is ended; 0 for no limit.
    folder : pathlib.Path, optional
        Where the children work, in place of the folder of this process.
    idle_s : float
        A child that had nothing to do for so long is ended; 0 for never.
    """

    def __init__(
        self,
        threads: int,
        memory_gb: float = 0.0,
        minutes: float = 0.0,
        folder: Path | None = None,
        idle_s: float = 0.0,
    ):
        self._threads = threads
        self._limits = _Limits(memory_gb, minutes)
        self._folder = folder
        self._idle = idle_s
        self._own = threading.local()
        self._all: set[_Child] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def work(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Have the child of this thread do a task.

        Parameters
        ----------
        question : mapping
            JSON of a `Task`.

        Returns
        -------
        dict
            JSON of its `Outcome`; if the child died, that it failed and why.
        """
        task = Task.from_json(question)
        child = self._child()
        if child is None:
            return Outcome(task, "failed", error="The run was stopped.").to_json()
        answer = child.ask(question, self._limits)
        self._rest(child)
        peak_mb = round(child.peak / 1e6)
        if answer is not None:
            return answer | {"peak_mb": peak_mb}
        for path in task.paths():
            files.abandon(self._folder / path if self._folder else path)
        error = child.last_words(task.source)
        return Outcome(task, "failed", error=error, peak_mb=peak_mb).to_json()

    def stop(self) -> None:
        """End all children at once, whatever they do, and start no more."""
        with self._lock:
            self._stopped = True
            children = list(self._all)
        for child in children:
            child.end()

    def _child(self) -> _Child | None:
        """The living child of this thread; None if the run was stopped."""
        with self._lock:
            child = getattr(self._own, "child", None)
            if child is not None:
                child.resting.cancel()
            if child is None or not child.alive():
                self._all.discard(child)
                child = None
            if child is None and not self._stopped:
                child = self._own.child = _Child(self._threads, self._folder)
                self._all.add(child)
            return child

    def _rest(self, child: _Child) -> None:
        """End a child if it has nothing to do for long."""
        if not self._idle:
            return

        def end() -> None:
            with self._lock:  # its thread either cancelled this before, or makes a new one after
                if not resting.finished.is_set():
                    child.end()

        child.resting = resting = threading.Timer(self._idle, end)
        resting.daemon = True
        resting.start()


@dataclass(frozen=True)
class _Limits:
    """What a task may take; 0 for no limit."""

    memory_gb: float
    minutes: float


class _Child:
    """One process, seen from its parent."""

    def __init__(self, threads: int, folder: Path | None):
        self.peak = 0
        self.resting = threading.Timer(0, lambda: None)
        self._ended_for = ""
        # a session of its own: Ctrl+C reaches the parent alone, which ends its children
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            # clusters set the second one for their own processes
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
            start_new_session=True,
        )
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, question: Mapping[str, Any], limits: _Limits) -> dict[str, Any] | None:
        """The answer to a task; None if the process has ended without one."""
        self.peak = 0
        began = time.monotonic()
        with suppress(OSError):  # it has ended: so has its output
            self._input.write(json.dumps(question).encode() + b"\n")
            self._input.flush()
        while True:
            try:
                line = self._lines.get(timeout=_BETWEEN_LOOKS)
            except queue.Empty:
                self._look()
                self._check(limits, time.monotonic() - began)
                continue
            self._look()
            return json.loads(line) if line.endswith(b"\n") else None

    def last_words(self, source: Path) -> str:
        """Why the process ended, in a sentence."""
        if self._ended_for:
            return f"The process {self._ended_for} while working on '{source.name}'. {_WAYS_OUT}"
        code = self._process.wait()
        if code >= 0:
            return f"The process ended with exit code {code} while working on '{source.name}'."
        name = signal.Signals(-code).name
        perhaps = " Perhaps memory ran out." if name == "SIGKILL" else ""
        return f"The process ended with {name} while working on '{source.name}'.{perhaps}"

    def _listen(self) -> None:
        for line in self._output:
            self._lines.put(line)
        self._lines.put(b"")

    def _look(self) -> None:
        """Note how much memory the process takes."""
        import psutil

        with suppress(psutil.Error):
            taken = psutil.Process(self._process.pid).memory_info().rss
            self.peak = max(self.peak, taken)

    def _check(self, limits: _Limits, seconds: float) -> None:
        """End the process if it takes more than it may."""
        if limits.memory_gb and self.peak > limits.memory_gb * 1e9:
            self._ended_for = f"needed more than {limits.memory_gb:g} GB (the limit)"
        elif limits.minutes and seconds > limits.minutes * 60:
            self._ended_for = f"took longer than {limits.minutes:g} minutes (the limit)"
        else:
            return
        self.end()


def follow_input(receive: Callable[[bytes], object], at_end: Callable[[], object] = lambda: None) -> None:
    """Hand on what arrives on the standard input, and end this process when that closes.

    Whoever started the process has gone then, however it ended. Files are written in one step, so no moment is a bad
    one.
    """
    try:
        # not through sys.stdin, whose lock a waiting thread would hold when the interpreter ends
        with suppress(OSError):  # it was closed from the beginning
            while chunk := os.read(0, 65536):
                receive(chunk)
        at_end()
    finally:
        os._exit(1)


def serve() -> None:
    """Do the tasks that arrive on the standard input, one after the other, until it closes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print is not an answer
    chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=follow_input, args=(chunks.put,), daemon=True).start()
    pending = b""
    while True:
        pending += chunks.get()
        *lines, pending = pending.split(b"\n")
        for line in lines:
            # a process that only waits does not need PyTorch
            from . import work

            answers.write(json.dumps(work.answer(json.loads(line))).encode() + b"\n")
            answers.flush()


if __name__ == "__main__":
    serve()
