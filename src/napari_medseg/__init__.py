"""Segment medical and microscopy images and reconstruct MR data, in napari and without it.

The public names are resolved on first use, so that importing the package loads no torch, napari or Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import metrics, models, recon
    from .io import read, write
    from .io.kspace import read_kspace
    from .kspace import KSpace
    from .recon.reconstruct import reconstruct
    from .segmentation.consensus import segment
    from .volume import Volume

__all__ = [
    "KSpace",
    "Volume",
    "__version__",
    "metrics",
    "models",
    "read",
    "read_kspace",
    "recon",
    "reconstruct",
    "segment",
    "write",
]

_HOME = {
    "KSpace": "kspace",
    "Volume": "volume",
    "read": "io",
    "read_kspace": "io.kspace",
    "reconstruct": "recon.reconstruct",
    "segment": "segmentation.consensus",
    "write": "io",
}
_MODULES = ("metrics", "models", "recon")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
