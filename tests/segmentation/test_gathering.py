"""Labels from the leading class of every pixel: the same labels and uncertainty as from all logit maps at once."""

import numpy as np
import pytest
import torch

from napari_medseg import labels
from napari_medseg.preprocess import Undo
from napari_medseg.segmentation.gathering import Gathered
from napari_medseg.segmentation.tiling import tiles


def pieces_of(logits, side, step):
    for tile in tiles(tuple(logits.shape[2:]), side, step):
        yield tile, tile.cut(logits)


@pytest.mark.parametrize("classes", [1, 2, 3, 11, 19, 50])
@pytest.mark.parametrize(
    ("padded", "inner", "size"),
    [
        ((32, 48), (32, 48), (32, 48)),
        ((32, 48), (21, 37), (21, 37)),
        ((32, 48), (31, 33), (50, 97)),  # factors that are no whole numbers
        ((32, 48), (32, 48), (13, 96)),
        ((32, 48), (17, 48), (1, 200)),
        ((176, 192), (171, 190), (77, 131)),
        ((48, 32), (41, 29), (307, 290)),
        ((176, 192), (171, 190), (171, 190)),
    ],
)
def test_labels_are_those_of_all_logits(classes, padded, inner, size):
    torch.manual_seed(classes)
    logits = 3 * torch.randn(2, classes, *padded)
    logits[:, :, 3:5] = logits[:, :1, 3:5]  # equals: the first class wins
    logits[0, classes // 2, 0, :4] = torch.tensor([float("nan"), torch.inf, -torch.inf, 0])
    undo = Undo(size, inner, inner)
    answers = Gathered(2, classes, padded, undo)
    for image in range(2):
        for tile, piece in pieces_of(logits[image : image + 1], 160, 16):
            answers.put(slice(image, image + 1), tile, piece.contiguous(memory_format=torch.channels_last))
    found, expected = answers.leading(), undo(logits)
    torch.testing.assert_close(answers.logits(), expected, rtol=0, atol=0, equal_nan=True)
    best, index = expected.max(1)
    assert torch.equal(found.logit.nan_to_num(7), best.nan_to_num(7))
    assert torch.equal(found.number, torch.where(best > 0, index + 1, 0).to(torch.uint8))
    for certainty in (0.5, 0.95):
        np.testing.assert_array_equal(labels.from_leading(found, certainty), labels.from_logits(expected, certainty))
    ours, theirs = labels.uncertainty(answers.margin()), labels.uncertainty(labels.margin([expected]))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [(16, 24), (31, 50)])
def test_no_class_is_possible_where_the_image_has_no_value(size):
    answers = Gathered(2, 3, (16, 24), Undo(size, (16, 24), (16, 24)))
    for tile, piece in pieces_of(torch.ones(2, 3, 16, 24), 160, 8):
        answers.put(slice(0, 2), tile, piece)
    unknown = np.zeros(size, bool)
    unknown[3:5, 7] = True
    answers.blank(1, unknown)
    found = answers.leading()
    expected = np.ones((2, *size), np.uint8)
    expected[1, 3:5, 7] = 0
    np.testing.assert_array_equal(found.number, expected)
    assert (labels.uncertainty(answers.margin()) > 0).tolist() == (expected > 0).tolist()
    logits = answers.logits()
    np.testing.assert_array_equal(logits.isneginf().any(1), expected == 0)
    np.testing.assert_array_equal(labels.from_logits(logits), expected)
