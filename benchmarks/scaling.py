"""How a cohort scales over processes, and what limits it.

    python benchmarks/scaling.py [--files 16] [--shape 24,256,256] [--model litenext-heart] [--crews 1,2,4]
                                 [--dask] [--repeat 3]

The same volumes are segmented by 1, 2 and 4 worker processes with one thread each, and with the cores shared out, as
`--workers` does by itself; with ``--dask`` also by workers of a cluster on this computer. Printed are seconds from the
first file to the last (the start of the processes and the loading of the model apart), files per minute, the speed-up
over one process with the same number of threads, and how many cores the workers kept busy: where that is all of them,
they are the limit. Run it on a computer that does nothing else: the load is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from napari_medseg import io, models
from napari_medseg.record import UsedModel
from napari_medseg.runs import crew
from napari_medseg.runs.cohort import cohort_job
from napari_medseg.runs.tasks import Outcome, Task
from napari_medseg.volume import Volume


def make(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    """Volumes that differ."""
    rng = np.random.default_rng(0)
    for number in range(count):
        data = rng.integers(0, 900, shape).astype(np.int16)
        io.write(Volume(data, "zyx", np.diag([1.5, 1.5, 8, 1])), folder / f"{number}.nii.gz")


def tasks(folder: Path, count: int, model: str) -> list[Task]:
    """One task for each volume."""
    card = models.load_card(models.find(model))
    used = (UsedModel(card.name, card.sha256, card.architecture),)
    settings = {"inference": {"device": "cpu"}, "axes": None}
    found = []
    for number in range(count):
        made = {"labels": str(folder / "out" / f"{number}.nii.gz")}
        found.append(Task("segment", (str(folder / f"{number}.nii.gz"),), made, used, settings))
    return found


def measure(workers: crew.Crew, todo: list[Task], slots: int) -> tuple[float, float]:
    """Seconds for all files but the first of each worker, and processor seconds of its children per second."""
    marks = []
    used = 0.0
    known: dict[int, psutil.Process] = {}
    for step in cohort_job(todo, workers):
        if isinstance(step.partial, Outcome):
            if step.partial.state != "done":
                raise SystemExit(step.partial.error)
            marks.append(time.monotonic())
            known |= {child.pid: child for child in psutil.Process().children(recursive=True)}
            if len(marks) == slots:
                used = cpu(known)
    seconds = marks[-1] - marks[slots - 1]
    return seconds, (cpu(known) - used) / seconds


def cpu(known: dict[int, psutil.Process]) -> float:
    """Processor seconds of processes."""
    times = [child.cpu_times() for child in known.values() if child.is_running()]
    return sum(each.user + each.system for each in times)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--shape", default="24,256,256")
    parser.add_argument("--model", default="litenext-heart")
    parser.add_argument("--crews", default="1,2,4")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dask", action="store_true")
    args = parser.parse_args()
    print(f"{crew.cores()} cores, load {os.getloadavg()[0]:.1f}, {args.files} files of {args.shape}, {args.model}")
    print("| crew | threads each | seconds per file | files per minute | speed-up | cores used |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, args.files, tuple(int(part) for part in args.shape.split(",")))
        todo = tasks(folder, args.files, args.model)
        single: dict[int, float] = {}
        for slots in (int(part) for part in args.crews.split(",")):
            for threads in dict.fromkeys((1, max(1, crew.cores() // slots))):
                found = []
                for _ in range(args.repeat):
                    workers = crew.local(slots, threads)
                    found.append(measure(workers, todo, slots))
                    workers.close()
                row(f"{slots} processes", slots, threads, found, args.files, single)
            if args.dask:
                row(f"dask, {slots} workers", slots, 1, [over_dask(folder, slots, todo)], args.files, single)


def over_dask(folder: Path, slots: int, todo: list[Task]) -> tuple[float, float]:
    """The same by a cluster of dask on this computer."""
    from distributed import LocalCluster

    from napari_medseg.runs.cluster import cluster

    with LocalCluster(n_workers=slots, threads_per_worker=1, dashboard_address=None, memory_limit=None) as there:
        workers = cluster(there.scheduler_address, todo, threads=1)
        found = measure(workers, todo, slots)
        workers.close()
    return found


def row(
    title: str,
    slots: int,
    threads: int,
    found: list[tuple[float, float]],
    files: int,
    single: dict[int, float],
) -> None:
    """Print a line of the table; of several runs the median."""
    each = statistics.median(seconds for seconds, _ in found) / (files - slots)
    busy = statistics.median(share for _, share in found)
    single.setdefault(threads, each)
    cells = (title, threads, f"{each:.3f}", f"{60 / each:.1f}", f"{single[threads] / each:.2f}", f"{busy:.2f}")
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
