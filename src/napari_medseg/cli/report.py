"""What a run leaves for machines: JSON that tells enough to repeat it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import FileError, SettingsError
from ..io.notes import KEY
from ..record import plain
from ..runs.cohort import Failure


@dataclass
class Report:
    """What a segment run was asked and what came of it; enough to repeat it.

    Parameters
    ----------
    command : str
        The command line.
    models : list of dict
        Name and SHA-256 of each.
    settings : dict
        Fields of `InferenceSettings`, and ``axes``.
    files : list of dict
        A row per finished image.
    failures : list of Failure
    interrupted : bool
        Whether images may be missing from both lists.
    version : str
        Of this package.
    """

    command: str
    models: list[dict[str, str]]
    settings: dict[str, Any]
    files: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = True
    version: str = __version__

    def content(self) -> dict[str, Any]:
        """For JSON; a run with one model has it as ``model``, one with several has ``models``."""
        fields = asdict(self)
        command, models = fields.pop("command"), fields.pop("models")
        named = {"model": models[0]} if len(models) == 1 else {"models": models}
        return {"command": command, **named, **fields}

    def earlier_rows(self, path: Path) -> dict[str, dict[str, Any]]:
        """Rows of the report that a run of the same kind left at `path`, by output file.

        Raises
        ------
        FileError, SettingsError
            If it cannot be read or belongs to a run with another model or settings.
        """
        if not path.exists():
            return {}
        advice = "Name another report, or run without --resume."
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            rows = {row["output"]: row for row in earlier["files"]}
            told = (earlier.get("models") or [earlier["model"]], _deciding(earlier["settings"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileError(f"The earlier report '{path}' cannot be read ({error}). {advice}") from error
        if told != (self.models, _deciding(self.settings)):
            raise SettingsError(f"The report '{path}' is of a run with another model or other settings. {advice}")
        return rows


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a report beside and rename it; what is not a finite number becomes null.

    Labels keep their class table in a JSON file of the same name: a report that is given that name joins it.

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


def _deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide about the labels: where and in which portions they were computed does not."""
    return {key: value for key, value in settings.items() if key not in ("device", "batch")}
