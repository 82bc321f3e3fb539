"""The one table of architectures: name -> builder and what the rest of the program must know about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import ModelError
from . import key_maps
from .conditional_swin import ConditionalSwinUNet
from .key_maps import Published
from .litenext import LiteNeXt
from .lstm_sa import LSTMSA, Kind
from .mt_unet import MTUNet


@dataclass(frozen=True)
class Architecture:
    """How to build a network.

    Parameters
    ----------
    build : callable
        Takes ``out_channels`` and the network's own options, returns the module; its ``untold`` are the options that
        neither its name nor its tensors determine.
    title : str
        Name to show.
    bytes_per_pixel : int
        Peak memory of inference per pixel of a slice, as the growth of the process showed it; plans batches.
    background : bool
        Whether the first logit map is the background (softmax over all maps); else each map is a class of its own.
    context : bool
        Whether the network takes three slices (previous, current, next) and is a `ContextNetwork`.
    unused : str
        Regular expression of our parameters that are in the authors' files and have no effect on the result.
    routed : bool
        Whether the network has routers and ``router_maps``.
    published : Published or None
        How the authors' files are read; None where there are none.
    """

    build: Callable[..., nn.Module]
    title: str
    bytes_per_pixel: int
    background: bool = False
    context: bool = False
    unused: str = r"(?!)"
    routed: bool = False
    published: Published | None = None


def _build_unet(in_channels: int = 3, out_channels: int = 1) -> nn.Module:
    # the peer that every bundled model is measured against; MONAI is only needed for it
    try:
        from monai.networks.nets import BasicUNet
    except ModuleNotFoundError as error:
        raise ModelError(
            "The U-Net needs the package MONAI, which is not installed. "
            "Install the extra: pip install napari-medseg[baseline]."
        ) from error
    features = (8, 16, 32, 64, 128, 8)
    return BasicUNet(spatial_dims=2, in_channels=in_channels, out_channels=out_channels, features=features)


def _swin(router: str | None) -> Callable[..., nn.Module]:
    # no functools.partial: an option `router` must be refused, the name says which one it is
    def build_swin(**options: Any) -> nn.Module:
        return ConditionalSwinUNet(router=router, **options)

    return build_swin


def _lstm_sa(kind: Kind) -> Callable[..., nn.Module]:
    def build_lstm_sa(**options: Any) -> nn.Module:
        return LSTMSA(kind=kind, **options)

    return build_lstm_sa


def _build_unet_lstm_sa(in_channels: int = 3, out_channels: int = 2, width: int = 16, **options: Any) -> nn.Module:
    # any network with as many maps as the recurrent nets have channels can be the backbone
    return LSTMSA(in_channels, out_channels, width=width, backbone=_build_unet(in_channels, width), **options)


# parameters of MT-UNet that the published code never uses, or whose effect cancels
_LARGEST = 2**16  # number that an option of a network may be
_NO_EFFECT = r"\.axial\.(out\.(weight|bias)|gaussian\.bias)$"

ARCHITECTURES: dict[str, Architecture] = {
    "litenext": Architecture(
        LiteNeXt, "LiteNeXt", 400, unused=r"^(query\.key\.|gate\.bias)", published=key_maps.LITENEXT
    ),
    "unet": Architecture(_build_unet, "U-Net (MONAI BasicUNet)", 600),
    "swin-unet": Architecture(_swin(None), "Swin U-Net", 800, background=True, published=key_maps.SWIN_UNET),
    "conditional-swin-iterative": Architecture(
        _swin("iterative"),
        "Conditional Swin U-Net (iterative routers)",
        800,
        background=True,
        routed=True,
        published=key_maps.CONDITIONAL_SWIN,
    ),
    "conditional-swin-light": Architecture(
        _swin("light"),
        "Conditional Swin U-Net (light routers)",
        800,
        background=True,
        routed=True,
        published=key_maps.CONDITIONAL_SWIN,
    ),
    "lstm-sa": Architecture(
        _lstm_sa("gated"),
        "LSTM-SA",
        10000,
        background=True,
        context=True,
        unused=_NO_EFFECT,
        published=key_maps.LSTM_SA,
    ),
    "sa-lstm": Architecture(
        _lstm_sa("states"),
        "SA-LSTM",
        10000,
        background=True,
        context=True,
        unused=_NO_EFFECT,
        published=key_maps.SA_LSTM,
    ),
    "unet-lstm-sa": Architecture(
        _build_unet_lstm_sa, "U-Net with LSTM-SA (MONAI BasicUNet)", 3000, background=True, context=True
    ),
    "mt-unet": Architecture(MTUNet, "MT-UNet", 2000, background=True, unused=_NO_EFFECT, published=key_maps.MT_UNET),
}


def published_names() -> list[str]:
    """Architectures whose authors' files can be read."""
    return [name for name, entry in ARCHITECTURES.items() if entry.published]


def architecture(name: str) -> Architecture:
    """Look up an architecture.

    Raises
    ------
    ModelError
        If it does not exist.
    """
    if name not in ARCHITECTURES:
        raise ModelError(f"The architecture '{name}' does not exist; choose one of {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]


def build(name: str, *, num_classes: int = 2, **options: object) -> nn.Module:
    """Build an untrained network.

    Parameters
    ----------
    name : str
        Architecture, for example ``litenext``.
    num_classes : int
        Classes with the background counted. LiteNeXt and the U-Net return one logit map per class that is not
        background, the others one per class with the background first.
    **options
        Options of the network itself, see its docstring.

    Raises
    ------
    ModelError
        If the architecture or an option does not exist.
    """
    if num_classes < 2:
        raise ModelError(f"num_classes is {num_classes}; expected at least 2, background and one class.")
    entry = architecture(name)
    for option, value in options.items():
        if isinstance(value, int | float) and not abs(value) <= _LARGEST:
            raise ModelError(f"The option {option} of '{name}' is {str(value)[:20]}; expected at most {_LARGEST}.")
    maps = num_classes if entry.background else num_classes - 1
    try:
        return entry.build(**{"out_channels": maps, **options})
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"The architecture '{name}' cannot be built with these options: {error}.") from error
