"""Walk through Review as a new annotator, in a real napari window, and take pictures of it.

``xvfb-run -a -s "-screen 0 1600x1000x24" python tools/walk_review.py docs`` opens the bundled heart, runs
``litenext-heart``, reviews all twelve slices, saves, closes the window, opens both files in another one, where the
strip must be as it was, measures and fine-tunes, and writes ``walk_*.png`` of 1280 x 800 pixels on the way. The person
is a scripted one who knows what the experts of the sample drew, and works with mouse, keys, menus and buttons.
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # docks where they are at first, whatever napari remembers here

import numpy as np
from napari.layers import Labels
from picture_window import (
    CAVITY,
    HEART,
    HEART_BY_EXPERTS,
    LOG,
    answer_yes,
    choose,
    new_window,
    open_dock,
    take,
    wait_until,
)
from qtpy.QtCore import QEvent, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget
from scipy.ndimage import binary_dilation, binary_erosion

import napari_medseg
from napari_medseg import samples
from napari_medseg.widgets.kit.dock import Dock
from napari_medseg.widgets.kit.records import ledger_of
from napari_medseg.widgets.kit.tuning import training

WALL = 2
APEX, BASE = 1, 9
REDRAWN = (2, 4, 8, BASE)  # slices where the model and the experts differ most
BRUSH, REACH = 5, 2  # pixels; a stroke corrects what is as far as that from it
JUMP = 4  # pixels between points of one stroke
LOOK_MS = 1500  # at a slice before it is approved


def main() -> None:
    """Walk, and write the pictures into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=60.0, choices=(30.0, 60.0, 180.0), help="of training")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.WARNING)
    LOG.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_MEDSEG_HOME"] = home
        scan = Path(home) / "heart.nii.gz"
        shutil.copyfile(samples.path(HEART), scan)
        saved = Path(home) / "heart_labels.nii.gz"
        today = Walk(given.folder, given.theme)
        states = today.correct_all(scan, saved)
        tomorrow = Walk(given.folder, given.theme)
        tomorrow.go_on(scan, saved, states, given.seconds)


