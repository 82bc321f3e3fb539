"""The models of the package answer today what they answered when they entered (`tools/store_answers.py`)."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from napari_medseg import models

NAMES = sorted(
    entry.name.removesuffix(".safetensors")
    for entry in resources.files("napari_medseg.weights").iterdir()
    if entry.name.endswith(".safetensors")
)
ANSWERS = Path(__file__).parents[1] / "reference" / "bundled"


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_the_stored_ones(name):
    model = models.load(models.find(name))
    with np.load(ANSWERS / f"{name}.npz") as stored:
        assert str(stored["sha256"]) == model.card.sha256
        np.testing.assert_allclose(models.check(model).numpy(), stored["logits"], atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_cards_say_what_a_person_must_know(name):
    card = models.load_card(models.find(name))
    assert card.task and card.modality and card.data and card.licence and card.split and card.limits
    assert card.recipe == f"{name}.json" and ("test" in card.metrics or "val" in card.metrics)
