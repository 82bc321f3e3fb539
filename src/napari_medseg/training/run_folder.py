"""The folder of a run: what lies in it, and whether it can be written to."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..errors import FileError, reason
from .settings import RunSettings

SETTINGS = "settings.json"
LOG = "log.jsonl"
LAST = "last.pt"
RECORD = "record.json"
STOP = "stop"


@contextmanager
def writing(run: Path) -> Generator[None]:
    """Turn a full disk, or a folder that cannot be written to, into one sentence."""
    try:
        yield
    except (OSError, RuntimeError, FileError) as error:  # the second by PyTorch
        raise FileError(
            f"The folder '{run}' cannot be written to ({reason(error)}). Make room or choose another folder; the same "
            "command continues from the last checkpoint."
        ) from error


def begun(settings: RunSettings, run: Path) -> bool:
    """Whether the folder holds a checkpoint, or weights, of a run."""
    return any((run / name).exists() for name in (LAST, f"{settings.name}.safetensors"))
