"""Does the window stay alive while the Reconstruct dock and the Acceleration study work?

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/recon_window.py

Prints a Markdown table: for every step its time, the time spent in event-loop gaps over 100 ms, and the longest gap.
Simulated k-space of bright discs, 2 slices of 256 x 256, one coil, fourfold undersampled; File > Open has 32 slices of
16 coils, which are computed as they are looked at: the time that all of them would take stands below. What napari
loads for the first layers of a session is not counted.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from event_loop import EventLoop, wait

SIZE = 256
LEARNED = "conditional-swin-mri-dc"


def discs(slices: int) -> np.ndarray:
    """Magnitude images, shape (slices, y, x)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    images = np.zeros((slices, SIZE, SIZE), np.float32)
    for cx, cy, radius, height in rng.uniform((-0.5, -0.5, 0.05, 0.2), (0.5, 0.5, 0.4, 1), (12, 4)):
        images += height * (np.hypot(x - cx, y - cy) < radius)
    return images


def save_kspace(path: Path, slices: int, coils: int) -> None:
    """Simulated raw data as fastMRI stores them, axes slice, coil, y, x."""
    from napari_medseg.recon.simulate import simulate

    kspace = simulate(discs(slices), np.random.default_rng(0))
    with h5py.File(path, "w") as file:
        file["kspace"] = np.repeat(kspace, coils, 1)


def measured(name: str, begin: Callable[[], object], done: Callable[[], object]) -> None:
    """Print the row of a step."""
    with EventLoop() as loop:
        begin()
        wait(done)
    print(
        f"| {name} | {loop.seconds:.1f} s | {100 * loop.in_gaps / loop.seconds:.1f} % | {1000 * loop.longest:.0f} ms |",
        flush=True,
    )


def reconstruct(viewer, path: Path) -> None:
    """Rows of the Reconstruct dock."""
    from napari_medseg.widgets.reconstruct.dock import ReconstructWidget

    dock = ReconstructWidget(viewer)
    form, compare = dock.form, dock.compare
    viewer.window.add_dock_widget(dock, name="Reconstruct")
    wait(lambda: not dock.busy)

    def step(name: str, begin: Callable[[], object]) -> None:
        measured(name, begin, lambda: not dock.busy)

    def choose(box, value: str) -> None:
        box.setCurrentIndex(box.findData(value))

    step("open a file", lambda: dock.open(path))
    step("draw a mask", lambda: choose(form.mask_kind, "random"))
    step("show k-space", lambda: form.view.setChecked(True))
    step("preview TV", lambda: form.preview.setChecked(True))
    form.view.setChecked(False)
    wait(lambda: not dock.busy)
    step("run TV", dock.run)
    choose(form.method, LEARNED)
    wait(lambda: not dock.busy)
    step("load and run the learned method", dock.run)
    step("router map", form.routers.click)
    step("sensitivity, 8 learned reconstructions", form.probe.click)
    for view in ("error", "difference", "ssim"):
        choose(compare.view, view)
        step(f"layers of 2 results: {compare.view.currentText()}", compare.show_view.click)


def study(viewer) -> None:
    """Row of the Acceleration study."""
    from napari_medseg.widgets.study.dock import StudyWidget

    viewer.layers.clear()
    viewer.add_image(discs(2), name="discs")
    dock = StudyWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Acceleration study")
    wait(lambda: not dock.busy)
    dock.form.accelerations.setText("1, 2, 4, 8")
    measured("study of 4 accelerations, plot and table", dock.form.run.click, lambda: not dock.busy)


def file_open(viewer, path: Path) -> float:
    """Row of napari's own Open; returns the seconds that all slices take."""
    viewer.layers.clear()
    measured("File > Open, 32 slices of 16 coils", lambda: viewer.open(path, plugin="napari-medseg"), lambda: True)
    began = time.perf_counter()
    np.asarray(viewer.layers[0].data)
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_MEDSEG_HOME"] = home
        import napari

        small, large = Path(home, "raw.h5"), Path(home, "large.h5")
        save_kspace(small, 2, 1)
        save_kspace(large, 32, 16)
        viewer = napari.Viewer()
        viewer.window.resize(1280, 800)
        for layer in (viewer.add_image(discs(1)), viewer.add_labels(discs(1).astype(np.uint8))):
            layer.refresh()
        print(f"{SIZE} x {SIZE}, on {os.cpu_count()} CPU cores.\n")
        print("| step | time | time in gaps over 100 ms | longest gap |\n|---|---|---|---|", flush=True)
        reconstruct(viewer, small)
        study(viewer)
        seconds = file_open(viewer, large)
        print(f"\nAll slices of the large file: {seconds:.1f} s.")
        viewer.close()


if __name__ == "__main__":
    main()
