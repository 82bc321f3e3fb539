"""Methods compared by lines that were hidden from them: what must hold whatever the methods."""

import json

import numpy as np
import pytest

from napari_medseg.errors import SettingsError, VolumeError
from napari_medseg.kspace import KSpace
from napari_medseg.progress import run
from napari_medseg.recon import ifft2c, rss, suggest
from napari_medseg.recon.methods import Slice
from napari_medseg.recon.reconstruct import ReconSettings
from napari_medseg.recon.settings import Sampling
from napari_medseg.recon.suggest import HiddenSettings, Hint, hint_job
from napari_medseg.record import Record

ZERO = ReconSettings("zero-filled"), None
TV = ReconSettings("tv", iterations=5), None
WAVELET = ReconSettings("wavelet", iterations=3), None


def scan(data, kind="random", direction="x"):
    mask = Sampling(kind, 3, 0.12, seed=1, direction=direction).mask(data.shape[2:])
    return KSpace(data, mask=mask, mask_origin="file")


def all_knowing(data, masks):
    """Stands for `prepare`: method ``tv`` knows all of slice 0, the others nothing; notes the masks they get."""

    def prepare(_, settings, model, held):
        def method(measured, mask):
            masks.setdefault(settings.method, []).append(mask)
            assert not measured[:, ~np.broadcast_to(mask, measured.shape[1:])].any()
            yield from ()
            coils = ifft2c(data[0]) if settings.method == "tv" else np.zeros_like(measured)
            return Slice(rss(coils, 0), coils, 0.0)

        return method

    return prepare


@pytest.mark.parametrize("coils", [1, 4])
def test_zero_filling_is_wrong_by_all_of_it(kspace_of, coils):
    found = run(hint_job(scan(kspace_of(coils=coils)), [ZERO, TV]))
    assert [name for name, _ in found.rows] == ["tv", "zero-filled"]
    assert found.rows[1][1] == pytest.approx(1, abs=1e-4) and 0 < found.rows[0][1] < 1
    assert "tv predicts the hidden samples best" in found.verdict
    assert found.report["mask"]["effective_acceleration"] == pytest.approx(found.acceleration, abs=1e-3)
    assert json.loads(json.dumps(found.report)) == found.report


@pytest.mark.parametrize(("kind", "direction"), [("random", "x"), ("random", "y"), ("poisson", "x")])
def test_hidden_lines_are_measured_ones_and_the_same_for_all(kspace_of, monkeypatch, kind, direction):
    data, masks = kspace_of(slices=1, coils=2), {}
    kspace = scan(data, kind, direction)
    monkeypatch.setattr(suggest.methods, "prepare", all_knowing(data, masks))
    found = run(hint_job(kspace, [WAVELET, TV], HiddenSettings(repeats=2)))
    assert found.rows == (("tv", pytest.approx(0, abs=1e-5)), ("wavelet", 1))
    assert len(masks["tv"]) == 2 and not np.array_equal(*masks["tv"])
    for seen, other in zip(masks["tv"], masks["wavelet"], strict=True):
        np.testing.assert_array_equal(seen, other)
        assert (seen < kspace.mask).any() and not (seen > kspace.mask).any()


def test_errors_do_not_depend_on_units_or_on_other_slices_and_can_be_repeated(kspace_of):
    data = kspace_of(slices=2, coils=2)
    both, small = (run(hint_job(scan(data * np.complex64(by)), [TV, WAVELET])) for by in (1, 1e-6))
    assert [error for _, error in both.rows] == pytest.approx([error for _, error in small.rows], rel=1e-3)
    second = run(hint_job(scan(data), [TV, WAVELET], indices=[1]))
    for pooled, alone in zip(both.report["methods"], second.report["methods"], strict=True):
        low, high = sorted(pooled["error_by_slice"])
        assert low <= pooled["error"] <= high
        assert alone["error"] == pytest.approx(pooled["error_by_slice"][1])
    assert run(hint_job(scan(data), [TV], HiddenSettings(seed=1))).rows != run(hint_job(scan(data), [TV])).rows


def test_samples_that_a_scanner_left_at_zero_are_not_compared(kspace_of, monkeypatch):
    data = kspace_of(slices=1)
    monkeypatch.setattr(suggest.methods, "prepare", all_knowing(data, {}))
    padded = data.copy()
    padded[..., :6] = padded[..., -6:] = 0
    assert run(hint_job(scan(padded), [TV])).rows[0][1] == pytest.approx(0, abs=1e-5)


def test_a_network_can_be_compared(kspace_of, learned):
    model = learned(silent=True)
    settings = ReconSettings(model.card.name, iterations=0)  # TV with 15 iterations
    tv = ReconSettings("tv", strength=0.003, iterations=15)
    found = run(hint_job(scan(kspace_of(slices=1)), [(settings, model), (tv, None)]))
    assert found.rows[0][1] == pytest.approx(found.rows[1][1], rel=1e-3)
    assert "equally well" in found.verdict and "made-up" in found.verdict
    assert [row["model"] and row["model"]["name"] for row in found.report["methods"]].count("made-up") == 1


def test_each_reconstruction_is_a_step_and_a_place_to_cancel(kspace_of):
    kspace, settings = scan(kspace_of(slices=2)), HiddenSettings(repeats=2)
    steps = list(hint_job(kspace, [TV, ZERO], settings))
    done = [step.done for step in steps]
    assert done == sorted(done) and done[-1] == steps[-1].total == 8 and len(done) > 4 * TV[0].iterations
    job = hint_job(kspace, [TV, ZERO], settings)
    next(job)
    job.close()
    with pytest.raises(StopIteration):
        next(job)


@pytest.mark.parametrize(
    ("errors", "acceleration", "verdict", "far"),
    [
        ((0.4, 0.7, 0.9), 4.0, "a predicts the hidden samples best.", False),
        ((0.4, 0.4 + suggest.CLOSE / 2, 0.9), 4.0, "a and b predict", False),
        ((0.4, 0.7, 0.9), 8.0, "a predicts the hidden samples best.", True),
        ((0.999, 1.2, 1.3), 4.0, "No method", False),
    ],
)
def test_hint_in_words(errors, acceleration, verdict, far):
    hint = Hint(tuple(zip("abc", errors, strict=True)), acceleration, Record("compare"))
    assert hint.verdict.startswith(verdict) and "not a proof" in hint.caution and ("unreliable" in hint.caution) == far
    assert f"a {errors[0]:.1%}" in hint.figures and "zero-filled 100%" in hint.figures


def test_what_cannot_be_compared_is_told(kspace_of):
    data = kspace_of(slices=1)
    centre = np.zeros(64, bool)
    centre[28:36] = True
    for kspace, words in ((KSpace(data), "fully sampled"), (KSpace(data, mask=centre), "no lines outside")):
        with pytest.raises(SettingsError, match=words):
            run(hint_job(kspace, [TV]))
    with pytest.raises(SettingsError, match="0 to 0"):
        run(hint_job(scan(data), [TV], indices=[3]))
    with pytest.raises(SettingsError, match="at least one"):
        run(hint_job(scan(data), []))
    with pytest.raises(SettingsError, match="one coil"):
        run(hint_job(scan(data), [(ReconSettings("sense"), None)]))
    only_centre = np.where(centre, data, 0)
    with pytest.raises(VolumeError, match="are 0"):
        run(hint_job(scan(only_centre), [ZERO]))
    for wrong in ({"share": 0}, {"share": 1}, {"repeats": 0}, {"seed": -1}):
        with pytest.raises(SettingsError):
            HiddenSettings(**wrong)
