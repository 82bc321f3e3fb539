"""Transforms against fastMRI's, against the sum that defines them, and by what must hold."""

from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import VolumeError
from napari_medseg.recon import transforms

REFERENCE = Path(__file__).parents[1] / "reference" / "mri"


@pytest.fixture(scope="module")
def arrays():
    """Transforms and coils of fastMRI."""
    found = {}
    for name in ("fft", "transforms"):
        with np.load(REFERENCE / f"{name}.npz", allow_pickle=False) as file:
            found |= dict(file)
    return found


def noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


@pytest.mark.parametrize("transform", ["fft2c", "ifft2c"])
def test_transforms_of_fastmri(arrays, transform):
    images = [key for key in arrays if key.startswith("x_")]
    for key in images:
        expected = arrays[key.replace("x", transform)]
        result = getattr(transforms, transform)(arrays[key])
        assert result.dtype == expected.dtype
        tolerance = 1e-6 if expected.dtype == np.complex64 else 1e-12
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=key)
    assert len(images) == 12


SHAPES = [(6, 8), (7, 9), (2, 6, 5), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_inverse_adjoint_and_energy(shape):
    x, y = noise(shape, 1), noise(shape, 2)
    np.testing.assert_allclose(transforms.ifft2c(transforms.fft2c(x)), x, atol=1e-14)
    assert np.vdot(y, transforms.fft2c(x)) == pytest.approx(np.vdot(transforms.ifft2c(y), x), rel=1e-12)
    assert np.linalg.norm(transforms.fft2c(x)) == pytest.approx(np.linalg.norm(x), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_origin_lies_at_half_the_size(shape):
    constant = transforms.fft2c(np.ones(shape))
    expected = np.zeros(shape)
    expected[shape[0] // 2, shape[1] // 2] = np.sqrt(np.prod(shape))
    np.testing.assert_allclose(constant, expected, atol=1e-12)
    y, x = (np.arange(n) - n // 2 for n in shape)
    waves = [np.exp(-2j * np.pi * np.outer(axis, axis) / len(axis)) / np.sqrt(len(axis)) for axis in (y, x)]
    image = noise(shape)
    np.testing.assert_allclose(transforms.fft2c(image), waves[0] @ image @ waves[1], atol=1e-12)


def test_root_of_the_sum_of_squares(arrays):
    coils = arrays["coils"]
    np.testing.assert_allclose(transforms.rss(coils, 0), arrays["rss_complex"], rtol=1e-6)
    np.testing.assert_allclose(transforms.rss(np.abs(coils), 0), arrays["rss_of_abs"], rtol=1e-6)
    np.testing.assert_allclose(transforms.rss(np.abs(coils), 1), arrays["rss_dim1"], rtol=1e-6)
    assert transforms.rss(coils, 0).dtype == np.float32


def test_combination_with_the_sensitivities():
    image, maps = noise((6, 5)), noise((3, 6, 5), 1)
    maps[:, 2, 2] = 0  # no coil sees it
    combined = transforms.combine(maps * image, maps)
    image[2, 2] = 0
    np.testing.assert_allclose(combined, image, atol=1e-14)


def test_crops_of_fastmri(arrays):
    for source, prefix in (("img", "center_crop_"), ("coils", "complex_center_crop_")):
        crops = [key for key in arrays if key.startswith(prefix)]
        for key in crops:
            size = tuple(map(int, key.split("_")[-2:]))
            np.testing.assert_array_equal(transforms.centre_crop(arrays[source], size), arrays[key], err_msg=key)
        assert len(crops) >= 3


@pytest.mark.parametrize("size", [(7, 5), (6, 6), (0, 5)])
def test_crops_that_do_not_fit(size):
    with pytest.raises(VolumeError, match="6 x 5 cannot be cropped"):
        transforms.centre_crop(np.zeros((2, 6, 5)), size)
