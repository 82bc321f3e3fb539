"""The routers of a network that reconstructs, as an image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg.errors import SettingsError
from napari_medseg.kspace import KSpace
from napari_medseg.models import TrainedModel, build
from napari_medseg.progress import run
from napari_medseg.recon import data_consistency, ifft2c
from napari_medseg.recon.classical import tv
from napari_medseg.recon.learned import WARM, brightness
from napari_medseg.recon.reconstruct import ReconSettings
from napari_medseg.recon.router_map import router_map_job
from napari_medseg.recon.sampling import sampling_mask


def scan(data, **more):
    mask = sampling_mask("random", data.shape[3], 3, 0.1, seed=1)
    return KSpace(data, mask=mask, mask_origin="file", **more)


def mean_gate(network, channels):
    """Of the query routers, for channels (c, y, x)."""
    maps = network.router_maps(torch.from_numpy(channels.astype(np.float32))[None])
    return np.mean([gate[0].numpy() for name, gate in maps.items() if name.endswith(".query")], 0)


@pytest.mark.parametrize("steps", [1, 3])
def test_cascade_shows_its_last_step(kspace_of, learned, steps):
    """A silent network changes nothing, so every step sees TV with data consistency."""
    kspace, model = scan(kspace_of(slices=1)), learned(silent=True)
    measured = np.where(kspace.mask, kspace.slice(0)[0], 0)
    start = data_consistency(tv(measured, kspace.mask, iterations=WARM), measured, kspace.mask)
    start = start / brightness(ifft2c(measured))
    found = run(router_map_job(kspace, ReconSettings("made-up", iterations=steps), model, 0))
    np.testing.assert_allclose(found.data, mean_gate(model.network, np.stack([start.real, start.imag])), atol=1e-3)


def test_image_to_image_shows_its_only_step(kspace_of, learned):
    kspace, model = scan(kspace_of(slices=1)), learned("image")
    image = np.abs(ifft2c(np.where(kspace.mask, kspace.slice(0)[0], 0)))
    found = run(router_map_job(kspace, ReconSettings("made-up"), model, 0))
    np.testing.assert_allclose(found.data, mean_gate(model.network, image[None] / brightness(image)), atol=1e-5)


def test_map_lies_on_the_slice_that_is_shown(kspace_of, learned):
    kspace = scan(kspace_of(slices=3, coils=2, shape=(70, 48)), crop=(60, 40), spacing=(5.0, 2.0, 1.5))
    found = run(router_map_job(kspace, ReconSettings("made-up", iterations=1), learned(), 2))
    assert found.axes == "yx" and found.data.shape == (60, 40)
    assert 0 <= found.data.min() < found.data.max() <= 1
    np.testing.assert_allclose(found.affine[:3, 3], (0, 0, 10))


def test_models_without_routers_are_refused(kspace_of, learned):
    model = learned()
    plain = build("swin-unet", in_channels=2, out_channels=2, width=64)
    for other in (
        replace(model, card=replace(model.card, design="")),
        TrainedModel(replace(model.card, architecture="swin-unet"), plain),
    ):
        with pytest.raises(SettingsError, match="no router map"):
            run(router_map_job(scan(kspace_of(slices=1)), ReconSettings("made-up"), other, 0))
