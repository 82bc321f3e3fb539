"""Filter and interpolation after a reconstruction: the place stays right, edges ring less, figures stay comparable."""

import numpy as np
import pytest
import SimpleITK as sitk

from napari_medseg import KSpace, reconstruct
from napari_medseg.errors import SettingsError
from napari_medseg.recon import fft2c, ifft2c
from napari_medseg.recon.finish import fading, finished
from napari_medseg.recon.settings import FinishSettings, Sampling

FINER = FinishSettings(interpolate=True)
OBLIQUE = np.array([[1.2, -0.3, 0.5, -40], [0.4, 1.1, -0.2, 12], [-0.5, 0.3, 7.9, 33], [0, 0, 0, 1]])


def blobs(shape, coils=1):
    """k-space (1, coil, y, x) of soft blobs away from the centre; no detail is finer than the matrix."""
    y, x = np.indices(shape)
    image = np.exp(-(((y - 0.4 * shape[0]) / 4) ** 2) - ((x - 0.6 * shape[1]) / 3) ** 2)
    image += 0.5 * np.exp(-(((y - 0.6 * shape[0]) / 3) ** 2) - ((x - 0.4 * shape[1]) / 5) ** 2)
    phases = np.exp(1j * np.arange(coils))[:, None, None]
    return fft2c(phases * image)[None].astype(np.complex64)


def in_space(volume):
    """A volume (z, y, x) as an image of ITK, with its affine as it is."""
    image = sitk.GetImageFromArray(np.asarray(volume.data))
    sizes = np.linalg.norm(volume.affine[:3, :3], axis=0)
    image.SetSpacing(sizes.tolist())
    image.SetDirection((volume.affine[:3, :3] / sizes).ravel().tolist())
    image.SetOrigin(volume.affine[:3, 3].tolist())
    return image


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize(
    ("matrix", "crop"),
    [((40, 36), None), ((41, 36), None), ((40, 37), (31, 30)), ((41, 37), (30, 31)), ((80, 36), (40, 36))],
)
def test_finer_pixels_lie_where_the_image_was(matrix, crop, coils):
    kspace = KSpace(blobs(matrix, coils), crop=crop, spacing=(5, 2, 1.5), metadata={"affine": OBLIQUE})
    plain = reconstruct(kspace, "zero-filled").image
    finer = reconstruct(kspace, "zero-filled", finished=FINER).image
    assert finer.data.shape[1:] == tuple(2 * n for n in plain.data.shape[1:])
    np.testing.assert_allclose(finer.spacing, np.array(plain.spacing) / (1, 2, 2))
    np.testing.assert_allclose(finer.affine[:3, 2], plain.affine[:3, 2])
    back = sitk.Resample(in_space(finer), in_space(plain), sitk.Transform(), sitk.sitkLinear, -1.0)
    values = sitk.GetArrayFromImage(back)
    # at the last pixels of odd sizes the finer image may end half a pixel earlier
    known = values >= 0
    assert known.mean() > 0.9
    np.testing.assert_allclose(values[known], plain.data[known], atol=0.02)
    # a shift by half a finer pixel alone would be seen
    moved = in_space(finer)
    moved.SetOrigin((finer.affine @ [0.5, 0, 0, 1])[:3].tolist())
    wrong = sitk.GetArrayFromImage(sitk.Resample(moved, in_space(plain), sitk.Transform(), sitk.sitkLinear, -1.0))
    inside = known & (wrong >= 0)
    assert np.abs(wrong - plain.data)[inside].max() > 0.04


def test_every_second_pixel_is_that_of_the_image(head):
    image = head((24, 20))
    found = finished(image, KSpace(fft2c(image)[None, None]), FINER)
    np.testing.assert_allclose(found[::2, ::2], image, atol=1e-5)


def test_the_filter_takes_ringing_away_and_makes_points_wider():
    bar = np.zeros((256, 256), np.complex64)
    bar[:, 90:160] = 1
    coarse = fft2c(bar)[96:160, 96:160] / 4
    kspace = KSpace(coarse[None, None].astype(np.complex64))
    overshoots = []
    for strength in (0, 0.5, 1):
        finish = FinishSettings(gibbs=strength, interpolate=True)
        overshoots.append(np.abs(finished(ifft2c(coarse), kspace, finish)).max() - 1)
    assert overshoots[0] > 0.06 and overshoots[1] < 0.4 * overshoots[0] and overshoots[2] < 0.02
    weights = fading((0, 64), 64, 1.0)
    point = np.abs(np.fft.fftshift(np.fft.fft(weights, 64 * 64)))
    assert np.count_nonzero(point > point.max() / 2) / 64 == pytest.approx(1.67 * 1.21, rel=0.03)


def test_the_filter_fades_what_was_measured_and_not_its_filling():
    weights = fading((10, 55), 64, 0.8)
    assert weights[32] == 1 and weights[10] == pytest.approx(0.2, abs=0.02)
    assert not weights[:10].any() and not weights[55:].any()
    np.testing.assert_array_equal(fading((0, 9), 9, 0), np.ones(9))
    one_sided = fading((20, 64), 64, 0.5)
    np.testing.assert_allclose(one_sided[20:45], one_sided[44:19:-1])


def test_figures_are_those_before_and_the_record_says_so(kspace_of):
    kspace, sampling = KSpace(kspace_of(1)), Sampling("random", 3, 0.1, seed=1)
    plain = reconstruct(kspace, "zero-filled", sampling=sampling)
    finish = FinishSettings(gibbs=0.5, interpolate=True)
    found = reconstruct(kspace, "zero-filled", sampling=sampling, finished=finish)
    assert found.report["metrics"] == plain.report["metrics"]
    assert found.record.settings["interpolate"] is True and found.record.settings["gibbs"] == 0.5
    assert any("before filter and interpolation" in text for text in found.record.warnings)
    assert not any("interpolation" in text for text in plain.record.warnings)
    assert plain.record.changes(found.record)


def test_impossible_strength_is_refused():
    with pytest.raises(SettingsError, match="from 0"):
        FinishSettings(gibbs=1.5)
