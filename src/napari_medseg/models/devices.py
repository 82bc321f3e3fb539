"""Where a network computes."""

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
