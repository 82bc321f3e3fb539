"""Held-out figures of a card as tables."""

import pytest

from napari_medseg import models
from napari_medseg.models.figures import held_out_dice, tables
from napari_medseg.preprocess import Preprocess

BUNDLED = sorted(name for name in models.available() if not name.startswith("my-"))


def card(metrics):
    return models.ModelCard("m", "litenext", metrics=metrics, preprocess=Preprocess(), classes=())


def test_a_card_without_figures_has_no_table():
    assert tables(card({})) == []


def test_scores_stand_next_to_those_of_the_peer_and_the_threshold():
    metrics = {
        "val": {"dice": 0.8124, "iou": 0.72, "step": 3},
        "test": {"images": 96, "skipped": 0, "dice": 0.8177, "cases": 6, "case_dice": {"a": 0.7, "b": 0.94}},
        "test, plain U-Net": {"dice": 0.8163, "hd95_mm": 5.36},
    }
    assert tables(card(metrics)) == [
        [
            ["held-out data", "images", "cases", "Dice", "IoU", "HD95 (mm)", "range of Dice"],
            ["val, m", "", "", "0.812", "0.720", "", ""],
            ["test, m", "96", "6", "0.818", "", "", "0.70 to 0.94"],
            ["test, plain U-Net", "", "", "0.816", "", "5.4", ""],
        ]
    ]


def test_classes_groups_and_objects_have_their_figures():
    metrics = {
        "test": {
            "dice": 0.85,
            "classes": {"front": {"dice": 0.8, "hd95_mm": 6.2}},
            "groups": {"bright": {"images": 3, "dice": 0.7}},
            "objects": {"f1": 0.84},
        }
    }
    (rows,) = tables(card(metrics))
    assert rows[0] == ["held-out data", "images", "Dice", "HD95 (mm)", "object F1"]
    assert rows[1:] == [
        ["test, m, all classes as one", "", "0.850", "", "0.840"],
        ["test, m, front", "", "0.800", "6.2", ""],
        ["test, m, bright", "3", "0.700", "", ""],
    ]


def test_reconstruction_is_compared_by_mask_and_subject():
    figures = {"psnr": 25.779, "ssim": 0.8681, "nmse": 0.02}
    metrics = {
        "val": {"psnr": 26.85, "step": 5},
        "val_by_mask_and_subject": {
            "random 4x": {"head": {"zero_filled": figures, "tv_dc": figures, "model": figures}},
            "spots": {"random 4x": {"kept": 0.8}},
        },
    }
    scores, quality, spots = tables(card(metrics))
    assert spots == [["small bright spots", "height shown of a true one"], ["random 4x", "80%"]]
    assert scores == [["held-out data", "PSNR (dB)"], ["val, m", "26.85"]]
    assert quality[1:] == [["random 4x, head", *["25.78 / 0.868"] * 3]]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_cards_show_their_figures(name):
    found = tables(models.load_card(models.find(name)))
    assert found and all(len(row) == len(rows[0]) for rows in found for row in rows)


def test_held_out_dice_is_given_class_by_class():
    for name, dice in (("lstm-sa-hippocampus", "0.841 / 0.823"), ("litenext-heart", "0.879 / 0.765")):
        assert held_out_dice(models.load_card(models.find(name))) == dice
    assert held_out_dice(card({"test": {"dice": 0.5, "classes": [1]}})) == "0.500"
    assert held_out_dice(card({})) == ""
