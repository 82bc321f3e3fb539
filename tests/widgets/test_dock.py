"""What all docks do alike, with all of them open in one viewer."""

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication

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
