"""The Acceleration study dock: what undersampling does to the labels of a heart."""

from pathlib import Path

import napari
from picture_window import MIDDLE_SLICE, choose, look_at, open_dock, take, wait_for

ACCELERATIONS = "1, 2, 4, 6, 8, 12"


def study(viewer: napari.Viewer, folder: Path) -> None:
    """A study of the bundled heart with some of the accelerations that the form proposes."""
    viewer.open_sample("napari-medseg", "heart")
    dock = open_dock(viewer, "Acceleration study")
    choose(dock.form.model, "litenext-heart")
    dock.form.accelerations.setText(ACCELERATIONS)
    dock.form.run.click()
    wait_for(dock)
    look_at(viewer, MIDDLE_SLICE)
    take(viewer.window._qt_window, folder / "study.png")
