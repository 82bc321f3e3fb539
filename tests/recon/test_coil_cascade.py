"""The cascade for several coils: what must hold whatever the weights are."""

import numpy as np
import pytest

from napari_medseg.kspace import KSpace
from napari_medseg.progress import run
from napari_medseg.recon import coil_cascade, fft2c
from napari_medseg.recon.coil_cascade import Cascade
from napari_medseg.recon.coil_maps import CoilMaps
from napari_medseg.recon.reconstruct import ReconSettings, reconstruct_job
from napari_medseg.recon.router_map import router_map_job
from napari_medseg.recon.sense import sense, sense_steps, sense_tv

STRENGTH = {"strength": 0.001}


def scan(kspace):
    """Measured samples (coil, y, x) and their mask, every third column and a full centre, and the coil maps."""
    columns = np.arange(kspace.shape[-1]) % 3 == 0
    columns[26:38] = True
    measured = np.where(columns, kspace[0], 0)
    return measured, columns, CoilMaps.of(measured, columns)


@pytest.mark.parametrize("iterations", [0, 2])
def test_a_network_that_changes_nothing_leaves_sense(kspace_of, learned, iterations):
    measured, mask, coils = scan(kspace_of(1, 4))
    found = run(Cascade(learned(silent=True), coils, iterations, STRENGTH).job(measured, mask))
    start = sense_tv(coils.compress(measured), mask, coils.maps, **STRENGTH)
    assert np.linalg.norm(found - start) < 0.01 * np.linalg.norm(start)


def taught(monkeypatch, coils, image):
    """A cascade whose network goes to `image` (set, y, x) from wherever it is."""
    monkeypatch.setattr(coil_cascade, "brightness", lambda _: 1.0)
    monkeypatch.setattr(Cascade, "_change", lambda _, images: image - images)
    return Cascade(None, coils, 1, STRENGTH)


def test_what_hidden_samples_confirm_is_taken_and_what_they_contradict_is_not(kspace_of, monkeypatch):
    kspace = kspace_of(1, 4)
    measured, mask, coils = scan(kspace)
    start = sense_tv(coils.compress(measured), mask, coils.maps, **STRENGTH)
    true = sense(coils.compress(kspace[0]), np.ones_like(mask), coils.maps, 0.0)

    def error(image):
        return np.linalg.norm(image - true)

    better = run(taught(monkeypatch, coils, true).job(measured, mask))
    assert error(better) < 0.8 * error(start)
    mirrored = start[..., ::-1]
    same = run(taught(monkeypatch, coils, mirrored).job(measured, mask))
    assert error(same) < 1.05 * error(start)


def test_a_full_scan_is_left_to_sense(kspace_of, learned):
    kspace = kspace_of(1, 4)[0]
    mask = np.ones(64, bool)
    coils = CoilMaps.of(kspace, mask)
    found = run(Cascade(learned(), coils, 2, STRENGTH).job(kspace, mask))
    np.testing.assert_array_equal(found, sense_tv(coils.compress(kspace), mask, coils.maps, **STRENGTH))


def test_scale_of_the_data_is_scale_of_the_result(kspace_of, learned):
    measured, mask, coils = scan(kspace_of(1, 4))
    large, small = (run(Cascade(learned(), coils, 1, {}).job(measured * s, mask)) for s in (1, np.float32(1e-6)))
    np.testing.assert_allclose(small * 1e6, large, atol=1e-3 * np.abs(large).max())


def test_sense_close_to_an_image_moves_from_it_only_as_far_as_the_samples_ask(kspace_of):
    measured, mask, coils = scan(kspace_of(1, 4))
    samples = coils.compress(measured)
    near = sense_tv(samples, mask, coils.maps, 0.1)
    loose, tight = (run(sense_steps(samples, mask, coils.maps, weight, 20, near=near)) for weight in (0.01, 1e4))

    def misfit(image):
        return np.linalg.norm(np.where(mask, fft2c(coils.virtual_images(image)) - samples, 0))

    assert misfit(loose) < 0.5 * misfit(near)
    np.testing.assert_allclose(tight, near, atol=1e-3 * np.abs(near).max())


def test_a_run_says_the_strength_that_it_found_and_can_show_phase_and_maps(kspace_of, learned):
    _, mask, _ = scan(kspace_of(1, 4))
    kspace = KSpace(kspace_of(1, 4), mask=mask, mask_origin="file")
    settings = ReconSettings("made-up", iterations=1)
    model = learned()
    result = run(reconstruct_job(kspace, settings, model=model, also=("phase", "maps")))
    used = result.report["used"]
    assert used["method"] == "made-up" and used["strength"] > 0 and used["strength_chosen"] == "automatic"
    assert np.min(result.views["phase"].data) < 0 < np.max(result.views["maps"].data)
    shown = run(router_map_job(kspace, settings, model, 0))
    assert shown.data.shape == (64, 64) and 0 <= np.min(shown.data) <= np.max(shown.data) <= 1
