"""Does the window stay alive while a whole volume is segmented, and how much memory does that take?

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/event_loop.py

Prints a Markdown table: share of the run's time spent in event-loop gaps over 100 ms, the time from the start of the
run (model loaded) until the first labelled slice is drawn, and the peak of extra memory beyond image and labels, in a
window and without one. Each part runs in a process of its own, on noise and with an untrained network, which cost
what real ones cost.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

GAP = 0.1  # seconds; shorter ones are not felt
BEAT_MS = 10


class PeakMemory:
    """Highest resident memory of this process while the block runs, sampled by a thread, in bytes."""

    def __enter__(self) -> PeakMemory:
        self._process = psutil.Process()
        self.start = self.peak = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def extra_mb(self, labels: int) -> float:
        """Peak beyond the start and beyond `labels` bytes."""
        return (self.peak - self.start - labels) / 1e6


class EventLoop:
    """Gaps of the event loop while the block runs, in seconds; a timer beats every 10 ms where nothing hinders it."""

    def __enter__(self) -> EventLoop:
        from qtpy.QtCore import QTimer

        self._beats: list[float] = []
        self._timer = QTimer()
        self._timer.timeout.connect(lambda: self._beats.append(time.perf_counter()))
        self._timer.start(BEAT_MS)
        self.began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        ended = time.perf_counter()
        self._timer.stop()
        self.seconds = ended - self.began
        gaps = np.diff([self.began, *self._beats, ended])
        self.longest, self.in_gaps = gaps.max(), gaps[gaps > GAP].sum()


def wait(ready: Callable[[], object]) -> None:
    """Let the window live until `ready`."""
    from qtpy.QtWidgets import QApplication

    while not ready():
        QApplication.processEvents()
        time.sleep(0.005)


def volume_data(slices: int, size: int) -> np.ndarray:
    """Noise, shape (slices, size, size), as 16-bit scanners store it."""
    return np.random.default_rng(0).integers(0, 4096, (slices, size, size), np.uint16)


def save_model(home: Path) -> str:
    """Put an untrained LiteNeXt among the user's models in `home`; returns its name."""
    from napari_medseg import models
    from napari_medseg.preprocess import Preprocess
    from napari_medseg.volume import LabelClass

    (home / "models").mkdir()
    card = models.ModelCard("benchmark", "litenext", Preprocess(), (LabelClass(1, "noise", "#e64b35"),))
    models.save(home / "models" / "benchmark.safetensors", models.build("litenext"), card)
    return card.name


def headless(slices: int, size: int, home: Path) -> None:
    """Print the row of a run through `napari_medseg.segment`."""
    data = volume_data(slices, size)
    with PeakMemory() as whole:
        import napari_medseg
        from napari_medseg import models
        from napari_medseg.segmentation import inference

        model = models.load(models.find(save_model(home)))
        volume = napari_medseg.Volume(data, "zyx")
        inference.plan(volume, model, inference.InferenceSettings())
        with PeakMemory() as run:
            began = time.perf_counter()
            result = napari_medseg.segment(volume, model)
            seconds = time.perf_counter() - began
    labels = result.labels.data.nbytes
    print(
        f"| headless | {seconds:.1f} s | | | | {run.extra_mb(labels):.0f} MB | {whole.extra_mb(labels):.0f} MB |",
        flush=True,
    )


def window(slices: int, size: int, home: Path) -> None:
    """Print the row of a run through the Segment dock."""
    data = volume_data(slices, size)
    with PeakMemory() as whole:
        import napari
        from qtpy.QtCore import QEventLoop, QTimer
        from qtpy.QtWidgets import QApplication

        from napari_medseg.widgets.segment.dock import SegmentWidget

        name = save_model(home)
        viewer = napari.Viewer()
        viewer.window.resize(1280, 800)
        viewer.add_image(data, name="volume")
        dock = SegmentWidget(viewer)
        viewer.window.add_dock_widget(dock, name="Segment")
        wait(lambda: dock.form.model.count() and not dock.busy)
        dock.form.model.setCurrentText(name)
        wait(lambda: dock.form.plan.text() and not dock.busy)

        first: list[float] = []
        viewer.layers.events.inserted.connect(lambda _: QTimer.singleShot(0, lambda: first.append(time.perf_counter())))
        with PeakMemory() as run, EventLoop() as loop:
            dock.run()
            while dock.labels is None:
                QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        labels = dock.labels.data.nbytes
    print(
        f"| window | {loop.seconds:.1f} s | {first[0] - loop.began:.2f} s | {100 * loop.in_gaps / loop.seconds:.2f} % "
        f"| {1000 * loop.longest:.0f} ms | {run.extra_mb(labels):.0f} MB | {whole.extra_mb(labels):.0f} MB |",
        flush=True,
    )
    viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("window", "headless"), help="default: both")
    parser.add_argument("--slices", type=int, default=160)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_MEDSEG_HOME"] = home
        if options.part:
            part = {"window": window, "headless": headless}[options.part]
            part(options.slices, options.size, Path(home))
            return
    print(f"Volume {options.slices} x {options.size} x {options.size}, uint16, on {os.cpu_count()} CPU cores.\n")
    print(
        "| run | time | first labels shown | time in gaps over 100 ms | longest gap | extra memory of the run "
        "| with imports, model and window |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for part in ("window", "headless"):
        size = ["--slices", str(options.slices), "--size", str(options.size)]
        subprocess.run([sys.executable, __file__, part, *size], check=True)


if __name__ == "__main__":
    main()
