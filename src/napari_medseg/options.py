"""A command line as one text that the shell of this system takes apart as it was meant."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any


def join(words: Iterable[str]) -> str:
    """The words of a command, quoted."""
    words = list(words)
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def operand(path: str | Path) -> str:
    """A path that no parser takes for an option."""
    text = str(path)
    return os.path.join(".", text) if text.startswith("-") else text


def options(settings: Any, **names: str) -> list[str]:
    """The fields of the dataclass `settings` that differ from their defaults, as options and values.

    Parameters
    ----------
    settings : dataclass instance
    **names
        Names of options that are not called like their field.
    """
    words = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            words += ["--" + names.get(field.name, field.name).replace("_", "-"), _text(value)]
    return words


def _text(value: Any) -> str:
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
