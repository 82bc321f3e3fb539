"""What training images look like: measures of a slice, distances, likelihoods."""

from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.errors import SettingsError
from napari_medseg.models.appearance import MEASURES, Appearance, fit, measure

COUNT = len(MEASURES)


def picture(height=96, width=80, seed=0):
    """Smooth blobs with some noise."""
    chance = np.random.default_rng(seed)
    coarse = chance.random((12, 10))
    blobs = np.kron(coarse, np.ones((height // 12, width // 10)))
    return 900 * blobs + 20 * chance.random((height, width))


@pytest.mark.parametrize(
    "change",
    [np.rot90, np.fliplr, np.flipud, np.transpose, lambda image: 3 * image - 700, lambda image: image.astype(np.int16)],
)
def test_turns_mirroring_and_units_do_not_matter(change):
    image = picture()
    np.testing.assert_allclose(measure(change(image)), measure(image), rtol=5e-3, atol=5e-3)


def test_colours_count_by_their_mean():
    grey = picture()
    colours = np.stack([grey, 0.5 * grey, 1.5 * grey], -1)
    np.testing.assert_allclose(measure(colours), measure(grey), rtol=1e-4, atol=1e-6)


def test_voxels_without_a_value_are_taken_for_dark_ones():
    image = picture()
    image[3, 4] = np.nan
    image[5, 6] = np.inf
    assert np.isfinite(measure(image)).all()


def test_measures_are_what_their_names_say():
    image = np.zeros((64, 64))
    image[:, 32:] = 1.0
    found = dict(zip(MEASURES, measure(image), strict=True))
    assert found["mean"] == found["deviation"] == found["dark"] == found["bright"] == 0.5
    assert found["percentile_10"] == 0 and found["percentile_90"] == 1
    assert found["border"] == 0 and found["symmetry"] == pytest.approx(1)
    # the edge takes two columns of 64, half a step each
    assert found["fine_edges"] == pytest.approx(np.log(np.sqrt(2 / 64 * 0.25) / 0.5))
    assert found["coarse_edges"] < found["fine_edges"] < 0


@pytest.mark.parametrize(
    "image", [np.ones((32, 32)), np.full((32, 32), np.nan), np.arange(40.0).reshape(4, 10), np.zeros((1, 1))]
)
def test_nothing_to_see_is_not_measured(image):
    assert measure(image) is None


def test_large_slices_are_looked_at_in_the_middle():
    image = np.random.default_rng(0).random((1500, 900), np.float32)
    whole = measure(image)
    np.testing.assert_allclose(measure(image[494:1006, 194:706]), whole)


def test_distance_and_likelihood_are_those_of_a_normal_distribution():
    chance = np.random.default_rng(1)
    mixed = chance.normal(size=(COUNT, COUNT))
    rows = chance.normal(size=(400, COUNT)) @ mixed + 3
    kind = fit(rows)
    # a normal distribution is the image of independent ones, which stretches its volume
    lower = np.linalg.cholesky(kind.covariance)
    standard = chance.normal(size=(5, COUNT))
    for point, drawn in zip(standard @ lower.T + np.array(kind.mean), standard, strict=True):
        assert kind.distance(point) == pytest.approx(np.linalg.norm(drawn))
        density = -0.5 * (drawn @ drawn) - np.log(np.diag(lower)).sum()
        assert kind.likelihood(point) == pytest.approx(density)
    assert kind.distance(np.array(kind.mean)) == 0
    spread = np.sqrt(np.diag(kind.covariance))
    alone = replace(kind, covariance=tuple(map(tuple, np.diag(spread**2))))
    assert alone.distance(np.array(kind.mean) + 2 * spread) == pytest.approx(2 * np.sqrt(COUNT))


@pytest.mark.parametrize(
    ("mean", "covariance"),
    [
        ((0.0,) * 3, np.eye(COUNT)),
        ((0.0,) * COUNT, np.eye(COUNT)[:, :4]),
        ((0.0,) * COUNT, np.zeros((COUNT, COUNT))),
        ((0.0,) * COUNT, -np.eye(COUNT)),
    ],
)
def test_appearance_that_is_none_is_refused(mean, covariance):
    with pytest.raises(SettingsError, match="appearance"):
        Appearance(mean, tuple(map(tuple, covariance)), 1.0)
