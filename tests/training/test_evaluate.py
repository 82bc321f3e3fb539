"""The figures of a model card."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import napari_medseg
from napari_medseg import models
from napari_medseg.errors import ModelError
from napari_medseg.labels import split_objects
from napari_medseg.metrics import count_objects
from napari_medseg.models import Locator, ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess
from napari_medseg.progress import run
from napari_medseg.segmentation.inference import InferenceSettings, segment_job
from napari_medseg.training import located
from napari_medseg.training.data.dataset import Sample
from napari_medseg.training.data.sources import Source
from napari_medseg.training.evaluate import evaluate, images_of, score_images, whole
from napari_medseg.training.image_scores import (
    Truth,
    mean_dice,
    mean_volume_dice,
    score_image,
    summarise,
    volume_dice,
)
from napari_medseg.training.scored_runs import score_runs
from napari_medseg.volume import LabelClass, Volume


def sample(labels, case="a", group=""):
    labels = np.asarray(labels, np.uint8)
    image = torch.from_numpy(labels.astype(np.float32)).repeat(3, 1, 1)
    return Sample(image, torch.from_numpy(labels), case, group)


def truth(labels, case="a", group="", **more):
    return Truth(np.asarray(labels, np.uint8), case, group, **more)


def square(*corners, size=24, side=8, value=1):
    labels = np.zeros((size, size), np.uint8)
    for y, x in corners:
        labels[y : y + side, x : x + side] = value
    return labels


def test_scores_are_means_over_images_cases_and_groups():
    half = square((0, 0)), square((0, 4))  # overlap of one half: Dice 1/2, IoU 1/3
    pairs = [(half[0], half[1], "a", "x"), (half[0], half[0], "a", "x"), (half[0], 0 * half[0], "b", "y")]
    scores = [score_image(truth(true, case, group), found) for true, found, case, group in pairs]
    figures = summarise(scores, ["thing"])
    assert (figures["images"], figures["skipped"], figures["cases"]) == (3, 0, 2)
    assert figures["dice"] == 0.5 and figures["iou"] == pytest.approx((1 / 3 + 1) / 3, abs=1e-4)
    assert figures["dice_by_case"] == 0.375
    assert figures["dice_std"] == pytest.approx(math.sqrt(1 / 6), abs=1e-4)
    assert figures["groups"]["x"]["dice"] == 0.75 and figures["groups"]["y"]["images"] == 1
    assert not {"classes", "objects", "empty"} & set(figures)


def test_empty_images_are_skipped_when_left_alone_and_counted_when_not():
    nothing = np.zeros((24, 24), np.uint8)
    scores = [score_image(truth(nothing, str(i)), found) for i, found in enumerate((nothing, square((0, 0))))]
    figures = summarise(scores, ["thing"])
    assert (figures["images"], figures["skipped"], figures["dice"]) == (2, 1, 0)
    assert figures["empty"] == {"images": 2, "with_false_pixels": 0.5, "false_pixels": round(64 / 576 / 2, 4)}
    assert summarise(scores[:1], ["thing"])["dice"] is None


def test_classes_are_scored_apart():
    true = square((0, 0)) + square((12, 12), value=2)
    found = square((0, 0)) + square((12, 12), value=1)
    figures = summarise([score_image(truth(true), found, classes=2)], ["one", "two"])
    assert figures["dice"] == 1
    assert figures["classes"] == {"one": {"dice": pytest.approx(2 / 3, abs=1e-4)}, "two": {"dice": 0}}


def test_distances_are_in_millimetres_and_one_sided_classes_counted_apart():
    one, moved, nothing = square((0, 0)), square((0, 3)), np.zeros((24, 24), np.uint8)
    pairs = [(one, moved), (one, one), (one, nothing), (nothing, nothing)]
    scores = [score_image(truth(true, str(i), spacing=(1.0, 0.5)), found) for i, (true, found) in enumerate(pairs)]
    figures = summarise(scores, ["thing"])
    assert figures["hd95_mm"] == 0.75 and figures["hd95_missing"] == pytest.approx(1 / 3, abs=1e-4)
    assert "hd95_mm" not in summarise([score_image(truth(one), one)], ["thing"])


def test_slices_of_a_volume_are_scored_as_one_image():
    planes = [replace(sample(square((0, 0))), volume="v", thickness=3.0, spacing=(1.0, 0.5)) for _ in range(4)]
    others = [sample(square((0, 0)), "single"), sample(square((0, 0)), "single")]
    assert [len(slices) for slices in images_of([*planes, *others])] == [4, 1, 1]
    image = whole(planes, Preprocess())
    assert image.labels.shape == (4, 24, 24) and image.spacing == (3.0, 1.0, 0.5)
    assert whole(others[:1], Preprocess(assumed_spacing=2.0)).spacing == (1.0, 2.0, 2.0)
    found = np.concatenate([image.labels[:2], 0 * image.labels[2:]])
    assert score_image(image, found).dice == pytest.approx(2 / 3)
    assert score_image(image, found).hd95 == (pytest.approx(6.0),)  # two slices of 3 mm


def test_objects_match_above_one_half_whatever_their_numbers():
    true = square((0, 0), value=7) + square((12, 0), value=300 - 256) + square((0, 12), value=9)
    found = square((0, 0), value=4) + square((12, 3), value=2)  # equal; overlap 5/11, too little; missed
    counts = count_objects(found, true.astype(np.uint16) * 100)
    assert (counts.predicted, counts.true, counts.matched) == (2, 3, 1)
    assert counts.f1 == 0.4
    two = np.vstack([np.ones((4, 8), int), np.full((4, 8), 2)])
    assert count_objects(two > 0, two).matched == 0  # exactly one half would allow two partners
    full = np.ones((4, 4), int)
    assert count_objects(full, full).matched == 1
    assert math.isnan(count_objects(0 * full, 0 * full).f1)
    figures = summarise([score_image(truth(true > 0, objects=true), true > 0, split=split_objects)], ["thing"])
    assert figures["objects"] == {"f1": 1, "f1_pooled": 1, "precision": 1, "recall": 1}


class Threshold(torch.nn.Module):
    """Calls foreground what is above one half."""

    def forward(self, x):
        return 20 * (x.mean(1, keepdim=True) - 0.5)


def test_images_are_scored_as_inference_segments_them():
    preprocess = Preprocess(percentiles=(0, 100), spacing=1.5)
    model = TrainedModel(ModelCard("t", "litenext", preprocess, (LabelClass(1, "thing", "#ffffff"),)), Threshold())
    image = np.random.default_rng(0).random((30, 41), np.float32)
    volume = Volume(image, "yx", np.diag([1.0, 2.0, 1.0, 1.0]))
    segmented = napari_medseg.segment(volume, model).labels.data
    given = Sample(
        torch.from_numpy(preprocess.normalise(image)), torch.from_numpy(segmented), "a", spacing=volume.spacing
    )
    assert 0 < segmented.mean() < 1
    assert [score.dice for score in score_images(model, [given])] == [1]


def test_a_model_file_is_evaluated_on_sources(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (4, 20, 30), np.uint8)
    label = np.zeros(image.shape, np.uint16)
    label[:3, 5:15, 5:15] = 300
    np.savez(tmp_path / "test.npz", image=image, label=label, kind=np.array(list("aabb")))
    card = ModelCard("t", "litenext", Preprocess(), (LabelClass(1, "thing", "#ffffff"),), objects=True)
    models.save(tmp_path / "t.safetensors", models.build("litenext", channels=4), card)
    source = Source("test.npz", group="kind", objects="label")
    figures = evaluate(tmp_path / "t.safetensors", [source], tmp_path)
    assert figures["images"] == 4 and set(figures["groups"]) == {"a", "b"}
    assert figures["empty"]["images"] == 1 and 0 <= figures["objects"]["f1"] <= 1
    json.dumps(figures)


def test_figures_that_do_not_exist_are_not_zero():
    nothing = np.zeros((24, 24), np.uint8)
    one = score_image(truth(nothing, objects=nothing), nothing, split=lambda mask: mask.astype(int))
    assert np.isnan(mean_dice([one]))
    figures = summarise([one], ["thing"])["objects"]
    assert figures == {"f1": None, "f1_pooled": None, "precision": None, "recall": None}


def test_mean_of_a_class_says_how_many_images_do_not_have_it():
    both, first = square((0, 0)) + square((12, 12), value=2), square((0, 0))
    scores = [score_image(truth(labels, str(i)), labels, 2) for i, labels in enumerate((both, first, first))]
    assert summarise(scores, ["first", "second"])["classes"] == {
        "first": {"dice": 1.0},
        "second": {"dice": 1.0, "skipped": 2},
    }


def test_a_class_that_nobody_drew_is_not_scored():
    true = square((0, 0))
    found = true + square((12, 12), value=2)
    score = score_image(truth(true, unlabelled=(2,)), found, classes=2)
    assert (score.dice, score.classes[0]) == (1, 1) and math.isnan(score.classes[1])
    assert score_image(truth(true), found, classes=2).classes[1] == 0


class Bright(torch.nn.Module):
    """Labels what is above a level."""

    def __init__(self, level):
        super().__init__()
        self.level = level

    def forward(self, x):
        return 20 * (x.mean(1, keepdim=True) - self.level)


def test_slices_of_a_stack_are_looked_at_in_one_place_and_gated():
    classes = (LabelClass(1, "bright", "#ff0000"),)
    card = ModelCard("a", "litenext", Preprocess(percentiles=(0, 100)), classes)
    finder = TrainedModel(replace(card, name="finder"), Bright(0.9))
    locator = Locator("finder", (16.0, 16.0), gate=True)
    model = TrainedModel(replace(card, locator=locator), Bright(0.5), locator=finder)
    images = torch.full((3, 3, 64, 64), 0.2)
    images[:2, :, 20:24, 30:34] = 0.7
    images[:2, :, 21, 31] = 1.0
    images[:2, :, 50, 50] = 0.7  # not in the piece
    images[2, :, 22, 32] = 0.8  # not found by the first model
    labels = torch.zeros(3, 64, 64, dtype=torch.uint8)
    labels[:2, 20:24, 30:34] = 1
    samples = [Sample(image, plane, "a", stack="s") for image, plane in zip(images, labels, strict=True)]
    scores = list(score_images(model, samples))
    assert [score.dice for score in scores[:2]] == [1, 1] and scores[2].predicted == 0
    places = located.places(model, samples)
    assert places[0].centres == ((21.0, 31.0),) and [bool(place.empty) for place in places] == [False, False, True]
    with pytest.raises(ModelError, match="looks about what finder finds"):
        list(score_images(replace(model, locator=None), samples))


def test_models_with_members_are_scored_by_runs_on_whole_volumes(tmp_path):
    classes = (LabelClass(1, "bright", "#ff0000"),)
    card = ModelCard("a", "litenext", Preprocess((0, 100), multiple=8), classes, orientation="SAR")
    coronal = replace(card, name="b", orientation="ASR")
    model = TrainedModel(card, Threshold(), members=(TrainedModel(coronal, Threshold()),))
    image = np.random.default_rng(0).random((2, 4, 8, 8), np.float32)
    label = (image > 0.7).astype(np.uint8)
    np.savez(tmp_path / "set.npz", image=image, label=label, case=["p", "q"])
    source = Source("set.npz", case="case", axes="zyx", spacing=(2.0, 1.0, 1.0))
    scores = list(score_runs(model, [source], tmp_path))
    assert [score.case for score in scores] == ["p", "q"]
    volume = Volume(image[1], "zyx", np.diag([1.0, 1.0, 2.0, 1.0]))
    found = run(segment_job(volume, model, InferenceSettings())).labels.data
    assert scores[1].overlaps == ((int((found * label[1]).sum()), int(found.sum()), int(label[1].sum())),)
    assert 0 < scores[1].hd95[0] < 10


def stacked(true, found, case, stack, classes=1):
    return score_image(truth(true, case, volume=stack), found, classes)


def test_dice_of_a_volume_counts_all_its_slices_together():
    large, small, nothing = square((0, 0), side=20), square((0, 0), side=4), np.zeros((24, 24), np.uint8)
    scores = [
        stacked(large, large, "a", "1"),
        stacked(small, nothing, "a", "1"),  # hardly counts
        stacked(nothing, small, "a", "1"),  # nor does this
        stacked(small, nothing, "a", "2"),
        stacked(nothing, small, "b", "1"),  # nothing to find
    ]
    whole = 2 * 400 / (400 + 16 + 400 + 16)
    assert volume_dice(scores) == [pytest.approx(whole / 2)]
    figures = summarise(scores, ["thing"])
    assert figures["volume_dice"] == pytest.approx(whole / 2, abs=1e-4) and figures["dice"] == pytest.approx(1 / 5)
    assert "volume_dice" not in summarise(scores[3:], ["thing"])  # every volume is an image
    assert volume_dice(scores[4:]) == [None] and math.isnan(mean_volume_dice(scores[4:]))


def test_volumes_have_the_dice_of_each_class():
    both = square((0, 0)) + square((12, 12), value=2)
    only_one = square((0, 0))
    scores = [stacked(both, only_one, "a", "1", 2), stacked(both, both, "a", "1", 2)]
    classes = summarise(scores, ["one", "two"])["classes"]
    assert classes["one"]["volume_dice"] == 1 and classes["two"]["volume_dice"] == pytest.approx(2 / 3, abs=1e-4)
