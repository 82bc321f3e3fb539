"""Take the pictures of README and docs in a real napari window.

``xvfb-run -a -s "-screen 0 1600x1000x24" python tools/pictures.py docs`` writes PNG files of 1280 x 800 pixels:
``open``, ``run`` and ``correct`` of the README, and what the models make of apex, base and nuclei; with ``--hippocampus
SCAN.nii.gz``, a volume of Task04 of the Medical Segmentation Decathlon, also ``hippocampus``, and with ``--ct
SCAN.nii.gz`` also ``view``; ``view_oblique`` is of the bundled heart.
"""

import argparse
import tempfile
from pathlib import Path

import napari
import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QMainWindow, QMenu, QWidget
from scipy.ndimage import binary_erosion

import napari_medseg
from napari_medseg import samples
from napari_medseg.widgets.demo import _close_notes, _wait_until

WIDTH, HEIGHT = 1280, 800
MIDDLE_SLICE = 5
APICAL_SLICE = 1  # of the sample; slice 0 shows the tip
BASAL_SLICE = 9
BRUSH = 7  # pixels


def main() -> None:
    """Write the pictures into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--hippocampus", type=Path, metavar="SCAN")
    parser.add_argument("--ct", type=Path, metavar="SCAN")
    given = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window._qt_window.move(0, 0)
    viewer.window.resize(WIDTH, HEIGHT)
    heart(viewer, given.folder)
    nuclei(viewer, given.folder / "nuclei.png")
    if given.hippocampus:
        hippocampus(viewer, given.hippocampus, given.folder / "hippocampus.png")
    oblique(viewer, given.folder / "view_oblique.png")
    if given.ct:
        standing(viewer, given.ct, given.folder / "view.png")
    viewer.close()


def heart(viewer: napari.Viewer, folder: Path) -> None:
    """Open, run, look at both ends of the ventricle, correct."""
    window = viewer.window._qt_window
    viewer.open_sample("napari-medseg", "heart")
    look_at(viewer, MIDDLE_SLICE)
    menus = open_sample_menu(window)
    take(window, folder / "open.png")
    for menu in menus:
        menu.close()

    dock = segmented(viewer, "litenext-heart")
    look_at(viewer, MIDDLE_SLICE)
    take(window, folder / "run.png")
    look_at(viewer, BASAL_SLICE, zoom=2.2)
    take(window, folder / "base.png")
    look_at(viewer, APICAL_SLICE, zoom=2.2)
    take(window, folder / "apex.png")

    correct(dock.labels)
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "labels.nii.gz")
        QFileDialog.getSaveFileName = lambda *_: (path, "")
        dock.form.save.click()
        _wait_until(lambda: not dock.busy)
    hover(viewer)
    take(window, folder / "correct.png")


def nuclei(viewer: napari.Viewer, path: Path) -> None:
    """Objects of stained tissue, numbered one by one, and where the model was undecided."""
    emptied(viewer)
    viewer.open_sample("napari-medseg", "stained_nuclei")
    segmented(viewer, "litenext-nuclei", "split", "uncertainty")
    viewer.reset_view()
    take(viewer.window._qt_window, path)


def hippocampus(viewer: napari.Viewer, scan: Path, path: Path) -> None:
    """Both parts of the hippocampus of a scan."""
    emptied(viewer)
    viewer.open(scan, plugin="napari-medseg")
    dock = segmented(viewer, "litenext-hippocampus")
    filled = np.flatnonzero(np.asarray(dock.labels.data).any(axis=(1, 2)))
    viewer.dims.set_current_step(0, int(np.median(filled)))
    viewer.reset_view()
    take(viewer.window._qt_window, path)


def oblique(viewer: napari.Viewer, path: Path) -> None:
    """Letters of an oblique scan, and what the colours of its uncertainty stand for."""
    emptied(viewer)
    viewer.open_sample("napari-medseg", "heart")
    segmented(viewer, "litenext-heart", "uncertainty")
    look_at(viewer, MIDDLE_SLICE)
    viewer.window.add_plugin_dock_widget("napari-medseg", "View")
    viewer.layers.selection.active = viewer.layers[1]
    grab(viewer.window._qt_window, path)


def standing(viewer: napari.Viewer, scan: Path, path: Path) -> None:
    """A CT on its feet."""
    emptied(viewer)
    viewer.open(scan, plugin="napari-medseg")
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "View")
    dock.form.axial.click()
    dock.form.soft_tissue.click()
    grab(viewer.window._qt_window, path)


def emptied(viewer: napari.Viewer) -> None:
    """Take all layers away. napari 0.9 crashes where others are added before it has drawn that."""
    viewer.layers.clear()
    QTest.qWait(500)


def segmented(viewer: napari.Viewer, model: str, *ticked: str) -> QWidget:
    """The Segment dock after a run of `model` on the image that is there, with these boxes alone ticked."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    _wait_until(lambda: not dock.busy)
    dock.form.model.setCurrentIndex(dock.form.model.findData(model))
    _wait_until(lambda: not dock.busy)
    for name in ("split", "uncertainty"):
        getattr(dock.form, name).setChecked(name in ticked)
    _wait_until(lambda: not dock.busy)
    dock.form.run.click()
    _wait_until(lambda: not dock.busy)
    return dock


def look_at(viewer: napari.Viewer, index: int, zoom: float = 1.0) -> None:
    """Show slice `index`, with the ventricle in the middle where `zoom` is above 1."""
    viewer.dims.set_current_step(0, index)
    viewer.reset_view()
    image = next(layer for layer in viewer.layers if isinstance(layer, Image))
    if zoom > 1:
        label = samples.path("sunnybrook_SC-HF-I-01_ED_label.nii.gz")
        drawn = napari_medseg.read(label).data[index] == 1
        middle = np.argwhere(drawn).mean(axis=0)
        viewer.scene.camera.center = tuple(image.data_to_world((index, *middle)))
        viewer.scene.camera.zoom *= zoom


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
    heart = next(action for action in actions if "Heart" in action.text())
    opened[-1].setActiveAction(heart)
    return opened


def correct(labels: Labels) -> None:
    """Paint the apical cavity as the experts of the sample drew it, with the round brush."""
    expert = napari_medseg.read(samples.path("sunnybrook_SC-HF-I-01_ED_label.nii.gz"))
    drawn = expert.data[APICAL_SLICE] == 1
    labels.selected_label = 1
    labels.brush_size = BRUSH
    labels.mode = "paint"
    for y, x in np.argwhere(binary_erosion(drawn, iterations=BRUSH // 2)):
        labels.paint((APICAL_SLICE, y, x), 1)


def hover(viewer: napari.Viewer) -> None:
    """Move the pointer over the canvas, so that napari draws the brush."""
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.mouse_over_canvas = True
    edge = canvas.rect().center() + QPoint(20, 45)
    for step in range(5):
        QTest.mouseMove(canvas, edge + QPoint(step, 0))
        QTest.qWait(100)


def grab(window: QMainWindow, path: Path) -> None:
    """Save what `window` draws, which is all where no menu is open."""
    QTest.qWait(1500)
    _close_notes()
    QTest.qWait(500)
    window.grab().save(str(path), "PNG")


def take(window: QMainWindow, path: Path) -> None:
    """Save what the screen shows of `window`, menus included."""
    QTest.qWait(1500)
    _close_notes()
    QTest.qWait(500)
    window.screen().grabWindow(0, 0, 0, WIDTH, HEIGHT).save(str(path), "PNG")


if __name__ == "__main__":
    application = QApplication.instance() or QApplication([])
    main()
