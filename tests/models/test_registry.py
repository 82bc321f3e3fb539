"""What every architecture must hold, over the whole registry."""

import sys

import numpy as np
import pytest
import torch

from napari_medseg import models
from napari_medseg.errors import ModelError
from napari_medseg.preprocess import Preprocess

MULTIPLES = {
    "litenext": 16,
    "unet": 32,
}  # of the input size; MONAI's instance norm wants two pixels at the coarsest level


def build(name, **options):
    if name == "unet":
        pytest.importorskip("monai", reason="the U-Net needs the extra 'baseline'")
    torch.manual_seed(0)
    return models.build(name, **options)


@pytest.mark.parametrize("name", models.ARCHITECTURES)
@pytest.mark.parametrize("size", [(1, 1), (37, 53), (16, 100)])
def test_slices_of_any_size_come_back_on_their_grid(name, size):
    network = build(name, num_classes=3).eval()
    preprocess = Preprocess(spacing=0.8, multiple=MULTIPLES[name])
    slices = np.random.default_rng(0).random((2, *size))
    for spacing in (None, (1.0, 0.5)):
        tensor, undo = preprocess.apply(slices, spacing)
        with torch.inference_mode():
            logits = undo(network(tensor))
        assert logits.shape == (2, 2, *size)
        assert logits.isfinite().all()


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_every_trainable_parameter_gets_a_gradient(name):
    network = build(name).train()
    network(torch.rand(2, 3, 32, 48)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, key
        # biases before an instance norm have none, in theory
        if parameter.requires_grad and parameter.ndim > 1:
            assert parameter.grad.isfinite().all() and parameter.grad.any(), key


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_evaluation_is_repeatable_and_leaves_the_weights_alone(name):
    network = build(name).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    image = torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        first, second = network(image), network(image)
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_batch_entries_do_not_interact(name):
    network = build(name).eval()
    images = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ModelError, match="choose one of litenext"):
        models.build("alexnet")
    with pytest.raises(ModelError, match="depth"):
        models.build("litenext", depth=3)
    with pytest.raises(ModelError, match="at least 2"):
        models.build("litenext", num_classes=1)
    with pytest.raises(ModelError, match="cannot be built"):
        models.build("litenext", channels=-1)


def test_without_monai_the_unet_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(ModelError, match=r"napari-medseg\[baseline\]"):
        models.build("unet")
