"""Where a network computes, and in which numbers."""

from __future__ import annotations

import torch

from ..errors import SettingsError


def choose_device(name: str) -> str:
    """Device of that name; ``auto`` is the fastest one present.

    Raises
    ------
    SettingsError
        If it is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, there in present.items() if there)
    if not present.get(name):
        choices = ", ".join(device for device, there in present.items() if there)
        raise SettingsError(f"The device '{name}' is not available on this computer; choose auto or {choices}.")
    return name


def choose_precision(name: str, device: str) -> str:
    """Numbers that a network multiplies on a device; ``auto`` is ``bfloat16`` where that is fast.

    Raises
    ------
    SettingsError
        If PyTorch cannot compute in them there.
    """
    if name == "auto":
        return "bfloat16" if computes_bfloat16(device) else "float32"
    if name == "bfloat16" and not _knows_bfloat16(device):
        raise SettingsError(
            f"The precision bfloat16 is not available on the device '{device}' of this computer. "
            "Choose auto or float32."
        )
    return name


def computes_bfloat16(device: str) -> bool:
    """Whether a device multiplies numbers of 16 bits itself; elsewhere they are converted one by one, which is slow."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "mps":
        return _knows_bfloat16(device)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _knows_bfloat16(device: str) -> bool:
    """Whether PyTorch computes in them at all."""
    one = torch.ones(1, 1, device=device)
    try:
        with torch.autocast(device, torch.bfloat16):
            return (one @ one).dtype is torch.bfloat16
    except RuntimeError:
        return False
