"""Drawing slices: every epoch shows all of them, and balanced draws show every class as often."""

from collections import Counter

import numpy as np
import torch

from napari_medseg.training.augment import Augment, AugmentSettings
from napari_medseg.training.data.dataset import Sample
from napari_medseg.training.data.deck import Deck


def samples():
    """Nine slices with class 1, one of them with a single pixel of class 2 too, and one that is empty."""
    labels = torch.zeros(10, 16, 16, dtype=torch.uint8)
    labels[:9, 2:6, 2:6] = 1
    labels[4, 12, 13] = 2
    return [Sample(torch.zeros(3, 16, 16), part, str(index), repeat=1 + index % 2) for index, part in enumerate(labels)]


def test_an_epoch_shows_every_slice_as_often_as_it_repeats():
    deck = Deck(samples(), 2)
    drawn = [[deck.shuffled(0, place).case for place in range(first, first + 15)] for first in (0, 15)]
    assert [Counter(part) for part in drawn] == [Counter({str(i): 1 + i % 2 for i in range(10)})] * 2
    assert drawn[0] != drawn[1]


def test_balanced_draws_show_each_class_as_often_and_point_at_it():
    deck, rng = Deck(samples(), 2), np.random.default_rng(0)
    found = Counter()
    for _ in range(400):
        sample, focus = deck.balanced(rng)
        found[int(sample.labels[focus])] += 1
    assert found.keys() == {1, 2} and abs(found[1] - 200) < 40
    empty = Deck([sample for sample in samples() if not sample.labels.any()], 2)
    assert empty.balanced(rng)[1] is None


def test_a_crop_shows_what_it_is_pointed_at():
    image = torch.zeros(3, 200, 160)
    labels = torch.zeros(200, 160, dtype=torch.uint8)
    labels[180:184, 20:24] = 1
    augment = Augment(AugmentSettings(warp=0.0), torch.Generator().manual_seed(0))
    target = labels[None].float()
    assert all(augment(image, target, (48, 48), (182, 22))[1].any() for _ in range(50))
    assert not all(augment(image, target, (48, 48))[1].any() for _ in range(50))
