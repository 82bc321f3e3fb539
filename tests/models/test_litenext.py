"""LiteNeXt against the reference fixtures: numbers that the authors' own code gave for made-up weights.

Weights go through the loader, so key map, loader and network are checked at once. Tolerances are about ten times the
distance of the authors' float32 results from their float64 results.
"""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_medseg import models
from napari_medseg.errors import ModelError
from napari_medseg.models.litenext import LiteNeXt
from napari_medseg.training.losses import soft_dice_loss
from napari_medseg.training.serp import SelfEmbedding, pool

FORWARD = ("forward_k7_64", "forward_k3_64", "forward_k7_256", "forward_k3_256", "forward_k7_batch3_48x80")
FORMS = ("forward", "forward_as_published")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(seed, shape):
    return torch.from_numpy(np.random.default_rng(int(seed)).random(tuple(shape)).astype(np.float32))


@pytest.fixture
def loaded(litenext_state):
    return lambda kernel=7, prefix="": models.from_published("litenext", litenext_state(int(kernel), prefix))


@pytest.fixture
def case(reference, loaded):
    """Callable: fixture file -> its arrays, the network filled for it, its input."""

    def make(name):
        arrays = reference(f"litenext/{name}.npz")
        return arrays, loaded(arrays["kernel_size"]), draw(arrays["seed"], arrays["input_shape"])

    return make


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FORWARD)
def test_logits_are_those_of_the_authors(case, name, form):
    arrays, network, image = case(name)
    with torch.inference_mode():
        logits = getattr(network, form)(image)
    np.testing.assert_allclose(logits.numpy(), arrays["logits"], rtol=0, atol=5e-6)


def record(network, image):
    """Intermediate tensors of the published order of operations, under the names of the fixtures."""
    mixer, outputs, gates = network.mixers[0], {}, []
    places = {
        "stem": network.stem,
        "e1_conv_local": mixer.local.conv,
        "e1_ln1": mixer.local.norm,
        "e1_conv": mixer.far.conv,
        "stage2_down": network.downs[0],
        "d4": network.bottleneck,
        "v1": network.nodes[0].value,
        "key1": network.nodes[0].key,
        "query": network.query.key,
        **{f"e{stage + 1}": network.mixers[stage] for stage in range(4)},
    }
    for name, module in places.items():
        module.register_forward_hook(lambda _module, _inputs, output, name=name: outputs.update({name: output}))
    for name, module in (("fused", network.reduce), ("up", network.head)):
        module.register_forward_pre_hook(lambda _module, inputs, name=name: outputs.update({name: inputs[0]}))
    network.gate.register_forward_hook(lambda _module, _inputs, output: gates.append(output))
    with torch.inference_mode():
        network.forward_as_published(image)
    scores = torch.stack(gates, 1)
    return {
        name: value.numpy() for name, value in (outputs | {"attn_logits": scores, "attn": scores.softmax(1)}).items()
    }


