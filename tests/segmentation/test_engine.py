"""Slices through real networks with context: encoded once, the same as three slices at a time."""

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.labels import leading
from napari_medseg.models import ModelCard, TrainedModel
from napari_medseg.preprocess import Preprocess, neighbours
from napari_medseg.progress import Progress, run
from napari_medseg.segmentation.engine import ContextEngine
from napari_medseg.segmentation.slices import Slices
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(1, "anterior", "#ff0000"), LabelClass(2, "posterior", "#00ff00"))


@pytest.mark.parametrize("preprocess", [Preprocess(multiple=32), Preprocess(multiple=32, size=(64, 32))])
def test_lstm_sa_with_cached_encodings_equals_triples(preprocess):
    torch.manual_seed(0)
    network = models.build("lstm-sa", num_classes=3, width=8, levels=2).eval()
    model = TrainedModel(ModelCard("small", "lstm-sa", preprocess, CLASSES), network)
    volume = Volume(np.random.default_rng(0).random((5, 40, 50), np.float32), "zyx")
    tensor, undo = preprocess.apply(volume.data, None)
    engine = ContextEngine(model, Slices(volume, None, "z"), "cpu")
    for k in range(5):
        before, after = neighbours(k, 5)
        with torch.inference_mode():
            expected = undo(model.logits(torch.cat([tensor[before], tensor[k], tensor[after]])[None]))
        assert expected.shape == (1, 2, 40, 50) and expected.std() > 0
        found, best = run(engine.answers([k], Progress(k, 5))).leading(), leading([expected])
        torch.testing.assert_close(found.logit, best.logit, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.number, best.number)
