"""The strength that nobody chose: what it is, and that the default is never worse than zero filling."""

import numpy as np
import pytest

from napari_medseg.kspace import KSpace
from napari_medseg.metrics import psnr
from napari_medseg.progress import run
from napari_medseg.recon import coil_maps
from napari_medseg.recon.coil_maps import CoilMaps
from napari_medseg.recon.methods import candidates, prepare
from napari_medseg.recon.reconstruct import reconstruct, used_text
from napari_medseg.recon.settings import ReconSettings, Sampling
from napari_medseg.recon.strength import TUNED, tuned_job
from napari_medseg.recon.transforms import fft2c, ifft2c, rss

SHAPE = (64, 56)
MASKS = {
    "lines": Sampling("random", 3, 0.12, seed=2),
    "equal steps": Sampling("equispaced", 3, 0.12, seed=2, offset=0),
    "points": Sampling("poisson", 6, 0.15, seed=2),
}


def noise(shape):
    rng = np.random.default_rng(0)
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def phantom(shape, coils=4):
    """Maps (coil, y, x) with squares that sum to 1, and an image (y, x): a head with a skull and five vessels."""
    rows, columns = np.indices(shape) / np.array(shape)[:, None, None] * 2 - 1
    radius = np.hypot(rows, columns)
    image = 0.4 * (radius < 0.85) + 0.5 * (np.abs(radius - 0.8) < 0.05)
    for number in range(5):
        image += 0.2 * (np.hypot(rows - 0.5 * np.cos(number), columns - 0.5 * np.sin(number)) < 0.03 + 0.03 * number)
    turns = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    maps = np.exp(-np.hypot(rows - np.sin(turns), columns - np.cos(turns)) + 1j * (turns + rows * columns))
    return maps / rss(maps, 0), image * np.exp(1j * columns)


def kspace_of(kind, level=0.02, coils=4):
    maps, image = phantom(SHAPE, coils)
    full = (fft2c(maps * image) + level * noise(maps.shape)).astype(np.complex64)
    mask = MASKS[kind].mask(SHAPE)
    reference = np.abs(image)
    return KSpace(np.where(mask, full, 0)[None], mask=mask, mask_origin="file"), reference


def quality(kspace, reference, method, strength):
    steps = prepare(kspace, ReconSettings(method, strength=strength), None)
    found = run(steps(kspace.slice(0), kspace.mask_of(0)))
    return psnr(reference[None], found.magnitude[None].astype(reference.dtype), float(reference.max()))


# wavelets: hidden lines leave gaps that need more strength than the scan itself
CASES = [
    pytest.param("sense-tv", "lines", marks=pytest.mark.slow),
    pytest.param("sense-tv", "equal steps", marks=pytest.mark.slow),
    ("sense-tv", "points"),
    ("sense-wavelet", "points"),
]


@pytest.mark.parametrize(("method", "kind"), CASES)
def test_the_strength_is_close_to_the_best_by_the_truth(method, kind):
    kspace, reference = kspace_of(kind)
    chosen = run(tuned_job(kspace, ReconSettings(method), [0])).strength
    best = max(quality(kspace, reference, method, strength) for strength in (0.0001, 0.0004, 0.0016, 0.0064, 0.0256))
    assert quality(kspace, reference, method, chosen) > best - 0.7


def test_more_noise_asks_for_more_strength():
    little, much = (
        run(tuned_job(kspace_of("points", level)[0], ReconSettings("sense-tv"), [0])).strength for level in (0.002, 0.2)
    )
    assert little < much


@pytest.mark.parametrize("method", TUNED)
def test_a_chosen_strength_stands_in_the_record_and_can_be_repeated(method):
    kspace, _ = kspace_of("points", coils=3)
    found = reconstruct(kspace, method, iterations=10)
    used = found.record.figures["used"]
    assert used["method"] == method and used["strength"] > 0 and used["strength_chosen"] == "automatic"
    assert found.record.settings["strength"] is None
    again = reconstruct(kspace, method, iterations=10, strength=used["strength"])
    np.testing.assert_array_equal(again.image.data, found.image.data)
    assert again.record.figures["used"]["strength_chosen"] == ""


