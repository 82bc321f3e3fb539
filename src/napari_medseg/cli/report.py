"""What a run leaves for machines: JSON that says enough to repeat it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import FileError
from ..io.notes import KEY
from ..record import plain
from ..runs.tasks import Outcome

_COMMON = ("version", "model", "models", "settings")  # said once for all files


def row(outcome: Outcome) -> dict[str, Any]:
    """What came of a file: its outputs, and what the record of its run says."""
    found: dict[str, Any] = {"input": outcome.task.inputs[0]}
    if outcome.note:
        found["note"] = outcome.note
    if outcome.state == "kept":
        found["kept"] = True
    if outcome.record is not None:
        report = outcome.record.report()
        found |= {name: value for name, value in report.items() if name not in _COMMON}
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a report next to the target and rename it; what is not a finite number becomes null.

    Labels keep their class table in a JSON file of the same name: a report of that name is added to it.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(to_json({**content, **_notes_in(path)}), encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise FileError(f"The report '{path}' cannot be written ({error.strerror}). Choose another place.") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """Indented JSON in which what is not a finite number is null."""
    return json.dumps(plain(value), indent=2, allow_nan=False, default=str) + "\n"


def _notes_in(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {KEY: content[KEY]} if isinstance(content, dict) and KEY in content else {}
