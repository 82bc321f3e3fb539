"""Networks, their registry, the authors' checkpoints and the project's own model files."""

from .checkpoint import ModelCard, TrainedModel, load, load_card, save, save_card
from .library import available, find, models_folder
from .published import from_published, read_checkpoint, to_published
from .registry import ARCHITECTURES, architecture, build

__all__ = [
    "ARCHITECTURES",
    "ModelCard",
    "TrainedModel",
    "architecture",
    "available",
    "build",
    "find",
    "from_published",
    "load",
    "load_card",
    "models_folder",
    "read_checkpoint",
    "save",
    "save_card",
    "to_published",
]
