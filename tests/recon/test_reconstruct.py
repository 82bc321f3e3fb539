"""The job behind every reconstruction: slices, masks, data consistency, figures and warnings."""

import numpy as np
import pytest

from napari_medseg import KSpace, metrics, reconstruct
from napari_medseg.errors import MedsegError, SettingsError, VolumeError
from napari_medseg.progress import run
from napari_medseg.recon import ifft2c, rss
from napari_medseg.recon.cautions import warnings
from napari_medseg.recon.masked import sampled
from napari_medseg.recon.reconstruct import ReconSettings, reconstruct_job
from napari_medseg.recon.settings import Sampling

RANDOM = Sampling("random", 3, 0.1, seed=1)


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("method", ["tv", "wavelet"])
def test_compressed_sensing_improves_on_zero_filling_and_agrees_with_the_data(kspace_of, method, coils):
    kspace = KSpace(kspace_of(coils=coils), spacing=(5.0, 1.0, 2.0))
    result = reconstruct(kspace, method, sampling=RANDOM)
    assert result.image.data.shape == (2, 64, 64) and result.image.data.dtype == np.float32
    assert result.image.spacing == (5.0, 1.0, 2.0)
    np.testing.assert_allclose(result.reference.data, rss(ifft2c(kspace.data), 1), rtol=1e-5)
    figures = result.report["metrics"]
    assert figures[method]["psnr"] > figures["zero-filled"]["psnr"] + 1
    assert result.residual < 1e-6


@pytest.mark.parametrize("method", ["sense", "sense-tv"])
def test_sensitivities_make_one_image_that_explains_all_coils(kspace_of, method):
    """Data consistency per coil, then combining, leaves a residual: no image explains the noise of all coils."""
    result = reconstruct(KSpace(kspace_of(coils=4)), method, sampling=RANDOM)
    assert result.residual < 0.1 < reconstruct(KSpace(kspace_of(coils=4)), "tv", strength=1.0, dc="none").residual
    figures = result.report["metrics"]
    assert figures[method]["psnr"] > figures["zero-filled"]["psnr"]


def test_without_a_mask_everything_is_measured(kspace_of):
    data = kspace_of()
    result = reconstruct(KSpace(data), "zero-filled")
    np.testing.assert_allclose(result.image.data, np.abs(ifft2c(data[:, 0])), rtol=1e-5)
    assert result.mask.all() and result.reference is None and result.report["metrics"] is None


def test_mask_of_the_scan_is_kept_and_another_only_chooses_among_its_samples(kspace_of):
    data = kspace_of()
    columns = np.arange(64) % 2 == 0
    kspace = KSpace(np.where(columns, data, 0), mask=columns, mask_origin="file")
    assert sampled(kspace, None) is kspace
    fewer = columns & (np.arange(64) > 8)
    chosen = sampled(kspace, None, fewer)
    assert np.array_equal(chosen.mask, fewer) and not chosen.notes
    assert reconstruct(kspace, "zero-filled", mask=fewer).reference is None, "no truth is known of such a scan"
    drawn = sampled(kspace, Sampling("equispaced", 4, 0.25, seed=1, offset=1))
    assert not (drawn.mask & ~columns).any() and "were measured" in drawn.notes[0]
    with pytest.raises(SettingsError, match="only samples that were not measured"):
        sampled(kspace, None, ~columns)
    result = reconstruct(kspace, "tv")
    assert np.array_equal(result.mask, columns) and result.report["mask"]["origin"] == "file"


def test_data_consistency_decides_the_residual(kspace_of):
    kspace = KSpace(kspace_of(1))
    residual = {
        dc: reconstruct(kspace, "tv", sampling=RANDOM, strength=0.05, dc=dc).residual for dc in ("none", "soft", "hard")
    }
    assert residual["hard"] < 1e-6 < residual["soft"] < residual["none"]
    np.testing.assert_allclose(residual["soft"], residual["none"] / 2, rtol=1e-3)  # weight 1


def test_crop_reference_of_the_file_and_slices_asked_for(kspace_of):
    data = kspace_of(3)
    reference = np.abs(ifft2c(data[:, 0]))[:, 12:52, 16:48]
    result = run(
        reconstruct_job(
            KSpace(data, crop=(40, 32), reference=reference), ReconSettings("zero-filled"), indices=[2, 0], start=1
        )
    )
    assert result.image.data.shape == (2, 40, 32) and result.report["slices"] == [0, 2]
    assert metrics.nmse(reference[[0, 2]], result.image.data) < 1e-10


