"""Random views: image and labels move together, and the seed decides everything."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from napari_medseg.training.augment import NOTHING, Augment, AugmentSettings

GEOMETRY = replace(NOTHING, rotate=20, quarter_turns=True, flip=True, zoom=(0.7, 1.4), shift=0.1, warp=0.05)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def view_of(augment, image, labels, size, focus=None):
    """View and labels there: what belongs to them by half."""
    view, share = augment(image, labels[None].float(), size, focus)
    return view, (share[0] >= 0.5).to(torch.uint8)


@pytest.fixture
def labels():
    """Large blobs without any symmetry."""
    rough = torch.rand(1, 1, 6, 9, generator=generator(5)) > 0.5
    return F.interpolate(rough.float(), (60, 90), mode="nearest")[0, 0].to(torch.uint8)


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (96, 96)])
def test_labels_move_with_the_image(labels, size):
    image = labels.float().repeat(3, 1, 1)
    for seed in range(20):
        view, mask = view_of(Augment(GEOMETRY, generator(seed)), image, labels, size)
        assert view.shape == (3, *size) and mask.shape == size
        assert ((view[0] > 0.5) == (mask > 0)).float().mean() > 0.98


def test_intensities_change_but_not_the_place_of_things(labels):
    image = labels.float().repeat(3, 1, 1) * 0.6 + 0.2
    settings = replace(AugmentSettings(), noise=0.02, blur=0.5)
    for seed in range(20):
        view, mask = view_of(Augment(settings, generator(seed)), image, labels, (64, 64))
        middle = (view[0][mask > 0].median() + view[0][mask == 0].median()) / 2
        assert ((view[0] > middle) == (mask > 0)).float().mean() > 0.95


def test_same_seed_same_view_other_seed_other_view(labels):
    image = torch.rand(3, *labels.shape, generator=generator(1))
    first, again, other = (
        view_of(Augment(AugmentSettings(), generator(seed)), image, labels, (32, 32)) for seed in (7, 7, 8)
    )
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_without_changes_the_whole_image_comes_back(labels):
    image = torch.rand(3, *labels.shape, generator=generator(1))
    view, mask = view_of(Augment(NOTHING, generator(0)), image, labels, tuple(labels.shape))
    torch.testing.assert_close(view, image, rtol=0, atol=1e-5)
    assert torch.equal(mask, labels)
    small, _ = view_of(Augment(replace(NOTHING, zoom=(0.5, 0.5)), generator(0)), image, labels, (30, 45))
    torch.testing.assert_close(small, F.avg_pool2d(image, 2), rtol=0, atol=1e-5)


def test_turning_keeps_shapes():
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    disc = (torch.hypot(y, x) < 24).to(torch.uint8)
    settings = replace(NOTHING, rotate=45, quarter_turns=True, flip=True)
    for seed in range(10):
        _, mask = view_of(Augment(settings, generator(seed)), disc.float().repeat(3, 1, 1), disc, (64, 64))
        assert (mask == disc).float().mean() > 0.97


def test_magnification_and_mirroring_are_those_asked_for():
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    labels[24:40, 16:48] = 1
    image = labels.float().repeat(3, 1, 1)
    _, larger = view_of(Augment(replace(NOTHING, zoom=(1.5, 1.5)), generator(0)), image, labels, (96, 96))
    assert larger.sum().item() == pytest.approx(1.5**2 * labels.sum().item(), rel=0.03)
    turned = {
        tuple(mask.any(1).nonzero().flatten()[[0, -1]].tolist())
        for seed in range(20)
        for _, mask in [
            view_of(Augment(replace(NOTHING, quarter_turns=True), generator(seed)), image, labels, (64, 64))
        ]
    }
    assert turned == {(24, 39), (16, 47)}  # lying and standing


def test_grey_images_stay_grey_under_noise():
    image, labels = torch.full((3, 32, 32), 0.5), torch.zeros(32, 32, dtype=torch.uint8)
    for seed in range(6):
        view, _ = view_of(Augment(replace(AugmentSettings(), colour_gain=0), generator(seed)), image, labels, (32, 32))
        torch.testing.assert_close(view[0], view[2])


def test_neighbours_move_with_their_slice_and_are_left_out_as_often_as_asked(labels):
    image = torch.rand(9, *labels.shape, generator=generator(1))
    same = image[:3].repeat(3, 1, 1)
    settings = replace(AugmentSettings(), noise=0, warp=0.05)
    before, slice_, after = view_of(Augment(settings, generator(0)), same, labels, (32, 32))[0].split(3)
    assert torch.equal(before, slice_) and torch.equal(slice_, after)
    views = [
        view_of(Augment(replace(NOTHING, alone=0.5), generator(seed)), image, labels, (32, 32))[0] for seed in range(40)
    ]
    assert 10 < sum(torch.equal(view[:3], view[3:6]) for view in views) < 30
