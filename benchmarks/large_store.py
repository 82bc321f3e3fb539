"""A store that declares 42 GB: opened, segmented into another store for a while, cancelled, and taken up again.

``python benchmarks/large_store.py FOLDER [--seconds 120]`` writes a sparse store there (some slices hold an image, of
the others no file exists) and prints seconds, slices and the most memory that each step took.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import zarr

SHAPE = (5000, 2048, 2048)
EVERY = 50  # slices
CHUNK = 1024

OPEN = """
import sys, time
began = time.perf_counter()
from napari_medseg.io.contributions import get_reader
((data, options, kind),) = get_reader(sys.argv[1])(sys.argv[1])
print(f"{time.perf_counter() - began:.1f} s, contrast {options['contrast_limits']}")
"""


def make(path: Path) -> None:
    """A store of which every fiftieth slice is there."""
    group = zarr.create_group(path, zarr_format=3)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    steps = [{"type": "scale", "scale": [1.0, 0.3, 0.3]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    array = group.create_array("0", shape=SHAPE, chunks=(1, CHUNK, CHUNK), dtype=np.uint16)
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    discs = ((rows % 64 - 32) ** 2 + (columns % 64 - 32) ** 2 < 150) * 3000
    random = np.random.default_rng(0)
    for number in range(0, SHAPE[0], EVERY):
        array[number] = (discs + random.integers(0, 400, SHAPE[1:])).astype(np.uint16)


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
    return sum(len(list(folder.rglob("*"))) == 6 for folder in part.glob("0/c/*"))


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--model", default="litenext-nuclei")
    args = parser.parse_args()
    source, target = args.folder / "in.ome.zarr", args.folder / "out.ome.zarr"
    if not source.exists():
        make(source)
    stored = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
    print(f"declared {np.prod(SHAPE) * 2 / 1e9:.1f} GB, on the disk {stored / 1e6:.0f} MB")
    _, _, most, words = watched([sys.executable, "-c", OPEN, str(source)], 600)
    print(f"layer: {words.strip()}, {most / 1e6:.0f} MB")
    command = [sys.executable, "-m", "napari_medseg.cli", "segment", str(source), "-o", str(target)]
    command += ["--model", args.model]
    for attempt in (1, 2):
        ran, ending, most, _ = watched(command, args.seconds)
        count = finished(target.with_name(f"{target.name}.part"))
        said = {"run": attempt, "seconds": round(ran), "end_s": round(ending, 2), "peak_mb": most // 10**6}
        print(json.dumps({**said, "slices": count}))


if __name__ == "__main__":
    main()
