"""Does the window stay alive while a model is fine-tuned?

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/fine_tune_window.py [--seconds 60]

The heart sample, its labels as a person's, `litenext-heart`, trained by the Fine-tune dock in its child process while
slices are scrolled through. Prints a Markdown table: time, share of it in event-loop gaps over 100 ms, longest gap;
and how long a step of the training took, beside the same training without a window.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from event_loop import EventLoop, wait


def seconds_per_step(folder: Path) -> float:
    """Median over the parts of the log, validations counted."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    parts = [(b["time"] - a["time"]) / (b["step"] - a["step"]) for a, b in itertools.pairwise(lines)]
    return sorted(parts)[len(parts) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    wanted = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_MEDSEG_HOME"] = home
        import napari

        from napari_medseg.widgets.fine_tune.dock import FineTuneWidget
        from napari_medseg.widgets.kit.tuning import command, runs_folder, training

        viewer = napari.Viewer()
        viewer.window.resize(1280, 900)
        viewer.open_sample("napari-medseg", "heart")
        image = viewer.layers[0]
        drawn = image.data > image.data.mean() * 3
        viewer.add_labels(drawn, name="drawn", scale=image.scale, translate=image.translate, units=image.units)
        dock = FineTuneWidget(viewer)
        viewer.window.add_dock_widget(dock, name="Fine-tune")
        wait(lambda: dock.form.model.count() and not dock.busy)
        dock.form.model.setCurrentText("litenext-heart")
        dock.form.reviewed.setText("1-9")
        dock.form.time.setCurrentIndex(dock.form.time.findData(wanted))
        wait(lambda: dock.form.start.isEnabled() and not dock.busy)
        print(dock.form.plan.text().replace("\n", " "), end="\n\n")
        slices = itertools.cycle(range(12))
        print("| part | time | time in gaps over 100 ms | longest gap |\n|---|---:|---:|---:|")

        def measure(name: str, ready, scrolling: bool = True) -> None:
            shown = time.perf_counter()
            with EventLoop() as loop:

                def scroll() -> bool:
                    nonlocal shown
                    if scrolling and time.perf_counter() - shown > 0.2:
                        shown = time.perf_counter()
                        viewer.dims.set_current_step(0, next(slices))
                    return ready()

                wait(scroll)
            share = 100 * loop.in_gaps / loop.seconds
            print(f"| {name} | {loop.seconds:.1f} s | {share:.1f} % | {1000 * loop.longest:.0f} ms |", flush=True)

        began = time.perf_counter()
        measure("scrolling alone", lambda: time.perf_counter() - began > 10)
        dock.form.start.click()
        # a start waits for a pause in the scrolling: the slice in view is looked at again
        measure("starting", lambda: training().run is not None and len(training().run.lines) >= 1, scrolling=False)
        run = training().run
        measure("training", lambda: not training().running)
        measure("comparing", lambda: dock.comparison is not None and not dock.busy)
        beside = seconds_per_step(run.folder)
        alone = runs_folder() / "alone"
        run.folder.rename(alone)
        for name in ("last.pt", "log.jsonl"):
            (alone / name).unlink()
        subprocess.run(command(alone, False), check=True, capture_output=True, stdin=subprocess.DEVNULL)
        print(f"\nA step took {beside:.2f} s next to the window and {seconds_per_step(alone):.2f} s without one.")
        viewer.close()


if __name__ == "__main__":
    main()
