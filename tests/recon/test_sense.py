"""Sensitivities and reconstruction with them: stored figures, known maps, and what must hold."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.metrics import psnr
from napari_medseg.recon.classical import tv, wavelet
from napari_medseg.recon.espirit import calibration_region, espirit
from napari_medseg.recon.sense import (
    Encoding,
    sense,
    sense_steps,
    sense_tv,
    sense_tv_steps,
    sense_wavelet,
    sense_wavelet_steps,
)
from napari_medseg.recon.transforms import centre_crop, fft2c

REFERENCE = Path(__file__).parents[1] / "reference" / "mri"
SOLVERS = {"sense": sense, "sense_tv": sense_tv, "sense_wavelet": sense_wavelet}


def noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def phantom(shape=(48, 40), coils=4):
    """Maps (coil, y, x) with squares that sum to 1, and an image (y, x) of two discs with a phase."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    angles = 2 * np.pi * np.arange(coils) / coils
    maps = np.stack([np.exp(-((y - np.sin(a)) ** 2 + (x - np.cos(a)) ** 2) / 2 + 1j * (a + x * y)) for a in angles])
    maps /= np.linalg.norm(maps, axis=0)
    image = (np.hypot(y, x) < 0.8) * 0.6 + (np.hypot(y - 0.2, x) < 0.3) * 0.4
    return maps, image * np.exp(1j * (x + 0.5 * y**2))


def column_mask(columns, centre, every):
    mask = np.arange(columns) % every == 0
    mask[columns // 2 - centre // 2 : columns // 2 - centre // 2 + centre] = True
    return mask


def test_coils_of_the_stored_scan():
    figures = json.loads((REFERENCE / "classical.json").read_text())
    with h5py.File(REFERENCE / "fastmri_like" / "file17_mc.h5") as file:
        kspace, reference, brightest = file["kspace"][1], file["reconstruction_rss"][1], float(file.attrs["max"])
    with np.load(REFERENCE / "zerofilled.npz", allow_pickle=False) as file:
        mask = file["mc_random_4x_mask"] > 0
    rows, columns = calibration_region(mask, kspace.shape[1])
    assert columns.stop - columns.start == 7  # so few that maps cropped at the usual eigenvalue would be empty
    maps = espirit(kspace[:, rows, columns], kspace.shape[1:])
    for solver, key in ((sense, "mc_4x_sense_lam0.01"), (sense_tv, "mc_4x_sense_tv0.003")):
        image = np.abs(centre_crop(solver(kspace, mask, maps), reference.shape))
        assert psnr(reference[None], image[None], brightest) >= figures[key]["psnr"] - 0.5


@pytest.mark.parametrize(("centre", "agreement"), [((24, 24), 0.999), ((30, 8), 0.995)])
def test_espirit_finds_the_maps(centre, agreement):
    maps, image = phantom()
    kspace = fft2c(maps * image) + 1e-3 * noise(maps.shape)
    found = espirit(centre_crop(kspace, centre), image.shape)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1, rtol=1e-4)
    tissue = np.abs(image) > 0
    assert np.abs((found.conj() * maps).sum(0))[tissue].min() > agreement
    # the common phase is free, but must not jump: images get it
    phase = (found * maps.conj()).sum(0)
    for axis in (0, 1):
        step = np.diff(phase, axis=axis) * np.compress(np.arange(phase.shape[axis]) > 0, tissue, axis)
        assert np.abs(step).max() < 0.5


@pytest.mark.parametrize("shape", [(12, 10), (11, 13)])
@pytest.mark.parametrize("flat", [False, True])
def test_encoding_is_adjoint_and_centred(shape, flat):
    maps, image, samples = noise((3, *shape)), noise(shape, 1), noise((3, *shape), 2)
    mask = np.random.default_rng(3).random(shape if flat else shape[1]) < 0.5
    encoding = Encoding(maps, mask)
    assert np.vdot(samples, encoding.forward(image)) == pytest.approx(np.vdot(encoding.adjoint(samples), image))
    expected = np.where(mask, fft2c(maps * image), 0)
    shown = np.fft.fftshift(encoding.forward(np.fft.ifftshift(image)), axes=(1, 2))
    np.testing.assert_allclose(shown, expected, atol=1e-12)


