"""What all docks do alike, with all of them open in one viewer."""

import gc
import weakref
from functools import partial

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QTabBar

from napari_medseg.widgets.kit.dock import bring_dock
from napari_medseg.widgets.kit.place import TABS
from napari_medseg.widgets.kit.tuning import training

NAMES = ("Segment", "Reconstruct", "Acceleration study", "Fine-tune")


@pytest.fixture
def opened(make_napari_viewer, model, qtbot):
    """A viewer with an image, and its docks by name; that nothing keeps the viewer is looked at after the test."""
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).random((3, 40, 48), np.float32), name="scan")
    docks = {name: viewer.window.add_plugin_dock_widget("napari-medseg", name)[1] for name in NAMES}
    qtbot.waitUntil(lambda: not any(dock.busy for dock in docks.values()), timeout=60000)
    yield viewer, docks
    assert QThreadPool.globalInstance().waitForDone(20000)
    QApplication.processEvents()


def test_docks_share_models_follow_layers_and_let_go_of_all_when_closed(opened, qtbot):
    viewer, docks = opened
    boxes = [getattr(dock.form, "source" if name == "Reconstruct" else "image") for name, dock in docks.items()]
    assert len({id(dock._shelf) for dock in docks.values()}) == 1
    assert all(dock.form.model.findData("all") >= 0 for name, dock in docks.items() if name != "Reconstruct")
    viewer.layers["scan"].name = "renamed"
    assert all(box.findText("renamed") >= 0 for box in boxes)
    qtbot.waitUntil(lambda: not any(dock.busy for dock in docks.values()), timeout=60000)

    for dock in docks.values():
        viewer.window.remove_dock_widget(dock)
    training().models_changed.emit()
    viewer.add_image(np.zeros((2, 8, 8)), name="later")
    assert not any(dock.busy for dock in docks.values())
    assert not any(box.findText("later") >= 0 for box in boxes)
    seen = weakref.ref(viewer.layers["renamed"].data)
    viewer.layers.clear()
    gc.collect()
    assert seen() is None, "a closed dock keeps no array"


def test_docks_share_one_place_as_tabs(opened, qtbot):
    viewer, docks = opened
    frames = [dock.parent() for dock in docks.values()]
    window = frames[0].parent()
    qtbot.waitUntil(lambda: set(window.tabifiedDockWidgets(frames[0])) == set(frames[1:]))
    for frame in frames:
        assert set(window.tabifiedDockWidgets(frame)) == set(frames) - {frame}
    for name in ("Measure", "Review"):
        viewer.window.add_plugin_dock_widget("napari-medseg", name)
        qtbot.waitUntil(lambda name=name: name in shown_tabs(window))
    bring_dock(viewer, "Segment")
    qtbot.waitUntil(lambda: "Segment" in shown_tabs(window))


def shown_tabs(window):
    """Texts of the tabs that are in front."""
    return [bar.tabText(bar.currentIndex()) for bar in window.findChildren(QTabBar)]


def test_a_dock_that_was_put_elsewhere_stays_there(opened, qtbot):
    viewer, docks = opened
    frame = docks["Segment"].parent()
    window = frame.parent()
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(frame)) == 3)
    window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, frame)
    viewer.window.add_plugin_dock_widget("napari-medseg", "Measure")
    other = docks["Fine-tune"].parent()
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(other)) == 3)
    assert not window.tabifiedDockWidgets(frame)


def test_tabs_are_in_the_order_of_the_menu_and_no_text_of_them_is_cut(make_napari_viewer, qtbot):
    manifest = PluginManifest.from_distribution("napari-medseg")
    names = [widget.display_name for widget in manifest.contributions.widgets]
    assert list(TABS) == names
    viewer = make_napari_viewer(show=True)
    for name in ("Measure", "View", "Batch", "Fine-tune", "Segment", "Review", "Acceleration study", "Reconstruct"):
        viewer.window.add_plugin_dock_widget("napari-medseg", name)
        qtbot.wait(1)
    bar = dock_tabs(viewer)
    assert [bar.tabText(index) for index in range(bar.count())] == list(TABS.values())
    qtbot.waitUntil(lambda: bar.width() >= bar.sizeHint().width())
    assert bar.elideMode() == Qt.TextElideMode.ElideNone
    qtbot.waitUntil(lambda: not any(dock.busy for dock in open_docks(viewer).values()), timeout=60000)


def test_the_menu_brings_a_dock_to_the_front_that_is_behind_another_one(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    frames = {}
    for name in ("Segment", "Measure"):
        frames[name], _ = viewer.window.add_plugin_dock_widget("napari-medseg", name)
        qtbot.wait(1)
    docks = open_docks(viewer)
    bar = dock_tabs(viewer)
    assert in_front(bar) == "Measure" and docks["Segment"].form.run.isHidden() is False
    choose_in_menu(frames["Segment"])
    qtbot.waitUntil(lambda: in_front(bar) == "Segment")
    assert docks["Segment"].form.isVisible() and not docks["Measure"].form.isVisible()
    choose_in_menu(frames["Segment"])
    qtbot.waitUntil(frames["Segment"].isHidden)
    choose_in_menu(frames["Segment"])
    qtbot.waitUntil(lambda: in_front(dock_tabs(viewer)) == "Segment")
    bar = dock_tabs(viewer)
    assert [bar.tabText(index) for index in range(bar.count())] == ["Segment", "Measure"]
    qtbot.waitUntil(lambda: not any(dock.busy for dock in docks.values()), timeout=60000)


def test_only_the_dock_in_front_answers_to_its_letters(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    for name in ("Segment", "Acceleration study"):
        viewer.window.add_plugin_dock_widget("napari-medseg", name)
        qtbot.wait(1)
    docks = open_docks(viewer)
    pressed = []
    for name, dock in docks.items():
        qtbot.waitUntil(lambda dock=dock: not dock.busy, timeout=60000)
        dock.form.run.clicked.disconnect()
        dock.form.run.clicked.connect(partial(pressed.append, name))
        dock.form.run.setEnabled(True)
    window = docks["Segment"].window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    for name, dock in docks.items():
        dock.place.come_forward()
        qtbot.waitUntil(dock.form.isVisible)
        QTest.keyClick(window.windowHandle(), Qt.Key.Key_R, Qt.KeyboardModifier.AltModifier)
        qtbot.waitUntil(lambda name=name: pressed[-1:] == [name])
    assert len(pressed) == 2


def choose_in_menu(frame):
    """What napari's menu does with a dock that is open."""
    frame.setVisible(not frame.isVisible())


def open_docks(viewer):
    return {name.split(" (")[0]: dock for name, dock in viewer.window.dock_widgets.items()}


def dock_tabs(viewer):
    """The bar with the tabs of the docks."""
    window = next(iter(viewer.window.dock_widgets.values())).window()
    return next(child for child in window.children() if isinstance(child, QTabBar) and child.count())


def in_front(bar):
    return bar.tabText(bar.currentIndex())
