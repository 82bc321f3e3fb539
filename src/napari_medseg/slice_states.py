"""What is known of the slices of labels, as files and layers keep it: rows for runs of slices that are alike.

A row is a JSON object: ``first`` and ``last`` slice (counted from 0 over all axes before y and x), ``state`` (one of
`STATES`), ``crc`` with a checksum per slice, and where it is known ``seconds`` that each slice was in view, ``was``
(the state before an approval), ``at`` (UTC) and ``model`` with its ``sha256``. Slices without a row are unseen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

KEY = "slices"
"""Name under which ``Volume.metadata`` holds these rows."""

UNSEEN, AUTO, EDITED, APPROVED = STATES = ("unseen", "auto", "edited", "approved")
"""Nobody has looked at it; a model made it; a person has changed it; a person has approved it as it is."""

_LONGEST = 2**22  # slices
_EACH = ("crc", "seconds")  # with a value per slice
_TEXTS = ("was", "at", "model", "sha256")


def expand(rows: Any) -> dict[int, dict[str, Any]]:
    """The rows slice by slice, ``crc`` a number or None, ``seconds`` where known; what is malformed is left out."""
    found: dict[int, dict[str, Any]] = {}
    for row in rows if isinstance(rows, list | tuple) else ():
        match row:
            case {"first": int(first), "last": int(last), "state": str(state)} if state in STATES:
                if 0 <= first <= last < _LONGEST:
                    found |= _row(row, first, last, state)
    return found


def _row(row: Mapping[str, Any], first: int, last: int, state: str) -> dict[int, dict[str, Any]]:
    texts = {name: row[name] for name in _TEXTS if isinstance(row.get(name), str)}
    count = last - first + 1
    sums = _each(row.get("crc"), count)
    seconds = _each(row.get("seconds"), count)
    found = {}
    for number, crc, spent in zip(range(first, last + 1), sums, seconds, strict=True):
        found[number] = {"state": state, "crc": crc if isinstance(crc, int) else None, **texts}
        if isinstance(spent, int | float) and 0 < spent < math.inf:
            found[number]["seconds"] = spent
    return found


def _each(values: Any, count: int) -> Sequence[Any]:
    """One value per slice."""
    return values if isinstance(values, list | tuple) and len(values) == count else [None] * count


def collapse(slices: Mapping[int, Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The fewest rows that say the same."""
    rows: list[dict[str, Any]] = []
    for number in sorted(slices):
        facts = {name: value for name, value in slices[number].items() if name not in _EACH and value}
        if not rows or rows[-1]["last"] != number - 1 or _shared(rows[-1]) != facts:
            rows.append({"first": number, **facts, "crc": [], "seconds": []})
        last = rows[-1]
        last["last"] = number
        last["crc"].append(slices[number].get("crc"))
        last["seconds"].append(slices[number].get("seconds", 0))
    for row in rows:
        if not any(row["seconds"]):
            del row["seconds"]
    return tuple(rows)


def _shared(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of all its slices."""
    return {name: value for name, value in row.items() if name not in ("first", "last", *_EACH)}


def at(rows: Any, numbers: Sequence[int]) -> tuple[dict[str, Any], ...]:
    """The rows of some of the slices, which are numbered anew in the order given."""
    known = expand(rows)
    return collapse({new: known[old] for new, old in enumerate(numbers) if old in known})


def reviewed(rows: Any) -> tuple[int, ...]:
    """The slices that a person has changed or approved."""
    return tuple(sorted(number for number, facts in expand(rows).items() if facts["state"] in (EDITED, APPROVED)))
