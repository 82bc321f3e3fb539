"""*Suggest method* of a session, done again and compared. Imports PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..progress import Job
from ..recon.settings import HiddenSettings, ReconSettings
from ..recon.suggest import Candidate, Hint, hint_job
from ..record import Record, UsedModel
from .lines import Line
from .rerun import CLOSE, both, is_close, kspace_again, other_versions, settings_of, trained
from .stage import DifferenceError, Layer


def hint_again(
    line: Line, layer: Layer | None, folders: Sequence[Path], tolerance: float, say: Callable[[str], object]
) -> Job[None]:
    """Compare methods by hidden lines as the session did.

    Parameters
    ----------
    line : Line
    layer : Layer or None
        The image whose measurement was simulated; None for raw data in a file.
    folders : sequence of pathlib.Path
        Where the file is looked for.
    tolerance : float
        Above 0, another outcome is said and the replay goes on: no later step uses it.
    say : callable
        Is given a sentence where it differs.

    Raises
    ------
    DifferenceError
        If raw data, models, the method that is suggested, or the errors of the methods are others than in the session.
    """
    record = line.record()
    kspace = kspace_again(line, layer, folders)
    then = Hint.of(record)
    hidden = settings_of(HiddenSettings, record.settings["hidden"])
    found = yield from hint_job(kspace, _candidates(record), hidden, indices=record.figures["slices"])
    text = _difference(then, found)
    if not text:
        return
    text += other_versions(record.software)
    if not tolerance:
        raise DifferenceError(text)
    say(f"{line.title}: {text}")


def _candidates(record: Record) -> list[Candidate]:
    models: dict[str, UsedModel] = {model.name: model for model in record.models}
    found: list[Candidate] = []
    for each in record.settings["candidates"]:
        settings = replace(settings_of(ReconSettings, each), device="auto")
        used = models.get(settings.method)
        found.append((settings, trained(used) if used else None))
    return found


def _difference(then: Hint, here: Hint) -> str:
    """What another outcome is, in a sentence; empty if it is the same."""
    if here.verdict != then.verdict:
        return f"another method is suggested: {here.verdict} In the session: {then.verdict}"
    pairs = both(dict(then.rows), dict(here.rows))
    differing = [name for name, before, now in pairs if not is_close(before, now)]
    if not differing:
        return ""
    return f"the errors of the methods differ by more than {CLOSE:g}: {', '.join(differing)}."
