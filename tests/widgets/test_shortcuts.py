"""Without a mouse: open a sample, run, correct, save; and no key of ours is one of napari's."""

import itertools

import numpy as np
import pytest
from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QMenu

import napari_medseg
from napari_medseg.widgets.kit import records
from napari_medseg.widgets.kit.controls import Page
from napari_medseg.widgets.kit.shortcuts import KEYS

from .test_access import controls, name

CTRL = Qt.KeyboardModifier.ControlModifier
ALT = Qt.KeyboardModifier.AltModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def test_labels_are_made_corrected_and_saved_by_keys(make_napari_viewer, model, qtbot, tmp_path, monkeypatch):
    viewer = make_napari_viewer(show=True)
    window = viewer.window.file_menu.parent()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    viewer.open_sample("napari-medseg", "heart")
    _, segment = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    qtbot.waitUntil(lambda: not segment.busy and segment.form.run.isEnabled(), timeout=60000)
    press(window, Qt.Key.Key_M, ALT)
    assert segment.form.model.hasFocus()
    while segment.form.model.currentData() != model:
        QTest.keyClick(window.windowHandle(), Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: not segment.busy and segment.form.run.isEnabled(), timeout=60000)

    press(window, Qt.Key.Key_Tab)
    assert segment.form.card.hasFocus()
    press(window, Qt.Key.Key_Escape)
    assert not segment.form.card.hasFocus(), "the viewer has the keys again"
    step = viewer.dims.current_step[0]
    press(window, Qt.Key.Key_Right)
    assert viewer.dims.current_step[0] == step + 1

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


def test_the_tabulator_passes_all_controls_from_top_to_bottom_and_letters_scroll(make_napari_viewer, model, qtbot):
    viewer = make_napari_viewer(show=True)
    window = viewer.window.file_menu.parent()
    window.resize(1000, 600)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    image = viewer.add_image(np.random.default_rng(0).random((3, 32, 32)).astype(np.float32))
    labels = viewer.add_labels(np.ones(image.data.shape, np.uint8))
    docks = {}
    for title in ("Segment", "Reconstruct", "Review"):
        _, docks[title] = viewer.window.add_plugin_dock_widget("napari-medseg", title)
        qtbot.waitUntil(lambda dock=docks[title]: not dock.busy, timeout=60000)
        page = next(page for page in docks[title].findChildren(Page) if page.isVisible())
        passed = tabbed(window, page)
        assert page not in passed, "a focus that shows nothing"
        places = [part.mapTo(page.widget(), QPoint(0, 0)).y() for part in passed]
        assert all(after > before - 10 for before, after in itertools.pairwise(places)), title
        wanted = {part for part in controls(page) if part.isVisible() and part.isEnabled()}
        assert not [name(part) for part in wanted - {*passed}], title

    review = docks["Review"]
    page = review.form
    page.verticalScrollBar().setValue(page.verticalScrollBar().maximum())
    assert review.form.labels.visibleRegion().isEmpty()
    press(window, Qt.Key.Key_B, ALT)
    assert review.form.labels.hasFocus() and not review.form.labels.visibleRegion().isEmpty()
    labels.fill((0, 2, 2), 3)
    qtbot.waitUntil(lambda: review.form.undo.isEnabled())
    press(window, Qt.Key.Key_Z, CTRL)
    assert (labels.data == 1).all(), "a list has no use for Ctrl+Z"
    press(window, Qt.Key.Key_A, ALT)
    qtbot.waitUntil(lambda: records.ledger_of(labels).counts()["approved"] == 1)


def tabbed(window, page):
    """What the tabulator comes by from the first control of a page until it leaves the page."""
    passed = []
    first = next(part for part in page.findChildren(QComboBox) if part.isVisible() and part.isEnabled())
    first.setFocus()
    while (focus := QApplication.focusWidget()) is not None and page.isAncestorOf(focus) and focus not in passed:
        passed.append(focus)
        press(window, Qt.Key.Key_Tab)
    return passed


@pytest.mark.smoke
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


def test_no_key_is_one_of_napari(viewer):
    bound = {key for keys in get_settings().shortcuts.shortcuts.values() for key in keys}
    assert bound and not bound & {coerce_keybinding(keys.replace("Return", "Enter")) for keys in KEYS.values()}
    menus = viewer.window.file_menu.parent().findChildren(QMenu)
    shown = {action.shortcut().toString() for menu in menus for action in menu.actions()}
    assert "Ctrl+O" in shown and not shown & {*KEYS.values()}


def press(window, key, modifiers=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(window.windowHandle(), key, modifiers)
    QApplication.processEvents()