class Walk:
    """One person in one window.

    Parameters
    ----------
    folder : pathlib.Path
        For the pictures.
    theme : str
        Of napari.
    """

    def __init__(self, folder: Path, theme: str):
        self.expert = napari_medseg.read(samples.path(HEART_BY_EXPERTS)).data
        self.folder = folder
        self.viewer = new_window()
        self.viewer.theme = theme
        self.window = self.viewer.window._qt_window
        self.canvas = self.viewer.window._qt_viewer.canvas.native

    # ---- the first window ----

    def correct_all(self, scan: Path, path: Path) -> list[str]:
        """Open a scan, segment, review every slice, save and close; the states of the slices."""
        segment = self.open_dock("Segment")
        self.open_with(segment, scan)
        choose(segment.form.model, "litenext-heart")
        wait_until(lambda: not segment.busy)
        segment.form.uncertainty.setChecked(True)
        wait_until(lambda: not segment.busy)
        segment.form.run.click()
        wait_until(lambda: not segment.busy)
        self.go_to(5)
        self.take("run")
        labels = segment.labels
        self.review(labels)
        self.save(labels, path)
        states = ledger_of(labels).states()
        self.close()
        return list(states)

    def review(self, labels: Labels) -> None:
        """Go through all slices, the failed ones first, and correct those that need it."""
        review = self.open_dock("Review")
        next(layer for layer in self.viewer.layers if "uncertainty" in layer.name).visible = False
        review.form.following.click()
        for count in range(len(self.expert)):
            number = int(self.viewer.dims.current_step[0])
            before = self.dice(labels, number)
            QTest.qWait(LOOK_MS)
            self.correct(review, labels, number)
            LOG.info("%d. slice %d: Dice %.3f, then %.3f", count + 1, number, before, self.dice(labels, number))
            self.press(Qt.Key.Key_N if number == BASE else Qt.Key.Key_A)  # where it ends is for a colleague to say

    def correct(self, review: Dock, labels: Labels, number: int) -> None:
        """Make a slice right where it is far off."""
        here = labels.data[number]
        if here.any() and not self.expert[number].any():
            self.look_closer(labels, here > 0)
            choose(review.form.tools.tool, "clear")
            choose(review.form.tools.classes, True)
            self.use(review, "clear")
        elif number == APEX:
            self.look_closer(labels, here > 0)
            missing = (self.expert[number] == CAVITY) & (here != CAVITY)
            self.brush(labels, CAVITY, missing, self.expert[number] == CAVITY)
            choose(review.form.tools.tool, "extend-strokes")
            self.use(review, "extend")
        elif number in REDRAWN:
            self.look_closer(labels, here > 0)
            self.redraw(labels, number)
            if number == BASE:
                self.take("brush")

    def use(self, review: Dock, picture: str) -> None:
        """Look at the preview of the tool that is chosen, then apply it."""
        tools = review.form.tools
        tools.preview.click()
        wait_until(lambda: not review.busy)
        self.take(picture)
        tools.apply.click()
        wait_until(lambda: not review.busy)

    def redraw(self, labels: Labels, number: int) -> None:
        """Paint both classes as the experts drew them, and erase the rest."""
        for label in (CAVITY, WALL, 0):
            right = self.expert[number] == label
            self.brush(labels, label, right & (labels.data[number] != label), right)

    def save(self, labels: Labels, path: Path) -> None:
        """Save as File > Save Selected Layers does."""

        def answer(*given: object, filter: str = "", **options: object) -> tuple[str, str]:
            kind = next(text for text in filter.split(";;") if "nii" in text)
            return str(path), kind

        QFileDialog.getSaveFileName = answer
        self.viewer.layers.selection = {labels}
        menu = next(entry.menu() for entry in self.window.menuBar().actions() if "File" in entry.text())
        next(entry for entry in menu.actions() if entry.text().startswith("Save Selected")).trigger()
        QTest.qWait(500)

    def close(self) -> None:
        """Close the window, as a person does at the end of the day."""
        QTest.qWait(500)
        self.viewer.close()
        QTest.qWait(500)

    # ---- the second window ----

    def go_on(self, scan: Path, path: Path, states: list[str], seconds: float) -> None:
        """Open scan and labels again, measure them, and let the model learn from them."""
        review = self.open_dock("Review")
        self.open_with(review, scan)
        self.open_with(review, path)
        labels = next(layer for layer in self.viewer.layers if isinstance(layer, Labels))
        self.go_to(BASE)
        found = list(ledger_of(labels).states())
        if found != states:
            sys.exit(f"The slices were {states} when they were saved, and are {found} when they are opened.")
        self.take("reopened")
        self.measure()
        self.fine_tune(seconds)
        self.close()

    def measure(self) -> None:
        """Measure the volumes."""
        dock = self.open_dock("Measure")
        dock.form.measure.click()
        wait_until(lambda: not dock.busy)
        self.take("measure")
        self.viewer.window.remove_dock_widget(dock)

    def fine_tune(self, seconds: float) -> None:
        """Train on the reviewed slices; take the new model if it is better beyond chance."""
        dock = self.open_dock("Fine-tune")
        choose(dock.form.model, "litenext-heart")
        choose(dock.form.time, seconds)
        wait_until(lambda: not dock.busy)
        QTimer.singleShot(2000, answer_yes)  # if it asks
        dock.form.start.click()
        wait_until(lambda: training().running)
        wait_until(lambda: not training().running and not dock.busy)
        QTest.qWait(500)
        wait_until(lambda: dock.deciding.comparison is not None)
        dock.form.difference.click()
        QTest.qWait(500)
        wait_until(lambda: not dock.busy)
        self.go_to(8)
        self.take("tuned")
        better = not dock.deciding.is_doubtful
        QTimer.singleShot(1000, answer_yes)
        (dock.form.accept if better else dock.form.discard).click()
        wait_until(lambda: training().run is None and not dock.busy)
        LOG.info("%s: %s", "accepted" if better else "discarded", dock.form.status.text())

    # ---- what a person does ----

    def open_dock(self, name: str) -> Dock:
        """A dock, opened as the menu does it."""
        return open_dock(self.viewer, name)

    def open_with(self, dock: Dock, path: Path) -> None:
        """Open a file as *Open scan…* of a dock does."""
        dock.opener.open([path])
        wait_until(lambda: not dock.busy)

    def go_to(self, number: int) -> None:
        """Show a slice."""
        self.viewer.dims.set_current_step(0, number)
        QTest.qWait(200)

    def press(self, key: Qt.Key) -> None:
        """Press a key over the canvas."""
        QTest.keyClick(self.canvas, key)
        QTest.qWait(200)

    def look_closer(self, labels: Labels, region: np.ndarray) -> None:
        """Zoom to a region of the slice in view."""
        self.viewer.reset_view()
        camera = self.viewer.scene.camera
        middle = np.argwhere(region).mean(axis=0)
        camera.center = tuple(labels.data_to_world((0, *middle)))
        camera.zoom *= 2.5
        QTest.qWait(200)

    def brush(self, labels: Labels, label: int, wrong: np.ndarray, right: np.ndarray) -> None:
        """Draw with the mouse over voxels that are `wrong`, without leaving those where the class is right."""
        labels.selected_label = label or labels.selected_label
        labels.mode = "paint" if label else "erase"
        labels.brush_size = BRUSH
        self.viewer.layers.selection.active = labels
        room = binary_erosion(right, iterations=REACH) & binary_dilation(wrong, iterations=REACH)
        for stroke in strokes(room):
            self.drag(labels, stroke)
        QTest.qWait(300)

    def drag(self, labels: Labels, stroke: list[np.ndarray]) -> None:
        """Press the button of the mouse at the first voxel, and release it at the last."""
        points = [self.on_canvas(labels, place) for place in stroke]
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        send(self.canvas, QEvent.Type.MouseMove, points[0], none, none)
        send(self.canvas, QEvent.Type.MouseButtonPress, points[0], left, left)
        for point in points:
            send(self.canvas, QEvent.Type.MouseMove, point, none, left)
        send(self.canvas, QEvent.Type.MouseButtonRelease, points[-1], left, none)
        QTest.qWait(50)

    def on_canvas(self, labels: Labels, place: np.ndarray) -> QPointF:
        """Where a voxel (y, x) of the slice in view lies on the canvas."""
        camera = self.viewer.scene.camera
        there = np.array(labels.data_to_world((0, *place))[-2:])
        vertical, horizontal = camera.orientation2d  # the scan stands upright, whatever its rows are
        turned = (-1 if vertical == "up" else 1, -1 if horizontal == "left" else 1)
        y, x = (there - camera.center[-2:]) * camera.zoom * turned
        return QPointF(self.canvas.width() / 2 + x, self.canvas.height() / 2 + y)

    def dice(self, labels: Labels, number: int) -> float:
        """Dice of the cavity in a slice; 1 where there is none and none was found."""
        drawn = labels.data[number] == CAVITY
        truth = self.expert[number] == CAVITY
        total = drawn.sum() + truth.sum()
        return 2 * (drawn & truth).sum() / total if total else 1.0

    def take(self, name: str) -> None:
        """Save a picture of the window, with few colours so that the file is small."""
        take(self.window, self.folder / f"walk_{name}.png")


def strokes(room: np.ndarray) -> list[list[np.ndarray]]:
    """Ways over all pixels of a region: always on to the nearest one that no stroke has covered yet."""
    left = np.argwhere(room)
    found: list[list[np.ndarray]] = []
    while len(left):
        distance = np.linalg.norm(left - found[-1][-1], axis=1) if found else np.zeros(len(left))
        place = left[distance.argmin()]
        if not found or distance.min() > JUMP:
            found.append([])
        found[-1].append(place)
        left = left[np.linalg.norm(left - place, axis=1) > REACH - 1]
    return found


def send(widget: QWidget, kind: QEvent.Type, place: QPointF, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
    """Send an event of the mouse, as the system does."""
    everywhere = QPointF(widget.mapToGlobal(place.toPoint()))
    event = QMouseEvent(kind, place, everywhere, button, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(widget, event)
    QApplication.processEvents()


if __name__ == "__main__":
    application = QApplication.instance() or QApplication([])
    main()
