"""Walk from a file to its labels as a new user, in real napari windows: count the clicks, and take pictures.

``xvfb-run -a -s "-screen 0 1920x1200x24" python tools/walk_new_user.py FOLDER`` opens a NIfTI file, a DICOM folder with
three series, a CT and a picture of nuclei in every way that there is, each in a new window on a computer that has never
seen this plugin, and prints a table. Every click is an event of the mouse on what a person sees; choosing a file in the
dialog of the system, or dropping it, counts as one. ``--every`` takes a picture at each step, in both sizes and themes;
without it, the pictures of the docs are taken: ``clicks_*.png``. Opening the dock comes before and is not counted: two
clicks, once. Only ``--walk`` and ``--way`` are walked where they are given.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # as napari is at first

import napari
import numpy as np
from napari.layers import Labels
from new_user_files import Files, make_files
from picture_window import make_small, wait_until
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QMouseEvent, QPainter
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QMenu, QMessageBox, QRadioButton, QWidget

from napari_medseg.widgets.demo import _close_notes
from napari_medseg.widgets.kit import recent
from napari_medseg.widgets.kit.dock import Dock

SIZES = ((1280, 800), (1920, 1080))
THEMES = ("dark", "light")
WALKS = {
    "nifti": "NIfTI of a heart",
    "dicom": "DICOM folder with three series",
    "ct": "CT",
    "picture": "picture of nuclei",
}
WAYS = ("dialog", "drop on the dock", "drop on the canvas", "recent")
PICTURED = ("dialog",)  # ways of which pictures are taken at each step
DOCS = {"nifti": "labels", "ct": "opened", "picture": "labels"}  # steps that the docs show
LOG = logging.getLogger("walk")


def main() -> None:
    """Walk, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--every", action="store_true", help="picture of each step, in both sizes and themes")
    parser.add_argument("--walk", choices=WALKS, nargs="+", default=list(WALKS))
    parser.add_argument("--way", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--width", type=int, choices=[width for width, _ in SIZES], help="of the window, in one size")
    given = parser.parse_args()
    sizes = [size for size in SIZES if given.width in (None, size[0])]
    given.folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.WARNING)
    LOG.setLevel(logging.INFO)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        files = make_files(Path(scratch))
        for name in given.walk:
            for way in given.way:
                for size in sizes if given.every and way in PICTURED else sizes[:1]:
                    os.environ["NAPARI_MEDSEG_HOME"] = tempfile.mkdtemp(dir=scratch)
                    camera = Camera(given.folder, name, way, size, given.every)
                    row = walk(name, way, files, camera)
                rows.append(row)
    sys.stdout.write(table(rows))


def walk(name: str, way: str, files: Files, camera: "Camera") -> tuple[str, ...]:
    """Walk once; the row of the table."""
    person = Person(camera)
    person.take("start")
    dock = person.open_dock("Segment")
    opening = len(person.clicks)
    person.take("dock")
    person.open(dock, getattr(files, name), way)
    person.take("opened")
    if dock.form.by_hand.isVisible():
        person.ask(dock)
        labels = person.draw(dock)
    else:
        labels = dock.labels or person.run(dock)  # a series was opened to be run
    said = describe(labels)
    person.take("labels")
    clicks = person.clicks[opening:]
    LOG.info("%s, %s: %s; %s", name, way, ", ".join(clicks), said)
    person.close()
    return WALKS[name], way, f"{len(clicks)}: {', '.join(clicks)}", said, f"{person.waited:.0f}"


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows as Markdown."""
    head = ("file", "way in", "clicks", "labels", "seconds")
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def describe(labels: Labels) -> str:
    """What labels are there."""
    data = np.asarray(labels.data)
    numbers = np.unique(data[data > 0])
    names = list(labels.features["class"]) if "class" in labels.features else []
    if not names:
        drawn = f"drawn {np.count_nonzero(data)}"
        return f"{len(numbers)} objects" if len(numbers) > 1 else drawn
    return ", ".join(f"{names[number]} {np.count_nonzero(data == number)}" for number in numbers)


class Camera:
    """Takes pictures of a walk.

    Parameters
    ----------
    folder : pathlib.Path
    name, way : str
        Of the walk.
    size : (int, int)
        Of the window, in pixels.
    every : bool
        Whether each step is wanted in each theme, or only what the docs show.
    """

    def __init__(self, folder: Path, name: str, way: str, size: tuple[int, int], every: bool):
        self._folder = folder
        self._name = name
        self._way = way
        self.size = size
        self._every = every
        self._count = 0

    def take(self, viewer: napari.Viewer, step: str) -> None:
        """Save pictures of a step."""
        self._count += 1
        if self._every and self._way in PICTURED:
            for theme in THEMES:
                viewer.theme = theme
                name = f"{self._name}_{self._way.split()[-1]}_{self._count:02d}_{step}_{self.size[0]}_{theme}.png"
                save(viewer, self._folder / name)
        if not self._every and self._way == WAYS[0] and DOCS.get(self._name) == step:
            save(viewer, self._folder / f"clicks_{self._name}.png")


def save(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the window and of the menus and dialogs before it, with few colours."""
    QTest.qWait(700)
    _close_notes()
    window = viewer.window._qt_window
    picture = window.grab()
    painter = QPainter(picture)
    for widget in QApplication.topLevelWidgets():
        if widget.isVisible() and isinstance(widget, (QMenu, QDialog)):
            painter.drawPixmap(window.mapFromGlobal(widget.pos()), widget.grab())
    painter.end()
    picture.save(str(path), "PNG")
    make_small(path)


