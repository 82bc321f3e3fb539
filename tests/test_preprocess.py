"""From slices to network input and back."""

import numpy as np
import pytest
import torch

from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.preprocess import OUTSIDE, PADDINGS, Crop, Preprocess, as_channels


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def test_percentiles_become_zero_and_one():
    image = np.linspace(-500, 1500, 2001, dtype=np.float32).reshape(3, -1)
    scaled = Preprocess(percentiles=(10, 90)).normalise(image)
    assert scaled.shape == (3, *image.shape) and scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[0], np.clip((image + 300) / 1600, 0, 1), atol=1e-6)


def test_colours_share_one_scale():
    image = noise(20, 30, 3) * [1.0, 0.5, 0.25]
    scaled = Preprocess(percentiles=(0, 100)).normalise(image)
    np.testing.assert_allclose(scaled, (image / image.max()).transpose(2, 0, 1), atol=1e-3)


def test_scale_and_offset_of_the_intensities_do_not_matter():
    image = noise(20, 30)
    plain = Preprocess().normalise(image)
    np.testing.assert_allclose(Preprocess().normalise(1000 * image - 3000), plain, atol=1e-3)
    np.testing.assert_allclose(Preprocess().normalise((60000 * image).astype(np.uint16)), plain, atol=1e-3)


def test_dark_eight_bit_images_stay_dark():
    image = (noise(20, 30) * 3).astype(np.uint8)  # 0 to 2 of 255
    assert Preprocess().normalise(image).max() == pytest.approx(2 / (0.06 * 255), abs=1e-3)
    assert Preprocess().normalise(image.astype(np.int16)).max() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_become_the_lower_limit(value):
    image = noise(20, 30)
    damaged = image.copy()
    damaged[3, 4:9] = value
    scaled = Preprocess(percentiles=(0, 100)).normalise(damaged)
    assert (scaled[:, 3, 4:9] == 0).all() and scaled.max() == 1
    assert not Preprocess().normalise(np.full((4, 4), value, np.float32)).any()


def test_constant_images_do_not_explode():
    for dtype in (np.uint8, np.float32):
        assert not Preprocess().normalise(np.full((8, 8), 7, dtype)).any()


@pytest.mark.parametrize("size", [(16, 32), (1, 1), (17, 31), (5, 40), (100, 3)])
def test_padding_goes_to_legal_sizes_and_is_taken_off_again(size):
    slices = noise(2, *size)
    tensor, undo = Preprocess(percentiles=(0, 100)).apply(slices, None)
    assert tensor.shape[0] == 2 and tensor.shape[1] == 3
    assert all(n % 16 == 0 and 0 <= n - m < 16 for n, m in zip(tensor.shape[2:], size, strict=True))
    assert tuple(tensor.shape[2:]) == Preprocess().padded_size(size, None)
    scaled = np.stack([Preprocess(percentiles=(0, 100)).normalise(image) for image in slices])
    np.testing.assert_array_equal(undo(tensor), scaled)
    assert set(np.unique(tensor[0, 0])) <= set(np.unique(scaled[0, 0]))  # nothing but the image's own values


def test_slices_come_at_the_asked_pixel_size_and_go_back_to_their_grid():
    preprocess = Preprocess(spacing=1.5)
    y, x = np.mgrid[:40, :64]
    disc = (np.hypot((y - 20) * 3.0, (x - 30) * 1.5) < 30).astype(np.float32)
    tensor, undo = preprocess.apply(disc[None], (3.0, 1.5))
    assert undo.inner == preprocess.working_size((40, 64), (3.0, 1.5)) == (80, 64)
    assert tuple(tensor.shape) == (1, 3, 80, 64)
    y, x = np.mgrid[:80, :64]
    expected = np.hypot((y - 40.5) * 1.5, (x - 30) * 1.5) < 30  # now round
    assert ((tensor[0, 0].numpy() > 0.5) == expected).mean() > 0.99
    back = undo(tensor[:, :1] - 0.5)
    assert back.shape == (1, 1, 40, 64)
    assert ((back[0, 0].numpy() > 0) == (disc > 0)).mean() > 0.99


