"""How long does the first Run take after the Segment dock was opened, and does the window stay alive meanwhile?

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/first_run.py [--rounds 3]

Opens the dock from the menu with a small image, waits, presses Run, and stops when the first labels are drawn.
Each round runs in a process of its own, in turn: with what the dock imports while nobody waits (``warm``), with Run
pressed as soon as the models are listed (``at once``), and with those imports left to the run (``cold``). Prints a
Markdown table of medians, from Run to the first labels: seconds, their range, and CPU seconds of the process, which
other programs disturb less; and the longest gap of the event loop between opening the dock and Run, and after Run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from event_loop import EventLoop, wait

FORMS = ("warm", "at once", "cold")
_IDLE = 10.0  # seconds after opening the dock; imports have ended then
_STILL = 1.0  # seconds between the window and the dock


def without_imports(name: str) -> None:
    """Have the shelf read its cards without importing PyTorch, as if nothing were imported ahead."""
    from napari_medseg import models
    from napari_medseg.progress import Job, Progress
    from napari_medseg.widgets.kit.shelf import Shelf

    def read_job(self: Shelf) -> Job[None]:
        yield Progress(0, 1)
        self.devices = {"cuda": False, "mps": False}
        self.cards = {name: models.load_card(models.find(name))}

    Shelf.read_job = read_job


def let_live(seconds: float) -> None:
    """Let the window live that long."""
    end = time.perf_counter() + seconds
    wait(lambda: time.perf_counter() > end)


def window(form: str, home: Path) -> None:
    """Print the figures of one round as JSON."""
    name = save_elsewhere(home)
    import napari
    from qtpy.QtCore import QTimer

    from napari_medseg.widgets.segment.dock import SegmentWidget

    if form == "cold":
        without_imports(name)
        SegmentWidget._start_plan = lambda self: None  # the plan would import it too
    viewer = napari.Viewer()
    viewer.add_image(np.random.default_rng(0).integers(0, 4096, (12, 128, 128), np.uint16), name="scan")
    let_live(_STILL)
    assert "torch" not in sys.modules
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    with EventLoop() as opening:
        wait(lambda: dock.form.model.count() and (form == "at once" or not dock.busy))
        dock.form.model.setCurrentText(name)
        if form != "at once":
            let_live(_IDLE)
    assert ("torch" in sys.modules) == (form != "cold")
    drawn: list[float] = []
    viewer.layers.events.inserted.connect(lambda _: QTimer.singleShot(0, lambda: drawn.append(time.perf_counter())))
    before = time.process_time()
    with EventLoop() as running:
        dock.run()
        wait(lambda: drawn)
    cpu = time.process_time() - before
    wait(lambda: dock.labels is not None)
    gaps = {"gap before": opening.longest, "gap after": running.longest}
    print(json.dumps({"seconds": drawn[0] - running.began, "cpu": cpu, **gaps}))
    viewer.close()


def save_elsewhere(home: Path) -> str:
    """Put an untrained network among the user's models, by another process: this one must not import PyTorch yet."""
    program = "import sys, pathlib, event_loop; print(event_loop.save_model(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", program, str(home)]
    found = subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True)
    return found.stdout.strip()


def rounds(number: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Every form in turn, each in a process of its own."""
    for _ in range(number):
        for form in FORMS:
            command = [sys.executable, __file__, "--form", form]
            found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            yield form, json.loads(found.splitlines()[-1])


def row(form: str, found: list[dict[str, float]]) -> str:
    """A row of the table: medians of all rounds."""
    middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
    seconds = [each["seconds"] for each in found]
    extremes = f"{min(seconds):.2f} to {max(seconds):.2f} s"
    gaps = f"{1000 * middle['gap before']:.0f} ms | {1000 * middle['gap after']:.0f} ms"
    return f"| {form} | {middle['seconds']:.2f} s | {extremes} | {middle['cpu']:.2f} s | {gaps} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form", choices=FORMS, help="one round of this form, as JSON")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.form:
        with tempfile.TemporaryDirectory() as home:
            os.environ["NAPARI_MEDSEG_HOME"] = home
            window(options.form, Path(home))
        return
    measured: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
    for form, figures in rounds(options.rounds):
        measured[form].append(figures)
    print(
        "| form | Run to first labels | range | CPU | longest gap before Run | after Run |\n|---|---|---|---|---|---|"
    )
    for form, found in measured.items():
        print(row(form, found))


if __name__ == "__main__":
    main()
