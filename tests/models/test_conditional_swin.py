"""The Swin family against the reference fixtures: numbers that the author's own code gave for made-up weights.

Whole networks get their weights through the loader; parts get them under the names that the author's parts have.
Tolerances are about ten times the distance of the stored float32 numbers from a float64 run.
"""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_medseg import models
from napari_medseg.errors import ModelError
from napari_medseg.models import conditional_swin, window_attention
from napari_medseg.models.key_maps import SWIN_UNET
from napari_medseg.models.published import _rename
from napari_medseg.models.routers import Router, Routing, exact_gates, score, select

NAMES = {"swin": "swin-unet", "iterative": "conditional-swin-iterative", "light": "conditional-swin-light"}
ROUTERS = {"swin": None, "iterative": "iterative", "light": "light"}
WHOLE = [
    f"{kind}_{rest}" for kind in NAMES for rest in ("L1_rec_64", "L1_seg_64", "L1_rec_256", "L2_rec_128", "L2_rec_256")
]
MODES = "reference", "corrected"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def draw(seed, shape):
    return torch.from_numpy(np.random.default_rng(int(seed)).random(tuple(shape)).astype(np.float32))


def close(found, wanted, tolerance):
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=0, atol=tolerance)


@pytest.fixture
def layout(reference_path):
    """Callable: kind, levels, task -> the author's keys with type and shape."""
    raw = json.loads((reference_path / "conditional_swin" / "state_dict_keys.json").read_text())

    def read(kind, levels, task="rec"):
        differs = raw[f"{kind}_L{levels}_seg_differences"] if task == "seg" else {}
        return raw[f"{kind}_L{levels}"] | differs

    return read


@pytest.fixture
def reference_path(request):
    return request.path.parents[1] / "reference"


@pytest.fixture
def state(layout, fill):
    """Callable: kind, levels, task -> the author's state dictionary without its constants."""
    return lambda *which: {k: fill(k, tuple(s)) for k, (kind, s) in layout(*which).items() if kind == "float32"}


@pytest.fixture
def part(fill):
    """Callable: module, its path in our network and in theirs -> the module, filled by the local names, for use."""

    def make(module, ours, theirs):
        keys = {k: _rename(f"{ours}.{k}", SWIN_UNET.prefixes) for k in module.state_dict()}
        local = {k: upstream.removeprefix(f"{theirs}.") for k, upstream in keys.items()}
        module.load_state_dict({k: fill(local[k], tuple(v.shape)) for k, v in module.state_dict().items()})
        return module.eval()

    return make


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WHOLE)
def test_results_are_those_of_the_author(reference, state, name, mode):
    kind, levels, task, _ = name.split("_")
    arrays = reference(f"conditional_swin/model_{name}.npz")
    network = models.from_published(NAMES[kind], state(kind, levels[1], task), mode=mode)
    image, step = draw(arrays["seed"], arrays["input_shape"]), int(arrays["y_stride"])
    with torch.inference_mode():
        result = network(image)[:, :, ::step, ::step]
    tolerance = 2e-5 if kind != "iterative" else {"reference": 3e-3, "corrected": 2e-3}[mode]
    close(result, arrays["y" if mode == "reference" else "y_corrected"], tolerance)


def test_decisions_are_those_of_the_author(reference, state):
    arrays = reference("conditional_swin/model_light_L2_seg_256.npz")
    network = models.from_published(NAMES["light"], state("light", 2, "seg"))
    with torch.inference_mode():
        logits = network(draw(arrays["seed"], arrays["input_shape"]))
    close(logits[:, :, ::8, ::8], arrays["logits"], 2e-5)
    assert (logits.argmax(1).numpy() != arrays["argmax"]).sum() <= 5  # closest margin 9e-7


@pytest.mark.parametrize("kind", NAMES)
def test_stages_are_those_of_the_author(reference, state, kind):
    arrays = reference(f"conditional_swin/model_{kind}_L2_rec_128.npz")
    network = models.from_published(NAMES[kind], state(kind, 2))
    places = {"patch_embeddings": "embed", "bottleneck": "bottleneck", "norm": "bottleneck_norm"}
    places |= {f"encoder_{i}": f"encoder.{i}" for i in range(2)} | {f"decoder_{i}": f"decoder.{i}" for i in range(3)}
    places |= {f"encoder_{i}_block{j}": f"encoder.{i}.blocks.{j}" for i in range(2) for j in range(2)}
    places["norm_up"] = "decoder_norm"
    seen = {}
    for name, place in places.items():
        network.get_submodule(place).register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
    with torch.inference_mode():
        network(draw(arrays["seed"], arrays["input_shape"]))
        seen["decoder_3"] = network.decoder[-1](seen["norm_up"])  # the network leaves this one out
    stored = [key.removeprefix("stage_") for key in arrays if key.startswith("stage_")]
    assert sorted(stored) == sorted(seen)
    for name in stored:
        found = seen[name].flatten(1, 2)[:1, :8, :16]
        close(found, arrays[f"stage_{name}"], 3e-3 if kind == "iterative" else 2e-5)


