"""A dask cluster that exists as the crew of a cohort: each thread of its workers has a child process."""

from __future__ import annotations

import logging
import os
import secrets
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import JobError, SettingsError, short
from . import remote
from .crew import Crew
from .tasks import Task

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE_S = 20  # until a scheduler must have answered
_logger = logging.getLogger(__name__)


def cluster(
    address: str, tasks: Sequence[Task], threads: int = 0, memory_gb: float = 0.0, minutes: float = 0.0
) -> Crew:
    """The workers of a dask cluster.

    Parameters
    ----------
    address : str
        Of its scheduler, such as ``tcp://node1:8786``, or the name of a scheduler file, which ends in ``.json``.
    tasks : sequence of Task
        What workers will be asked to do: they must see the files and have the models.
    threads : int
        Of each child process; 0 shares the cores of a computer out among the threads of its workers.
    memory_gb, minutes : float
        A child that takes more is ended, and its file fails; 0 for no limit.

    Raises
    ------
    SettingsError
        If dask's package for clusters is not installed, or a number is out of its range.
    JobError
        If no scheduler answers.
    """
    if threads < 0 or not (memory_gb >= 0 and minutes >= 0):  # nan is neither
        raise SettingsError(
            f"{threads} threads with limits of {memory_gb:g} GB and {minutes:g} minutes were asked for; expected 0 or "
            "more."
        )
    return _Cluster(_connected(address), address, tasks, threads, memory_gb, minutes)


def _connected(address: str) -> Client:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise SettingsError(
            "--scheduler needs the package distributed. Install it: pip install 'napari-medseg[cluster]'"
        ) from error
    # what it reports of lost connections is said in a sentence of ours
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"timeout": _PATIENCE_S, "set_as_default": False, "name": "napari-medseg"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions are compared by `_Cluster`
            if not address.endswith(".json"):
                return Client(address, **options)
            if not os.path.exists(address):
                raise FileNotFoundError("there is no such file")
            return Client(scheduler_file=address, **options)
    except (OSError, ValueError) as error:
        raise JobError(
            f"No scheduler answers at '{address}' ({short(error)}). Start one with 'dask scheduler', or check the "
            "address."
        ) from error


class _Cluster(Crew):
    """Workers of dask; those that come later are greeted too."""

    sees_files_at_once = False  # a network file system may be late

    def __init__(
        self, client: Client, address: str, tasks: Sequence[Task], threads: int, memory_gb: float, minutes: float
    ):
        self._client = client
        self._address = address
        self._threads = threads
        self._limits = (memory_gb, minutes)
        self._asked = _asked(tasks)
        self._run = secrets.token_hex(8)
        self._known: dict[str, remote.Greeting] = {}
        self._order = remote.Order(self._run, os.getcwd(), {}, *self._limits)
        self._problem = ""
        self._open: set[Future] = set()
        self._carrier = client.get_executor(pure=False)
        self.executor = self._carrier

    def submit(self, question: Mapping[str, Any]) -> Future[dict[str, Any]]:
        future = self._carrier.submit(remote.work, self._order, question)
        self._open.add(future)
        # whoever keeps a future makes dask compute it again when its worker is lost
        future.add_done_callback(self._open.discard)
        return future

    def slots(self) -> int:
        if self.lost():
            return 0
        try:
            there: dict[str, int] = dict(self._client.nthreads())
            if new := there.keys() - self._known.keys():
                self._greet(new, there)
        except OSError:  # the connection has just broken: `lost` says so
            return 0
        return sum(there.values())

    def lost(self) -> str:
        if self._client.status != "running":
            return f"The scheduler at {self._address} was lost."
        return self._problem

    def explained(self, error: Exception, task: Task) -> Exception:
        if type(error).__name__ != "KilledWorker":
            return error
        count = getattr(error, "allowed_failures", 0) + 1
        return JobError(
            f"{count} workers of the cluster died while working on '{task.source.name}'. Look at their logs: perhaps "
            "memory or time ran out."
        )

    def stop(self) -> None:
        if self._client.status != "running":
            return
        with suppress(OSError, RuntimeError):
            for future in list(self._open):
                future.cancel()
            self._client.run(remote.stop, self._run, on_error="ignore")

    def close(self) -> None:
        self.stop()
        self._client.close(timeout=2)

    def _greet(self, new: Iterable[str], there: Mapping[str, int]) -> None:
        """Ask workers what they are, and share the cores of their computers out."""
        answers = self._client.run(remote.greet, self._asked, workers=list(new), on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, OSError):  # it has gone again
                continue
            if not isinstance(answer, remote.Greeting):
                self._problem = (
                    f"Worker {worker} cannot do the work ({short(answer)}). Install the same release of napari-medseg "
                    "there as on this computer."
                )
                return
            if text := remote.difference(answer.software, deciding=True):
                self._problem = f"Worker {answer.host} {text}. Install the same release on both."
            elif answer.problem:
                self._problem = f"Worker {answer.host} {answer.problem}."
            elif text := remote.difference(answer.software, deciding=False):
                _logger.warning("Worker %s %s. Labels may differ in a few voxels.", answer.host, text)
            self._known[worker] = answer
        self._order = remote.Order(self._run, os.getcwd(), self._shares(there), *self._limits)

    def _shares(self, there: Mapping[str, int]) -> dict[str, int]:
        """Threads for the children of each worker: workers that may use the same cores share them."""
        slots: Counter[tuple[str, tuple[int, ...]]] = Counter()
        for worker, greeting in self._known.items():
            slots[greeting.host, greeting.cores] += there.get(worker, 0)
        found = {}
        for worker, greeting in self._known.items():
            share = len(greeting.cores) // max(1, slots[greeting.host, greeting.cores])
            found[worker] = self._threads or max(1, share)
        return found


def _asked(tasks: Sequence[Task]) -> remote.Asked:
    if not tasks:
        return remote.Asked(os.getcwd(), (), (), ())
    first = tasks[0]
    return remote.Asked(os.getcwd(), first.inputs, tuple(first.outputs.values()), first.models)
