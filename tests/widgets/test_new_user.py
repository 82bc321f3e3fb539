"""From a file to its labels with three clicks, with the models that come with the package."""

import napari
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_medseg import io, samples
from napari_medseg.volume import Volume


@pytest.fixture
def segment(viewer, qtbot, own_home):
    """The Segment dock of somebody who has never used the package."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")
    settle(dock, qtbot)
    return dock


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.busy, timeout=120000)


def click(dock, button, qtbot):
    assert not button.isHidden() and button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(dock, qtbot)


def test_three_clicks_from_a_file_to_its_labels(segment, viewer, qtbot, tmp_path, monkeypatch):
    heart = io.read(samples.path("sunnybrook_SC-HF-I-01_ED.nii.gz"))
    slices = Volume(np.asarray(heart.data[5:7]), "zyx", heart.affine)
    path = io.write(slices, tmp_path / "mine.nii.gz")
    asked = []

    def choose_file(*_):
        asked.append("the file, in the dialog of the system")
        return [str(path)], ""

    monkeypatch.setattr(QFileDialog, "getOpenFileNames", choose_file)
    click(segment, segment.opener.button, qtbot)
    click(segment, segment.form.run, qtbot)
    assert len(asked) == 1
    assert set(np.unique(segment.labels.data)) == {0, 1, 2}
    assert np.allclose(segment.labels.scale, viewer.layers["mine"].scale)
    assert segment.form.by_hand.isHidden()


def test_where_no_model_fits_one_click_gives_empty_labels_and_the_brush(segment, viewer, qtbot, tmp_path):
    ct = np.random.default_rng(0).integers(-1000, 1000, (4, 40, 48)).astype(np.int16)
    path = io.write(Volume(ct, "zyx", np.diag([1.5, 1.5, 4.0, 1.0])), tmp_path / "ct.nii.gz")
    segment.opener.open([path])
    settle(segment, qtbot)
    assert "None of your models" in segment.form.advice.text()
    click(segment, segment.form.by_hand, qtbot)
    labels = viewer.layers.selection.active
    assert isinstance(labels, napari.layers.Labels) and labels.mode == "paint"
    assert labels.data.shape == ct.shape and tuple(labels.scale) == (4.0, 1.5, 1.5) and not labels.data.any()
    review = viewer.window.dock_widgets["Review (napari-medseg)"]
    assert review.form.labels.currentData() is labels
    assert segment.form.by_hand.isHidden(), "there are labels now"
    labels.paint((1, 10, 10), 1)
    assert labels.data.any()
