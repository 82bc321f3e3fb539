"""What a form says of its controls, in plain values: a dock hands facts to its `state.py` and applies the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    """What one control says of itself.

    Parameters
    ----------
    tooltip : str
        What it does.
    why_not : str
        Why it is off, shown instead of the tooltip; empty if it can be used.
    visible : bool
    title : str
        The text on it; empty if that never changes.
    """

    tooltip: str
    why_not: str = ""
    visible: bool = True
    title: str = ""


def first(*reasons: str) -> str:
    """The first of several reasons that applies; empty if none does."""
    return next(filter(None, reasons), "")


def unless(holds: object, reason: str) -> str:
    """The reason that applies as long as something does not hold."""
    return "" if holds else reason


def hint_text(reasons: Mapping[str, str]) -> str:
    """Why controls are off, one line per reason: ``Run, Preview: open an image first.``"""
    lines = []
    for reason in dict.fromkeys(reasons.values()):
        names = [name for name, why_not in reasons.items() if why_not == reason]
        if reason:
            lines.append(f"{', '.join(names)}: {reason}")
    return "\n".join(lines)