def test_resampling_keeps_the_corners_of_the_image_in_place():
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32), (32, 64))
    tensor, undo = Preprocess(percentiles=(0, 100), spacing=2.0).apply(ramp[None], (1.0, 1.0))
    centres = 2 * np.arange(32) + 0.5  # of pixels twice as large
    np.testing.assert_allclose(tensor[0, 0, 5, 2:-2] * 63, centres[2:-2], atol=1e-4)
    np.testing.assert_allclose(undo(tensor)[0, 0, 9, 4:-4] * 63, ramp[9, 4:-4], atol=1e-4)


def test_unknown_pixel_size_is_assumed_or_kept():
    slices = noise(1, 32, 48)
    plain, _ = Preprocess().apply(slices, (3.0, 3.0))
    unknown, _ = Preprocess(spacing=1.5).apply(slices, None)
    assert torch.equal(plain, unknown) and plain.shape[2:] == (32, 48)
    assumed, _ = Preprocess(spacing=1.5, assumed_spacing=3.0).apply(slices, None)
    known, _ = Preprocess(spacing=1.5).apply(slices, (3.0, 3.0))
    assert torch.equal(assumed, known) and known.shape[2:] == (64, 96)
    told, _ = Preprocess(spacing=1.5, assumed_spacing=9.0).apply(slices, (3.0, 3.0))
    assert torch.equal(told, known)


def test_tiny_images_survive_strong_shrinking():
    tensor, undo = Preprocess(spacing=10.0).apply(noise(1, 4, 4), (1.0, 1.0))
    assert undo.inner == (1, 1) and undo(tensor).shape == (1, 3, 4, 4)


@pytest.mark.parametrize("percentiles", [(50, 50), (99, 1), (-1, 90), (0, 101)])
def test_impossible_percentiles_are_refused(percentiles):
    with pytest.raises(SettingsError, match="rising"):
        Preprocess(percentiles=percentiles)


