"""Partial Fourier: held against the truth where the phase is smooth, and left alone where it is not."""

import numpy as np
import pytest

from napari_medseg import reconstruct
from napari_medseg.errors import SettingsError
from napari_medseg.kspace import KSpace
from napari_medseg.recon.partial_fourier import completed, homodyne, one_sided, pocs, without_short_side
from napari_medseg.recon.transforms import fft2c, ifft2c

SIZE, COILS = 64, 4


def coil_images(rough=0.0, texture=0.3):
    """Discs with a texture that four coils see (coil, y, x); their phase is smooth, or jumps by so many radians."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    image = 0.6 * (np.hypot(y, x) < 0.8) + 0.4 * (np.hypot(y - 0.2, x) < 0.3)
    image = image * (1 + texture * np.random.default_rng(3).standard_normal((SIZE, SIZE)))
    image = image * np.exp(1j * (x + 0.5 * y**2 + rough * (np.hypot(y + 0.2, x - 0.1) < 0.25)))
    turns = np.linspace(0, 2 * np.pi, COILS, endpoint=False)[:, None, None]
    maps = np.exp(-((y - np.sin(turns)) ** 2 + (x - np.cos(turns)) ** 2) / 2 + 1j * turns)
    return maps * image


def kspace_of(images, noise=0.002):
    real, imaginary = np.random.default_rng(0).standard_normal((2, *images.shape))
    return (fft2c(images) + noise * (real + 1j * imaginary)).astype(np.complex64)


def error(image, images):
    truth = np.sqrt((np.abs(images) ** 2).sum(0))
    image = np.asarray(image, float).reshape(truth.shape)
    scaled = image * (image * truth).sum() / (image**2).sum()
    return np.linalg.norm(scaled - truth) / np.linalg.norm(truth)


def columns(first, step=1, centre=16):
    places = np.arange(SIZE)
    return (places >= first) & ((places % step == 0) | (np.abs(places - SIZE // 2) < centre // 2))


def scan(images, mask):
    return KSpace(kspace_of(images)[None], mask=mask, mask_origin="file")


@pytest.mark.parametrize("method", ["zero-filled", "tv", "sense", "sense-tv"])
@pytest.mark.parametrize("turned", [False, True])
def test_the_side_that_was_not_measured_is_found(method, turned):
    """Of five eighths; in coils and after SENSE; whichever side and axis is missing."""
    images = coil_images()
    mask = columns(24)
    if turned:
        images = images[:, ::-1].swapaxes(1, 2)
        mask = np.broadcast_to(np.roll(mask[::-1], 1)[:, None], (SIZE, SIZE))
    found = {}
    for how in ("none", "homodyne", "pocs", "auto"):
        result = reconstruct(scan(images, mask), method, partial=how, strength=0.001)
        found[how] = error(result.image.data, images)
        assert result.record.figures["used"]["partial"] == ("pocs" if how == "auto" else how)
    assert found["auto"] == found["pocs"] < 0.5 * found["none"] and found["homodyne"] < 0.5 * found["none"]
    assert found["pocs"] < 0.035


def test_undersampled_partial_fourier():
    images = coil_images()
    found = [
        error(reconstruct(scan(images, columns(24, 2)), "sense-tv", partial=how, strength=0.001).image.data, images)
        for how in ("none", "auto")
    ]
    assert found[1] < 0.5 * found[0]


def test_where_the_phase_is_not_smooth_the_image_is_left_alone():
    images = coil_images(rough=np.pi, texture=0)
    found = {}
    for how in ("none", "pocs", "auto"):
        result = reconstruct(scan(images, columns(24)), "sense-tv", partial=how, strength=0.001)
        found[how] = error(result.image.data, images)
    assert found["auto"] == found["none"] < found["pocs"]


def test_what_was_measured_stays_after_pocs():
    images = ifft2c(np.where(columns(24), kspace_of(coil_images()), 0))
    known = one_sided(columns(24), SIZE)
    mended = fft2c(pocs(images, known))
    np.testing.assert_allclose(mended[..., 24:], fft2c(images)[..., 24:], atol=1e-4)
    assert np.abs(mended[..., :24]).max() > 0.1
    # homodyne detection leaves what is in phase with the centre
    turned = homodyne(images, known)
    assert turned.shape == images.shape and np.isfinite(turned).all()


@pytest.mark.parametrize(
    ("mask", "known"),
    [
        (np.ones(SIZE, bool), None),
        (columns(24), (slice(0, SIZE), slice(24, SIZE))),
        (columns(0, 3), None),
        (columns(2), None),
        (columns(24)[::-1], (slice(0, SIZE), slice(0, 40))),
        (columns(24, 4), (slice(0, SIZE), slice(24, 61))),
        (np.zeros(SIZE, bool), None),
        (np.broadcast_to(columns(20)[:, None], (SIZE, SIZE)), (slice(20, SIZE), slice(0, SIZE))),
    ],
)
def test_one_side_is_missing_where_more_is_missing_than_gaps_explain(mask, known):
    assert one_sided(mask, SIZE) == known


@pytest.mark.parametrize("seed", range(20))
def test_chance_alone_makes_no_partial_fourier(seed):
    places = np.arange(SIZE)
    mask = (np.random.default_rng(seed).random(SIZE) < 0.3) | (np.abs(places - SIZE // 2) < 6)
    image = np.ones((SIZE, SIZE), np.complex64)
    if one_sided(mask, SIZE) is not None:
        # the longest gap lies at one end and is more than twice as long as any other
        gaps = np.diff(np.flatnonzero(mask))
        assert abs(np.flatnonzero(mask)[0] - (SIZE - 1 - np.flatnonzero(mask)[-1])) > 2 * gaps.max() - 1
    else:
        assert completed(image, mask, "pocs") is image


def test_the_outer_third_of_the_short_side_is_hidden():
    thin = without_short_side(columns(20), SIZE)
    np.testing.assert_array_equal(np.flatnonzero(columns(20) & ~thin), [20, 21, 22, 23])
    other = without_short_side(columns(20)[::-1], SIZE)
    assert not other[40:44].any() and other[:40].all()
    assert without_short_side(columns(30), SIZE) is None, "two columns tell nothing"
    assert without_short_side(columns(0), SIZE) is None


def test_what_cannot_be_chosen_is_told():
    with pytest.raises(SettingsError, match="choose one of auto, pocs, homodyne, none"):
        reconstruct(scan(coil_images(), columns(24)), "tv", partial="pocs2")


@pytest.mark.parametrize("count", [20, 21])
def test_header_and_mask_agree_on_what_is_one_sided(count):
    data = np.ones((1, 1, 4, count), np.complex64)
    found = set()
    for first in range(count // 2):
        for end in range(count // 2 + 1, count + 1):
            columns = np.arange(count)
            mask = (first <= columns) & (columns < end)
            scan = KSpace(data, acquired=(first, end))
            assert scan.is_partial == (one_sided(mask, 4) is not None), (first, end)
            assert scan.is_partial == (scan.whole != (first, end))
            found.add(scan.is_partial)
    assert found == {True, False}
