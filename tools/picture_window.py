"""What the scripts that take pictures share: a window of 1280 x 800 pixels, docks of the menu, files of few colours."""

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from napari.layers import Image
from PIL import Image as Picture
from qtpy.QtCore import QPoint
from qtpy.QtGui import QPainter
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QMenu, QMessageBox, QScrollArea, QWidget

import napari_medseg
from napari_medseg import samples
from napari_medseg.widgets.demo import _close_notes
from napari_medseg.widgets.kit.dock import Dock

WIDTH, HEIGHT = 1280, 800
HEART = "sunnybrook_SC-HF-I-01_ED.nii.gz"
HEART_BY_EXPERTS = "sunnybrook_SC-HF-I-01_ED_label.nii.gz"
MIDDLE_SLICE = 5  # of the heart
APICAL_SLICE = 1  # slice 0 shows the tip
BASAL_SLICE = 9
CAVITY = 1
COLOURS = (224, 128, 64, 32)  # of a picture: the most with which it is small enough
LARGEST = 150_000  # bytes: the repository keeps every version of a picture for ever
LOG = logging.getLogger("pictures")
PATIENCE_SECONDS = 900  # other programs may keep the computer busy


def new_window() -> napari.Viewer:
    """A window of napari as large as the pictures."""
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window._qt_window.move(0, 0)
    viewer.window.resize(WIDTH, HEIGHT)
    return viewer


def open_dock(viewer: napari.Viewer, name: str) -> Dock:
    """A dock, opened as the menu does it."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", name)
    QTest.qWait(300)
    wait_for(dock)
    return dock


def wait_for(dock: Dock) -> None:
    """Wait until a dock has done what it was asked for."""
    wait_until(lambda: not dock.busy)


def wait_until(condition: Callable[[], bool]) -> None:
    """Keep the window alive until `condition` holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"The window was busy for {PATIENCE_SECONDS} s. Close other programs and try again.")
        QTest.qWait(20)  # leaves the processor to the job


def choose(box: QComboBox, value: object) -> None:
    """Choose an entry of a list."""
    box.setCurrentIndex(box.findData(value))
    QTest.qWait(200)


def answer_yes() -> None:
    """Answer the question that is open, if there is one."""
    question = QApplication.activeModalWidget()
    if isinstance(question, QMessageBox):
        LOG.info("%s", question.text())
        question.button(QMessageBox.StandardButton.Yes).click()


def segmented(viewer: napari.Viewer, model: str, *ticked: str) -> Dock:
    """The Segment dock after a run of `model` on the image that is there, with these boxes alone ticked."""
    dock = open_dock(viewer, "Segment")
    choose(dock.form.model, model)
    wait_for(dock)
    for name in ("split", "uncertainty"):
        getattr(dock.form, name).setChecked(name in ticked)
    wait_for(dock)
    dock.form.run.click()
    wait_for(dock)
    return dock


def drawn_by_experts() -> np.ndarray:
    """Labels of the heart, (z, y, x): 1 is the cavity, 2 the myocardium."""
    return np.asarray(napari_medseg.read(samples.path(HEART_BY_EXPERTS)).data)


def look_at(viewer: napari.Viewer, index: int, zoom: float = 1.0) -> None:
    """Show slice `index` of the heart, with the ventricle in the middle where `zoom` is above 1."""
    viewer.dims.set_current_step(0, index)
    viewer.reset_view()
    QTest.qWait(300)
    image = next(layer for layer in viewer.layers if isinstance(layer, Image))
    if zoom > 1:
        middle = np.argwhere(drawn_by_experts()[index] == CAVITY).mean(axis=0)
        viewer.scene.camera.center = tuple(image.data_to_world((index, *middle)))
        viewer.scene.camera.zoom *= zoom


def hover(viewer: napari.Viewer) -> None:
    """Move the pointer over the canvas, so that napari draws the brush and says what is there."""
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.mouse_over_canvas = True
    edge = canvas.rect().center() + QPoint(20, 45)
    for step in range(5):
        QTest.mouseMove(canvas, edge + QPoint(step, 0))
        QTest.qWait(100)


def scroll_to(control: QWidget) -> None:
    """Scroll the form of a control so that it is in view."""
    around = control.parentWidget()
    while around is not None and not isinstance(around, QScrollArea):
        around = around.parentWidget()
    if around is not None:
        around.ensureWidgetVisible(control)


def take(widget: QWidget, path: Path) -> None:
    """Save a picture of a window and of the menus that are open over it, with few colours so that the file is small."""
    QTest.qWait(1500)
    _close_notes()
    QTest.qWait(500)
    picture = widget.grab()
    painter = QPainter(picture)
    origin = widget.mapToGlobal(QPoint(0, 0))
    for menu in QApplication.topLevelWidgets():
        if isinstance(menu, QMenu) and menu.isVisible():
            painter.drawPixmap(menu.mapToGlobal(QPoint(0, 0)) - origin, menu.grab())
    painter.end()
    picture.save(str(path), "PNG")
    make_small(path)


def make_small(path: Path) -> None:
    """Save a picture again with few colours."""
    whole = Picture.open(path).convert("RGB")
    for count in COLOURS:
        whole.quantize(count, Picture.Quantize.MAXCOVERAGE, kmeans=5).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            return
