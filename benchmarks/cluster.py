"""A cohort on a cluster of dask in which things go wrong: the acceptance case in its long form.

    python benchmarks/cluster.py [--files 60] [--workers 3]

Small volumes are segmented by a bundled model on a scheduler and workers that this program starts. One worker is killed
when a third of the files is done, one file ends its process with SIGSEGV, two are damaged. Printed are the files that
were begun, the outputs, the failures with their sentences, and the seconds; then the same command with ``--resume`` on
mended inputs. It ends with 1 if anything is not as it must be.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from napari_medseg import io
from napari_medseg.volume import Volume

MODEL = "litenext-heart"
HOOK = """
import os, signal, sys
if "napari_medseg.runs.child" in sys.orig_argv:
    from napari_medseg.runs import work
    known = work.JOBS["segment"]
    def hooked(task):
        with open(os.environ["STARTS"], "a") as file:
            file.write(f"{os.getpid()} {task.source.name}\\n")
        if task.source.name == "crash.nii.gz":
            os.kill(os.getpid(), signal.SIGSEGV)
        return (yield from known(task))
    work.JOBS["segment"] = hooked
"""


def make(folder: Path, count: int) -> None:
    """Inputs, of which three are bad."""
    (folder / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(count - 2):
        data = rng.integers(0, 900, (4, 64, 64)).astype(np.int16)
        name = "crash" if number == 10 else f"{number:03}"
        io.write(Volume(data, "zyx", np.diag([1.5, 1.5, 8, 1])), folder / "in" / f"{name}.nii.gz")
    whole = (folder / "in" / "000.nii.gz").read_bytes()
    (folder / "in" / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "in" / "empty.nii.gz").write_bytes(gzip.compress(b""))


def starts(folder: Path) -> list[list[str]]:
    """Process and file of each start."""
    path = folder / "starts"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def kill_one(folder: Path, after: int) -> None:
    """Kill the worker that is at work when so many files were begun."""
    while len(starts(folder)) < after:
        time.sleep(0.05)
    psutil.Process(int(starts(folder)[-1][0])).parent().kill()


def segment(folder: Path, *more: str) -> tuple[int, float]:
    """Run the command; its exit code and seconds."""
    command = [sys.executable, "-m", "napari_medseg.cli", "segment", "in", "-o", "out", "--model", MODEL]
    command += ["--scheduler", "address.json", "--report", "r.json", "--summary", "t.csv", "--html", "p.html", *more]
    began = time.monotonic()
    code = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL).returncode
    return code, time.monotonic() - began


def check(folder: Path, count: int, workers: int) -> bool:
    """Run the case, print what came of it, and say whether it is right."""
    killer = threading.Thread(target=kill_one, args=(folder, count // 3))
    killer.start()
    code, seconds = segment(folder)
    killer.join()
    report = json.loads((folder / "r.json").read_text())
    begun = [name for _, name in starts(folder)]
    again = len(begun) - len(set(begun))
    print(f"{len(report['files'])} outputs, {len(report['failures'])} failures, {again} files begun again, ", end="")
    print(f"exit code {code}, {seconds:.1f} s with {workers} workers of which one was killed")
    for failure in report["failures"]:
        print(f"  {Path(failure['file']).name}: {failure['error']}")
    right = (code, len(report["files"]), len(report["failures"])) == (1, count - 3, 3) and again <= 2
    mended = (folder / "in" / "000.nii.gz").read_bytes()
    for name in ("cut", "empty"):
        (folder / "in" / f"{name}.nii.gz").write_bytes(mended)
    (folder / "in" / "crash.nii.gz").rename(folder / "in" / "mended.nii.gz")
    code, seconds = segment(folder, "--resume")
    made = len(starts(folder)) - len(begun)
    hidden = [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")]
    print(f"resumed: exit code {code}, {made} files begun, {seconds:.1f} s; hidden files left: {len(hidden)}")
    return right and code == 0 and made == 3 and not hidden


def main() -> int:
    """Run the case; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--workers", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK)
        paths = [str(folder / "hook"), os.environ.get("PYTHONPATH", "")]
        os.environ |= {"STARTS": str(folder / "starts"), "PYTHONPATH": os.pathsep.join(paths)}
        make(folder, args.files)
        base = [sys.executable, "-m"]
        ends = ["--scheduler-file", "address.json", "--no-dashboard"]
        start = lambda words: subprocess.Popen([*base, *words, *ends], cwd=folder, stderr=subprocess.DEVNULL)  # noqa: E731
        running = [start(["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"])]
        while not (folder / "address.json").exists():
            time.sleep(0.1)
        worker = ["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--memory-limit", "0"]
        running += [start(worker) for _ in range(args.workers)]
        try:
            right = check(folder, args.files, args.workers)
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()
    print("as it must be" if right else "NOT as it must be")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