SIZES = {
    ("swin", 1): (108, 1_890_976, 1_895_328),
    ("swin", 2): (175, 6_507_984, 6_512_336),
    ("iterative", 1): (186, 3_936_944, 3_941_296),
    ("iterative", 2): (305, 16_310_008, 16_314_360),
    ("light", 1): (186, 3_936_944, 3_941_296),
    ("light", 2): (305, 16_310_008, 16_314_360),
}


@pytest.mark.parametrize(("kind", "levels"), SIZES)
def test_keys_and_sizes_are_as_published(layout, kind, levels):
    entries, *parameters = SIZES[kind, levels]
    assert len(layout(kind, levels)) == entries
    for task, channels, count in zip(("rec", "seg"), (1, 3), parameters, strict=True):
        options = {"in_channels": channels, "out_channels": channels, "levels": levels}
        network = models.build(NAMES[kind], **options)
        wanted = {k: tuple(s) for k, (dtype, s) in layout(kind, levels, task).items() if dtype == "float32"}
        assert {k: tuple(v.shape) for k, v in models.to_published(NAMES[kind], network).items()} == wanted
        assert sum(p.numel() for p in network.parameters()) == count


ROUTINGS = {
    "light": (Routing("light"), 1e-6, 1e-5),
    "iter_reference": (Routing("iterative", "reference"), 3e-6, 4e-4),
    "iter_logk": (Routing("iterative"), 1e-4, 2e-2),
    "iter_logk_eps1_50": (Routing("iterative", eps=1.0, eps_init=1.0, iters=50), 1e-5, 5e-5),
}


@pytest.mark.parametrize("name", ROUTINGS)
def test_gates_and_their_gradients(reference, name):
    arrays = reference("conditional_swin/routers.npz")
    routing, tolerance, gradient_tolerance = ROUTINGS[name]
    router = Router(128)
    router.load_state_dict({"routing_embeddings": torch.from_numpy(arrays["embedding"])})
    scores = score(torch.from_numpy(arrays["x"]), router)[0]
    places, gates = select(scores), routing.gates(scores)
    values = gates.gather(1, places)
    # the order of the routed tokens is free where gates are tied: compare place by place
    assert {*map(frozenset, places.tolist())} == {*map(frozenset, arrays[f"{name}_indices"].tolist())}
    close(gates, arrays[f"{name}_normalised"][..., 0], tolerance)
    close(values, arrays[f"{name}_values"][..., 0], tolerance)
    for what, weights, outputs in (("values", "gv", values), ("normalised", "gn", gates)):
        loss = (outputs * torch.from_numpy(arrays[weights][..., 0])).sum()
        (found,) = torch.autograd.grad(loss, router.routing_embeddings, retain_graph=True)
        close(found, arrays[f"{name}_grad_embedding_from_{what}"], gradient_tolerance)


@pytest.mark.parametrize("eps", [1.0, 0.2, 0.02])
@pytest.mark.parametrize("mode", MODES)
def test_exact_gates_are_where_the_steps_lead(eps, mode):
    scores = torch.randn(20, 64, dtype=torch.float64)
    exact = Routing("iterative", mode, eps=eps, solver="exact")
    found = exact.gates(scores)
    torch.testing.assert_close(found.sum(-1), torch.full((20,), math.exp(exact.log_total(7)), dtype=torch.float64))
    for row, gates in zip(scores, found, strict=True):  # min(1, exp((s - t) / eps)) with one t per row
        free = (gates < 1) & (gates > 1e-100)
        thresholds = row[free] - eps * gates[free].log()
        assert thresholds.max() - thresholds.min() < 1e-12 and (row[gates == 1] >= thresholds[0]).all()
    if eps > 0.1 or mode == "corrected":  # 14 gates at the smallest eps take the steps 20000
        steps = Routing("iterative", mode, eps=eps, iters=500)
        torch.testing.assert_close(found, steps.gates(scores), rtol=0, atol=1e-11)


def test_exact_gates_have_the_right_gradient():
    scores = torch.randn(2, 64, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: exact_gates(s, math.log(7), 1.0), scores)


