"""From logits to labels, and operations on label arrays."""

import numpy as np
import pytest
import torch

from napari_medseg import labels
from napari_medseg.labels import from_logits, keep_largest, margin, split_objects, uncertainty, vote


def discs(*circles, size=64):
    y, x = np.mgrid[:size, :size]
    return np.any([np.hypot(y - cy, x - cx) < radius for cy, cx, radius in circles], axis=0)


def test_highest_logit_above_zero_wins():
    logits = torch.tensor([[-1.0, 2.0, 1.0, 0.0], [-2.0, 1.0, 3.0, 0.0]])[None, :, None]
    np.testing.assert_array_equal(from_logits(logits), [[[0, 1, 2, 0]]])
    assert from_logits(logits).dtype == np.uint8


def test_objects_without_a_certain_pixel_are_dropped_whole():
    logits = torch.tensor([[1.0, 3.0, 1.0, -1.0, 1.0, 2.0, -1.0, 9.0], [-9.0] * 5 + [-9.0, 4.0, -9.0]])[None, :, None]
    np.testing.assert_array_equal(from_logits(logits), [[[1, 1, 1, 0, 1, 1, 2, 1]]])
    # classes that touch each other are one object
    np.testing.assert_array_equal(from_logits(logits, 0.95), [[[1, 1, 1, 0, 1, 1, 2, 1]]])
    np.testing.assert_array_equal(from_logits(logits, 0.99), [[[0, 0, 0, 0, 1, 1, 2, 1]]])
    np.testing.assert_array_equal(from_logits(logits, 0.9999), [[[0, 0, 0, 0, 0, 0, 0, 0]]])


def test_the_largest_piece_of_each_class_stays():
    labels = np.zeros((3, 6, 8), np.uint8)
    labels[0, 0, :2] = 1  # goes on in the next slice, across a corner
    labels[1, 1, 2:4] = 1
    labels[1, 4, :3] = 1  # larger within its slice, smaller in space
    labels[2, 0, 0] = 2
    labels[2, 3, 3:7] = 3
    kept = labels.copy()
    keep_largest(kept, [1, 2, 4])
    labels[1, 4] = 0
    np.testing.assert_array_equal(kept, labels)
    keep_largest(np.zeros((2, 3), np.uint8), [])


def test_uncertainty_falls_with_distance_from_one_half():
    logits = torch.tensor([[0.0, 1.0, -1.0, 50.0, -50.0]])[None, :, None]
    values = uncertainty(margin([logits]))[0, 0].tolist()
    assert values[0] == 255 and values[1] == values[2] and 0 < values[1] < 255 and values[3:] == [0, 0]


def test_the_border_between_two_classes_is_as_undecided_as_that_to_the_background():
    logits = torch.tensor([[9.0, 9.0, 9.0, -9.0, 0.0], [9.0, 8.0, -9.0, -8.0, -9.0], [-9.0, -9.0, -9.0, -9.0, -9.0]])
    classes = logits[None, :, None]
    values = uncertainty(margin([classes]))[0, 0]
    alone = uncertainty(margin([torch.tensor([[[[0.0, 1.0, 9.0, 8.0, 0.0]]]])]))[0, 0]
    np.testing.assert_array_equal(values, alone)
    np.testing.assert_array_equal(uncertainty(margin(classes.split(1, 1)))[0, 0], alone)


def test_where_no_class_leads_nothing_is_decided():
    logits = torch.tensor([[torch.inf, torch.nan], [torch.inf, 0]])[None, :, None]
    assert uncertainty(margin([logits]))[0, 0].tolist() == [255, 255]


def test_most_votes_win_and_in_a_tie_the_array_named_first():
    opinions = np.array([[1, 2, 0, 3, 0], [1, 1, 1, 2, 2], [1, 1, 2, 2, 1], [1, 1, 2, 3, 3]], np.uint8)
    chosen, disagreement = vote(opinions)
    np.testing.assert_array_equal(chosen, [1, 1, 2, 3, 0])
    np.testing.assert_array_equal(disagreement, [0, 85, 170, 170, 255])
    assert chosen.dtype == disagreement.dtype == np.uint8


def test_votes_are_those_of_a_plain_count():
    opinions = np.random.default_rng(0).integers(0, 3, (5, 300), np.uint8)
    for column, label, doubt in zip(opinions.T.tolist(), *vote(opinions), strict=True):
        assert label == max(column, key=lambda each: (column.count(each), -column.index(each)))
        assert doubt == round(255 * (5 - column.count(label)) / 4)


def test_touching_discs_come_apart():
    circles = [(20, 20, 9), (20, 36, 9), (48, 40, 11)]
    objects = split_objects(discs(*circles))
    assert objects.max() == 3 and objects.dtype == np.int32
    assert len({objects[cy, cx] for cy, cx, _ in circles}) == 3
    assert np.array_equal(objects > 0, discs(*circles))


def test_small_pieces_are_left_out_and_numbers_have_no_gaps():
    mask = discs((20, 20, 9), (50, 50, 9))
    mask[2:4, 2:6] = True  # 8 pixels
    objects = split_objects(mask)
    assert objects[2, 2] == 0 and sorted(np.unique(objects)) == [0, 1, 2]
    assert split_objects(mask, smallest=8).max() == 3


def test_thin_object_beside_a_large_one_is_kept():
    mask = discs((32, 32, 16))
    mask[10:54, 49:51] = True
    mask[:, 48] = False
    assert len(np.unique(split_objects(mask)[mask])) > 1
    assert (split_objects(mask)[mask] > 0).all()


@pytest.mark.parametrize("mask", [np.zeros((9, 9), bool), np.ones((9, 9), bool), np.ones((3, 9, 9), bool)])
def test_nothing_and_everything(mask):
    assert split_objects(mask).max() == int(mask.any())
    assert split_objects(mask).shape == mask.shape


@pytest.mark.parametrize("seed", range(4))
def test_comparing_tops_in_their_piece_alone_changes_no_object(seed, monkeypatch):
    draw = np.random.default_rng(seed)
    circles = [(*draw.integers(0, 160, 2), draw.uniform(3, 12)) for _ in range(30)]
    mask = np.any([np.hypot(*(np.mgrid[:160, :160] - np.reshape(c[:2], (2, 1, 1)))) < c[2] for c in circles], 0)
    monkeypatch.setattr(labels, "_CALL", 0)
    alone = split_objects(mask)
    monkeypatch.setattr(labels, "_CALL", 10**9)
    np.testing.assert_array_equal(alone, split_objects(mask))
    assert alone.max() > 10
