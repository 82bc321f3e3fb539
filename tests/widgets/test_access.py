"""Every control of every form has a tooltip and a name for screen readers, and one that is off says why."""

import itertools

import pytest
from npe2 import PluginManifest
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QScrollBar,
    QStackedWidget,
    QTabBar,
    QTableWidget,
    QWidget,
)

from napari_medseg import samples

CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QAbstractSlider, QAbstractItemView)
SCREENSHOT = {"S", "C"}  # Alt and these: napari's own keys for it
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
@pytest.mark.parametrize("loaded", [pytest.param(False, marks=pytest.mark.smoke), True])
def test_every_control_says_what_it_does(viewer, qtbot, title, loaded):
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
    taken = letters_of_napari(viewer) | SCREENSHOT
    assert {"F", "V", "L", "P", "W", "H"} <= taken
    assert not [text for _, text in lettered(dock) if letter(text) in taken]
    assert not shared(dock)


def shared(dock):
    """Pairs of texts with the same underlined letter that can be seen together: Alt would only jump between them."""
    pairs = itertools.combinations(lettered(dock), 2)
    return [
        (one, other)
        for (part, one), (next_part, other) in pairs
        if letter(one) == letter(other) and not on_other_tab(part, next_part)
    ]


def on_other_tab(part, next_part):
    """Whether two parts are on different pages of tabs, so that only one of them is seen."""
    pages = {outer.parent(): outer for outer in (part, *outers(part)) if isinstance(outer.parent(), QStackedWidget)}
    others = {outer.parent(): outer for outer in (next_part, *outers(next_part))}
    return any(others.get(stack, page) is not page for stack, page in pages.items())


def letters_of_napari(viewer):
    """Letters that, together with Alt, open a menu of napari."""
    bar = viewer.window.file_menu.parent().menuBar()
    return {letter(action.text()) for action in bar.actions()}


def lettered(dock):
    """Buttons and titles of controls that have an underlined letter, with their texts; hidden ones too."""
    parts = [part for part in dock.findChildren(QWidget) if isinstance(part, QAbstractButton | QLabel)]
    bars = [(bar, bar.tabText(i)) for bar in dock.findChildren(QTabBar) for i in range(bar.count())]
    found = [(part, part.text()) for part in parts if isinstance(part, QAbstractButton) or part.buddy() is not None]
    return [(part, text) for part, text in [*found, *bars] if letter(text)]


def letter(text):
    """The underlined letter."""
    found = QKeySequence.mnemonic(text).toString()
    return found.removeprefix("Alt+")
