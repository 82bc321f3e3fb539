"""Undersampled-MRI reconstruction: from k-space to images.

Names are resolved on first use: reading what can be set needs no NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .consistency import data_consistency, data_residual
    from .sampling import sampling_mask
    from .transforms import fft2c, ifft2c, rss

__all__ = ["data_consistency", "data_residual", "fft2c", "ifft2c", "rss", "sampling_mask"]

_HOME = {
    "data_consistency": "consistency",
    "data_residual": "consistency",
    "fft2c": "transforms",
    "ifft2c": "transforms",
    "rss": "transforms",
    "sampling_mask": "sampling",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
