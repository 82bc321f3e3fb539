"""The heart that comes with the package: opened, segmented, corrected, reviewed."""

from pathlib import Path

import napari
import numpy as np
from napari.layers import Labels
from picture_window import (
    APICAL_SLICE,
    BASAL_SLICE,
    CAVITY,
    MIDDLE_SLICE,
    drawn_by_experts,
    hover,
    look_at,
    open_dock,
    segmented,
    take,
)
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMainWindow, QMenu
from scipy.ndimage import binary_erosion

ZOOM = 2.2
BRUSH = 7  # pixels
APPROVED = (3, 4, 5, 6)  # slices
LOOK_MS = 4000  # at each of them: the dock estimates the rest from this pace


def heart(viewer: napari.Viewer, folder: Path) -> None:
    """Open, run, look at both ends of the ventricle, correct, approve."""
    window = viewer.window._qt_window
    viewer.open_sample("napari-medseg", "heart")
    look_at(viewer, MIDDLE_SLICE)
    menus = open_sample_menu(window)
    take(window, folder / "open.png")
    for menu in menus:
        menu.close()

    labels = segmented(viewer, "litenext-heart").labels
    look_at(viewer, MIDDLE_SLICE)
    hover(viewer)
    take(window, folder / "run.png")
    look_at(viewer, BASAL_SLICE, ZOOM)
    take(window, folder / "base.png")
    look_at(viewer, APICAL_SLICE, ZOOM)
    take(window, folder / "apex.png")

    review = open_dock(viewer, "Review")
    look_at(viewer, APICAL_SLICE, ZOOM)
    correct(labels)
    hover(viewer)
    take(window, folder / "correct.png")
    labels.mode = "pan_zoom"
    for index in APPROVED:
        look_at(viewer, index)
        QTest.qWait(LOOK_MS)
        review.form.approve.click()
        QTest.qWait(300)
    viewer.reset_view()
    take(window, folder / "review.png")


def open_sample_menu(window: QMainWindow) -> list[QMenu]:
    """Open File > Open Sample > napari-medseg, with the heart under the pointer."""
    bar = window.menuBar()
    opened = []
    actions = bar.actions()
    place = bar.mapToGlobal(QPoint(bar.actionGeometry(actions[0]).left(), bar.height()))
    for title in ("File", "Open Sample", "napari-medseg"):
        action = next(action for action in actions if title in action.text().replace("&", ""))
        if opened:
            opened[-1].setActiveAction(action)
            geometry = opened[-1].actionGeometry(action)
            place = opened[-1].mapToGlobal(geometry.topRight())
        menu = action.menu()
        menu.popup(place)
        QTest.qWait(300)
        opened.append(menu)
        actions = menu.actions()
    entry = next(action for action in actions if "Heart" in action.text())
    opened[-1].setActiveAction(entry)
    return opened


def correct(labels: Labels) -> None:
    """Paint the apical cavity as the experts of the sample drew it, with the round brush."""
    right = drawn_by_experts()[APICAL_SLICE] == CAVITY
    labels.selected_label = CAVITY
    labels.brush_size = BRUSH
    labels.mode = "paint"
    for y, x in np.argwhere(binary_erosion(right, iterations=BRUSH // 2)):
        labels.paint((APICAL_SLICE, y, x), CAVITY)
