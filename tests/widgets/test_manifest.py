import pytest
from napari._app_model import get_app_model

from napari_medseg.widgets.segment import SegmentWidget


def commands(menu):
    """Commands in a menu of napari and its submenus."""
    found = set()
    for item in get_app_model().menus.get_menu(menu):
        if hasattr(item, "submenu"):
            found |= commands(item.submenu)
        else:
            found.add(item.command.id)
    return found


@pytest.mark.parametrize(
    ("menu", "command"),
    [
        ("napari/plugins", "napari-medseg.segment"),
        ("napari/layers/segment", "napari-medseg.segment"),
        *(("napari/file/samples", f"napari-medseg.{key}") for key in ("heart", "nuclei", "stained_nuclei")),
    ],
)
def test_menus_hold_the_commands(make_napari_viewer, menu, command):
    make_napari_viewer()
    assert command in commands(menu)


def test_menu_opens_the_dock(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    assert isinstance(dock, SegmentWidget)
    qtbot.waitUntil(lambda: not dock.busy, timeout=30000)


@pytest.mark.parametrize("key", ["heart", "nuclei", "stained_nuclei"])
def test_samples_open(make_napari_viewer, key):
    viewer = make_napari_viewer()
    (layer,) = viewer.open_sample("napari-medseg", key)
    assert layer.data.size and layer.metadata