def test_masks_are_those_of_the_author(reference):
    stored = np.unpackbits(reference("conditional_swin/window_attention.npz")["mask_16x16_shift4"], axis=-1)
    for mode in MODES:
        mask = window_attention.shift_mask(16, 16, mode, torch.device("cpu"))
        assert np.array_equal(mask.forbidden.numpy(), stored.astype(bool) ^ (mode == "reference"))


# output -> router, mode of the index and the gates, mode of the mask
ATTENTION = {
    "wmsa_y": (None, "reference", None),
    "wmsa_y_indexfixed": (None, "corrected", None),
    "swmsa_y_reference": (None, "reference", "reference"),
    "swmsa_y_maskfixed": (None, "reference", "corrected"),
    "swmsa_y_corrected": (None, "corrected", "corrected"),
}
for _router in ("light", "iterative"):
    ATTENTION |= {
        f"cond_wmsa_{_router}_y": (_router, "reference", None),
        f"cond_wmsa_{_router}_y_corrected": (_router, "corrected", None),
        f"cond_swmsa_{_router}_y_reference": (_router, "reference", "reference"),
        f"cond_swmsa_{_router}_y_corrected": (_router, "corrected", "corrected"),
    }


@pytest.mark.parametrize("name", ATTENTION)
def test_window_attention(reference, part, name):
    arrays = reference("conditional_swin/window_attention.npz")
    router, mode, masked = ATTENTION[name]
    build = window_attention.ConditionalAttention if router else window_attention.WindowAttention
    place = "encoder.0.blocks.0.attention"
    attention = part(build(128, 4, Routing(router, mode), 0.2), place, place)
    windows = torch.from_numpy(arrays["windows_x"])
    mask = masked and window_attention.shift_mask(16, 16, masked, torch.device("cpu"))
    with torch.inference_mode():
        close(
            attention(windows, mask)[:, ::2, ::2],
            arrays[name],
            {"reference": 2e-5, "corrected": 5e-5}[mode] if router == "iterative" else 2e-6,
        )
        if f"{name}".endswith(f"{router}_y"):
            query, keys, places = attention.route(windows)
            stem = name.removesuffix("_y")
            close(query, arrays[f"{stem}_q_scores"][..., 0], 2e-5)
            close(keys, arrays[f"{stem}_kv_values"][..., 0], 2e-5)
            assert np.array_equal(places.sort().values, np.sort(arrays[f"{stem}_kv_indices"]))


@pytest.mark.parametrize("router", ["light", "iterative"])
def test_feed_forward(reference, part, router):
    arrays = reference("conditional_swin/feed_forward_and_blocks.npz")
    module = conditional_swin.ConditionalFeedForward(128, Routing(router, "reference"), 0.2)
    part(module, "encoder.0.blocks.0.feed_forward", "encoder.0.blocks.0.ff")
    tokens, tolerance = torch.from_numpy(arrays["x"]), {"light": 1e-5, "iterative": 2e-5}[router]
    with torch.inference_mode():
        gates, places = module.route(tokens)
        result = module(tokens.unflatten(1, (16, 16))).flatten(1, 2)
    close(result[:, ::2, ::2], arrays[f"ff_{router}_y"], tolerance)
    close(gates, arrays[f"ff_{router}_values"][..., 0], 3e-6)
    for found, stored, rows in zip(
        result, arrays[f"ff_{router}_indices"], arrays[f"ff_{router}_routed_rows"], strict=True
    ):
        close(found[stored], rows, tolerance)
    assert np.array_equal(places.sort().values, np.sort(arrays[f"ff_{router}_indices"]))


@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize("kind", NAMES)
def test_blocks(reference, part, kind, shift):
    arrays = reference("conditional_swin/feed_forward_and_blocks.npz")
    routing = Routing(ROUTERS[kind], "reference")
    block = conditional_swin.blocks(128, routing, 0.2)[shift > 0]
    part(block, "encoder.0.blocks.0", "encoder.0.blocks.0")
    with torch.inference_mode():
        result = block(torch.from_numpy(arrays["x"]).unflatten(1, (16, 16))).flatten(1, 2)
    name = "swin_block" if kind == "swin" else f"cond_block_{kind}"
    close(result[:, ::4, ::2], arrays[f"{name}_shift{shift}_y"], 2e-5 if kind == "iterative" else 1e-5)


