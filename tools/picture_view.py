"""The View dock: a CT as a radiologist views it, and the letters of an oblique heart."""

from pathlib import Path

import napari
from picture_window import MIDDLE_SLICE, look_at, open_dock, segmented, take


def standing(viewer: napari.Viewer, folder: Path) -> None:
    """A CT on its feet."""
    image, given = viewer.open_sample("napari-medseg", "ct")
    viewer.layers.remove(given)
    viewer.layers.selection = {image}
    dock = open_dock(viewer, "View")
    dock.form.axial.click()
    dock.form.soft_tissue.click()
    take(viewer.window._qt_window, folder / "view.png")


def oblique(viewer: napari.Viewer, folder: Path) -> None:
    """Letters of an oblique scan, and what the colours of its uncertainty stand for."""
    viewer.open_sample("napari-medseg", "heart")
    segmented(viewer, "litenext-heart", "uncertainty")
    look_at(viewer, MIDDLE_SLICE)
    open_dock(viewer, "View")
    viewer.layers.selection.active = viewer.layers[1]
    take(viewer.window._qt_window, folder / "view_oblique.png")
