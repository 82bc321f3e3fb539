"""Compressed sensing against stored figures, against the textbook form of its iteration, and by what must hold."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.metrics import psnr, ssim
from napari_medseg.recon import classical
from napari_medseg.recon.consistency import data_consistency, data_residual
from napari_medseg.recon.transforms import centre_crop, fft2c, ifft2c

REFERENCE = Path(__file__).parents[1] / "reference" / "mri"
SOLVERS = {"tv": classical.tv, "wavelet": classical.wavelet}


@pytest.fixture(scope="module")
def stored():
    """Figures and images of other programs for the scan below."""
    with np.load(REFERENCE / "classical.npz", allow_pickle=False) as file:
        return json.loads((REFERENCE / "classical.json").read_text()), dict(file)


@pytest.fixture(scope="module")
def scan():
    """One slice of the single-coil file: k-space, reference image, brightest voxel of the volume, masks by name."""
    with h5py.File(REFERENCE / "fastmri_like" / "file17_sc.h5") as file:
        kspace, reference = file["kspace"][1], file["reconstruction_esc"][1]
        brightest = float(file.attrs["max"])
    with np.load(REFERENCE / "zerofilled.npz", allow_pickle=False) as file:
        masks = {name: file[f"sc_random_{name}_mask"] > 0 for name in ("4x", "8x")}
    return kspace, reference, brightest, masks


def objective(image, measured, mask, strength):
    """What TV minimises, where the brightest pixel of the zero-filled image is 1; in double precision."""
    scale = np.abs(ifft2c(np.where(mask, measured, 0))).max()
    image, measured = image.astype(np.complex128) / scale, measured / scale
    gradient = [np.roll(image, -1, axis) - image for axis in (0, 1)]
    misfit = np.where(mask, fft2c(image) - measured, 0)
    return 0.5 * np.linalg.norm(misfit) ** 2 + strength * np.sqrt(np.square(np.abs(gradient)).sum(0)).sum()


def figures(image, scan):
    """PSNR and SSIM of the cropped magnitude."""
    _, reference, brightest, _ = scan
    shown = np.abs(centre_crop(image, reference.shape))
    return [score(reference[None], shown[None], brightest) for score in (psnr, ssim)]


def random_case(shape, share=0.4, flat=False, seed=0):
    """k-space of noise and a random mask of columns, or of single samples."""
    rng = np.random.default_rng(seed)
    kspace = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    mask = rng.random(shape if flat else shape[1]) < share
    mask[..., shape[1] // 2] = True
    return kspace.astype(np.complex64), mask


@pytest.mark.parametrize("iterations", [40, 300])
@pytest.mark.parametrize("name", ["4x", "8x"])
def test_tv_reaches_the_stored_objective(stored, scan, name, iterations):
    kspace, *_, masks = scan
    key = f"own_admm_tv_0.003_{name}_it{iterations}"
    expected = stored[0][key]
    image = classical.tv(kspace, masks[name], 0.003, iterations)
    assert objective(image, kspace, masks[name], 0.003) == pytest.approx(expected["objective"], rel=1e-4)
    assert figures(image, scan) == pytest.approx([expected["psnr"], expected["ssim"]], abs=0.001)
    if iterations == 300:  # the only ones that are stored
        shown = np.abs(centre_crop(image, (80, 80)))
        np.testing.assert_allclose(shown, stored[1][key], rtol=0, atol=1e-5 * shown.max())


@pytest.mark.parametrize("name", ["4x", "8x"])
@pytest.mark.parametrize(("solver", "strength", "entry"), [("tv", 0.005, "tv_0.005"), ("wavelet", 0.002, "l1w_0.005")])
def test_not_worse_than_sigpy(stored, scan, solver, strength, entry, name):
    kspace, *_, masks = scan
    # our wavelets are shorter and their coarse image is shrunk too, so that the best strength is another one
    image = SOLVERS[solver](kspace, masks[name], strength, 100)
    assert figures(image, scan)[0] >= stored[0][f"{entry}_{name}"]["psnr"] - 0.05
    assert figures(image, scan)[0] > figures(classical.zero_filled(kspace, masks[name]), scan)[0]


def five_transforms(measured, mask, strength, iterations):
    """ADMM as in a textbook: gradient and its adjoint as products in k-space."""
    samples, penalty = np.where(mask, measured, 0).astype(np.complex128), 10 * strength
    scale = np.abs(ifft2c(samples)).max()
    samples /= scale
    fy, fx = (np.fft.fftshift(np.fft.fftfreq(n)) for n in measured.shape)
    transfer = [
        t * np.ones(measured.shape) for t in (np.exp(2j * np.pi * fy)[:, None] - 1, np.exp(2j * np.pi * fx) - 1)
    ]
    z = u = np.zeros((2, *measured.shape), np.complex128)
    for _ in range(iterations):
        right = samples + penalty * sum(t.conj() * fft2c(v) for t, v in zip(transfer, z - u, strict=True))
        spectrum = right / (mask + penalty * sum(np.abs(t) ** 2 for t in transfer))
        gradient = np.stack([ifft2c(t * spectrum) for t in transfer])
        length = np.sqrt(np.square(np.abs(gradient + u)).sum(0))
        z = (gradient + u) * np.maximum(1 - strength / penalty / np.maximum(length, 1e-30), 0)
        u = u + gradient - z
    return ifft2c(spectrum) * scale


@pytest.mark.parametrize(("shape", "flat"), [((32, 24), False), ((31, 24), True), ((20, 33), False), ((21, 15), True)])
def test_tv_equals_the_five_transform_form(shape, flat):
    kspace, mask = random_case(shape, flat=flat)
    expected = five_transforms(kspace, mask, 0.003, 40)
    image = classical.tv(kspace, mask, 0.003, 40)
    assert image.dtype == np.complex64
    assert np.abs(image - expected).max() < 1e-5 * np.abs(expected).max()
    double = classical.tv(kspace.astype(np.complex128), mask, 0.003, 40)
    assert double.dtype == np.complex128
    assert np.abs(double - expected).max() < 1e-12 * np.abs(expected).max()


def test_differences_are_adjoint():
    image, _ = random_case((7, 10))
    both = np.stack([random_case((7, 10), seed=seed)[0] for seed in (1, 2)])
    differences = np.zeros_like(both)
    classical.add_differences(image, differences)
    np.testing.assert_allclose(differences[0], np.roll(image, -1, 0) - image)
    back = classical.adjoint_differences(both, out=np.empty_like(image))
    assert np.vdot(both, differences) == pytest.approx(np.vdot(back, image), rel=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_units_do_not_matter(scan, solver):
    kspace, *_, masks = scan
    image = SOLVERS[solver](kspace, masks["4x"], iterations=20)
    tiny = SOLVERS[solver](kspace * np.float32(1e-6), masks["4x"], iterations=20)
    np.testing.assert_allclose(tiny * 1e6, image, rtol=0, atol=1e-4 * np.abs(image).max())


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", [(16, 18), (33, 37)])
def test_without_strength_nothing_is_changed(solver, shape):
    kspace, mask = random_case(shape)
    full = SOLVERS[solver](kspace, np.ones(shape[1], bool), 0, 3)
    np.testing.assert_allclose(full, ifft2c(kspace), atol=1e-5)
    part = SOLVERS[solver](kspace, mask, 0, 3)
    np.testing.assert_allclose(part, classical.zero_filled(kspace, mask), atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_only_what_was_measured_counts(solver):
    kspace, mask = random_case((20, 24))
    image = SOLVERS[solver](kspace, mask, 0.01, 10)
    hidden = SOLVERS[solver](np.where(mask, kspace, 1e6), np.broadcast_to(mask, kspace.shape), 0.01, 10)
    np.testing.assert_array_equal(hidden, image)
    np.testing.assert_array_equal(classical.zero_filled(np.where(mask, kspace, 1e6), mask), ifft2c(kspace * mask))


def test_tv_with_hard_data_consistency_agrees_with_the_data(scan):
    kspace, *_, masks = scan
    image = classical.tv(kspace, masks["4x"])
    assert data_residual(image, kspace, masks["4x"]) > 1e-3
    assert data_residual(data_consistency(image, kspace, masks["4x"]), kspace, masks["4x"]) < 1e-6


@pytest.mark.parametrize("steps", [classical.tv_steps, classical.wavelet_steps])
def test_every_iteration_is_a_cancel_point(steps):
    kspace, mask = random_case((16, 16))
    job = steps(kspace, mask, iterations=5)
    assert [(step.done, step.total) for step in job] == [(n, 5) for n in range(1, 6)]
    cancelled = steps(kspace, mask, iterations=5)
    next(cancelled)
    cancelled.close()


def test_wavelet_shifts_are_seeded(scan):
    kspace, *_, masks = scan
    images = [classical.wavelet(kspace, masks["8x"], iterations=5, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0] - images[2]).max() > 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_empty_and_tiny_images(solver):
    empty = SOLVERS[solver](np.zeros((8, 9), np.complex64), np.ones(9, bool), iterations=2)
    assert empty.shape == (8, 9) and not empty.any()
    kspace, mask = random_case((16, 16))
    mask[8] = False  # without position 0 the mean is unknown, and stays 0
    assert np.isfinite(SOLVERS[solver](kspace, mask, iterations=5)).all()
    mean = np.abs(SOLVERS[solver](kspace, mask, iterations=5).mean())
    assert mean < {"tv": 1e-5, "wavelet": 0.01}[solver]  # wavelets shrink the coarse image, which moves it a little
    assert SOLVERS[solver](*random_case((1, 3)), iterations=2).shape == (1, 3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_bad_input_is_told(solver):
    kspace, mask = random_case((8, 9))
    with pytest.raises(VolumeError, match="one slice of one coil"):
        SOLVERS[solver](kspace[None], mask)
    with pytest.raises(VolumeError, match="mask"):
        SOLVERS[solver](kspace, mask[:-1])
    for strength, iterations in ((-1, 5), (np.nan, 5), (0.1, 0)):
        with pytest.raises(SettingsError, match="strength"):
            SOLVERS[solver](kspace, mask, strength, iterations)
