"""Take the picture of an organ that no model knows, drawn on every fifth slice, in a real napari window.

``xvfb-run -a -s "-screen 0 1600x1000x24" python tools/picture_organ.py docs`` opens the bundled CT, puts the liver of
its labels on every fifth slice, as a person would outline it, and previews what *Interpolate* draws in between, as
``organ.png``.
"""

import argparse
from pathlib import Path

import napari
import numpy as np
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

import napari_medseg
from napari_medseg import samples
from napari_medseg.widgets.demo import _close_notes, _wait_until

WIDTH, HEIGHT = 1280, 800
STEP = 5  # slices from one outline to the next
BETWEEN = 2  # slices from an outline to the one in the picture


def main() -> None:
    """Write the picture into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window._qt_window.resize(WIDTH, HEIGHT)
    (image,) = viewer.open(samples.path("totalseg_ct.nii.gz"), plugin="napari-medseg")
    image.name = "CT"
    drawn, first = outlines()
    labels = viewer.add_labels(drawn, name="CT liver", scale=image.scale, translate=image.translate)
    view = opened(viewer, "View")
    view.form.liver.click()
    view.form.axial.click()
    review = opened(viewer, "Review")
    viewer.layers.selection = {labels}
    viewer.dims.set_current_step(0, first + BETWEEN)
    tools = review.form.tools
    tools.tool.setCurrentIndex(tools.tool.findData("interpolate"))
    QTest.qWait(300)
    tools.preview.click()
    _wait_until(lambda: not review.busy)
    QTest.qWait(1500)
    _close_notes()
    QTest.qWait(500)
    viewer.window._qt_window.grab().save(str(folder / "organ.png"), "PNG")
    viewer.close()


def outlines() -> tuple[np.ndarray, int]:
    """The liver on every fifth slice, (z, y, x) uint8, and the first of these slices that lies in its middle."""
    organs = napari_medseg.read(samples.path("totalseg_ct_label.nii.gz"))
    number = next(row.id for row in organs.classes if row.name == "liver")
    liver = np.asarray(organs.data) == number
    drawn = np.zeros(liver.shape, np.uint8)
    drawn[::STEP] = liver[::STEP]
    largest = int(liver.sum(axis=(1, 2)).argmax())
    return drawn, min(largest // STEP * STEP, len(liver) - 2 * STEP)


def opened(viewer: napari.Viewer, name: str) -> QWidget:
    """A dock, opened as the menu does it."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", name)
    QTest.qWait(300)
    _wait_until(lambda: not dock.busy)
    return dock


if __name__ == "__main__":
    application = QApplication.instance() or QApplication([])
    main()
