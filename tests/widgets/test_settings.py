from importlib import resources

import pytest
import yaml
from napari.settings import get_plugin_settings
from npe2 import PluginManifest

from napari_medseg.models.library import bundled_cards, bundled_groups
from napari_medseg.widgets.kit.preferences import BEST, Preferences, preferences


@pytest.mark.smoke
def test_preferences_page_is_napari_s_and_keeps_what_is_chosen(plugin_settings, npe2pm):
    npe2pm.register(PluginManifest.from_distribution("napari-medseg"))
    assert preferences() == Preferences(models=dict.fromkeys(bundled_groups(), BEST)), "as the manifest says"
    page = get_plugin_settings("napari-medseg")
    page.segment.device = "cpu"
    page.segment.heart = "lstm-sa-heart"
    assert preferences() == Preferences("cpu", dict.fromkeys(bundled_groups(), BEST) | {"heart": "lstm-sa-heart"})
    assert preferences().first(bundled_cards()) == "lstm-sa-heart"
    assert "heart: lstm-sa-heart" in page.config_path.read_text(), "written to napari's configuration folder"


def test_the_page_offers_the_bundled_models_of_each_task():
    manifest = yaml.safe_load(resources.files("napari_medseg").joinpath("napari.yaml").read_text())
    page = manifest["contributions"]["configurations"]["segment"]["properties"]
    offered = {group: page[group]["enum"] for group in page.keys() - {"device"}}
    assert offered == {group: [BEST, *(card.name for card in cards)] for group, cards in bundled_groups().items()}
    assert all(page[group]["default"] == BEST for group in offered)


def test_without_the_manifest_there_are_defaults(plugin_settings):
    assert preferences() == Preferences()
