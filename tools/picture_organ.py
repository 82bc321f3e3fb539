"""An organ that no model knows, drawn on every fifth slice: what *Interpolate* draws in between."""

from pathlib import Path

import napari
import numpy as np
from picture_window import choose, open_dock, scroll_to, take, wait_for
from qtpy.QtTest import QTest

import napari_medseg
from napari_medseg import samples

STEP = 5  # slices from one outline to the next
BETWEEN = 2  # slices from an outline to the one in the picture


def organ(viewer: napari.Viewer, folder: Path) -> None:
    """The preview of Interpolate over the liver of the bundled CT, as a person would have outlined it."""
    image, given = viewer.open_sample("napari-medseg", "ct")
    viewer.layers.remove(given)
    QTest.qWait(500)  # napari 0.9 crashes where layers are added before it has drawn that others are gone
    drawn, first = outlines()
    labels = viewer.add_labels(drawn, name=f"{image.name} liver", scale=image.scale, translate=image.translate)
    view = open_dock(viewer, "View")
    view.form.liver.click()
    view.form.axial.click()
    review = open_dock(viewer, "Review")
    viewer.layers.selection = {labels}
    viewer.dims.set_current_step(0, first + BETWEEN)
    tools = review.form.tools
    tools.palette_table.item(0, 0).setText("liver")
    choose(tools.tool, "interpolate")
    tools.preview.click()
    wait_for(review)
    scroll_to(tools.apply)
    take(viewer.window._qt_window, folder / "organ.png")


def outlines() -> tuple[np.ndarray, int]:
    """The liver on every fifth slice, (z, y, x) uint8, and the first of these slices that lies in its middle."""
    organs = napari_medseg.read(samples.path("totalseg_ct_label.nii.gz"))
    number = next(row.id for row in organs.classes if row.name == "liver")
    liver = np.asarray(organs.data) == number
    drawn = np.zeros(liver.shape, np.uint8)
    drawn[::STEP] = liver[::STEP]
    largest = int(liver.sum(axis=(1, 2)).argmax())
    return drawn, min(largest // STEP * STEP, len(liver) - 2 * STEP)
