"""Where to look first: what the scores rank, how the order is walked, and a person's own pace."""

import math

import numpy as np
import pytest

from napari_medseg.errors import VolumeError
from napari_medseg.review.ledger import Ledger
from napari_medseg.review.order import Region, doubtful, next_slice, ranking, regions, score_slices
from napari_medseg.review.pace import Pace, rest


def volume(*areas):
    """A slice per area, the first voxels of it labelled."""
    data = np.zeros((len(areas), 40, 40), np.uint8)
    for plane, area in zip(data, areas, strict=True):
        plane.reshape(-1)[:area] = 1
    return data


def test_failed_slices_come_before_large_ones_with_more_wrong_voxels():
    ours = volume(900, 100, 0, 400)
    theirs = volume(840, 50, 0, 400)
    assert score_slices(ours, theirs, aim="voxels").tolist() == [60, 50, 0, 0]
    assert score_slices(ours, theirs) == pytest.approx([2, 5, 0, 0])
    assert ranking(score_slices(ours, theirs)) == [1, 0, 2, 3]
    ours[3] *= 2
    assert score_slices(ours, theirs)[3] == 20, "another class is another label"


def test_with_one_model_its_uncertainty_ranks_and_a_trace_on_an_empty_slice_does_not_lead():
    labels = volume(900, 100, 0)
    doubt = np.zeros(labels.shape, np.uint8)
    doubt[0].reshape(-1)[:80] = 255
    doubt[1].reshape(-1)[:50] = 255
    doubt[2].reshape(-1)[:3] = 255
    assert score_slices(labels, uncertainty=doubt, aim="voxels") == pytest.approx([80, 50, 3])
    assert ranking(score_slices(labels, uncertainty=doubt)) == [1, 0, 2]


def test_without_either_the_order_is_plain():
    scores = score_slices(volume(5, 9, 1))
    assert not scores.any() and ranking(scores) == [0, 1, 2]
    assert not doubtful(volume(5)).any()
    assert next_slice(scores, ["unseen"] * 3, 1) == 2 and next_slice(scores, ["unseen"] * 3, 2) == 0


def test_time_points_are_counted_through_and_a_single_image_is_one_slice():
    ours = volume(9, 9, 9, 9).reshape(2, 2, 40, 40)
    theirs = volume(9, 9, 9, 1).reshape(2, 2, 40, 40)
    assert ranking(score_slices(ours, theirs))[0] == 3
    assert score_slices(ours[0, 0], theirs[1, 1]).tolist() == [8 / 3]


def test_another_shape_is_one_sentence():
    with pytest.raises(VolumeError, match="made for the same image"):
        score_slices(volume(1, 2), volume(1))
    with pytest.raises(VolumeError, match="uncertainty"):
        doubtful(volume(1, 2), uncertainty=volume(1))


def test_the_order_is_walked_past_what_is_approved():
    scores = np.array([1, 7, 3, 5])
    states = ["auto", "auto", "approved", "edited"]
    walk = [next_slice(scores, states, None)]
    for _ in range(3):
        walk.append(next_slice(scores, states, walk[-1]))
    assert walk == [1, 3, 0, 1]
    assert next_slice(scores, states, 3, backwards=True) == 1
    assert next_slice(scores, states, 2) == 0, "one may stand on an approved slice"
    assert next_slice(scores, ["approved"] * 4, None) is None
    assert next_slice(scores, ["auto", *["approved"] * 3], 0) is None


def test_regions_of_one_window_are_one_and_traces_are_left_out():
    doubt = np.zeros((2, 100, 100), bool)
    doubt[0, 10:13, 10:12] = True  # 6 voxels
    doubt[1, 10:14, 10:14] = True  # 16
    doubt[1, 20:22, 20:22] = True  # 4 more in its window
    doubt[1, 80:85, 80:85] = True  # 25, far away
    doubt[1, 50, 50] = True
    found = regions(doubt, np.array([1.0, 2.0]))
    assert found == [Region(1, (82, 82), 25), Region(1, (11.5, 11.5), 20), Region(0, (11, 10.5), 6)]
    assert regions(doubt[0], np.array([0.0])) == found[2:]


def test_the_pace_is_the_median_of_the_slices_approved_and_pauses_do_not_count():
    now = [0.0]
    pace = Pace(lambda: now[0])
    ledger = Ledger(9)
    assert pace.sign(0) is None
    for number, seconds in enumerate((10, 4, 1000)):
        now[0] += seconds
        assert math.isnan(rest(ledger.paces(), 5))
        ledger.spend(*pace.sign(number + 1))
        ledger.approve(number, number)
    assert rest(ledger.paces(), 5) == 50
    for seconds in (1, 2):
        now[0] += seconds
        ledger.spend(*pace.sign(3))
    assert rest(ledger.paces(), 5) == 50, "slice 3 is not approved"
    ledger.approve(3, 3)
    assert rest(ledger.paces(), 10) == pytest.approx(70)
    kept = Ledger.from_json(ledger.to_json(), 9)
    assert kept.paces() == [10, 4, 120, 3]
    kept.withdraw(2)
    assert kept.paces() == [10, 4, 3]
    assert pace.sign(None)[0] == 3 and pace.sign(1) is None