def test_nothing_can_be_hidden_from_a_full_scan():
    maps, image = phantom(SHAPE)
    full = KSpace(fft2c(maps * image).astype(np.complex64)[None])
    assert run(tuned_job(full, ReconSettings("sense-tv"), [0])).strength is None
    assert reconstruct(full, "sense-tv", iterations=5).record.figures["used"]["strength"] is None


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("coils", [1, 4])
def test_the_default_is_better_than_zero_filling(kind, coils):
    kspace, reference = kspace_of(kind, coils=coils)
    found = reconstruct(kspace)
    # the phantom is flat between its edges, which suits total variation
    assert found.record.figures["used"]["method"] == ("tv" if coils == 1 else "sense-tv")
    zero = np.asarray(found.zero_filled.data)
    seen = rss(phantom(SHAPE, coils)[0], 0) * reference
    peak = float(seen.max())
    assert psnr(seen[None], np.asarray(found.image.data, seen.dtype), peak) > psnr(
        seen[None], zero.astype(seen.dtype), peak
    )


def test_coils_without_a_centre_get_tv():
    kspace, _ = kspace_of("lines")
    mask = np.arange(SHAPE[1]) % 3 == 0
    without = KSpace(np.where(mask, kspace.data, 0), mask=mask, mask_origin="file")
    assert candidates(without, ReconSettings()) == ("tv",)
    assert candidates(kspace, ReconSettings()) == ("sense-tv", "sense-wavelet")
    assert candidates(kspace, ReconSettings("wavelet")) == ("wavelet",)


def test_virtual_coils_keep_what_the_coils_see():
    maps, image = phantom(SHAPE, 4)
    mixing = np.random.default_rng(0).normal(size=(12, 4))
    seen = np.tensordot(mixing, maps, 1)
    seen /= rss(seen, 0)
    kspace = fft2c(seen * image).astype(np.complex64)
    mask = MASKS["points"].mask(SHAPE)
    found = CoilMaps.of(np.where(mask, kspace, 0), mask)
    assert found.maps.shape[:2] == (1, 4)  # twelve mixtures of four
    np.testing.assert_allclose(found.basis @ found.basis.conj().T, np.eye(4), atol=1e-5)
    whole = ifft2c(found.compress(kspace))
    combined = (found.maps.conj() * whole).sum(1)
    assert np.linalg.norm(found.coil_images(combined) - seen * image) < 0.05 * np.linalg.norm(seen * image)


def folded(coils=6):
    """A phantom of which every second column was measured, fully sampled: its halves lie on each other."""
    maps, image = phantom((SHAPE[0], 2 * SHAPE[1]), coils)
    full = fft2c(maps * image) + 0.002 * noise(maps.shape)
    return full[..., ::2].astype(np.complex64)


@pytest.mark.slow
def test_a_field_of_view_that_is_too_small_has_two_sets_of_maps(monkeypatch):
    full = folded()
    mask = Sampling("equispaced", 2, 0.25, seed=2, offset=0).mask(full.shape[1:])
    scan = KSpace(np.where(mask, full, 0)[None], mask=mask, mask_origin="file")
    expected = rss(ifft2c(full), 0)

    def error_of(result):
        return np.linalg.norm(result.image.data[0] - expected) / np.linalg.norm(expected)

    for method, share, strength in (("sense", 0.5, 0.001), ("sense-tv", 0.2, 0.001), ("sense-wavelet", 0.2, 0.0005)):
        soft = reconstruct(scan, method, strength=strength)
        assert soft.record.figures["used"]["coil_map_sets"] == 2
        assert "2 sets of coil maps" in used_text(soft.record.figures["used"])
        with monkeypatch.context() as patched:
            patched.setattr(coil_maps, "_FOLDED", 2.0)
            one = reconstruct(scan, method, strength=strength)
        assert "coil_map_sets" not in one.record.figures["used"]
        assert error_of(soft) < share * error_of(one)


def test_one_set_of_maps_is_enough_for_the_whole_field_of_view():
    kspace, _ = kspace_of("lines")
    assert "coil_map_sets" not in reconstruct(kspace, "sense", strength=0.01).record.figures["used"]
