"""The authors' key names of each architecture, and what their tensors say about a network."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from ..errors import ModelError
from ..preprocess import Preprocess
from .conditional_swin import MOST_LEVELS
from .mt_unet import LEVELS

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Published:
    """How one architecture is written in its authors' files.

    Parameters
    ----------
    prefixes : mapping of str to str
        Our module path -> their module path; the longest matching path wins.
    classes : str
        Their key of a tensor of the last layer; its length is the number of logit maps.
    options : callable
        State dictionary in their names -> the network's own options, as far as tensors determine them.
    dropped : str
        Regular expression of their keys that belong to training only.
    others : mapping of str to str
        Regular expression of a key that only a different network has -> what that network is.
    derived : str
        Regular expression of their keys that hold constants, which our network computes; they may be absent.
    preprocess : Preprocess
        How images are prepared for the authors' weights.
    caution : str
        How far that can be trusted.
    asked : tuple of str
        Options of the network that a person may name, because tensors do not determine them: fields of
        `ImportSettings`.
    note : str
        What to check after an import.
    restores : bool
        Whether there are weights that reconstruct.
    """

    prefixes: Mapping[str, str]
    classes: str
    options: Callable[[State], dict[str, Any]]
    dropped: str = r"(?!)"
    others: Mapping[str, str] = field(default_factory=dict)
    derived: str = r"(?!)"
    preprocess: Preprocess = field(default_factory=Preprocess)
    caution: str = "which may differ from its training"
    asked: tuple[str, ...] = ()
    note: str = ""
    restores: bool = False


def _litenext_prefixes() -> dict[str, str]:
    names = {"stem.conv": "patches_parition.0", "stem.norm": "patches_parition.1.layernorm"}
    for stage in range(4):
        upstream = f"stage{stage + 1}.{min(stage, 1)}"
        for ours, conv, norm in (("local", "conv_local", "ln1"), ("far", "conv", "ln3"), ("mix", "conv1x1", "ln2")):
            names[f"mixers.{stage}.{ours}.conv"] = f"{upstream}.{conv}"
            names[f"mixers.{stage}.{ours}.norm"] = f"{upstream}.{norm}.layernorm"
    for index in range(3):
        names[f"downs.{index}.conv"] = f"stage{index + 2}.0.patches_merge.1"
        names[f"downs.{index}.norm"] = f"stage{index + 2}.0.patches_merge.2.layernorm"
    for ours, upstream in (("first", "in_layers"), ("second", "out_layers")):
        names[f"bottleneck.{ours}.conv"] = f"bottle_neck.0.{upstream}.0"
        names[f"bottleneck.{ours}.norm"] = f"bottle_neck.0.{upstream}.1.layernorm"
    for ours, upstream in [(f"nodes.{i}", f"normfm{i + 1}") for i in range(4)] + [("query", "normfmDecode")]:
        names[f"{ours}.value.conv"] = f"attention.{upstream}.norm.conv1x1"
        names[f"{ours}.value.norm"] = f"attention.{upstream}.norm.bn.layernorm"
        names[f"{ours}.key"] = f"attention.{upstream}.mlp"
    names |= {"gate": "attention.mlp", "reduce.conv": "rb4.conv1x1", "reduce.norm": "rb4.bn.layernorm", "head": "head"}
    return names


def _litenext_options(state: State) -> dict[str, Any]:
    return {
        "in_channels": state["patches_parition.0.weight"].shape[1],
        "channels": state["head.weight"].shape[1],
        "width": state["attention.mlp.weight"].shape[0],
        "kernels": tuple(state[f"stage{s}.{min(s - 1, 1)}.conv.weight"].shape[-1] for s in (1, 2, 3, 4)),
    }


def _swin_prefixes() -> dict[str, str]:
    names = {
        "embed.conv": "patch_embeddings.projection.0",
        "embed.norm": "patch_embeddings.projection.2",
        "bottleneck_norm": "norm",
        "decoder_norm": "norm_up",
        "head": "output",
    }
    places = {"bottleneck": "bottleneck.blocks"}
    for level in range(MOST_LEVELS):
        places[f"encoder.{level}.blocks"] = f"encoder.{level}.blocks"
        places[f"decoder.{level + 1}.blocks"] = f"decoder.{level + 1}.blocks"
        names[f"encoder.{level}.merge.norm"] = f"encoder.{level}.patch_rearrange.projection.0"
        names[f"encoder.{level}.merge.reduce"] = f"encoder.{level}.patch_rearrange.projection.1"
        names[f"decoder.{level + 1}.join"] = f"concat_linear.{level}"
    for index in range(MOST_LEVELS + 2):
        for ours, upstream in (("", ""), (".expand", ".patch_rearrange")):
            names[f"decoder.{index}{ours}.linear"] = f"decoder.{index}{upstream}.expand_and_rearrange.0"
            names[f"decoder.{index}{ours}.norm"] = f"decoder.{index}{upstream}.expand_and_rearrange.4"
    block = {
        "attention_norm": "norm_layer1",
        "attention": "attention",
        "attention.qkv": "attention.W_qkv",
        "attention.out": "attention.W_o",
        "attention.light": "attention.light_attention",
        "attention.light.qkv": "attention.light_attention.W_qkv",
        "attention.light.out": "attention.light_attention.W_o",
        "attention.query_router": "attention.router_q",
        "attention.key_value_router": "attention.router_kv",
        "attention.heavy_query": "attention.heavy_W_q",
        "attention.heavy_key_value": "attention.heavy_W_kv",
        "feed_forward_norm": "norm_layer2",
        "feed_forward": "ff",
        "feed_forward.light": "ff.light_ff",
        "feed_forward.heavy": "ff.heavy_ff",
    }
    for ours, upstream in places.items():
        names |= {f"{ours}.{i}.{key}": f"{upstream}.{i}.{value}" for i in range(2) for key, value in block.items()}
    return names


def _swin_options(state: State) -> dict[str, Any]:
    # the index of the repaired bias table reaches 224, that of the published code 112; a file without one is theirs
    repaired = any(key.endswith("relative_position_index") and (value == 224).any() for key, value in state.items())
    return {
        "width": state["patch_embeddings.projection.0.weight"].shape[0],
        "in_channels": state["patch_embeddings.projection.0.weight"].shape[1],
        "levels": sum(re.fullmatch(r"concat_linear\.\d+\.weight", key) is not None for key in state),
        "mode": "corrected" if repaired else "reference",
    }


def _mt_unet_prefixes(ours: str = "", theirs: str = "") -> dict[str, str]:
    """Of MT-UNet, which is a part of others under the path `ours` (in their files `theirs`)."""
    names = {"head": "SegmentationHead", "stem": "stem"}
    places = {f"bottleneck.{i}": f"bottleneck.{i}" for i in range(2)}
    for level in range(LEVELS[-1]):
        names[f"downs.{level}.2.conv"] = f"encoder.{level}.block.2.conv"
        names[f"downs.{level}.2.norm"] = f"encoder.{level}.block.2.bn"
        names[f"ups.{level}"] = f"decoder.{level}.block"
        places |= {f"downs.{level}.{i}": f"encoder.{level}.block.{i}" for i in range(2)}
        places |= {f"ups.{level}.{i}": f"decoder.{level}.block.{i}" for i in (1, 2, 3)}
    block = {
        "local_norm": "SlayerNorm",
        "external_norm": "ElayerNorm",
        "local.pool": "CSAttention.dlightconv",
        "local.axial.gaussian": "CSAttention.gaussiantrans",
        "local.mix": "CSAttention.queeze",
        "external.query": "EAttention.query_liner",
        "external.to_memory": "EAttention.linear_0",
        "external.from_memory": "EAttention.linear_1",
        "external.out": "EAttention.proj",
    }
    for kind, upstream in (("window", "win_atten.attention"), ("axial", "global_atten")):
        block[f"local.{kind}.out"] = f"CSAttention.{upstream}.out"
        for part in ("query", "key", "value"):
            block[f"local.{kind}.{part}"] = f"CSAttention.{upstream}.{part}_layer"
    for place, upstream in places.items():
        names |= {f"{place}.{key}": f"{upstream}.{value}" for key, value in block.items()}
    names |= _mt_unet_convolutions()
    return {ours + key: theirs + value for key, value in names.items()}


def _mt_unet_convolutions() -> dict[str, str]:
    names = {"stem.project.conv": "stem.trans_dim.conv", "stem.project.norm": "stem.trans_dim.bn"}
    parts = {
        "first.conv": "conv.0.conv",
        "first.norm": "conv.0.bn",
        "second.conv": "conv.1.conv",
        "second.norm": "conv.1.bn",
        "side": "conv1",
        "side_norm": "bn",
    }
    for index in range(3):
        names[f"growths.{index}"] = f"decoder_stem.block.trans{index + 1}"
        for ours, upstream in ((f"stem.blocks.{index}", "stem.model"), (f"merges.{index}", "decoder_stem.block")):
            names |= {f"{ours}.{key}": f"{upstream}.res{index + 1}.{value}" for key, value in parts.items()}
    return names


def _mt_unet_options(state: State, prefix: str = "") -> dict[str, Any]:
    width, in_channels = state[f"{prefix}stem.model.res1.conv.0.conv.weight"].shape[:2]
    down = re.compile(re.escape(prefix) + r"encoder\.\d+\.block\.2\.conv\.weight")
    return {
        "in_channels": in_channels,
        "width": width,
        "levels": sum(down.fullmatch(key) is not None for key in state),
        "tokens": math.isqrt(state[f"{prefix}stem.position_embedding"].shape[1]),
    }


def _lstm_sa_prefixes() -> dict[str, str]:
    names = _mt_unet_prefixes("backbone.", "encoder.") | {"head.classes": "lstmlayer.conv"}
    for ours, upstream in (("forward_block", "forward_net"), ("reverse_block", "reverse_net")):
        names[f"head.{ours}.cells.0"] = f"lstmlayer.{upstream}.cell0"
        for part in ("query", "key", "value"):
            names[f"head.{ours}.attention.{part}"] = f"lstmlayer.{upstream}.attention.{part[0]}_matrix"
    return names


def _lstm_sa_options(state: State) -> dict[str, Any]:
    if not any(key.startswith("lstmlayer.forward_net.attention.") for key in state):
        state["lstmlayer.forward_net.cell0.conv.weight"]  # neither of the two: reported as missing
        raise ModelError(
            "This checkpoint is SA-LSTM, which uses the recurrent states as they are; LSTM-SA also has learned "
            "maps. Choose the architecture 'sa-lstm'."
        )
    return _mt_unet_options(state, "encoder.")


_SIBLING = {
    r"lstmlayer\.forward_net\.cell0\.fusion\.": "the LSTMSA of the authors' other repository, a different network "
    "with cross-attention inside each recurrent step"
}
_GATED = {r"lstmlayer\.forward_net\.attention\.": "LSTM-SA, which is the architecture 'lstm-sa'"}
_IN_CONTEXT = {r"lstmlayer\.": "LSTM-SA or SA-LSTM, which are the architectures 'lstm-sa' and 'sa-lstm'"}

_ROUTED = {r".*\.router(_q|_kv)?\.": "a Conditional Swin U-Net, with routers"}
_PLAIN = {r".*\.attention\.W_qkv\.": "the plain Swin U-Net, without routers"}

_LOST = "because the authors do not say how theirs were"

LITENEXT = Published(
    _litenext_prefixes(),
    "head.bias",
    _litenext_options,
    dropped=r"(teacher|projector\w*|predictor)\.",
    others={
        r"(bottle|up[0-3])\.": "a third-party re-implementation",
        r"attention\.axial_conv\.": "the authors' first version with another decoder",
    },
)
SWIN_UNET = Published(
    _swin_prefixes(),
    "output.weight",
    _swin_options,
    others=_ROUTED,
    derived=r"\.(relative_position_index|attention_mask)$",
    preprocess=Preprocess(size=(256, 256), multiple=128),
    asked=("mode",),
    restores=True,
)
CONDITIONAL_SWIN = replace(
    SWIN_UNET,
    others=_PLAIN,
    note="A file does not say whether its routers are light or iterative: make sure that the architecture is right.",
)
MT_UNET = Published(
    _mt_unet_prefixes(),
    "SegmentationHead.weight",
    _mt_unet_options,
    others=_SIBLING | _IN_CONTEXT,
    preprocess=Preprocess(size=(224, 224), multiple=32),
    caution=_LOST,
)
LSTM_SA = Published(
    _lstm_sa_prefixes(),
    "lstmlayer.conv.weight",
    _lstm_sa_options,
    others=_SIBLING,
    preprocess=MT_UNET.preprocess,
    caution=_LOST,
    asked=("attention_size",),
)
SA_LSTM = replace(LSTM_SA, options=partial(_mt_unet_options, prefix="encoder."), others=_SIBLING | _GATED)