def test_patch_modules(reference, part):
    arrays = reference("conditional_swin/feed_forward_and_blocks.npz")
    grid = torch.from_numpy(arrays["x"]).unflatten(1, (16, 16))
    embed = part(conditional_swin.Embed(1, 128), "embed", "patch_embeddings")
    merge = part(conditional_swin.Merge(128), "encoder.0.merge", "encoder.0.patch_rearrange")
    double, last = (part(conditional_swin.Expand(128, *to), "decoder.0", "decoder.0") for to in ((2, 64), (4, 128)))
    weight = torch.randn(3, 128)
    with torch.inference_mode():
        close(embed(draw(322, (1, 1, 64, 64))).flatten(1, 2)[:, ::2, ::2], arrays["patch_embed_y"], 2e-5)
        close(merge(grid).flatten(1, 2)[:, ::2, ::2], arrays["patch_merge_y"], 2e-5)
        close(double(grid).flatten(1, 2)[:, ::4, ::2], arrays["patch_expand_y"], 2e-5)
        expanded = last(grid)
        close(expanded.flatten(1, 2)[:1, ::16, ::4], arrays["patch_expand_final_y"], 2e-5)
        wanted = F.conv2d(expanded.permute(0, 3, 1, 2), weight[..., None, None])
        torch.testing.assert_close(last.logits(grid, weight), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", NAMES)
def test_training_step(reference, state, kind, mode):
    arrays = reference("conditional_swin/training_step.npz")
    image, label, drawn = (draw(seed, (2, 1, 64, 64)) for seed in arrays["seeds"])
    mask = (drawn > 0.3).float()
    network = models.from_published(NAMES[kind], state(kind, 1), mode=mode)
    loss = F.mse_loss(network(image).clamp(0, 1) * mask, label * mask)
    loss.backward()
    close(loss, arrays[f"{kind}_{mode}_loss"], 3e-7)
    gradients = dict(
        zip(models.to_published(NAMES[kind], network), (p.grad for p in network.parameters()), strict=True)
    )
    wanted = dict(zip(arrays[f"{kind}_names"].tolist(), arrays[f"{kind}_{mode}_grad_norm"], strict=True))
    iterative = {"reference": 1e-3, "corrected": 5e-3}[mode]
    for key, norm in wanted.items():
        found = gradients[key].norm().item()
        if norm < 1e-5:
            assert abs(found - norm) < 1e-9, key
        else:
            assert found == pytest.approx(norm, rel=iterative if kind == "iterative" else 1e-4), key
    tolerance = {"reference": 2e-5, "corrected": 2e-4}[mode] if kind == "iterative" else 3e-7
    close(gradients["patch_embeddings.projection.0.weight"], arrays[f"{kind}_{mode}_grad_patch_conv"], tolerance)


def constants(layout, mode):
    """The constants that the author's file holds beside the weights."""
    index = window_attention.relative_index(mode)
    shapes = {k: s for k, (dtype, s) in layout.items() if dtype != "float32"}
    return {k: index.clone() if "index" in k else torch.zeros(s, dtype=torch.bool) for k, s in shapes.items()}


@pytest.mark.parametrize("kind", NAMES)
def test_constants_of_a_file_tell_its_mode_and_are_not_copied(state, layout, kind):
    weights, image = state(kind, 1), draw(1, (1, 1, 64, 64))

    def run(file, **options):
        with torch.inference_mode():
            return models.from_published(NAMES[kind], file, **options)(image)

    wanted = {mode: run(weights, mode=mode) for mode in MODES}
    assert not torch.allclose(*wanted.values(), atol=1e-3)
    assert torch.equal(run(weights), wanted["reference"])
    for mode in MODES:
        file = weights | constants(layout(kind, 1), mode)
        assert torch.equal(run(file), wanted[mode])
        assert torch.equal(run({"state_dict": {f"model.{k}": v for k, v in file.items()}, "epoch": 3}), wanted[mode])
        for chosen in MODES:
            assert torch.equal(run(file, mode=chosen), wanted[chosen])


def test_what_a_file_is_instead_is_said(state):
    with pytest.raises(ModelError, match="with routers"):
        models.from_published(NAMES["swin"], state("light", 1))
    for kind in ("light", "iterative"):
        with pytest.raises(ModelError, match="without routers"):
            models.from_published(NAMES[kind], state("swin", 1))
    weights = state("light", 1)
    with pytest.raises(ModelError, match=r"missing or unknown are extra\.weight, norm_up\.bias"):
        models.from_published(
            NAMES["light"], {k: v for k, v in weights.items() if k != "norm_up.bias"} | {"extra.weight": torch.ones(1)}
        )
    with pytest.raises(ModelError, match=r"authors write it: 'output\.weight'"):
        models.from_published(NAMES["light"], {"norm.weight": torch.ones(256)})


def test_own_files_go_both_ways(tmp_path):
    network = models.build(NAMES["light"], levels=2).eval()
    torch.save({"model": models.to_published(NAMES["light"], network)}, tmp_path / "a.pt")
    again = models.from_published(NAMES["light"], models.read_checkpoint(tmp_path / "a.pt"), mode="corrected")
    image = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        assert torch.equal(again(image), network(image))


@pytest.mark.parametrize(("levels", "size"), [(1, (32, 64)), (1, (64, 96)), (2, (128, 192)), (1, (0, 64))])
def test_sizes_that_do_not_fit_are_refused(levels, size):
    with pytest.raises(ModelError, match=f"multiples of {32 * 2**levels}. Pad or resize"):
        models.build(NAMES["swin"], levels=levels)(torch.zeros(1, 3, *size))


@pytest.mark.parametrize(
    "options",
    [{"levels": 0}, {"levels": 9}, {"mode": "fixed"}, {"solver": "fast"}, {"eps": 0}, {"iters": 0}, {"router": None}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ModelError, match=next(iter(options))):
        models.build(NAMES["iterative"], **options)


@pytest.mark.parametrize("kind", NAMES)
def test_sizes_batches_and_modes_do_not_mix(kind):
    network = models.build(NAMES[kind]).eval()
    images = torch.rand(3, 3, 64, 128)
    with torch.inference_mode():
        together = network(images)  # also the first use of this size's mask, see below
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-3 if kind == "iterative" else 1e-5)
    assert together.shape == (3, 2, 64, 128)
    network.train()(images).sum().backward()  # a mask made in inference mode must serve training


@pytest.mark.parametrize("solver", ["steps", "exact"])
@pytest.mark.parametrize("kind", NAMES)
def test_other_precisions(kind, solver):
    network, image = models.build(NAMES[kind], solver=solver).eval(), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        single = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(image)
        double = network.double()(image.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-3 if kind == "iterative" else 1e-5)
    assert half.isfinite().all() and (half - single).square().mean().sqrt() < 0.2 * single.std()
    network.float().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = network(image).float().square().mean()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("kind", ["light", "iterative"])
@pytest.mark.parametrize("solver", ["steps", "exact"])
def test_every_kind_of_router_learns(state, kind, solver):
    network = models.from_published(NAMES[kind], state(kind, 1), mode="corrected", solver=solver)
    network(draw(1, (1, 1, 64, 64))).square().mean().backward()
    for router in ("query_router", "key_value_router", "feed_forward.router"):
        found = [p.grad.norm() for name, p in network.named_parameters() if f"{router}." in name]
        assert len(found) == 6 and all(found), router


def test_a_row_without_allowed_keys_is_the_mean_of_the_values():
    attention = window_attention.ConditionalAttention(128, 4, Routing("light"), 0.0).eval()
    windows = torch.randn(64, 64, 128)  # 16 images
    mask = window_attention.shift_mask(16, 16, "corrected", torch.device("cpu"))
    query, keys, places = attention.route(windows)
    dead = mask.forbidden.repeat(16, 1, 1).gather(1, places[..., None].expand(-1, -1, 64)).all(1)
    assert dead.any()
    chosen = windows.gather(1, places[..., None].expand(-1, -1, 128)) * keys[..., None]
    mean = attention.heavy_key_value(chosen)[..., 128:].mean(1, keepdim=True)
    heavy = attention(windows, mask) - attention.light(windows, mask)
    torch.testing.assert_close(heavy[dead], (query[..., None] * mean)[dead], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", NAMES)
def test_router_maps_show_the_gates(kind):
    network, images = models.build(NAMES[kind]).eval(), torch.rand(2, 3, 64, 128)
    maps = network.router_maps(images)
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert len(maps) == (0 if kind == "swin" else 18)
    for name, gates in maps.items():
        assert gates.shape == (2, 64, 128) and gates.min() >= 0 and gates.max() <= 1 + 1e-6
        tokens = gates[:, ::4, ::4] if "bottleneck" not in name else gates[:, ::8, ::8]
        routed = (tokens > 0).flatten(1).sum(1)
        if "key_value" in name:
            assert (routed <= 7 * tokens[0].numel() // 64).all() and routed.all()
        elif "feed_forward" in name:
            assert (routed <= 7).all() and routed.all()
    if kind == "light":  # a shifted block: sums of 1 in each window of the rolled grid
        rolled = maps["encoder.0.blocks.1.query"][:, ::4, ::4].roll((-4, -4), (1, 2))
        sums = rolled.unflatten(1, (-1, 8)).unflatten(3, (-1, 8)).sum((2, 4))
        torch.testing.assert_close(sums, torch.ones_like(sums))
