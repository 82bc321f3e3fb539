"""``make demo``: open the bundled heart volume, press Run in the Segment dock, show the labels.

With ``--output FOLDER`` the window closes by itself and leaves ``labels.nii.gz`` and ``screenshot.png`` there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from .. import io
from ..errors import JobError, MedsegError
from ..volume import Volume
from .kit import layer_volumes
from .segment.dock import SegmentWidget

_PATIENCE_SECONDS = 300


def main(arguments: list[str] | None = None) -> None:
    """Run the demo; without ``--output`` until the person closes the window."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="save there and close instead of staying open")
    output = parser.parse_args(arguments).output
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.open_sample("napari-medseg", "heart")
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    _wait_until(lambda: not dock.busy)
    dock.form.model.setCurrentIndex(dock.form.model.findData("litenext-heart"))  # the person may prefer another one
    _wait_until(lambda: not dock.busy)
    dock.form.run.click()
    if output is None:
        napari.run()
    else:
        _wait_until(lambda: not dock.busy)
        _save(viewer, dock, output)
        viewer.close()


def table(labels: Volume) -> str:
    """Voxels and millilitres of every class of `labels`, as lines of text."""
    voxel_ml = labels.voxel_size / 1000
    lines = [f"{'class':<28}{'voxels':>10}{'volume (ml)':>14}"]
    for row in labels.classes:
        voxels = int(np.count_nonzero(labels.data == row.id))
        lines.append(f"{row.name:<28}{voxels:>10}{voxels * voxel_ml:>14.1f}")
    return "\n".join(lines)


def _save(viewer: napari.Viewer, dock: SegmentWidget, folder: Path) -> None:
    if dock.labels is None:
        raise JobError(f"The demo made no labels. The Segment form says: {dock.form.status.text()}")
    image = dock.form.image.currentData()
    labels = layer_volumes.labels_volume(dock.labels, image, dock.form.axes.currentData())
    folder.mkdir(parents=True, exist_ok=True)
    io.write(labels, folder / "labels.nii.gz")
    _close_notes()
    viewer.screenshot(str(folder / "screenshot.png"), canvas_only=False, flash=False)
    sys.stdout.write(f"{table(labels)}\nSaved labels.nii.gz and screenshot.png in {folder.resolve()}\n")


def _close_notes() -> None:
    """Close napari's notes, such as the one about PyQt5: in a virtual display they do not vanish by themselves."""
    for widget in QApplication.allWidgets():
        if type(widget).__name__ == "NapariQtNotification":
            widget.close()
    QApplication.processEvents()


def _wait_until(condition: Callable[[], bool]) -> None:
    """Keep the window alive until `condition` holds."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise JobError(f"The demo made no progress for {_PATIENCE_SECONDS} s. Close other programs and try again.")
        QApplication.processEvents()
        time.sleep(0.02)  # leaves the processor to the job


if __name__ == "__main__":
    try:
        main()
    except MedsegError as error:
        sys.exit(str(error))
