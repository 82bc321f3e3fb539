"""The order of the Review dock: what N and J follow, and what is said of the rest."""

import math

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtWidgets import QApplication

from napari_medseg import io
from napari_medseg.io.contributions import layer_tuple
from napari_medseg.models.library import bundled_cards
from napari_medseg.record import Record, UsedModel
from napari_medseg.review.pace import Pace
from napari_medseg.volume import LabelClass, Volume
from napari_medseg.widgets.kit.layer_volumes import labels_volume
from napari_medseg.widgets.review.opinions import refusal, refused_text
from napari_medseg.widgets.review.ordering import rest_text
from napari_medseg.widgets.review.strip import COLOURS

AFFINE = np.diag([1.2, 1.1, 8, 1])
MADE = Record("segment", models=(UsedModel("litenext-heart", "12"),))
OTHER = Record("segment", models=(UsedModel("lstm-sa-heart", "34"),))  # of the same task, and nearly as good
POOR = Record("segment", models=(UsedModel("conditional-swin-heart", "56"),))


def add(viewer, data, name, record=None, classes=()):
    volume = Volume(data, "zyx", AFFINE, classes).made_by(record)
    return viewer.add_layer(Layer.create(*layer_tuple(volume, name)))


def add_labels(viewer, areas, name, record=MADE):
    data = np.zeros((len(areas), 24, 20), np.uint8)
    for plane, area in zip(data, areas, strict=True):
        plane.reshape(-1)[:area] = 1
    return add(viewer, data, name, record, (LabelClass(1, "cavity", "#e64b35"),))


@pytest.fixture
def review(viewer, qtbot):
    def make():
        _, dock = viewer.window.add_plugin_dock_widget("napari-medseg", "Review")
        settle(dock)
        return dock

    def settle(dock):
        qtbot.waitUntil(lambda: not dock.busy, timeout=60000)
        QApplication.processEvents()

    make.settle = settle
    return make


def test_seconds_in_view_are_kept_in_the_layer_and_in_files(review, viewer, tmp_path):
    now = [0.0]
    labels = add_labels(viewer, (100, 40, 90, 50, 60, 7), "mine")
    dock = review()
    dock._ordering._pace = Pace(lambda: now[0])
    for number, seconds in enumerate((4, 10, 6)):
        viewer.dims.set_current_step(0, number)
        now[0] += seconds
        dock.approve()
    assert dock.form.rest.text().startswith("3 slices to review, about 18")
    viewer.dims.set_current_step(0, 0)
    now[0] += 3
    io.write(labels_volume(labels, None, None), tmp_path / "labels.nii.gz")
    viewer.layers.clear()
    QApplication.processEvents()
    viewer.add_layer(Layer.create(*layer_tuple(io.read(tmp_path / "labels.nii.gz"), "again")))
    review.settle(dock)
    assert dock.form.rest.text().startswith("3 slices to review, about 18")


def press(viewer, *keys):
    """The slices that keys lead to."""
    found = []
    for key in keys:
        handler = KeymapHandler()
        handler.keymap_providers = [viewer]
        handler.press_key(key)
        QApplication.processEvents()
        found.append(viewer.dims.current_step[0])
    return found


def test_a_poor_second_model_is_not_followed_by_itself_but_can_be_chosen(review, viewer):
    poor = add_labels(viewer, (100, 40, 90, 0), "poor", POOR)
    labels = add_labels(viewer, (100, 50, 30, 0), "mine")
    dock = review()
    dock.choose(labels)
    review.settle(dock)
    form = dock.form
    assert form.order.currentData() is None
    assert "Not followed by itself: conditional-swin-heart has a Dice of 0.71 on test data" in form.rest.text()
    form.order.setCurrentIndex(form.order.findData(poor))
    review.settle(dock)
    dock._update()
    assert form.order.currentData() is poor and "Not followed" not in form.rest.text()
    dock.go_on()
    assert viewer.dims.current_step[0] == 2


def test_no_second_model_is_advised_where_there_is_no_first_one(review, viewer):
    labels = add_labels(viewer, (100, 50, 30, 0), "drawn", record=None)
    dock = review()
    dock.choose(labels)
    review.settle(dock)
    assert dock.form.rest.text() == "4 slices to review."


def test_what_is_not_followed_by_itself_says_why():
    drawn = Record("draw")
    own = Record("segment", models=(UsedModel("mine"),))
    cards = bundled_cards()
    assert refusal(MADE, OTHER, cards) == "" == refusal(drawn, POOR, cards) == refusal(MADE, None, cards)
    assert refusal(MADE, own, cards) == "mine has no Dice on test data"
    text = refused_text(["a is poor", "", "a is poor", "b is worse"])
    assert text == "Not followed by itself: a is poor; b is worse. Choose it under Next by all the same."
    assert refused_text([""]) == ""


def test_next_follows_the_difference_of_two_models_then_the_uncertainty_then_the_slices(review, viewer):
    doubt = np.zeros((4, 24, 20), np.uint8)
    doubt[1, 4:8, 4:8] = 255
    doubtful = add(viewer, doubt, "doubt", MADE)
    other = add_labels(viewer, (100, 40, 90, 0), "other", OTHER)
    labels = add_labels(viewer, (100, 50, 30, 0), "mine")
    drawn = add_labels(viewer, (1, 1, 1, 1), "drawn", record=None)
    dock = review()
    dock.choose(labels)
    review.settle(dock)
    form = dock.form
    assert form.order.currentData() is other and not form.aim.isHidden()
    assert [form.order.itemData(row) for row in range(form.order.count())] == [None, doubtful, other, drawn]
    viewer.dims.set_current_step(0, 3)
    picture = form.strip.grab().toImage()
    tops = [picture.pixelColor(form.strip.cell(number).center().x(), 3).name() for number in (0, 2)]
    assert tops == [COLOURS["auto"], "#d6363d"], "the most doubtful slice has a red bar"
    assert press(viewer, "N", "N", "N", "Shift-N") == [2, 1, 0, 1]
    viewer.dims.set_current_step(0, 2)
    assert press(viewer, "A", "A") == [0, 3], "from where the order had led to"
    assert form.rest.text() == "2 slices to review."
    assert press(viewer, "J", "J") == [1, 1] and "1 of 1: 10 voxels" in viewer.status
    form.order.setCurrentIndex(form.order.findData(doubtful))
    review.settle(dock)
    assert press(viewer, "J", "Shift-J") == [1, 1] and "16 voxels" in viewer.status
    form.order.setCurrentIndex(0)
    review.settle(dock)
    viewer.dims.set_current_step(0, 3)
    assert form.aim.isHidden() and press(viewer, "N", "J") == [1, 1]
    assert "no doubtful region" in viewer.status
    viewer.layers.remove(other)
    assert form.order.findData(other) == -1


@pytest.mark.parametrize(
    ("left", "seconds", "comparable", "text"),
    [
        (0, math.nan, False, "Every slice is approved."),
        (1, math.nan, True, "1 slice to review."),
        (7, 200.0, True, "7 slices to review, about 3.3 min at your pace."),
        (7, math.nan, False, "7 slices to review. One after the other: to see the doubtful ones first, run a second"),
    ],
)
def test_what_is_left_is_said(left, seconds, comparable, text):
    assert rest_text(left, seconds, comparable).startswith(text)