def test_slices_become_no_larger_than_a_network_can_see():
    with pytest.raises(VolumeError, match="10000000 x 10000000 pixels of 1e-06 mm"):
        Preprocess(spacing=1e-6).working_size((10, 10), (1.0, 1.0))
    with pytest.raises(SettingsError, match="at most 32768"):
        Preprocess(size=(64, 10**6))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.astype(np.uint32) + np.uint32(2**31),
        lambda image: image.astype(np.int64) + 2**53,
        lambda image: image.astype(np.int64) - 2**62,
        lambda image: image.astype(np.float64) + 1e12,
        lambda image: image.astype(np.float64) * 1e300,
        lambda image: image.astype(np.float64) * 1e-300,
        lambda image: image.astype(np.float32) * np.float32(1e-30),
        lambda image: image.astype(">i4") + 7,
    ],
)
def test_offset_and_unit_of_the_values_do_not_matter(change):
    image = np.random.default_rng(0).integers(0, 255, (16, 16)).astype(np.int16)
    found = Preprocess().normalise(change(image))
    np.testing.assert_allclose(found, Preprocess().normalise(image), atol=1e-5)
    assert found.dtype == np.float32 and found.max() == 1
    assert Preprocess().normalise(np.full((4, 4), 1e12)).max() == 0


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(40, 61), (64, 3), (70, 64)])
def test_padding_is_equal_on_both_sides_and_as_the_card_says(padding, size):
    preprocess = Preprocess(percentiles=(0, 100), padding=padding, smallest=(64, 64), multiple=8)
    image = noise(1, *size)
    tensor, undo = preprocess.apply(image, None)
    scaled = preprocess.normalise(image[0])[0]
    wanted = [max(64, -(-n // 8) * 8) for n in size]
    assert list(tensor.shape[2:]) == wanted == list(preprocess.padded_size(size, None))
    mode = {"reflect": "reflect", "zero": "constant", "edge": "edge"}[padding]
    for axis, (length, whole) in enumerate(zip(size, wanted, strict=True)):
        before, after = (whole - length) // 2, (whole - length + 1) // 2
        sides = [(0, 0), (0, 0)]
        sides[axis] = (before, after)
        thin = mode == "reflect" and after >= length
        scaled = np.pad(scaled, sides, mode="edge" if thin else mode)
    np.testing.assert_array_equal(tensor[0, 0], scaled)
    np.testing.assert_array_equal(undo(tensor)[0], preprocess.normalise(image[0]))


def test_slices_that_are_already_large_enough_are_not_padded():
    image = noise(1, 32, 48)
    plain, _ = Preprocess().apply(image, None)
    assert torch.equal(Preprocess(smallest=(32, 17)).apply(image, None)[0], plain) and plain.shape[2:] == (32, 48)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"padding": "wrap"}, "padding is 'wrap'; expected one of reflect, zero, edge"),
        ({"smallest": (0, 16)}, "smallest is"),
        ({"smallest": (16,)}, "smallest is"),
        ({"smallest": (16, 10**6)}, "at most 32768"),
        ({"neighbours": "x"}, "neighbours is 'x'; expected z, t or nothing"),
    ],
)
def test_views_that_cannot_be_are_refused(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        Preprocess(**changes)


@pytest.mark.parametrize(
    ("centre", "corner"),
    [((20.0, 30.0), (12, 14)), ((0.0, 59.0), (0, 28)), ((-90.0, 990.0), (0, 28)), ((12.5, 20.5), (5, 5))],
)
def test_a_crop_lies_about_its_centre_and_inside_the_slice(centre, corner):
    images = torch.from_numpy(noise(1, 3, 40, 60))
    preprocess = Preprocess(spacing=2.0, multiple=16)
    tensor, undo = preprocess.fit(images, (2.0, 2.0), Crop((32.0, 64.0), (centre,)))
    assert undo.seen == (16, 32) and undo.corners == (corner,)
    y, x = corner
    assert torch.equal(tensor, images[..., y : y + 16, x : x + 32])
    back = undo(tensor)
    assert torch.equal(back[..., y : y + 16, x : x + 32], tensor)
    back[..., y : y + 16, x : x + 32] = OUTSIDE
    assert (back == OUTSIDE).all() and back.shape == images.shape


def test_every_slice_of_a_batch_has_its_own_crop_and_centres_are_pixels_of_the_slice():
    images = torch.zeros(2, 3, 80, 60)
    spots = [(30, 20), (61, 40)]
    for image, (y, x) in zip(images, spots, strict=True):
        image[:, y - 1 : y + 3, x - 1 : x + 3] = 1  # 2 x 2 pixels of twice the size
    crop = Crop((32.0, 32.0), tuple((y + 0.5, x + 0.5) for y, x in spots))
    tensor, undo = Preprocess(spacing=2.0).fit(images, (1.0, 1.0), crop)
    assert tensor.shape == (2, 3, 16, 16)
    weight = tensor[:, 0] / tensor[:, 0].sum((1, 2), keepdim=True)
    middle = torch.arange(16.0)
    assert (weight.sum(2) @ middle).sub(7.5).abs().max() <= 0.5 and (weight.sum(1) @ middle).sub(7.5).abs().max() <= 0.5
    back = undo(tensor - 0.5)
    assert all(back[n, 0, y, x] > 0 for n, (y, x) in enumerate(spots))
    assert back.shape == images.shape and (back[0, 0, 70] < -20).all()


def test_a_crop_larger_than_the_slice_shows_all_of_it():
    images = torch.from_numpy(noise(1, 3, 20, 60))
    preprocess = Preprocess(padding="zero")
    tensor, undo = preprocess.fit(images, (1.0, 1.0), Crop((32.0, 32.0), ((5.0, 30.0),)))
    assert tensor.shape[2:] == (32, 32) == preprocess.padded_size((20, 60), (1.0, 1.0), (32.0, 32.0))
    assert torch.equal(tensor[..., 6:26, :], images[..., 14:46]) and undo.corners == ((0, 14),)


def test_neighbours_as_channels_are_grey():
    before, current, after = (torch.from_numpy(noise(3, 5, 4, seed=seed)) for seed in range(3))
    found = as_channels(before, current, after)
    torch.testing.assert_close(found, torch.stack([before.mean(0), current.mean(0), after.mean(0)]))
