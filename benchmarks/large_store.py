"""A store that declares 42 GB: opened, segmented into another store for a while, cancelled, and taken up again.

``python benchmarks/large_store.py FOLDER [--seconds 120]`` writes a sparse store there (some slices hold an image, of
the others no file exists) and prints seconds, slices and the most memory that each step took.

``--cancels 8`` cancels runs at random moments instead, and prints the time from Ctrl+C to the end of the process,
also that of the processor: on a busy machine the process waits for others.
``--whole --side 128`` segments all slices of a store of smaller ones, and prints the memory over the run.
``--whole --slices 24`` does so for a store of few slices, each of which holds an image.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import zarr

SLICES = 5000
SIDE = 2048
STORED = 100  # slices that hold an image, at most
CHUNK = 1024

OPEN = """
import sys, time
began = time.perf_counter()
from napari_medseg.io.contributions import get_reader
((data, options, kind),) = get_reader(sys.argv[1])(sys.argv[1])
print(f"{time.perf_counter() - began:.1f} s, contrast {options['contrast_limits']}")
"""


def make(path: Path, slices: int, side: int) -> None:
    """A store of which a hundred slices are there, evenly spaced."""
    group = zarr.create_group(path, zarr_format=3)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    steps = [{"type": "scale", "scale": [1.0, 0.3, 0.3]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    chunk = min(CHUNK, side)
    array = group.create_array("0", shape=(slices, side, side), chunks=(1, chunk, chunk), dtype=np.uint16)
    rows, columns = np.mgrid[:side, :side]
    discs = ((rows % 64 - 32) ** 2 + (columns % 64 - 32) ** 2 < 150) * 3000
    random = np.random.default_rng(0)
    for number in range(0, slices, -(-slices // STORED)):
        array[number] = (discs + random.integers(0, 400, (side, side))).astype(np.uint16)


def watched(command: list[str], seconds: float) -> tuple[float, float, int, str]:
    """Run a command, interrupt it after a while: seconds until then and to its end, most bytes in memory, its words."""
    began = time.monotonic()
    most = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        known = psutil.Process(process.pid)
        while process.poll() is None and time.monotonic() - began < seconds:
            try:
                most = max(most, known.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
        stopped = time.monotonic()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        words, _ = process.communicate()
    return stopped - began, time.monotonic() - stopped, most, words


def finished(part: Path) -> int:
    """Slices of an unfinished store."""
    return sum(1 for _ in part.glob("0/c/*/0/0"))


def cancelled(command: list[str], part: Path, random: np.random.Generator) -> tuple[float, float]:
    """Start a run, press Ctrl+C at a random moment after its next slice is finished.

    Returns
    -------
    tuple of float
        Seconds until it has ended, and those that the processor worked for it meanwhile.
    """
    before = finished(part)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while finished(part) == before and process.poll() is None:
            time.sleep(0.1)
        time.sleep(random.uniform(0, 3))
        taken = sum(psutil.Process(process.pid).cpu_times()[:2])
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return time.monotonic() - pressed, usage.ru_utime + usage.ru_stime - taken


def whole(command: list[str], part: Path, slices: int) -> dict[str, float]:
    """Memory in MB when a tenth, half and all of the slices of a run are finished, and at most; its seconds."""
    began = time.monotonic()
    shares = [0.1, 0.5, 1.0]
    found: dict[str, float] = {}
    most = latest = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        known = psutil.Process(process.pid)
        while process.poll() is None:
            latest = known.memory_info().rss or latest  # none once it has ended
            most = max(most, latest)
            done = finished(part) / slices
            while shares and done >= shares[0]:
                found[f"mb_at_{shares.pop(0):.0%}"] = latest // 10**6
            time.sleep(0.2)
    return {**found, "mb_at_end": latest // 10**6, "peak_mb": most // 10**6, "seconds": time.monotonic() - began}


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--model", default="litenext-nuclei")
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--cancels", type=int, default=0)
    parser.add_argument("--whole", action="store_true")
    args = parser.parse_args()
    size = f"{args.slices}-{args.side}"
    source, target = args.folder / f"in-{size}.ome.zarr", args.folder / f"out-{size}.ome.zarr"
    part = target.with_name(f"{target.name}.part")
    if not source.exists():
        make(source, args.slices, args.side)
    stored = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
    declared = args.slices * args.side**2 * 2
    print(f"declared {declared / 1e9:.1f} GB, on the disk {stored / 1e6:.0f} MB")
    command = [sys.executable, "-m", "napari_medseg.cli", "segment", str(source), "-o", str(target)]
    command += ["--model", args.model, "--no-split-objects"]  # as it was measured
    if args.whole:
        print(json.dumps(whole(command, part, args.slices)))
        return
    if args.cancels:
        random = np.random.default_rng(0)
        for _ in range(args.cancels):
            seconds, processor = cancelled(command, part, random)
            print(json.dumps({"end_s": round(seconds, 2), "processor_s": round(processor, 2)}), flush=True)
        return
    _, _, most, words = watched([sys.executable, "-c", OPEN, str(source)], 600)
    print(f"layer: {words.strip()}, {most / 1e6:.0f} MB")
    for attempt in (1, 2):
        ran, ending, most, _ = watched(command, args.seconds)
        said = {"run": attempt, "seconds": round(ran), "end_s": round(ending, 2), "peak_mb": most // 10**6}
        print(json.dumps({**said, "slices": finished(part)}))


if __name__ == "__main__":
    main()
