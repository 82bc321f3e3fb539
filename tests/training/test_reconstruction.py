"""Training to reconstruct: simulated scans, the unrolled cascade, resumable runs, figures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.errors import MedsegError, ModelError
from napari_medseg.progress import run
from napari_medseg.recon import data_residual, fft2c
from napari_medseg.training import recon_figures
from napari_medseg.training.augment import AugmentSettings
from napari_medseg.training.data.sources import Source
from napari_medseg.training.loop import train_job
from napari_medseg.training.recon_figures import figures
from napari_medseg.training.reconstruction import Reconstruction
from napari_medseg.training.settings import MaskShare, ReconTrainSettings, read_settings
from napari_medseg.training.simulated import draw, draw_mask, mask_of, rough_phase, volumes

RANDOM = MaskShare("random", (2, 4), (0.3, 0.4))
STILL = AugmentSettings(colour_gain=0, offset=0, blur=0, noise=0)


@pytest.fixture(autouse=True)
def short_figures(monkeypatch):
    """One mask in place of twelve."""
    monkeypatch.setattr(recon_figures, "PROTOCOL", recon_figures.PROTOCOL[:1])
    monkeypatch.setattr(recon_figures, "_SEEDS", 1)


@pytest.fixture
def images(tmp_path, discs):
    """Folder with train.npz and val.npz of blurred discs, two subjects each."""
    for seed, name in enumerate(("train", "val")):
        image, _ = discs(6, size=64, seed=seed)
        np.savez(tmp_path / f"{name}.npz", image=image, subject=np.array([f"s{i // 3}" for i in range(6)]))
    return tmp_path


@pytest.fixture
def recon_settings():
    def make(**changes):
        options = {
            "name": "discs",
            "architecture": "conditional-swin-light",
            "options": {"width": 64, "dropout": 0.0},
            "design": "cascade",
            "masks": (RANDOM,),
            "train": (Source("train.npz", case="subject"),),
            "val": (Source("val.npz", case="subject"),),
            "augment": STILL,
            "steps": 4,
            "iterations": 1,
            "clip": 1.0,
            "learning_rate": 1e-3,
            "warmup_steps": 2,
            "ema": 0.5,
            "validate_every": 2,
            "threads": 1,
            "device": "cpu",
        }
        return ReconTrainSettings(**(options | changes))

    return make


LONG = [pytest.param(changes, marks=pytest.mark.slow) for changes in ({}, {"warm": 0.5})]


@pytest.mark.parametrize("changes", [*LONG, {"design": "image", "batch": 2}])
def test_interrupted_and_resumed_run_ends_bit_equal(images, recon_settings, tmp_path, changes):
    settings = recon_settings(**changes)
    run(train_job(settings, tmp_path / "whole", root=images))
    job = train_job(settings, tmp_path / "parts", root=images)
    for _ in range(3):
        next(job)
    job.close()
    torch.rand(3)
    run(train_job(settings, tmp_path / "parts", root=images))
    whole, parts = ((tmp_path / name / "discs.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    card = models.load(tmp_path / "whole" / "discs.safetensors").card
    assert card.design == settings.design and card.masks == {"random": (2, 4)} and "psnr" in card.metrics["val"]


def test_training_begins_at_the_classical_result_and_improves_on_it(images, recon_settings):
    settings = recon_settings(steps=30, band=0)
    task = Reconstruction(settings, torch.device("cpu"))
    task.load(images)
    network = task.network
    begin = task.loss(0).item()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(30):
        optimizer.zero_grad()
        task.loss(0).backward()
        optimizer.step()
    assert task.loss(0).item() < 0.9 * begin
    assert np.isfinite(task.score(network.eval()))


def test_figures_stand_beside_the_classical_ones(images, recon_settings):
    task = Reconstruction(recon_settings(), torch.device("cpu"))
    model = models.TrainedModel(task.card(), task.network.eval())
    table = figures(model, task.settings.val, images)
    spots = table.pop("spots")
    (rows,) = table.values()
    assert set(rows) == {"s0", "s1"}
    for row in rows.values():
        # an untrained cascade is what it begins with, some steps of TV
        assert row["zero_filled"]["psnr"] < row["model"]["psnr"] <= row["tv_dc"]["psnr"] + 0.2
        assert row["zero_filled"]["nmse"] > row["model"]["nmse"] > 0
    # a cascade that changes nothing keeps of a false spot what agrees with the data, and of a true one what TV keeps
    for row in spots.values():
        assert 0 < row["left"] < 1 and row["kept"] == pytest.approx(row["kept_tv"], abs=0.2)


def test_scans_are_repeatable_and_true_to_their_mask(recon_settings):
    image = np.random.default_rng(0).random((64, 48), np.float32)
    first, again, other = (draw(image, recon_settings(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.measured, again.measured) and not np.array_equal(first.measured, other.measured)
    assert first.image.dtype == np.complex64
    assert data_residual(first.image, first.measured, first.mask) < 1e-6
    assert not first.measured[:, ~first.mask].any()


def test_rough_phase_hides_the_symmetry_of_real_images():
    """What is learnt must not rely on half of k-space telling the other half."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    magnitude = np.exp(-(x**2 + y**2)).astype(np.float32)

    def asymmetry(phase):
        kspace = fft2c(magnitude * np.exp(1j * phase))[1:, 1:]
        return np.linalg.norm(np.abs(kspace) - np.abs(kspace[::-1, ::-1])) / np.linalg.norm(kspace)

    rough = [asymmetry(rough_phase(magnitude, np.random.default_rng(seed))) for seed in range(8)]
    assert asymmetry(0 * magnitude) < 1e-6 and np.median(rough) > 0.1