def _plain(text: str) -> str:
    """The text of an entry without its underlined letter and the name of the plugin."""
    return text.replace("&", "").removesuffix(" (napari-medseg)")


class Person:
    """One person in one window.

    Parameters
    ----------
    camera : Camera

    Attributes
    ----------
    clicks : list of str
        What was clicked or dropped.
    waited : float
        Seconds that the person waited for the program.
    """

    def __init__(self, camera: Camera):
        self.clicks: list[str] = []
        self.waited = 0.0
        self._camera = camera
        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self.window.move(0, 0)
        self.viewer.window.resize(*camera.size)
        QTest.qWait(500)

    def take(self, step: str) -> None:
        """Take a picture."""
        self._camera.take(self.viewer, step)

    def close(self) -> None:
        """Close the window."""
        QTest.qWait(500)
        self.viewer.close()
        QTest.qWait(500)

    # ---- clicks ----

    def click(self, widget: QWidget, what: str, place: QPoint | None = None) -> None:
        """Click on something that can be seen and used."""
        if not widget.isVisible() or not widget.isEnabled() or widget.visibleRegion().isEmpty():
            sys.exit(f"'{what}' cannot be clicked: it is hidden or off. {widget.toolTip()}")
        self.clicks.append(what)
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=place or widget.rect().center())
        QTest.qWait(300)

    def choose(self, menu: QWidget, *titles: str) -> None:
        """Click on an entry of a menu that is open; the menus on the way open where the pointer rests on them."""
        for title in titles:
            action = next(entry for entry in menu.actions() if _plain(entry.text()) == title)
            place = menu.actionGeometry(action).center()
            if action.menu() is None:
                self.click(menu, title, place)
            else:
                QTest.mouseMove(menu, place)
                menu.setActiveAction(action)
                action.menu().popup(menu.mapToGlobal(menu.actionGeometry(action).topRight()))
                QTest.qWait(300)
                menu = action.menu()

    def open_dock(self, name: str) -> Dock:
        """Open a dock in the menu Plugins."""
        bar = self.window.menuBar()
        plugins = next(entry for entry in bar.actions() if _plain(entry.text()) == "Plugins")
        self.click(bar, "Plugins", bar.actionGeometry(plugins).center())
        self.choose(plugins.menu(), "napari-medseg", name)
        plugins.menu().close()
        QTest.qWait(300)
        dock = next(found for found in self.window.findChildren(Dock) if type(found).__name__ == f"{name}Widget")
        self.settle(dock)
        return dock

    def drop(self, widget: QWidget, path: Path) -> None:
        """Drop a file or folder."""
        self.clicks.append("drop")
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path))])
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        middle = widget.rect().center()
        QApplication.sendEvent(widget, QDragEnterEvent(middle, Qt.DropAction.CopyAction, data, left, none))
        QApplication.sendEvent(widget, QDropEvent(QPointF(middle), Qt.DropAction.CopyAction, data, left, none))

    def settle(self, dock: Dock) -> None:
        """Wait until nothing is under way."""
        begun = time.monotonic()
        wait_until(lambda: not dock.busy)
        self.waited += time.monotonic() - begun
        QTest.qWait(300)

    # ---- the walk ----

    def open(self, dock: Dock, path: Path, way: str) -> None:
        """Open a file or folder; where there are several series, the chosen one is also run."""
        opener = dock.opener
        if way == "drop on the dock":
            self.drop(dock, path)
        elif way == "drop on the canvas":
            QTimer.singleShot(800, self.answer_reader)
            self.drop(self.viewer.window._qt_viewer, path)
            QTest.qWait(1000)
        elif way == "recent":
            self.open_again(dock, path)
        else:
            self.open_by_dialog(dock, path)
        self.settle(dock)
        if opener.series_list is not None:
            QTest.qWait(1000)
            self.take("series")
            self.click(opener.series_list.run_button, "Open and run")
            self.settle(dock)

    def open_by_dialog(self, dock: Dock, path: Path) -> None:
        """Open with one of the buttons."""
        QFileDialog.getOpenFileNames = self.answer_files(path)
        QFileDialog.getExistingDirectory = self.answer_folder(path)
        if path.is_dir():
            self.click(dock.opener.folder, "Folder…")
        else:
            self.click(dock.opener.button, "Open scan…")

    def open_again(self, dock: Dock, path: Path) -> None:
        """Open what was opened before."""
        recent.remember([path])

        def use_menu() -> None:
            self.take("menu")
            self.choose(dock.opener.menu, path.name)

        QTimer.singleShot(400, use_menu)
        self.click(dock.opener.more, "the arrow")

    def answer_files(self, path: Path) -> Callable[..., tuple[list[str], str]]:
        """What the dialog of the system answers once a person has chosen a file in it."""

        def answer(*given: object) -> tuple[list[str], str]:
            self.clicks.append(path.name)
            return [str(path)], ""

        return answer

    def answer_folder(self, path: Path) -> Callable[..., str]:
        """The same of a folder."""

        def answer(*given: object) -> str:
            self.clicks.append(path.name)
            return str(path)

        return answer

    def answer_reader(self) -> None:
        """Take the reader of this plugin where napari asks."""
        dialog = QApplication.activeModalWidget()
        if dialog is None:
            return
        self.take("reader")
        for button in dialog.findChildren(QRadioButton):
            if "medseg" in button.text().lower() and not button.isChecked():
                self.click(button, "napari-medseg")
        self.click(dialog.btn_box.buttons()[0], "OK")

    def run(self, dock: Dock) -> Labels:
        """Press Run."""
        self.click(dock.form.run, "Run")
        self.settle(dock)
        return dock.labels

    def ask(self, dock: Dock) -> None:
        """Press Run all the same, to see what is asked, and cancel; this does not count."""
        counted = list(self.clicks)

        def answer() -> None:
            question = QApplication.activeModalWidget()
            if isinstance(question, QMessageBox):
                LOG.info("%s", question.text())
                self.take("question")
                self.click(question.button(QMessageBox.StandardButton.Cancel), "Cancel")

        QTimer.singleShot(1500, answer)
        self.click(dock.form.run, "Run")
        QTest.qWait(2000)
        self.settle(dock)
        self.clicks = counted

    def draw(self, dock: Dock) -> Labels:
        """Begin to label by hand."""
        self.click(dock.form.by_hand, "Label by hand")
        QTest.qWait(1000)
        self.take("review")
        canvas = self.viewer.window._qt_viewer.canvas.native
        middle = canvas.rect().center()
        self.clicks.append("a stroke")
        drag(canvas, [middle + QPoint(4 * step - 40, step) for step in range(20)])
        QTest.qWait(500)
        return self.viewer.layers.selection.active


def drag(canvas: QWidget, points: list[QPoint]) -> None:
    """Draw with the left button."""
    QTest.mouseMove(canvas, points[0])
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points:
        held = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(point),
            QPointF(canvas.mapToGlobal(point)),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(canvas, held)
        QApplication.processEvents()
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=points[-1])


if __name__ == "__main__":
    application = QApplication.instance() or QApplication([])
    main()
