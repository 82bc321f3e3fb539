"""Review offers to teach a new model, and hands labels and image over to Fine-tune."""

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QApplication

from napari_medseg.io.contributions import layer_tuple
from napari_medseg.progress import Progress
from napari_medseg.record import Record, UsedModel
from napari_medseg.training import trial
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.fine_tune.form import NOTHING
from napari_medseg.widgets.kit import records
from napari_medseg.widgets.review.teaching_state import TeachingFacts, teaching_state

MADE = Record("segment", models=(UsedModel("all"),))


@pytest.mark.parametrize(
    ("facts", "text", "can"),
    [
        (TeachingFacts(slices={"spleen": 4}), "", False),
        (TeachingFacts(slices={"spleen": 5}, found={"spleen"}), "", False),
        (TeachingFacts("the labels are being read.", slices={"spleen": 5}), "", False),
        (TeachingFacts(slices={"spleen": 5}, found={"liver"}), "No model finds spleen; 5 of its slices", True),
        (TeachingFacts(slices={"spleen": 5, "liver": 9, "rib": 1}, found=()), "spleen (5), liver (9).", True),
        (TeachingFacts(has_image=False, slices={"spleen": 5}), "No model finds spleen", False),
        (TeachingFacts(axes=4, slices={"spleen": 5}), "No model finds spleen", False),
    ],
)
def test_the_offer_comes_with_five_slices_of_a_class_that_no_model_finds(facts, text, can):
    state = teaching_state(facts)
    assert text in state.teachable and bool(state.teachable) == bool(text) == state.teach.visible
    assert (state.teach.visible and not state.teach.why_not) == can


def no_trial(images, settings):
    yield Progress(0, 1)


def test_review_hands_a_new_class_over_to_fine_tune(viewer, qtbot, model, monkeypatch):
    def settle(*docks):
        qtbot.waitUntil(lambda: not any(dock.busy for dock in docks), timeout=60000)
        QApplication.processEvents()

    monkeypatch.setattr(trial, "pace_job", no_trial)
    scan = Volume(np.random.default_rng(0).random((8, 20, 18)), "zyx")
    image = viewer.add_layer(Layer.create(*layer_tuple(scan, "scan")))
    data = np.zeros((8, 20, 18), np.uint8)
    data[1:7, 3:9, 3:9] = 2
    classes = (LabelClass(1, "everything", "#e64b35"), LabelClass(2, "spleen", "#4dbbd5"))
    labels = viewer.add_layer(Layer.create(*layer_tuple(scan.like(data, classes).made_by(MADE), "mine")))
    others = viewer.add_layer(Layer.create(*layer_tuple(scan.like(data).made_by(MADE), "others")))
    _, review = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
    review.choose(labels)
    settle(review, review.teaching)
    form = review.form
    records.approve(labels, [1, 2, 3, 4])
    review._update()
    settle(review, review.teaching)
    assert form.teach.isHidden() and not form.teachable.text()
    records.approve(labels, [5])
    review._update()
    settle(review, review.teaching)
    assert form.teachable.text().startswith("No model finds spleen; 5 of its slices") and form.teach.isEnabled()
    form.teach.click()
    _, tune = viewer.window.add_plugin_dock_widget("napari-medseg", "Fine-tune")
    settle(tune)
    chosen = tune.form
    assert chosen.labels.currentData() is labels and chosen.image.currentData() is image
    assert chosen.model.currentData() == NOTHING and chosen.time.currentData() == 600.0
    assert chosen.name.text() == "spleen" and chosen.reviewed.text() == "1-5" and chosen.start.isEnabled()
    records.withdraw(labels, [5])
    review._update()
    assert form.teach.isHidden()
    review.choose(others)
    assert form.teach.isHidden()
