"""Learned reconstruction: what must hold whatever the weights are."""

import numpy as np
import pytest
import torch

from napari_medseg.progress import run
from napari_medseg.recon import data_consistency, data_residual, fft2c, sampling_mask
from napari_medseg.recon.classical import tv
from napari_medseg.recon.learned import (
    WARM,
    _unrolled,
    brightness,
    cascade_job,
    refine,
    restore,
    restore_job,
    transform,
)


def scan(image, columns=True):
    mask = sampling_mask("random", image.shape[1], 3, 0.1, seed=1)
    if not columns:
        mask = mask & (np.arange(len(image)) % 3 > 0)[:, None]
    return np.where(mask, fft2c(image), 0), mask


@pytest.mark.parametrize("columns", [True, False])
@pytest.mark.parametrize("steps", [0, 2])
def test_an_untrained_cascade_is_tv_with_data_consistency(head, learned, columns, steps):
    measured, mask = scan(head(), columns)
    found = run(cascade_job(learned(silent=True), measured, mask, steps))
    start = data_consistency(tv(measured, mask, iterations=WARM), measured, mask)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, start, atol=2e-6 * np.abs(start).max())


@pytest.mark.parametrize("shape", [(64, 64), (47, 44), (70, 188)])
def test_whatever_the_network_says_the_result_agrees_with_the_data(head, learned, shape):
    measured, mask = scan(head(shape))
    found = run(cascade_job(learned(), measured, mask, 2))
    assert found.shape == shape
    assert data_residual(found, measured, mask) < 1e-6


def test_what_hidden_lines_contradict_is_not_believed(head, learned):
    """Random weights explain nothing that was measured; where too few lines can be hidden they are not asked."""
    image, model = head(), learned()
    for acceleration, believed in ((4, False), (12, True)):
        mask = sampling_mask("random", image.shape[1], acceleration, 0.05, seed=1)
        measured = np.where(mask, fft2c(image), 0)
        start, end = run(_unrolled(model, measured, mask, 2))
        changed = np.linalg.norm(run(cascade_job(model, measured, mask, 2)) - start) / np.linalg.norm(end - start)
        assert changed == pytest.approx(1) if believed else changed < 0.3


def test_scale_of_the_data_is_scale_of_the_result(head, learned):
    measured, mask = scan(head())
    large, small = (run(cascade_job(learned(), measured * s, mask, 2)) for s in (1, 1e-6))
    np.testing.assert_allclose(small * 1e6, large, atol=1e-4 * np.abs(large).max())
    image = learned("image")
    bright, dark = (restore(image, np.abs(head()) * s) for s in (1, 1e-6))
    np.testing.assert_allclose(dark * 1e6, bright, atol=1e-4 * bright.max())


def test_whole_columns_need_no_transform_along_the_rows(head, learned):
    """The cascade knows columns in the mixed domain; along both axes it must come to the same."""
    measured, mask = scan(head())
    network = learned().network
    image, samples = (torch.from_numpy(part)[None] for part in (head(seed=3), measured))
    where = torch.from_numpy(mask)[None, None]
    with torch.inference_mode():
        both = refine(network, image, samples, where, (-2, -1))
        mixed = refine(network, image, transform(samples, (-2,), inverse=True), where, (-1,))
    torch.testing.assert_close(both, mixed, atol=2e-6, rtol=0)


def test_image_to_image_gives_magnitudes_with_the_phase_of_the_centre(head, learned):
    measured, mask = scan(head())
    found = run(restore_job(learned("image"), measured, mask))
    assert found.shape == (64, 64) and found.dtype == np.complex64
    plain = restore(learned("image"), np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(measured), norm="ortho"))))
    np.testing.assert_allclose(np.abs(found), plain, atol=1e-5)
    assert (plain >= 0).all()


def test_brightness_is_the_value_near_the_top_and_never_zero():
    assert brightness(np.arange(1000.0).reshape(20, 50)) == 994
    assert brightness(np.zeros((4, 4))) == 1