def test_some_phases_are_smooth_if_settings_say_so(recon_settings):
    image = np.ones((64, 48), np.float32)

    def steepest(share):
        """Largest step of the phase between neighbours, of eight scans."""
        settings = recon_settings(smooth_phases=share, augment=replace(STILL, noise=0))
        scans = [draw(image, settings, np.random.default_rng(seed)).image for seed in range(8)]
        return [float(np.abs(np.angle(one[:, 1:] * one[:, :-1].conj())).max()) for one in scans]

    assert max(steepest(1.0)) < np.median(steepest(0.0))


def test_masks_are_drawn_by_their_shares():
    shares = [MaskShare("random", (4, 4), (0.32, 0.32), 3), MaskShare("center_heavy", (4, 4), (0.8, 0.8), 1)]
    rng = np.random.default_rng(0)
    masks = [draw_mask(shares, 64, rng) for _ in range(200)]
    centred = sum(mask[26:38].all() for mask in masks)
    assert 30 < centred < 70
    assert np.array_equal(mask_of("random", 64, 4, 0.08, "s0"), mask_of("random", 64, 4, 0.08, "s0"))
    assert not np.array_equal(mask_of("random", 64, 4, 0.08, "s0"), mask_of("random", 64, 4, 0.08, "s0", 1))


def test_volumes_hold_four_slices_of_each_subject(images):
    found = list(volumes([Source("val.npz", case="subject")], images))
    assert [subject for subject, *_ in found] == ["s0", "s1"]
    for _, kspace, reference in found:
        assert kspace.shape == reference.shape == (4, 64, 64)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"design": "magic"}, "design"), ({"masks": ()}, "mask"), ({"warm": 2}, "warm"), ({"clip": -1}, "clip")],
)
def test_mistakes_get_a_sentence(recon_settings, changes, sentence):
    with pytest.raises(MedsegError, match=sentence):
        recon_settings(**changes)


def test_settings_are_read_back(recon_settings, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(recon_settings().to_json())
    assert read_settings(path) == recon_settings()
    path.write_text('{"kind": "magic"}')
    with pytest.raises(MedsegError, match="kind"):
        read_settings(path)


def test_other_networks_are_refused(images, recon_settings, tmp_path):
    settings = recon_settings(architecture="litenext", options={})
    with pytest.raises(ModelError, match="is a LiteNeXt; expected a ConditionalSwinUNet"):
        run(train_job(settings, tmp_path / "run", root=images))