def test_slices_come_from_the_shown_one_on_and_each_iteration_can_be_cancelled(kspace_of):
    job = reconstruct_job(KSpace(kspace_of(3)), ReconSettings("tv", iterations=3), start=2)
    steps = list(job)
    assert [step.partial.index for step in steps if step.partial] == [2, 0, 1]
    assert len(steps) == 3 * (3 + 1) and all(step.total == 3 for step in steps)


@pytest.mark.parametrize(("fraction", "words"), [(0.05, "2 coils go through it one by one"), (0.2, "of all 2 coils")])
def test_learned_methods_warn_and_take_coils_one_by_one_where_there_are_no_maps(kspace_of, learned, fraction, words):
    model = learned()
    kspace = sampled(KSpace(kspace_of(1, 2), simulated=True), Sampling("equispaced", 2, fraction, seed=1))
    settings = ReconSettings("made-up", iterations=1, strength=0.001)
    result = run(reconstruct_job(kspace, settings, model=model))
    # one image of all coils does not fit the samples of each exactly
    assert (result.residual < 1e-6) == (fraction == 0.05)
    text = " ".join(result.report["warnings"])
    assert "not for diagnosis" in text and "simulated" in text and words in text and "4 to 8" in text
    drawn = warnings(kspace, settings, model.card, Sampling("magic", 8, 0.04))
    assert any("not 8 times" in note for note in drawn) and any("magic" in note for note in drawn)
    with pytest.raises(SettingsError, match="one coil"):
        run(reconstruct_job(kspace, settings, model=learned("image")))


@pytest.mark.parametrize(
    ("coils", "lines", "method", "words"),
    [
        (4, 12, "tv", "sense-tv uses them together"),
        (4, 12, "sense-tv", ""),
        (4, 4, "tv", "one by one, with tv: the fully sampled centre of k-space has 5 rows or columns"),
        (4, 4, "auto", "one by one, with tv"),
        (4, 12, "auto", ""),
        (1, 12, "tv", ""),
    ],
)
def test_several_coils_are_advised_sense_where_their_maps_can_be_had(kspace_of, coils, lines, method, words):
    columns = np.arange(64) % 4 == 1
    columns[32 - lines // 2 : 32 + lines // 2] = True
    kspace = KSpace(kspace_of(1, coils), mask=columns, mask_origin="file")
    found = " ".join(warnings(kspace, ReconSettings(method), None))
    assert words in found if words else not found


def test_learned_methods_name_the_safer_one(kspace_of, learned):
    columns = np.abs(np.arange(64) - 32) < 6
    for coils, safer in ((1, "data tv is"), (2, "data sense-tv is")):
        kspace = KSpace(kspace_of(1, coils), mask=columns, mask_origin="file")
        assert safer in " ".join(warnings(kspace, ReconSettings("made-up"), learned().card))


@pytest.mark.parametrize(
    ("changes", "options", "sentence"),
    [
        ({}, {"method": "magic"}, "no method"),
        ({}, {"method": "litenext-heart"}, "segments"),
        ({}, {"method": "sense"}, "one coil"),
        ({}, {"dc": "firm"}, "choose one of none"),
        ({}, {"dc_weight": -1}, "from 0 up"),
        ({}, {"depth": 3}, "does not take"),
        ({}, {"strength": -1}, "strength"),
        ({"data": np.zeros((1, 1, 8, 8))}, {}, "only zeros"),
        ({"data": np.full((1, 1, 8, 8), np.nan)}, {}, "not finite"),
        ({}, {"mask": np.zeros(64, bool)}, "leaves nothing"),
        ({}, {"mask": np.ones(60, bool)}, "mask of"),
        ({}, {"sampling": Sampling("equispaced_fraction", 8, 0.5)}, "fewer centre lines"),
    ],
)
def test_what_cannot_be_gets_a_sentence(kspace_of, changes, options, sentence):
    with pytest.raises(MedsegError, match=sentence):
        reconstruct(KSpace(**({"data": kspace_of(1)} | changes)), **options)


@pytest.mark.parametrize(
    "changes", [{"data": np.ones((4, 8, 8))}, {"mask": np.ones(5, bool)}, {"crop": (9, 8)}, {"crop": (0, 8)}]
)
def test_kspace_that_does_not_fit_itself_is_refused(changes):
    with pytest.raises(VolumeError):
        KSpace(**({"data": np.ones((1, 1, 8, 8), np.complex64)} | changes))
