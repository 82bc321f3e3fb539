"""What a worker of a dask cluster does for a run: it says what it can, has child processes do tasks, and stops them.

Only this module is called in the processes of dask, and nothing in it loads PyTorch or distributed.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import models
from ..errors import MedsegError, reason
from ..record import UsedModel
from ..version import __version__
from .child import Children

_IDLE_S = 60.0  # after which a child without work ends: its run may have been killed
_SAME = ("dask", "distributed")
_LIKE = ("torch", "numpy")


@dataclass(frozen=True)
class Asked:
    """What a worker is asked before its first task.

    Parameters
    ----------
    folder : str
        Working folder of the run.
    inputs, outputs : tuple of str
        Files, of which the first input must be seen, and the folder of the first output written to.
    models : tuple of UsedModel
    """

    folder: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    models: tuple[UsedModel, ...]


@dataclass(frozen=True)
class Greeting:
    """What a worker answers.

    Parameters
    ----------
    host : str
    cores : tuple of int
        Numbers of the processor cores that it may use.
    software : mapping of str to str
        Versions.
    problem : str
        Why it cannot work on the run, as the end of a sentence that begins with its name; empty if it can.
    """

    host: str
    cores: tuple[int, ...]
    software: Mapping[str, str]
    problem: str = ""


def software() -> dict[str, str]:
    """Versions that a worker is compared by."""
    found = {"napari-medseg": __version__}
    for name in (*_SAME, *_LIKE):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def difference(theirs: Mapping[str, str], *, deciding: bool) -> str:
    """Which version of a worker is not that of this process, as the end of a sentence; empty if none.

    Parameters
    ----------
    theirs : mapping of str to str
        What `software` returned there.
    deciding : bool
        Whether to look at the packages that must be the same, or at those that may change results slightly.
    """
    names = ("napari-medseg", *_SAME) if deciding else _LIKE
    ours = software()
    for name in names:
        if theirs.get(name) != ours[name]:
            return f"runs {name} {theirs.get(name, 'unknown')}, this computer {ours[name]}"
    return ""


def greet(asked: Asked) -> Greeting:
    """Say what this worker is, and whether it sees the files and models of a run."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    problem = _unseen(asked) or _unwritable(asked) or _other_model(asked.models)
    return Greeting(socket.gethostname(), tuple(cores), software(), problem)


def _unseen(asked: Asked) -> str:
    for path in (asked.folder, *asked.inputs[:1]):
        place = Path(asked.folder, path)
        if not place.exists():
            return (
                f"does not see '{place}'. Inputs and outputs must lie on a file system that all workers share, under "
                "the same names"
            )
    return ""


def _unwritable(asked: Asked) -> str:
    for path in asked.outputs[:1]:
        folder = Path(asked.folder, path).parent
        probe = folder / f".medseg-{secrets.token_hex(8)}-probe"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            return f"cannot write to '{folder}' ({reason(error)})"
    return ""


def _other_model(used: Sequence[UsedModel]) -> str:
    for model in used:
        try:
            card = models.load_card(models.find(model.name))
        except MedsegError:
            return f"has no model '{model.name}'. Copy it to its models folder"
        if card.sha256 != model.sha256:
            return f"has another model of the name '{model.name}'. Copy this computer's to its models folder"
    return ""


@dataclass(frozen=True)
class Order:
    """A run, as its tasks name it.

    Parameters
    ----------
    run : str
        Different for every run.
    folder : str
        Working folder.
    threads : mapping of str to int
        Of a child process, by the address of the worker; where it is missing, 1.
    memory_gb, minutes : float
        Limits of a file; 0 for none.
    """

    run: str
    folder: str
    threads: Mapping[str, int]
    memory_gb: float
    minutes: float


_lock = threading.Lock()
_runs: dict[str, Children] = {}  # of this process of dask


def work(order: Order, question: Mapping[str, Any]) -> dict[str, Any]:
    """Have a child process do a task; what the executor carries to a worker.

    Parameters
    ----------
    order : Order
    question : mapping
        JSON of a `Task`.

    Returns
    -------
    dict
        JSON of its `Outcome`.
    """
    with _lock:
        children = _runs.get(order.run)
        if children is None:
            threads = order.threads.get(_address(), 1)
            children = Children(threads, order.memory_gb, order.minutes, Path(order.folder), _IDLE_S)
            _runs[order.run] = children
    return children.work(question)


def stop(run: str) -> None:
    """End the child processes of a run, whatever they do."""
    with _lock:
        children = _runs.get(run)
    if children is not None:
        children.stop()


def _address() -> str:
    from distributed import get_worker

    return get_worker().address
