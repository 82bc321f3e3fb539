"""Data consistency against the stored double-precision results and by what must hold."""

from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import SettingsError
from napari_medseg.recon import data_consistency, data_residual, fft2c, ifft2c

REFERENCE = Path(__file__).parents[1] / "reference" / "mri"


@pytest.fixture(scope="module")
def stored():
    with np.load(REFERENCE / "data_consistency.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture
def given(stored):
    """Image, measured samples and mask."""
    return stored["x"], stored["y"], stored["mask"].astype(bool)


def test_stored_results(stored, given):
    np.testing.assert_allclose(data_consistency(*given), stored["hard"], rtol=0, atol=1e-12)
    weights = [key for key in stored if key.startswith("soft_lambda_")]
    for key in weights:
        soft = data_consistency(*given, weight=float(key.rsplit("_", 1)[1]))
        np.testing.assert_allclose(soft, stored[key], rtol=0, atol=1e-12, err_msg=key)
    assert len(weights) == 4
    assert data_residual(*given) == pytest.approx(float(stored["residual_before"]), rel=1e-12)


def test_hard_consistency_is_a_projection(given):
    image, measured, mask = given
    once = data_consistency(image, measured, mask)
    np.testing.assert_allclose(data_consistency(once, measured, mask), once, rtol=0, atol=1e-12)
    assert data_residual(once, measured, mask) < 1e-12
    np.testing.assert_allclose(fft2c(once)[:, ~mask], fft2c(image)[:, ~mask], rtol=0, atol=1e-12)


def test_weights_lie_between_nothing_and_hard(given):
    image, measured, mask = given
    residuals = [
        data_residual(data_consistency(image, measured, mask, weight), measured, mask) for weight in (0, 1, 10)
    ]
    assert residuals == pytest.approx([residuals[0], residuals[0] / 2, residuals[0] / 11])
    np.testing.assert_allclose(data_consistency(image, measured, mask, 0), image, rtol=0, atol=1e-12)
    for weight in (-1, float("nan")):
        with pytest.raises(SettingsError, match="expected a number from 0 up"):
            data_consistency(image, measured, mask, weight)


def test_what_was_not_measured_is_not_looked_at(given):
    image, measured, mask = given
    other = np.where(mask, measured, np.nan)
    np.testing.assert_array_equal(data_consistency(image, other, mask), data_consistency(image, measured, mask))
    assert data_residual(image, other, mask) == data_residual(image, measured, mask)
    assert data_residual(image, measured, np.zeros_like(mask)) == 0


def test_masks_of_points_and_single_precision(given):
    image, measured, mask = (array.astype(kind) for array, kind in zip(given, ("c8", "c8", "?"), strict=True))
    points = np.broadcast_to(mask, image.shape)
    result = data_consistency(image[None], measured[None], points)[0]
    np.testing.assert_array_equal(result, data_consistency(image, measured, mask))
    everything = np.ones_like(points)
    np.testing.assert_allclose(data_consistency(image, measured, everything), ifft2c(measured), rtol=0, atol=1e-6)
    assert result.dtype == np.complex64 and data_consistency(image, measured, mask, 0.5).dtype == np.complex64
