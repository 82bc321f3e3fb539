"""How far a reconstruction moves: what must hold whatever the method."""

import numpy as np
import pytest

from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.kspace import KSpace
from napari_medseg.progress import run
from napari_medseg.recon import probe
from napari_medseg.recon.coil_maps import CoilMaps
from napari_medseg.recon.methods import Slice
from napari_medseg.recon.noise import noise_level
from napari_medseg.recon.probe import ProbeSettings, probe_job
from napari_medseg.recon.reconstruct import ReconSettings, reconstruct_job
from napari_medseg.recon.settings import Sampling
from napari_medseg.recon.simulate import simulate
from napari_medseg.recon.transforms import fft2c

ZERO, TV = ReconSettings("zero-filled", dc="none"), ReconSettings("tv", strength=0.003, iterations=5)


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
    spread = both.image.data
    assert spread.shape == (2, 64, 64) and spread.dtype == np.float32 and (spread > 0).any() and (spread >= 0).all()
    np.testing.assert_array_equal(again.image.data[0], spread[1])
    other = run(probe_job(kspace, settings, ProbeSettings(repeats=2, seed=1), indices=[1]))
    assert not np.array_equal(other.image.data[0], spread[1])


def test_sensitivity_is_in_the_units_of_the_data(kspace_of):
    data = kspace_of(slices=1)
    found = [run(probe_job(scan(data * np.complex64(by)), TV, ProbeSettings(repeats=1))) for by in (1, 1e-6)]
    large, small = (each.image.data for each in found)
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


@pytest.fixture
def even(monkeypatch):
    """Four coils without a full centre: their true maps (coil, y, x) take the place of estimated ones."""
    y, x = np.meshgrid(np.linspace(-1, 1, 24), np.linspace(-1, 1, 48), indexing="ij")
    turns = np.pi / 2 * np.arange(4)[:, None, None]
    maps = np.exp(-((y - np.sin(turns)) ** 2 + (x - np.cos(turns)) ** 2) / 2 + 1j * (turns + x * y))
    maps = (maps / np.linalg.norm(maps, axis=0)).astype(np.complex64)
    known = CoilMaps(np.eye(4, dtype=np.complex64), maps[None])
    monkeypatch.setattr(CoilMaps, "of", classmethod(lambda *_: known))
    return maps


def noisy_scan(maps, step, level=0.5):
    image = 1 + 0.3 * np.hypot(*np.meshgrid(*(np.linspace(-1, 1, n) for n in maps.shape[1:]), indexing="ij"))
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(maps.shape) + 1j * rng.standard_normal(maps.shape)
    mask = np.arange(maps.shape[2]) % step == 0
    data = np.where(mask, fft2c(maps * image) + level * noise, 0)
    return KSpace(data[None].astype(np.complex64), mask=mask, mask_origin="file")


def closed_form(maps, step):
    """The g-factor of SENSE with every `step`-th column: aliased pixels are told apart by their sensitivities."""
    found = np.zeros(maps.shape[1:])
    apart = maps.shape[2] // step
    for y, x in np.ndindex(maps.shape[1], apart):
        places = x + apart * np.arange(step)
        own = maps[:, y, places]
        gram = own.conj().T @ own
        found[y, places] = np.sqrt(np.linalg.inv(gram).diagonal().real * gram.diagonal().real)
    return found


@pytest.mark.parametrize("step", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_g_factor_is_that_of_the_closed_form(even, step, monkeypatch):
    monkeypatch.setattr(probe, "noise_level", lambda *_: np.full(4, 0.5))  # its error in so small an image is not small
    settings = ReconSettings("sense", dc="none", strength=1e-6, iterations=60)
    wanted = closed_form(even, step)
    assert wanted.max() > 1.15
    kspace = noisy_scan(even, step)
    found = run(probe_job(kspace, settings, ProbeSettings(shows="g-factor", replicas=200)))
    ratio = found.image.data[0] / wanted
    assert abs(np.mean(ratio) - 1) < 0.01 and np.std(ratio) < 0.06  # of 200 replicas: 0.05
    assert found.report["median"] == pytest.approx(np.median(wanted), rel=0.03) and found.report["share"] is None
    # the noise of every second column of 48 is that of a full scan times the root of two
    noise = run(probe_job(kspace, settings, ProbeSettings(shows="noise", replicas=200))).image.data[0]
    np.testing.assert_allclose(noise, found.image.data[0] * 0.5 * np.sqrt(step), rtol=1e-4)


def test_a_full_scan_has_its_own_noise_everywhere_and_no_g_factor(kspace_of):
    kspace = KSpace(kspace_of(slices=1, coils=3))
    noise = run(probe_job(kspace, ZERO, ProbeSettings(shows="noise"))).image
    level = np.mean(noise.record.figures["noise"])
    assert noise.data.mean() == pytest.approx(level, rel=0.05)  # also where there is nothing but noise
    found = run(probe_job(kspace, ZERO, ProbeSettings(shows="g-factor"))).image.data
    assert found.mean() == pytest.approx(1, rel=0.02)


def test_methods_are_probed_with_the_strength_that_a_run_would_choose(kspace_of, monkeypatch):
    used = []
    prepare = probe.methods.prepare
    monkeypatch.setattr(
        probe.methods, "prepare", lambda _, settings, *rest: used.append(settings) or prepare(_, settings, *rest)
    )
    kspace = scan(kspace_of(slices=1))
    run(probe_job(kspace, ReconSettings("tv", iterations=5), ProbeSettings(repeats=1)))
    record = run(reconstruct_job(kspace, ReconSettings("tv", iterations=5))).record
    assert used[-1].strength == record.figures["used"]["strength"]


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
    for wrong in ({"repeats": 0}, {"dropped": 1.0}, {"seed": -1}, {"shows": "noise level"}, {"replicas": 1}):
        with pytest.raises(SettingsError):
            ProbeSettings(**wrong)
