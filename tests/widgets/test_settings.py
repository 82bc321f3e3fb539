import os
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import yaml
from napari._qt.dialogs.preferences_dialog import PreferencesDialog
from napari.settings import get_plugin_settings
from npe2 import PluginManifest
from qtpy.QtWidgets import QComboBox, QLineEdit

from napari_medseg.models.library import bundled_cards, bundled_groups
from napari_medseg.segmentation.last_runs import CACHE, speed_folder
from napari_medseg.widgets.kit.preferences import BEST, Preferences, preferences, use_cache_folder


@pytest.mark.smoke
def test_preferences_page_is_napari_s_and_keeps_what_is_chosen(plugin_settings, npe2pm):
    npe2pm.register(PluginManifest.from_distribution("napari-medseg"))
    usual = Preferences(models=dict.fromkeys(bundled_groups(), BEST), reader="ask")
    assert preferences() == usual, "as the manifest says"
    page = get_plugin_settings("napari-medseg")
    page.segment.device = "cpu"
    page.segment.heart = "lstm-sa-heart"
    assert preferences() == replace(usual, device="cpu", models={**usual.models, "heart": "lstm-sa-heart"})
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


@pytest.fixture
def page(viewer, monkeypatch):
    monkeypatch.setenv(CACHE, "")
    return get_plugin_settings("napari-medseg")


def test_autosave_reader_and_cache_folder_are_chosen_in_the_window_of_preferences(page, viewer, qtbot, tmp_path):
    dialog = PreferencesDialog(viewer.window._qt_window)
    qtbot.addWidget(dialog)
    boxes = [box for box in dialog.findChildren(QComboBox) if box.findText("always") >= 0]
    assert len(boxes) == 1
    boxes[0].setCurrentText("never")
    (autosave,) = [box for box in dialog.findChildren(QComboBox) if box.findText("every change") >= 0]
    assert preferences().autosave
    autosave.setCurrentText("off")
    described = [line for line in dialog.findChildren(QLineEdit) if "can be made again" in line.toolTip()]
    assert len(described) == 1
    described[0].setText(str(tmp_path))
    found = preferences()
    assert (found.reader, found.autosave, found.cache) == ("never", False, str(tmp_path))
    assert use_cache_folder() == "" and speed_folder() == tmp_path / "speed"
    dialog.reject()
    assert preferences().reader == "ask" and preferences().autosave, "Cancel takes it back"


@pytest.mark.parametrize("bad", ["away", "a file", "not absolute"])
def test_a_cache_folder_that_cannot_be_used_gives_one_sentence_in_the_dock(page, viewer, qtbot, tmp_path, bad):
    (tmp_path / "a file").write_text("")
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "View")
    offers = dock.opener.offers
    usual = speed_folder()
    page.files.cache = "~no_such_person"  # napari says every letter that is typed
    assert "'~no_such_person' is not a folder" in use_cache_folder()
    page.files.cache = str(tmp_path)
    assert offers.problem.isHidden() and speed_folder() == tmp_path / "speed"
    page.files.cache = "here" if bad == "not absolute" else str(tmp_path / bad)
    assert not offers.problem.isHidden() and "is not a folder of this computer" in offers.problem.text()
    assert page.files.cache in offers.problem.text() and speed_folder() == usual
    assert {path.name for path in tmp_path.iterdir()} == {"a file"}, "nothing is made of what is being typed"
    page.files.cache = ""
    assert offers.isHidden() and os.environ[CACHE] == ""


def test_without_autosave_review_says_that_a_crash_takes_all(page, viewer, qtbot, own_home):
    page.files.autosave = "off"
    labels = viewer.add_labels(np.zeros((3, 8, 8), np.uint8), name="mine")
    _, review = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    qtbot.waitUntil(lambda: not review.busy, timeout=60000)
    assert "autosave was off" in review.form.notes.text() and "after a crash" not in review.form.journal.text()
    labels.fill((0, 2, 2), 1)
    qtbot.waitUntil(lambda: "in memory" in review.form.journal.text())
    assert not (own_home / "review").exists()
    review.undo()
    assert not labels.data.any()
