import pytest
from napari.settings import get_plugin_settings
from npe2 import PluginManifest

from napari_medseg.widgets.kit.preferences import Preferences, preferences


@pytest.mark.smoke
def test_preferences_page_is_napari_s_and_keeps_what_is_chosen(plugin_settings, npe2pm):
    npe2pm.register(PluginManifest.from_distribution("napari-medseg"))
    assert preferences() == Preferences(), "the defaults of the manifest and of the program are the same"
    page = get_plugin_settings("napari-medseg")
    page.segment.device = "cpu"
    page.segment.model = "mine"
    assert preferences() == Preferences("cpu", "mine")
    assert "model: mine" in page.config_path.read_text(), "written to napari's configuration folder"


def test_without_the_manifest_there_are_defaults(plugin_settings):
    assert preferences() == Preferences()
