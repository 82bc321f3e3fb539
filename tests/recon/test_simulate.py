"""Simulated k-space: the recipe of the published baselines, and what must hold."""

import numpy as np
import pytest

from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.recon.simulate import outer_share, simulate
from napari_medseg.recon.transforms import fft2c, ifft2c


def images(shape=(3, 20, 31), seed=0):
    return np.random.default_rng(seed).uniform(0, 300, shape)


def test_the_recipe_draw_by_draw():
    volume, rng = images(), np.random.default_rng(7)
    c = rng.uniform(-1, 1, 6)
    x, y = np.linspace(-1, 1, 31)[None, :], np.linspace(-1, 1, 20)[:, None]
    phase = 1.2 * (c[0] * x + c[1] * y + c[2] * x * y + c[3] * x**2 + c[4] * y**2 + 3 * c[5])
    real = rng.standard_normal(volume.shape)
    imaginary = rng.standard_normal(volume.shape)
    expected = volume / volume.max() * np.exp(1j * phase) + 0.02 * (real + 1j * imaginary) / np.sqrt(2)
    kspace = simulate(volume, np.random.default_rng(7), noise=0.02)
    assert kspace.shape == (3, 1, 20, 31) and kspace.dtype == np.complex64
    np.testing.assert_allclose(ifft2c(kspace)[:, 0], expected, atol=1e-6)


def test_without_noise_the_magnitude_is_the_image_and_half_of_kspace_does_not_tell_the_other():
    volume = images((2, 21, 21)).astype(np.uint16)
    kspace = simulate(volume, np.random.default_rng(1), noise=0)[:, 0]
    np.testing.assert_allclose(np.abs(ifft2c(kspace)), volume / volume.max(), atol=1e-6)
    mirrored = kspace[:, ::-1, ::-1].conj()  # odd sizes: position 0 is the middle
    assert np.linalg.norm(kspace - mirrored) > 0.1 * np.linalg.norm(kspace)


def test_outer_share_sees_zero_filling():
    kspace = fft2c(images((2, 40, 64)))
    assert outer_share(kspace) == 0
    filled = kspace.copy()
    filled[..., :13] = filled[..., -12:] = 0
    assert outer_share(filled) == 25 / 64
    assert outer_share(np.zeros((4, 6), complex)) == 0


@pytest.mark.parametrize(
    ("volume", "words"),
    [(images((4, 5)), "three axes"), (images() - 100, "negative"), (np.zeros((1, 4, 4)), "zeros only")],
)
def test_bad_images_are_told(volume, words):
    with pytest.raises(VolumeError, match=words):
        simulate(volume, np.random.default_rng(0))
    with pytest.raises(VolumeError, match="not finite"):
        simulate(np.full((1, 3, 3), np.nan), np.random.default_rng(0))
    with pytest.raises(SettingsError, match="noise"):
        simulate(images(), np.random.default_rng(0), noise=-1)
