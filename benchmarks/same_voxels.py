"""Does the Segment form give the voxels that the command line gives?

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/same_voxels.py MODEL IMAGE [IMAGE ...] [--shots FOLDER]

Opens each image in a real window, presses Run, saves the labels, does the same with ``napari-medseg segment`` and
compares voxels and affine. With ``--shots`` it leaves a screenshot of each window.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import napari
import numpy as np

import napari_medseg
from napari_medseg.volume import Volume
from napari_medseg.widgets.demo import _close_notes, _wait_until
from napari_medseg.widgets.kit import layer_volumes


def in_the_window(image: Path, model: str, target: Path, shot: Path | None) -> Volume:
    """Labels as the form makes and saves them."""
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.open(str(image), plugin="napari-medseg")
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    _wait_until(lambda: not dock.busy)
    dock.form.model.setCurrentIndex(dock.form.model.findData(model))
    _wait_until(lambda: not dock.busy)
    dock.form.run.click()
    _wait_until(lambda: not dock.busy)
    labels = layer_volumes.labels_volume(dock.labels, dock.form.image.currentData(), dock.form.axes.currentData())
    napari_medseg.write(labels, target)
    if shot is not None:
        _show_largest(viewer, np.asarray(labels.data))
        viewer.screenshot(str(shot), canvas_only=False, flash=False)
    viewer.close()
    return napari_medseg.read(target)


def _show_largest(viewer: napari.Viewer, labels: np.ndarray) -> None:
    """Scroll to the slice with the most labels."""
    if labels.ndim > 2:
        sizes = np.count_nonzero(labels, axis=(-2, -1))
        viewer.dims.current_step = (*np.unravel_index(sizes.argmax(), sizes.shape), 0, 0)
    _close_notes()


def on_the_command_line(image: Path, model: str, target: Path) -> Volume:
    """Labels as ``napari-medseg segment`` writes them."""
    command = ["segment", str(image), "-o", str(target), "--model", model]
    subprocess.run([sys.executable, "-m", "napari_medseg.cli", *command], check=True, capture_output=True)
    return napari_medseg.read(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--shots", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    print("| image | model | voxels | labelled | different | affine off by |\n|---|---|---:|---:|---:|---:|")
    for image in given.images:
        shot = given.shots and given.shots / f"{given.model}_{image.name.split('.')[0]}.png"
        with tempfile.TemporaryDirectory() as folder:
            ours = in_the_window(image, given.model, Path(folder, "window.nii.gz"), shot)
            theirs = on_the_command_line(image, given.model, Path(folder, "command.nii.gz"))
            a, b = np.asarray(ours.data), np.asarray(theirs.data)
            off = np.abs(ours.affine - theirs.affine).max()
            print(f"| {image.name} | {given.model} | {a.size} | {(a > 0).sum()} | {(a != b).sum()} | {off:.1g} |")


if __name__ == "__main__":
    main()