@pytest.mark.parametrize("name", FORWARD)
def test_intermediates_are_those_of_the_authors(case, name):
    arrays, network, image = case(name)
    seen = record(network, image)
    for key, (shape, mean, deviation, largest) in json.loads(str(arrays["stats_json"])).items():
        assert list(seen[key].shape) == shape, key
        found = seen[key].mean(), seen[key].std(), abs(seen[key]).max()
        np.testing.assert_allclose(found, (mean, deviation, largest), rtol=0, atol=3e-5, err_msg=key)
    stored = set(arrays) - {"kernel_size", "seed", "input_shape", "logits", "fp32_error", "stats_json"}
    assert len(stored) == (16 if name.endswith("_64") else 0)
    for key in stored:
        tensor, _, step = key.rpartition("_c") if key[-1].isdigit() and "_c" in key else (key, "", "1")
        found = seen[tensor][:, :: int(step)].reshape(arrays[key].shape)
        np.testing.assert_allclose(found, arrays[key], rtol=0, atol=3e-5, err_msg=key)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_the_authors(case, form):
    arrays, network, image = case("grad_k7_64")
    network.requires_grad_(True)  # the published network trains the parameters without effect too
    shape = (len(image), 1, *image.shape[2:])
    drawn = np.random.default_rng(int(arrays["target_seed"])).random(shape).astype(np.float32)
    target = torch.from_numpy((drawn > 0.6).astype(np.float32))
    logits = getattr(network, form)(image)
    dice, bce = soft_dice_loss(logits, target), F.binary_cross_entropy_with_logits(logits, target)
    np.testing.assert_allclose([dice.item(), bce.item()], [arrays["soft_dice_loss"], arrays["bce_loss"]], rtol=1e-6)
    (dice + bce).backward()
    # the fast form never touches the query path: its true gradient is zero
    gradients = {k: torch.zeros_like(p) if p.grad is None else p.grad for k, p in network.named_parameters()}
    total = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
    np.testing.assert_allclose(total.item(), arrays["grad_l2_total"], rtol=1e-5)
    theirs = dict(zip(models.to_published("litenext", network), gradients.values(), strict=True))
    for key in (key for key in arrays if key.startswith("grad::")):
        found = theirs[key.removeprefix("grad::")].numpy()
        if key == "grad::attention.mlp.bias":
            assert abs(found).max() < 1e-7  # true value 0, the rest is rounding
        else:
            np.testing.assert_allclose(found, arrays[key], rtol=1e-4, atol=1e-7, err_msg=key)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 3, 48, 80)),
        ({"kernels": 3, "channels": 8, "width": 24, "out_channels": 3, "in_channels": 1}, (2, 1, 32, 16)),
        ({"kernels": (3, 5, 7, 1), "dilation": 2, "channels": 4}, (1, 3, 64, 32)),
    ],
)
def test_fast_form_equals_published_form_in_value_and_gradient(options, shape):
    torch.manual_seed(3)
    network = LiteNeXt(**options).double()
    image = torch.rand(shape, dtype=torch.float64)
    weight = torch.randn(shape[0], network.head.out_channels, *shape[2:], dtype=torch.float64)
    logits, gradients = [], []
    for form in FORMS:
        network.zero_grad()
        logits.append(getattr(network, form)(image))
        (logits[-1] * weight).sum().backward()
        gradients.append([p.grad for p in network.parameters() if p.requires_grad])
    torch.testing.assert_close(*logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_query_has_no_influence(case):
    arrays, network, image = case("forward_k7_64")
    idle = [*network.query.key.parameters(), network.gate.bias]
    assert sum(p.numel() for p in idle) + network.gate.weight.numel() // 2 == 49_536
    assert not any(p.requires_grad for p in idle)
    with torch.no_grad():
        for parameter in idle:
            parameter.zero_()
        network.gate.weight[:, network.gate.out_features :] = 0
    with torch.inference_mode():
        np.testing.assert_allclose(network.forward_as_published(image), arrays["logits"], rtol=0, atol=5e-6)


@pytest.mark.parametrize(("kernel", "parameters", "macs"), [(7, 711_201, 412_273_920), (3, 701_601, 392_613_120)])
def test_size_and_cost_are_as_published(litenext_layout, kernel, parameters, macs):
    network = models.build("litenext", kernels=kernel).eval()
    keys = {key: tuple(value.shape) for key, value in models.to_published("litenext", network).items()}
    assert keys == litenext_layout(kernel)
    assert len(keys) == 120
    assert sum(p.numel() for p in network.parameters()) == parameters
    counted = []

    def count(module, _inputs, output):
        positions = output.numel() // module.weight.shape[0]
        counted.append(positions * module.weight.numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network.forward_as_published(torch.zeros(1, 3, 256, 256))
    assert sum(counted) == macs


def test_training_mode_and_neighbours_in_the_batch_change_nothing(case):
    _, network, images = case("forward_k7_batch3_48x80")
    with torch.inference_mode():
        together, training = network(images), network.train()(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert torch.equal(together, training)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernels", [4, (7, 7, 7), (7, 7, 7, 0)])
def test_impossible_kernels_are_refused(kernels):
    with pytest.raises(ModelError, match="odd sizes"):
        models.build("litenext", kernels=kernels)


def test_self_embedding_branch_is_as_derived(reference, loaded, fill):
    arrays = reference("litenext/serp_derived.npz")
    strong, weak = (draw(arrays[f"{view}_seed"], arrays["input_shape"]) for view in ("strong", "weak"))
    student, teacher = loaded(7), loaded(7, "teacher.")
    branch = SelfEmbedding(student, decay=float(arrays["ema_decay"]))
    branch.teacher.load_state_dict(teacher.state_dict())
    branch.projector.load_state_dict(
        {key: fill(f"projector_s.{key}", tuple(value.shape)) for key, value in branch.projector.state_dict().items()}
    )
    deepest = student.encode(strong)[-1]
    with torch.inference_mode():
        pooled, target = pool(deepest), pool(branch.teacher.encode(weak)[-1])
        projected = branch.projector(pooled)
        cosine = F.cosine_similarity(projected, target)
    for name, found in (("student_pooled", pooled), ("student_projected", projected), ("teacher_pooled", target)):
        np.testing.assert_allclose(found, arrays[name], rtol=0, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(cosine, arrays["cosine"], rtol=0, atol=1e-6)
    loss = branch(deepest, weak)
    np.testing.assert_allclose(loss.item(), arrays["loss"], rtol=0, atol=1e-6)
    loss.backward()
    assert all(p.grad is None for p in branch.teacher.parameters())
    branch.follow(student)
    moved = models.to_published("litenext", branch.teacher)[str(arrays["ema_key"])]
    np.testing.assert_allclose(moved, arrays["ema_value"], rtol=0, atol=1e-7)
