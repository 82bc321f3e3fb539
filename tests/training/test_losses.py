"""Losses against the fixture ``mwl.npz`` (authors' weight maps and functions), and what must hold beyond it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_medseg import metrics
from napari_medseg.errors import SettingsError
from napari_medseg.training.data.dataset import IGNORE
from napari_medseg.training.losses import (
    MARGIN_PRESETS,
    SegmentationLoss,
    margin_weight_loss,
    margin_weights,
    soft_dice_loss,
)

PRESETS = {"code_default": "authors-code-default", "edge": "boundary"}


@pytest.fixture(scope="module")
def mwl():
    with np.load(Path(__file__).parents[1] / "reference" / "litenext" / "mwl.npz", allow_pickle=False) as file:
        arrays = dict(file)
    drawn = np.random.default_rng(int(arrays["logit_seed"])).standard_normal((3, 1, 64, 64)) * 2
    logits = torch.from_numpy(drawn.astype(np.float32)).double()
    return arrays, logits, torch.from_numpy(arrays["masks"])[:, None].double()


@pytest.mark.parametrize(("name", "preset"), PRESETS.items())
def test_weight_maps_are_those_of_the_authors(mwl, name, preset):
    arrays, _, target = mwl
    constants = MARGIN_PRESETS[preset]
    stated = json.loads(str(arrays[f"{name}_cfg"]))
    assert list(constants.values()) == [stated[k] for k in ("weight_out", "weight_in", "weight_margin", "kernel_size")]
    np.testing.assert_array_equal(margin_weights(target, **constants)[:, 0], arrays[f"{name}_weight_map"])
    kernel = constants["kernel"]
    dilated = margin_weights(target, background=0, object_=1, margin=1, kernel=kernel)
    eroded = margin_weights(target, background=0, object_=1, margin=0, kernel=kernel)
    np.testing.assert_array_equal(dilated[:, 0], arrays[f"{name}_dilated"])
    np.testing.assert_array_equal(eroded[:, 0], arrays[f"{name}_eroded"])


@pytest.mark.parametrize(("name", "preset"), PRESETS.items())
def test_margin_weight_loss_is_as_derived(mwl, name, preset):
    arrays, logits, target = mwl
    each = [margin_weight_loss(z[None], y[None], preset=preset).item() for z, y in zip(logits, target, strict=True)]
    np.testing.assert_allclose(each, arrays[f"{name}_derived_mean_per_sample"], rtol=1e-9)
    whole = margin_weight_loss(logits, target, preset=preset).item()
    np.testing.assert_allclose(whole, arrays[f"{name}_derived_mean"], rtol=1e-9)
    normalised = margin_weight_loss(logits, target, preset=preset, normalize=True).item()
    np.testing.assert_allclose(normalised, arrays[f"{name}_derived_weightnorm"], rtol=1e-9)


def test_dice_and_cross_entropy_are_those_of_the_authors(mwl):
    arrays, logits, target = mwl
    for function, name in ((soft_dice_loss, "author_soft_dice"), (F.binary_cross_entropy_with_logits, "author_bce")):
        each = [function(z[None], y[None]).item() for z, y in zip(logits, target, strict=True)]
        np.testing.assert_allclose([*each, function(logits, target).item()], arrays[name], rtol=1e-6)


def test_overlap_scores_are_those_of_the_authors(mwl):
    arrays, logits, target = mwl
    pairs = list(zip((logits > 0).numpy(), (target > 0).numpy(), strict=True))
    dice = [metrics.dice(p, y) for p, y in pairs]
    np.testing.assert_allclose([*dice, np.mean(dice)], arrays["author_dice_score"], rtol=1e-6)
    np.testing.assert_allclose([metrics.iou(p, y) for p, y in pairs], arrays["iou_per_sample"], rtol=1e-6)


@pytest.mark.parametrize("kernel", [3, 11, 15])
def test_erosion_is_exact_for_large_kernels_too(kernel):
    target = (torch.rand(2, 1, 40, 30, generator=torch.Generator().manual_seed(0)) > 0.003).float()
    windows = F.pad(target, [kernel // 2] * 4).unfold(2, kernel, 1).unfold(3, kernel, 1)  # outside is background
    eroded = margin_weights(target, background=0, object_=1, margin=0, kernel=kernel)
    assert 0 < eroded.sum() < target.sum()
    torch.testing.assert_close(eroded, windows.amin((-1, -2)), rtol=0, atol=0)


def test_empty_targets_count_as_the_authors_do_or_not_at_all():
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    target = torch.zeros(2, 1, 8, 8)
    assert soft_dice_loss(logits, target).item() == pytest.approx(1)
    assert soft_dice_loss(logits, target, skip_empty=True).item() == 0
    target[0, 0, :4] = 1
    kept = soft_dice_loss(logits, target, skip_empty=True)
    assert kept.item() == pytest.approx(soft_dice_loss(logits[:1], target[:1]).item())
    kept.backward()
    assert not logits.grad[1].any()


@pytest.mark.parametrize("name", SegmentationLoss.names)
def test_segmentation_loss_falls_to_zero_for_the_right_answer(name):
    labels = torch.zeros(2, 24, 24, dtype=torch.uint8)
    labels[:, 4:14, 4:14], labels[:, 16:22, 5:20] = 1, 2
    classes = (0, 1, 2) if name.startswith("dice-ce") else (1, 2)
    right = torch.stack([40.0 * (labels == c) - 20 for c in classes], 1)
    loss = SegmentationLoss(name)
    assert loss(right, labels).item() < 1e-5
    assert loss(right.flip(1), labels).item() > 1.5  # classes exchanged
    with pytest.raises(SettingsError, match="dice-bce"):
        SegmentationLoss("focal")


@pytest.mark.parametrize("name", SegmentationLoss.names)
def test_pixels_that_nobody_labelled_do_not_count(name):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 20, 20), generator=generator, dtype=torch.uint8)
    logits = torch.randn(2, 3 if name.startswith("dice-ce") else 2, 20, 20, generator=generator, requires_grad=True)
    loss = SegmentationLoss(name)
    unknown = labels.clone()
    unknown[:, :, 10:] = IGNORE
    value = loss(logits, unknown)
    value.backward()
    assert not logits.grad[..., 10:].any() and logits.grad[..., :10].any()
    if "mwl" not in name:  # a margin depends on what lies beside it
        torch.testing.assert_close(value, loss(logits[..., :10], labels[..., :10]))
    assert loss(logits, torch.full_like(labels, IGNORE)).item() == pytest.approx(0, abs=1e-4)


def test_parts_of_the_loss_are_weighted():
    labels, logits = torch.ones(1, 8, 8, dtype=torch.uint8), torch.zeros(1, 2, 8, 8)
    dice, entropy, both = (SegmentationLoss("dice-ce", w)(logits, labels) for w in ((1, 0), (0, 1), (0.5, 2)))
    assert entropy.item() == pytest.approx(np.log(2))
    torch.testing.assert_close(both, 0.5 * dice + 2 * entropy)


def shares_with_unknown_second_class():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 2, 2, 20, 20, generator=generator) / 2
    target[:, 1] = 1
    target[1, 0, 1], target[1, 1, 1] = 0, 0  # nobody drew class 2 in the second image
    return target, generator


@pytest.mark.parametrize("name", SegmentationLoss.names)
def test_a_class_that_nobody_drew_in_an_image_teaches_nothing(name):
    target, generator = shares_with_unknown_second_class()
    exclusive = name.startswith("dice-ce")
    logits = torch.randn(2, 2 + exclusive, 20, 20, generator=generator, requires_grad=True)
    SegmentationLoss(name, (0.0, 1.0))(logits, target).backward()
    assert logits.grad[0].any((1, 2)).all() and logits.grad[1, -2].any()
    if not exclusive:
        assert not logits.grad[1, -1].any()
        return
    # with softmax, background and the unknown class share what is left, as they did before
    ratio = logits.softmax(1)[1, 2] / logits.softmax(1)[1, 0]
    torch.testing.assert_close(logits.grad[1, 2], logits.grad[1, 0] * ratio, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("name", ["dice-bce", "dice-ce"])
def test_the_pixel_loss_is_lowest_where_the_network_says_the_shares(name):
    shares = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0]).repeat(5, 1)
    target = torch.stack([shares, torch.ones_like(shares)])[None, :, None]
    loss = SegmentationLoss(name, (0.0, 1.0))

    def value(probability):
        odds = probability.logit(1e-6)[None, None]
        return loss(torch.cat([torch.zeros_like(odds), odds], 1) if name == "dice-ce" else odds, target)

    assert value(shares) < min(value((shares + 0.1).clamp(max=1)), value((shares - 0.1).clamp(min=0)))


def test_the_margin_of_shares_is_that_of_the_pixels_that_belong_by_half():
    shares = torch.rand(2, 1, 30, 30, generator=torch.Generator().manual_seed(0))
    constants = MARGIN_PRESETS["boundary"]
    torch.testing.assert_close(margin_weights(shares, **constants), margin_weights(shares.round(), **constants))
