"""Scores of images against those of fastMRI's evaluation."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_medseg import metrics
from napari_medseg.errors import VolumeError

REFERENCE = Path(__file__).parent / "reference" / "mri"
CASES = json.loads((REFERENCE / "metrics.json").read_text())["cases"]


@pytest.fixture(scope="module")
def images():
    with np.load(REFERENCE / "metrics.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"case {case['case']}")
def test_figures_of_fastmri(images, case):
    pair = images[f"gt_{case['case']}"], images[f"pred_{case['case']}"]
    other = case["other_max"]
    results = {
        "mae": metrics.mae(*pair),
        "nmse": metrics.nmse(*pair),
        "psnr": metrics.psnr(*pair),
        "ssim": metrics.ssim(*pair),
        "psnr_other_max": metrics.psnr(*pair, maximum=other),
        "ssim_other_max": metrics.ssim(*pair, maximum=other),
    }
    assert results == pytest.approx({key: float(case[key]) for key in results}, rel=1e-5)


def test_scale_does_not_matter():
    rng = np.random.default_rng(0)
    reference, prediction = rng.random((2, 2, 9, 11))
    for score in (metrics.nmse, metrics.psnr, metrics.ssim):
        assert score(reference * 1e-9, prediction * 1e-9) == pytest.approx(score(reference, prediction), rel=1e-9)
    assert metrics.mae(reference * 8, prediction * 8) == 8 * metrics.mae(reference, prediction)


def test_whole_numbers_do_not_wrap():
    reference, prediction = np.full((1, 8, 8), 10, np.uint8), np.full((1, 8, 8), 200, np.uint8)
    assert metrics.mae(reference, prediction) == 190
    assert metrics.nmse(reference, prediction) == pytest.approx(19**2)
    assert metrics.psnr(reference, prediction) == pytest.approx(-20 * np.log10(19))


@pytest.mark.parametrize("score", [metrics.mae, metrics.nmse, metrics.psnr, metrics.ssim])
def test_images_that_do_not_fit_are_refused(score):
    image = np.ones((2, 8, 8))
    for other in (np.ones((2, 8, 9)), np.ones((1, 8, 8)), np.ones((8, 8))):
        with pytest.raises(VolumeError, match="equal shapes"):
            score(image, other)
    with pytest.raises(VolumeError, match="equal shapes"):
        score(image[0], image[0])
    for pair in ((image, image + 0j), (image + 0j, image)):
        with pytest.raises(VolumeError, match="absolute value"):
            score(*pair)


def test_empty_and_tiny_references_are_refused():
    image = np.ones((2, 8, 8))
    with pytest.raises(VolumeError, match="only zeros"):
        metrics.nmse(image * 0, image)
    for score in (metrics.psnr, metrics.ssim):
        with pytest.raises(VolumeError, match="maximum of the reference is 0"):
            score(image * 0, image)
        with pytest.raises(VolumeError, match="maximum of the reference is -1"):
            score(image, image, maximum=-1)
    with pytest.raises(VolumeError, match="8 x 6 pixels; structural similarity needs at least 7 x 7"):
        metrics.ssim(image[..., :6], image[..., :6])


def test_scikit_image_is_loaded_on_demand():
    program = "import sys, napari_medseg.metrics; sys.exit('skimage' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_ssim_map_shows_where_and_its_inner_mean_is_the_score(images):
    pair = images["gt_0"], images["pred_0"]
    found = metrics.ssim_map(*pair)
    assert found.shape == pair[0].shape and found.dtype == np.float32
    assert found[:, 3:-3, 3:-3].mean() == pytest.approx(metrics.ssim(*pair), abs=1e-6)
    changed = pair[0].copy()
    changed[0, 10, 12] += changed.max()
    found = metrics.ssim_map(pair[0], changed)
    elsewhere = np.ones(found.shape, bool)
    elsewhere[0, 7:14, 9:16] = False
    assert found[0, 10, 12] < 0.9 and (found[elsewhere] > 1 - 1e-6).all()
