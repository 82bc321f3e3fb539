"""Figures and images of where results differ from a reference."""

import csv

import numpy as np
import pytest

from napari_medseg import cli, metrics
from napari_medseg.errors import VolumeError
from napari_medseg.kspace import KSpace
from napari_medseg.progress import run
from napari_medseg.recon import figures
from napari_medseg.recon.comparison import VIEWS, Source, compare_job, residuals_only, view_job, view_limits, write_csv
from napari_medseg.recon.contributions import magnitude


@pytest.fixture
def case(kspace_of):
    """Fully sampled k-space, its images, and two results: one a little too bright, one much too dark."""
    kspace = KSpace(kspace_of(slices=2, shape=(32, 40)))
    truth = np.stack([magnitude(kspace, index) for index in range(2)])
    results = [Source(name, "tv", truth * by, 0.1, [0.1, 0.2]) for name, by in (("good", 1.01), ("bad", 0.5))]
    return kspace, truth, results


def test_views_say_how_far_which_way_and_where(case):
    kspace, truth, results = case
    found = {view: run(view_job(view, kspace, None, results)) for view in VIEWS}
    assert {largest for largest, _ in found.values()} == {float(truth.max())}
    (good, bad), signed = found["error"][1], found["difference"][1]
    np.testing.assert_allclose(bad, truth / 2, rtol=1e-5)
    assert good.max() < bad.max() and signed[0].min() >= 0 and signed[1].max() <= 0
    np.testing.assert_array_equal(np.abs(signed[1]), bad)
    np.testing.assert_array_equal(found["ssim"][1][1], metrics.ssim_map(truth, truth * np.float32(0.5)))


def test_scale_follows_the_reference_and_the_person_not_the_error():
    assert view_limits("error", 50) == (0, 10) and view_limits("error", 50, 20) == (0, 0.5)
    assert view_limits("difference", 50, 4) == (-2.5, 2.5)
    assert view_limits("ssim", 50, 4) == (0, 1)
    assert np.diff(view_limits("error", 0)) > 0, "an empty reference still gives a scale"


def test_table_of_figures_tells_their_definition(case, tmp_path):
    kspace, _, results = case
    rows = run(compare_job(kspace, None, results, None))
    assert rows[0].volume["nmse"] < rows[1].volume["nmse"] and len(rows[0].slices) == 2
    write_csv(tmp_path / "a.csv", rows)
    lines = list(csv.reader((tmp_path / "a.csv").open()))
    assert len(lines) == 2 + 2 * 3 and "NMSE" in lines[-1][0]
    (row, _) = residuals_only(results)
    assert row.volume["nmse"] is None and [each["residual"] for each in row.slices] == [0.1, 0.2]


def test_tiny_images_have_no_ssim_map():
    kspace = KSpace(np.ones((1, 1, 6, 8), np.complex64))
    with pytest.raises(VolumeError, match="7 x 7"):
        run(view_job("ssim", kspace, None, [Source("a", "tv", np.ones((1, 6, 8), np.float32), None, [])]))


def test_a_new_figure_is_one_row(case, tmp_path, monkeypatch, capsys):
    kspace, _, results = case
    bias = figures.Figure("Mean bias", lambda truth, images, _: float((images - truth).mean()), "lower", "a.u.", 1)
    monkeypatch.setitem(figures.FIGURES, "bias", bias)
    rows = run(compare_job(kspace, None, results, None))
    assert rows[0].volume["bias"] > 0 > rows[1].volume["bias"] and "bias" in rows[0].slices[0]
    assert list(figures.headings().values())[-2:] == ["Mean bias (a.u.)", "Data residual"]
    assert "Mean bias" in figures.directions().split("lower is better for")[1]
    write_csv(tmp_path / "a.csv", rows)
    heading, first, *_ = csv.reader((tmp_path / "a.csv").open())
    assert float(first[heading.index("bias_a.u.")]) == pytest.approx(rows[0].volume["bias"])
    source = tmp_path / "raw.npy"
    np.save(source, np.stack([kspace.slice(index) for index in range(2)]))
    line = f"reconstruct {source} --axes scyx --mask random --method tv --iterations 2 -o {tmp_path / 'image.nii.gz'}"
    assert cli.main(line.split()) == 0
    assert "Mean bias (a.u.)" in capsys.readouterr().out


def test_headings_and_columns_of_the_tables():
    assert list(figures.headings().values()) == ["NMSE", "PSNR (dB)", "SSIM", "MAE / max", "Data residual"]
    assert list(figures.columns().values()) == ["nmse", "psnr_db", "ssim", "mae_share_of_maximum", "data_residual"]
    assert figures.directions() == "Higher is better for PSNR, SSIM; lower is better for NMSE, MAE / max."
    assert figures.FIGURES["psnr"].text(None) == "-" and figures.FIGURES["psnr"].text(25.77941) == "25.7794"
