"""What a run leaves for machines: JSON that says enough to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..errors import FileError, reason
from ..io.notes import KEY
from ..runs.tasks import Outcome

if TYPE_CHECKING:
    from ..record import UsedModel

_COMMON = ("version", "model", "models", "settings")  # said once for all files


def row(outcome: Outcome) -> dict[str, Any]:
    """What came of a file: its outputs, and what the record of its run says."""
    found: dict[str, Any] = {"input": outcome.task.inputs[0]}
    if outcome.note:
        found["note"] = outcome.note
    if outcome.state == "kept":
        found["kept"] = True
    if outcome.scores:
        found["reference"] = outcome.task.inputs[1]
        found["scores"] = list(outcome.scores)
    if outcome.record is not None:
        report = outcome.record.report()
        found |= {name: value for name, value in report.items() if name not in _COMMON}
    return found


def models_of_report(used: Sequence[UsedModel]) -> dict[str, Any]:
    """A run with one model has it as ``model``, one with several has ``models``."""
    rows = [{"name": model.name, "sha256": model.sha256} for model in used]
    return {"model": rows[0]} if len(rows) == 1 else {"models": rows}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a report next to the target and rename it; what is not a finite number becomes null.

    Labels keep their class table in a JSON file of the same name: a report of that name is added to it.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.dump(path, {**content, **_notes_in(path)})
    except (OSError, FileError) as error:
        raise FileError(f"The report '{path}' cannot be written ({reason(error)}). Choose another place.") from error


def _notes_in(path: Path) -> dict[str, Any]:
    try:
        content = files.read_json(path)
    except FileError:
        return {}
    return {KEY: content[KEY]} if isinstance(content, dict) and KEY in content else {}
