"""Without a mouse: open a sample, run, correct, save; and no key of ours is one of napari's."""

import numpy as np
import pytest
from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu

import napari_medseg
from napari_medseg.widgets.kit.shortcuts import KEYS

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def test_labels_are_made_corrected_and_saved_by_keys(make_napari_viewer, model, qtbot, tmp_path, monkeypatch):
    viewer = make_napari_viewer(show=True)
    window = viewer.window.file_menu.parent()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    viewer.open_sample("napari-medseg", "heart")
    _, segment = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    qtbot.waitUntil(lambda: not segment.busy and segment.form.run.isEnabled(), timeout=60000)
    segment.form.model.setFocus()
    while segment.form.model.currentData() != model:
        QTest.keyClick(window.windowHandle(), Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: not segment.busy and segment.form.run.isEnabled(), timeout=60000)

    press(window, Qt.Key.Key_Return, CTRL)
    qtbot.waitUntil(lambda: segment.labels is not None, timeout=60000)
    labels = segment.labels
    viewer.layers.selection.active = labels
    labels.selected_label = 0
    before = np.count_nonzero(labels.data)
    labels.fill((0, 5, 5), 0)  # the hand of a person with a pen; the rest is keys
    assert np.count_nonzero(labels.data) < before

    path = tmp_path / "labels.nii.gz"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    press(window, Qt.Key.Key_S, CTRL | SHIFT)
    qtbot.waitUntil(lambda: path.exists() and not segment.busy, timeout=60000)
    assert np.array_equal(napari_medseg.read(path).data, labels.data)


def test_preview_and_a_reason_by_keys(make_napari_viewer, model, qtbot):
    viewer = make_napari_viewer(show=True)
    window = viewer.window.file_menu.parent()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    _, segment = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    qtbot.waitUntil(lambda: not segment.busy, timeout=60000)
    press(window, Qt.Key.Key_Return, CTRL)
    assert not len(viewer.layers) and not segment.busy, "a button that is off is not pressed"
    viewer.open_sample("napari-medseg", "heart")
    qtbot.waitUntil(lambda: not segment.busy and segment.form.preview.isEnabled(), timeout=60000)
    press(window, Qt.Key.Key_Return, CTRL | SHIFT)
    assert segment.form.preview.isChecked()
    assert segment.form.run.toolTip().endswith("(Ctrl+Return).")
    press(window, Qt.Key.Key_Return, CTRL | SHIFT)
    qtbot.waitUntil(lambda: not segment.busy, timeout=60000)


@pytest.mark.parametrize("keys", KEYS.values())
def test_no_key_is_one_of_napari(make_napari_viewer, keys):
    ours = coerce_keybinding(keys.replace("Return", "Enter"))
    taken = [key for bound in get_settings().shortcuts.shortcuts.values() for key in bound]
    assert taken and ours not in taken
    viewer = make_napari_viewer()
    menus = viewer.window.file_menu.parent().findChildren(QMenu)
    assert keys not in [action.shortcut().toString() for menu in menus for action in menu.actions()]


def press(window, key, modifiers):
    QTest.keyClick(window.windowHandle(), key, modifiers)
    QApplication.processEvents()
