"""Noise that the coils share: read from the noise scan, and taken out before images are made."""

import numpy as np
import pytest

from napari_medseg import reconstruct
from napari_medseg.errors import VolumeError
from napari_medseg.kspace import KSpace
from napari_medseg.recon.noise import whitened
from napari_medseg.recon.transforms import fft2c

COILS, SIZE = 6, 64


def mixing(seed=0):
    """How noise of independent sources arrives in coils: all share it, and one coil is three times louder."""
    rng = np.random.default_rng(seed)
    cross = rng.standard_normal((COILS, COILS)) + 1j * rng.standard_normal((COILS, COILS))
    return np.diag([1, 1, 3, 1, 1, 2]) @ (np.eye(COILS) + 0.35 * cross)


def white(shape, seed):
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *shape))
    return real + 1j * imaginary


def measured(level=0.0, seed=1):
    """k-space (coil, y, x) of discs that six coils see, with noise; and the image (y, x) without."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    image = 0.6 * (np.hypot(y, x) < 0.8) + 0.4 * (np.hypot(y - 0.2, x) < 0.3)
    turns = np.linspace(0, 2 * np.pi, COILS, endpoint=False)[:, None, None]
    maps = np.exp(-((y - np.sin(turns)) ** 2) - (x - np.cos(turns)) ** 2 + 1j * turns)
    noise = level * np.tensordot(mixing(), white((COILS, SIZE, SIZE), seed), 1)
    return (fft2c(maps * image * np.exp(1j * x)) + noise).astype(np.complex64)


def covariance():
    return 2 * mixing() @ mixing().conj().T


def columns():
    mask = np.arange(SIZE) % 3 == 0
    mask[24:40] = True
    return mask


def test_whitened_noise_is_independent_and_as_strong_as_before():
    noise = np.tensordot(mixing(), white((1, COILS, SIZE, SIZE), 2), (1, 1)).swapaxes(0, 1)
    found = whitened(KSpace(noise, noise=covariance()))
    samples = found.data[0].reshape(COILS, -1)
    spread = samples @ samples.conj().T / samples.shape[1]
    level = np.trace(covariance()).real / COILS
    np.testing.assert_allclose(spread / level, np.eye(COILS), atol=4 / SIZE)
    before = noise[0].reshape(COILS, -1) @ noise[0].reshape(COILS, -1).conj().T / SIZE**2
    assert abs(before / level - np.eye(COILS)).max() > 0.5
    assert found.noise is None and found.matrix == (SIZE, SIZE)


def test_the_scale_of_the_covariance_does_not_matter():
    kspace = KSpace(measured(0.01)[None], noise=covariance())
    other = KSpace(measured(0.01)[None], noise=1e-9 * covariance())
    np.testing.assert_allclose(whitened(kspace).data[0], whitened(other).data[0], rtol=1e-4)


@pytest.mark.parametrize("method", ["sense", "sense-tv"])
def test_sense_has_less_noise_with_the_noise_scan(method):
    """The error is counted against the same run without noise, since mixed coils are shaded in another way."""
    errors = []
    for noise in (None, covariance()):
        images = []
        for level in (0.0, 0.02):
            kspace = KSpace(measured(level)[None], mask=columns(), mask_origin="file", noise=noise)
            images.append(reconstruct(kspace, method, strength=0.003).image.data)
        clean, noisy = images
        errors.append(np.linalg.norm(noisy - clean) / np.linalg.norm(clean))
    assert errors[1] < 0.75 * errors[0]


def test_covariance_of_other_coils_is_refused():
    with pytest.raises(VolumeError, match=r"shape \(5, 5\).*6 coils"):
        KSpace(measured()[None], noise=np.eye(5))
