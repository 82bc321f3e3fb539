"""Networks, their registry, the authors' checkpoints and the project's own model files.

Names are resolved on first use: listing models and reading their cards needs no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import Locator, ModelCard, load_card, save_card
    from .checkpoint import TrainedModel, load, load_locator, load_members, options_of, save
    from .importing import Imported, check, import_checkpoint, install
    from .library import available, find, models_folder
    from .published import from_published, read_checkpoint, to_published
    from .registry import ARCHITECTURES, architecture, build
    from .settings import ImportSettings

__all__ = [
    "ARCHITECTURES",
    "ImportSettings",
    "Imported",
    "Locator",
    "ModelCard",
    "TrainedModel",
    "architecture",
    "available",
    "build",
    "check",
    "find",
    "from_published",
    "import_checkpoint",
    "install",
    "load",
    "load_card",
    "load_locator",
    "load_members",
    "models_folder",
    "options_of",
    "read_checkpoint",
    "save",
    "save_card",
    "to_published",
]

_NAMES = {
    "card": ("Locator", "ModelCard", "load_card", "save_card"),
    "checkpoint": ("TrainedModel", "load", "load_locator", "load_members", "options_of", "save"),
    "importing": ("Imported", "check", "import_checkpoint", "install"),
    "library": ("available", "find", "models_folder"),
    "published": ("from_published", "read_checkpoint", "to_published"),
    "registry": ("ARCHITECTURES", "architecture", "build"),
    "settings": ("ImportSettings",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
