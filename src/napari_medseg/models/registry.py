"""The one table of architectures: name -> builder and what the rest of the program must know about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ..errors import ModelError
from .litenext import LiteNeXt


@dataclass(frozen=True)
class Architecture:
    """How to build a network.

    Parameters
    ----------
    build : callable
        Takes ``out_channels`` and the network's own options, returns the module.
    title : str
        Name to show.
    bytes_per_pixel : int
        Peak memory of inference per pixel of a slice, as the growth of the process showed it; plans batches.
    """

    build: Callable[..., nn.Module]
    title: str
    bytes_per_pixel: int


def _build_unet(in_channels: int = 3, out_channels: int = 1) -> nn.Module:
    # the peer that every bundled model is measured against; MONAI is only needed for it
    try:
        from monai.networks.nets import BasicUNet
    except ModuleNotFoundError as error:
        raise ModelError(
            "The architecture 'unet' needs the package MONAI, which is not installed. "
            "Install the extra: pip install napari-medseg[baseline]."
        ) from error
    features = (8, 16, 32, 64, 128, 8)
    return BasicUNet(spatial_dims=2, in_channels=in_channels, out_channels=out_channels, features=features)


ARCHITECTURES: dict[str, Architecture] = {
    "litenext": Architecture(LiteNeXt, "LiteNeXt", 400),
    "unet": Architecture(_build_unet, "U-Net (MONAI BasicUNet)", 600),
}


def architecture(name: str) -> Architecture:
    """Look up an architecture.

    Raises
    ------
    ModelError
        If there is none of that name.
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
        Classes with the background counted; the network returns one logit map per class that is not background.
    **options
        Options of the network itself, see its docstring.

    Raises
    ------
    ModelError
        If the architecture or an option does not exist.
    """
    if num_classes < 2:
        raise ModelError(f"num_classes is {num_classes}; needed are at least 2, background and one class.")
    try:
        return architecture(name).build(out_channels=num_classes - 1, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"The architecture '{name}' cannot be built with these options: {error}.") from error
