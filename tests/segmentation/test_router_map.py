import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.errors import VolumeError
from napari_medseg.models import ARCHITECTURES
from napari_medseg.preprocess import Preprocess
from napari_medseg.segmentation import engine
from napari_medseg.segmentation.router_map import router_map
from napari_medseg.volume import LabelClass, Volume

AFFINE = np.diag([1.5, 1.5, 8, 1.0])


@pytest.fixture(params=sorted(name for name, row in ARCHITECTURES.items() if row.routed))
def model(request):
    torch.manual_seed(0)
    card = models.ModelCard(
        "routed", request.param, Preprocess(spacing=2.0, multiple=64), (LabelClass(1, "a", "#ff0000"),)
    )
    return models.TrainedModel(card, models.build(request.param, levels=1).eval())


def scan(*shape):
    return Volume(np.random.default_rng(0).integers(0, 200, shape, np.uint8), "tzyx"[-len(shape) :], AFFINE)


def test_overlay_lies_on_the_slice(model):
    volume = scan(2, 3, 80, 70)
    overlay = router_map(volume, model, {"t": 1, "z": 2})
    assert overlay.axes == "yx" and overlay.data.shape == (80, 70) and np.ptp(overlay.data) > 0
    assert overlay.data.min() >= 0 and overlay.data.max() <= 1
    alone = volume.select("t", 1).select("z", 2)
    np.testing.assert_array_equal(overlay.affine, alone.affine)
    np.testing.assert_array_equal(overlay.data, router_map(alone, model, {}).data)


def test_overlay_is_the_mean_gate_where_nothing_is_resampled(model):
    volume = Volume(scan(64, 128).data, "yx", np.diag([2, 2, 1, 1.0]))
    tensor, _ = model.card.preprocess.apply(volume.data[None], (2.0, 2.0))
    maps = model.network.router_maps(tensor)
    mean = torch.stack([maps[name] for name in maps if name.endswith(".query")]).mean(0)[0]
    np.testing.assert_allclose(router_map(volume, model, {}).data, mean.numpy(), atol=1e-6)


def test_slice_that_would_be_cut_is_refused(model, monkeypatch):
    monkeypatch.setattr(engine, "_WHOLE_PIXELS", 64 * 64)
    with pytest.raises(VolumeError, match="128 x 64 pixels"):
        router_map(scan(100, 80), model, {})
