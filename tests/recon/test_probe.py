"""How far a reconstruction moves: what must hold whatever the method."""

import numpy as np
import pytest

from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.kspace import KSpace
from napari_medseg.progress import run
from napari_medseg.recon import probe
from napari_medseg.recon.methods import Slice
from napari_medseg.recon.noise import noise_level
from napari_medseg.recon.probe import ProbeSettings, probe_job
from napari_medseg.recon.reconstruct import ReconSettings
from napari_medseg.recon.sampling import Sampling
from napari_medseg.recon.simulate import simulate

ZERO, TV = ReconSettings("zero-filled", dc="none"), ReconSettings("tv", iterations=5)


def scan(data, kind="random", direction="x"):
    mask = Sampling(kind, 3, 0.12, seed=1, direction=direction).mask(data.shape[2:])
    return KSpace(data, mask=mask, mask_origin="file")


def disc(size=128):
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return np.exp(-8 * (x**2 + y**2))[None]


@pytest.mark.parametrize("noise", [0.003, 0.03])
@pytest.mark.parametrize("kind", [None, "random", "poisson"])
def test_noise_is_read_off_the_border_of_k_space(noise, kind):
    data = simulate(disc(), np.random.default_rng(0), noise)
    mask = Sampling(kind, 4, 0.08, seed=0).mask(data.shape[2:]) if kind else True
    assert noise_level(np.where(mask, data[0], 0)) * np.sqrt(2) == pytest.approx([noise], rel=0.15)


def test_every_coil_has_its_own_noise():
    data = simulate(disc(64), np.random.default_rng(0), 0.01)[0]
    np.testing.assert_allclose(noise_level(np.concatenate([data, 5 * data])) / noise_level(data), (1, 5), rtol=1e-6)


@pytest.mark.parametrize("settings", [ZERO, TV], ids=lambda settings: settings.method)
def test_probe_can_be_repeated_and_does_not_depend_on_the_other_slices(kspace_of, settings):
    kspace = scan(kspace_of(slices=2))
    both = run(probe_job(kspace, settings, ProbeSettings(repeats=2)))
    again = run(probe_job(kspace, settings, ProbeSettings(repeats=2), indices=[1]))
    spread = both.sensitivity.data
    assert spread.shape == (2, 64, 64) and spread.dtype == np.float32 and (spread > 0).any() and (spread >= 0).all()
    np.testing.assert_array_equal(again.sensitivity.data[0], spread[1])
    other = run(probe_job(kspace, settings, ProbeSettings(repeats=2, seed=1), indices=[1]))
    assert not np.array_equal(other.sensitivity.data[0], spread[1])


def test_sensitivity_is_in_the_units_of_the_data(kspace_of):
    data = kspace_of(slices=1)
    found = [run(probe_job(scan(data * np.complex64(by)), TV, ProbeSettings(repeats=1))) for by in (1, 1e-6)]
    large, small = (each.sensitivity.data for each in found)
    np.testing.assert_allclose(small * 1e6, large, atol=1e-3 * large.max())
    assert found[0].report["share"] == pytest.approx(found[1].report["share"], rel=1e-3)


@pytest.mark.parametrize(("kind", "direction"), [("random", "x"), ("random", "y"), ("poisson", "x")])
def test_methods_are_given_noise_first_and_then_fewer_lines(kspace_of, monkeypatch, kind, direction):
    kspace, masks = scan(kspace_of(slices=1), kind, direction), []

    def method(measured, mask):
        masks.append(mask)
        assert not measured[:, ~np.broadcast_to(mask, measured.shape[1:])].any()
        yield from ()
        return Slice(np.abs(measured[0]), measured, 0.0)

    monkeypatch.setattr(probe.methods, "prepare", lambda *_: method)
    run(probe_job(kspace, TV, ProbeSettings(repeats=3, dropped=0.2)))
    assert all(np.array_equal(mask, kspace.mask) for mask in masks[:3])
    assert all((thin < kspace.mask).any() and not (thin > kspace.mask).any() for thin in masks[3:])


def test_each_reconstruction_is_a_step_and_a_place_to_cancel(kspace_of):
    job = probe_job(scan(kspace_of(slices=1)), TV, ProbeSettings(repeats=2))
    done = [step.done for step in job]
    assert done == sorted(done) and done[-1] == 4 and len(done) > 4 * TV.iterations


def test_what_cannot_be_probed_is_told(kspace_of):
    data = kspace_of(slices=1)
    with pytest.raises(SettingsError, match="fully sampled"):
        run(probe_job(KSpace(data), TV))
    centre = np.zeros(64, bool)
    centre[28:36] = True
    with pytest.raises(SettingsError, match="no lines outside"):
        run(probe_job(KSpace(data, mask=centre), TV))
    with pytest.raises(SettingsError, match="0 to 0"):
        run(probe_job(scan(data), TV, indices=[3]))
    with pytest.raises(VolumeError, match="nothing of slice 4"):
        noise_level(np.zeros((1, 8, 8)), 4)
    for wrong in ({"repeats": 0}, {"dropped": 1.0}, {"seed": -1}):
        with pytest.raises(SettingsError):
            ProbeSettings(**wrong)
