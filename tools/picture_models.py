"""What the models for nuclei and for the hippocampus find in the samples."""

from pathlib import Path

import napari
import numpy as np
from picture_window import segmented, take

LOWER = 100  # pixels: below the colour bar


def nuclei(viewer: napari.Viewer, folder: Path) -> None:
    """Objects of stained tissue, numbered one by one, and where the model was undecided."""
    viewer.open_sample("napari-medseg", "stained_nuclei")
    segmented(viewer, "litenext-nuclei", "split", "uncertainty")
    viewer.reset_view()
    y, x = viewer.scene.camera.center[-2:]
    viewer.scene.camera.center = (0, y - LOWER / viewer.scene.camera.zoom, x)
    take(viewer.window._qt_window, folder / "nuclei.png")


def hippocampus(viewer: napari.Viewer, folder: Path) -> None:
    """Both parts of the hippocampus."""
    viewer.open_sample("napari-medseg", "hippocampus")
    dock = segmented(viewer, "litenext-hippocampus")
    filled = np.flatnonzero(np.asarray(dock.labels.data).any(axis=(1, 2)))
    viewer.dims.set_current_step(0, int(np.median(filled)))
    viewer.reset_view()
    take(viewer.window._qt_window, folder / "hippocampus.png")