def test_tv_of_one_coil_is_tv():
    kspace, mask = fft2c(phantom((32, 30))[1]).astype(np.complex64), column_mask(30, 8, 3)
    image = sense_tv(kspace[None], mask, np.ones((1, *kspace.shape), np.complex64), 0.003, 60)
    expected = tv(kspace, mask, 0.003, 60)
    assert np.abs(image - expected).max() < 1e-2 * np.abs(expected).max()


def test_wavelets_of_one_coil_are_wavelets():
    kspace, mask = fft2c(phantom((32, 30))[1]).astype(np.complex64), column_mask(30, 8, 3)
    image = sense_wavelet(kspace[None], mask, np.ones((1, *kspace.shape), np.complex64), 0.003, 30)
    expected = wavelet(kspace, mask, 0.003, 30)
    assert np.abs(image - expected).max() < 1e-4 * np.abs(expected).max()


def test_coils_resolve_what_one_coil_cannot():
    maps, image = phantom()
    kspace, mask = fft2c(maps * image), column_mask(40, 4, 2)
    folded = np.linalg.norm(tv(fft2c(image), mask) - image)
    solutions = (
        sense(kspace, mask, maps, damping=0, iterations=60),
        sense_tv(kspace, mask, maps, 1e-4),
        sense_wavelet(kspace, mask, maps, 1e-4, 200),
    )
    for solved in solutions:
        assert np.linalg.norm(solved - image) < min(0.1 * folded, 0.02 * np.linalg.norm(image))


@pytest.mark.parametrize("solver", SOLVERS)
def test_full_data_without_regularisation_give_the_image(solver):
    maps, image = phantom()
    result = SOLVERS[solver](fft2c(maps * image), np.ones(40, bool), maps, 0.0, 5)
    assert result.dtype == np.complex128
    np.testing.assert_allclose(result, image, atol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
def test_units_do_not_matter(solver):
    maps, image = phantom()
    maps, kspace, mask = maps.astype(np.complex64), fft2c(maps * image).astype(np.complex64), column_mask(40, 8, 3)
    expected = SOLVERS[solver](kspace, mask, maps)
    assert expected.dtype == np.complex64
    tiny = SOLVERS[solver](kspace * np.float32(1e-6), mask, maps)
    np.testing.assert_allclose(tiny * 1e6, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    hidden = SOLVERS[solver](np.where(mask, kspace, 1e6), mask, maps)
    np.testing.assert_array_equal(hidden, expected)


@pytest.mark.parametrize("steps", [sense_steps, sense_tv_steps, sense_wavelet_steps])
def test_every_iteration_is_a_cancel_point(steps):
    maps, image = phantom()
    job = steps(fft2c(maps * image), column_mask(40, 8, 3), maps, iterations=3)
    assert [(step.done, step.total) for step in job] == [(1, 3), (2, 3), (3, 3)]


def test_calibration_region():
    columns = np.zeros(40, bool)
    columns[[3, 12, 30]] = columns[17:24] = True
    assert calibration_region(columns, 20) == (slice(0, 20), slice(17, 24))
    assert calibration_region(np.ones(100, bool), 120) == (slice(44, 76), slice(34, 66))
    block = np.zeros((21, 20), bool)
    block[::3, ::2] = block[7:14, 6:13] = True
    assert calibration_region(block, 21) == (slice(7, 14), slice(6, 13))
    columns[20] = False
    rows, none = calibration_region(columns, 20)
    assert rows.start == rows.stop and none.start == none.stop


def test_bad_input_is_told():
    maps, image = phantom()
    kspace, mask = fft2c(maps * image), np.ones(40, bool)
    with pytest.raises(SettingsError, match=r"6 columns.*more centre lines"):
        espirit(kspace[:, :, :6], image.shape)
    with pytest.raises(VolumeError, match="only zeros"):
        espirit(np.zeros((4, 8, 8), complex), image.shape)
    for solver in SOLVERS.values():
        with pytest.raises(VolumeError, match="shape"):
            solver(kspace, mask, maps[:2])
        with pytest.raises(VolumeError, match="mask"):
            solver(kspace, mask[1:], maps)
        with pytest.raises(SettingsError, match="strength"):
            solver(kspace, mask, maps, -0.1)
