"""Every control of every form has a tooltip and a name for screen readers, and one that is off says why."""

import pytest
from npe2 import PluginManifest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QMenu,
    QScrollBar,
    QTabBar,
    QTableWidget,
    QWidget,
)

from napari_medseg import samples

CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QAbstractSlider, QAbstractItemView)
PARTS = (QComboBox, QAbstractSpinBox, QTableWidget, QTabBar, QMenu)  # what is inside of these is Qt's own
DOCKS = [widget.display_name for widget in PluginManifest.from_distribution("napari-medseg").contributions.widgets]


def controls(dock):
    """What a person can use."""
    for control in dock.findChildren(QWidget):
        inside = [kind for kind in PARTS for outer in outers(control) if isinstance(outer, kind)]
        if isinstance(control, CONTROLS) and not isinstance(control, QScrollBar | QHeaderView) and not inside:
            yield control


def outers(control):
    while (control := control.parent()) is not None:
        yield control


def name(control):
    own = control.text() if isinstance(control, QAbstractButton) else ""
    return control.accessibleName() or own


@pytest.mark.parametrize("title", DOCKS)
@pytest.mark.parametrize("loaded", [False, True])
def test_every_control_says_what_it_does(make_napari_viewer, qtbot, title, loaded):
    viewer = make_napari_viewer()
    if loaded:
        for data, options, kind in (*samples.heart(), *samples.trunk()):
            getattr(viewer, f"add_{kind}")(data, **options)
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", title)
    qtbot.waitUntil(lambda: not dock.busy, timeout=120000)
    found = list(controls(dock))
    assert found
    assert not [type(control).__name__ + " " + control.toolTip() for control in found if not name(control)]
    assert not [name(control) for control in found if not control.toolTip()]
    for control in found:
        if not control.isEnabled() and isinstance(control, QAbstractButton) and not control.isHidden():
            assert control.toolTip().endswith("."), f"{name(control)} does not say why it is off"
