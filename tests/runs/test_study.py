"""Acceleration against segmentation: what holds whatever the model finds."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from napari_medseg import Volume, models, read
from napari_medseg.errors import MedsegError
from napari_medseg.progress import run
from napari_medseg.recon.reconstruct import ReconSettings
from napari_medseg.runs.study import StudySettings, acceleration_job, plot
from napari_medseg.samples import path


@pytest.fixture(scope="module")
def model():
    return models.load(models.find("litenext-heart"))


@pytest.fixture(scope="module")
def study(model):
    volume = read(path("sunnybrook_SC-HF-I-01_ED.nii.gz")).select("z", 5)
    settings = StudySettings(accelerations=(1, 4, 8))
    steps = []
    result = run(acceleration_job(volume, model, settings, ReconSettings("tv", iterations=5)), steps.append)
    return result, steps


def test_without_undersampling_nothing_changes(study):
    first = study[0].rows[0]
    assert (first.acceleration, first.effective, first.psnr) == (1, 1, math.inf)
    assert "left-ventricular cavity" in first.dice
    assert set(first.dice.values()) == {1} and set(first.drift_percent.values()) == {0}


def test_image_and_segmentation_get_worse_with_acceleration(study):
    _, some, many = study[0].rows
    assert some.effective == pytest.approx(4, rel=0.1) and many.effective == pytest.approx(8, rel=0.1)
    assert some.psnr > many.psnr and some.ssim > many.ssim
    assert 0 < some.dice["left-ventricular cavity"] < 1


def test_rows_come_one_by_one_and_the_table_has_their_units(study):
    result, steps = study
    assert [step.partial for step in steps if step.partial] == list(result.rows)
    head, *rows = result.table()
    assert len(rows) == 3 and all(len(row) == len(head) for row in rows)
    assert "left-ventricular cavity: drift (%)" in head and result.report["simulated"]
    assert "left-ventricular cavity: volume (mm2)" in head, "a single image has areas"


def test_plot_shows_both_curves_of_every_class(study):
    figure = Figure()
    for _ in range(2):  # drawn anew after every row
        plot(study[0].rows, figure, title="heart")
    assert len(figure.axes) == 2
    dice, drift = (each.get_lines()[0].get_ydata() for each in figure.axes)
    assert list(dice) == [row.dice["left-ventricular cavity"] for row in study[0].rows] and drift[0] == 0


@pytest.mark.parametrize("accelerations", [(), (0.5,)])
def test_impossible_accelerations_are_refused(accelerations):
    with pytest.raises(MedsegError, match="accelerations"):
        StudySettings(accelerations)
    with pytest.raises(MedsegError, match="seed is -1"):
        StudySettings(seed=-1)


def test_colour_images_are_refused(model):
    with pytest.raises(MedsegError, match="yx or zyx"):
        run(acceleration_job(Volume(np.ones((8, 8, 3)), "yxc"), model, StudySettings(), ReconSettings("tv")))
