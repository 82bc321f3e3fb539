"""Numbers of slices as a person types them; no window is needed to read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...errors import SettingsError

_PART = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


def parse_slices(text: str, count: int) -> tuple[int, ...]:
    """The numbers that a text such as ``3-6, 9`` names, rising.

    Raises
    ------
    SettingsError
        If the text cannot be read, or names slices that the `count` slices do not have.
    """
    found: set[int] = set()
    parts = [part.strip() for part in text.split(",")]
    for part in filter(None, parts):
        match = _PART.fullmatch(part)
        if match is None:
            raise SettingsError(f"The reviewed slices are '{text}'; expected numbers such as 3-6, 9.")
        first = int(match[1])
        last = int(match[2] or match[1])
        if last < first or last >= count:
            raise SettingsError(
                f"The reviewed slices name {part}; the labels have {count} slices, numbered 0 to {count - 1}."
            )
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def slices_text(numbers: Iterable[int]) -> str:
    """The text that `parse_slices` reads, as short as can be."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join(texts)
