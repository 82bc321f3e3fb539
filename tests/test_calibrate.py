"""The temperature of a model: found again where it is known by construction."""

import numpy as np
import pytest
from scipy import special

from tools import calibrate


@pytest.fixture
def overconfident():
    """Logits that are three times as large as the truth is certain."""
    chance = np.random.default_rng(0)
    honest = chance.normal(0, 2, 50_000)
    return 3 * honest[:, None], chance.random(honest.size) < special.expit(honest)


def test_the_temperature_undoes_overconfidence(overconfident):
    assert calibrate.best_temperature(*overconfident) == pytest.approx(3, abs=0.1)


def test_the_calibration_error_falls_to_that_of_chance(overconfident):
    assert calibrate.calibration_error(*overconfident, 1) > 0.1
    assert calibrate.calibration_error(*overconfident, 3) < 0.01


def test_certain_and_right_has_no_error():
    truth = np.array([True, False])
    assert calibrate.calibration_error(np.array([[40.0], [-40.0]]), truth, 1) == pytest.approx(0, abs=1e-9)


def test_classes_with_softmax_are_weighed_against_each_other():
    chance = np.random.default_rng(1)
    honest = chance.normal(0, 2, (50_000, 2))
    background = np.zeros((len(honest), 1))
    likely = special.softmax(np.concatenate([honest, background], axis=1), axis=1)
    truth = chance.random(len(honest)) < likely[:, 0]
    np.testing.assert_allclose(special.expit(calibrate.odds(2 * honest, 2)), likely[:, 0])
    assert calibrate.best_temperature(2 * honest, truth) == pytest.approx(2, abs=0.1)
    assert calibrate.calibration_error(2 * honest, truth, 2) < 0.01
